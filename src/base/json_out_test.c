/* The JSON writer: whatever goes in, what comes out is JSON. */
#include "base/json_out.h"

#include <setjmp.h>
#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint8_t mem[512];

static void expect(const cs_jw *w, const cs_buf *b, const char *text)
{
    assert_int_equal(cs_jw_end(w), CS_OK);
    assert_int_equal(b->len, strlen(text));
    assert_memory_equal(b->p, text, b->len);
}

static void commas_and_nesting_are_right(void **state)
{
    (void)state;
    cs_buf b = cs_buf_wrap(mem, sizeof mem);
    cs_jw w = cs_jw_begin(&b);
    cs_jw_object(&w, NULL);
    cs_jw_array(&w, "a");
    cs_jw_u64(&w, NULL, UINT64_MAX);
    cs_jw_i64(&w, NULL, INT64_MIN);
    cs_jw_object(&w, NULL);
    cs_jw_close_object(&w);
    cs_jw_null(&w, NULL);
    cs_jw_close_array(&w);
    cs_jw_bool(&w, "t", true);
    cs_jw_hex(&w, "h", cs_slice_of("\x01\xff", 2));
    cs_jw_close_object(&w);
    expect(&w, &b, "{\"a\":[18446744073709551615,-9223372036854775808,{},null],\"t\":true,\"h\":\"01ff\"}");
}

static void strings_and_keys_are_escaped(void **state)
{
    (void)state;
    cs_buf b = cs_buf_wrap(mem, sizeof mem);
    cs_jw w = cs_jw_begin(&b);
    cs_jw_object(&w, NULL);
    cs_jw_str(&w, "k\"", cs_slice_of("a\"\\\0b", 5));
    cs_jw_close_object(&w);
    expect(&w, &b, "{\"k\\\"\":\"a\\\"\\\\\\u0000b\"}");
}

static void invalid_utf8_becomes_the_replacement_character(void **state)
{
    (void)state;
    cs_buf b = cs_buf_wrap(mem, sizeof mem);
    cs_jw w = cs_jw_begin(&b);
    cs_jw_str(&w, NULL, cs_slice_of("x\xff\xc3\xa9", 4));
    expect(&w, &b, "\"x\xef\xbf\xbd\xc3\xa9\"");
}

static void numbers_that_json_has_not_become_null(void **state)
{
    (void)state;
    cs_buf b = cs_buf_wrap(mem, sizeof mem);
    cs_jw w = cs_jw_begin(&b);
    cs_jw_array(&w, NULL);
    cs_jw_double(&w, NULL, 1.5);
    cs_jw_double(&w, NULL, (double)INFINITY);
    cs_jw_close_array(&w);
    expect(&w, &b, "[1.5,null]");
}

static void errors_are_sticky(void **state)
{
    (void)state;
    cs_buf b = cs_buf_wrap(mem, 6);
    cs_jw w = cs_jw_begin(&b);
    cs_jw_object(&w, NULL);
    cs_jw_cstr(&w, "key", "value");
    cs_jw_close_object(&w);
    assert_int_equal(cs_jw_end(&w), CS_E_RANGE);
}

static void open_container_is_an_error(void **state)
{
    (void)state;
    cs_buf b = cs_buf_wrap(mem, sizeof mem);
    cs_jw w = cs_jw_begin(&b);
    cs_jw_object(&w, NULL);
    assert_int_equal(cs_jw_end(&w), CS_E_INTERNAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commas_and_nesting_are_right),
        cmocka_unit_test(strings_and_keys_are_escaped),
        cmocka_unit_test(invalid_utf8_becomes_the_replacement_character),
        cmocka_unit_test(numbers_that_json_has_not_become_null),
        cmocka_unit_test(errors_are_sticky),
        cmocka_unit_test(open_container_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
