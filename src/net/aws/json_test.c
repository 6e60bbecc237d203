#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "net/aws/json.h"

static uint8_t mem[64];
static cs_buf text;
static cs_json_field f[3];

static cs_err read_text(const char *json)
{
    text = cs_buf_wrap(mem, sizeof mem);
    f[0] = (cs_json_field){.key = "s", .kind = CS_JSON_STRING, .out = &text};
    f[1] = (cs_json_field){.key = "n", .kind = CS_JSON_NUMBER};
    f[2] = (cs_json_field){.key = "o", .kind = CS_JSON_OBJECT};
    return cs_json_read(cs_slice_str(json), f, 3);
}

static void takes_the_fields_asked_for(void **state)
{
    assert_int_equal(
        read_text(" { \"x\":[1,{\"s\":\"no\"},null,true,false,-1.5e+3], \"s\":\"a\\u00e9\\ud83d\\ude00\\n\", "
                  "\"n\" : 12, \"o\":{\"k\":[]} } "),
        CS_OK);
    assert_true(cs_slice_eq_str(cs_buf_slice(&text), "a\xc3\xa9\xf0\x9f\x98\x80\n"));
    assert_true(cs_slice_eq_str(f[1].raw, "12"));
    assert_true(cs_slice_eq_str(f[2].raw, "{\"k\":[]}"));
    assert_int_equal(read_text("{}"), CS_OK);
    assert_false(f[0].seen);
}

static void null_is_absent(void **state)
{
    assert_int_equal(read_text("{\"s\":null,\"n\":null,\"o\":null}"), CS_OK);
    assert_false(f[0].seen || f[1].seen || f[2].seen);
}

static void refuses_what_is_not_json(void **state)
{
    static const char *const bad[] = {
        "",
        "[]",
        "1",
        "{",
        "{}x",
        "{\"s\"}",
        "{\"s\":}",
        "{\"s\":\"}",
        "{\"s\":\"a\",}",
        "{,}",
        "{\"s\":\"\\x\"}",
        "{\"s\":\"\\u12\"}",
        "{\"s\":\"\\ud800\"}",
        "{\"s\":\"\\udc00\"}",
        "{\"s\":\"\\ud800\\u0041\"}",
        "{\"s\":\"\x01\"}",
        "{\"s\":\"\xff\"}",
        "{\"x\":01}",
        "{\"x\":1.}",
        "{\"x\":.5}",
        "{\"x\":1e}",
        "{\"x\":-}",
        "{\"x\":tru}",
        "{\"x\":[1,]}",
        "{\"x\":[1 2]}",
        "{\"x\":{1:2}}",
        "{s:1}",
        "{\"x\":'a'}",
        "{\"x\":1}{",
        "{\"x\" 1}",
        "{\"x\":+1}",
        "{\"x\":NaN}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(read_text(bad[i]), CS_E_FORMAT);
    }
}

static void refuses_wrong_kinds_and_duplicates(void **state)
{
    assert_int_equal(read_text("{\"s\":1}"), CS_E_FORMAT);
    assert_int_equal(read_text("{\"n\":\"1\"}"), CS_E_FORMAT);
    assert_int_equal(read_text("{\"n\":{}}"), CS_E_FORMAT);
    assert_int_equal(read_text("{\"n\":true}"), CS_E_FORMAT);
    assert_int_equal(read_text("{\"o\":[]}"), CS_E_FORMAT);
    assert_int_equal(read_text("{\"s\":\"a\",\"s\":\"b\"}"), CS_E_FORMAT);
    assert_int_equal(read_text("{\"s\":\"a\",\"\\u0073\":\"b\"}"), CS_E_FORMAT);
}

static void takes_booleans(void **state)
{
    cs_json_field b = {.key = "b", .kind = CS_JSON_BOOL};
    assert_int_equal(cs_json_read(cs_slice_str("{\"b\":false}"), &b, 1), CS_OK);
    assert_true(cs_slice_eq_str(b.raw, "false"));
    static const char *const bad[] = {"{\"b\":0}", "{\"b\":\"true\"}", "{\"b\":{}}", "{\"b\":[]}", "{\"b\":falsy}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        b = (cs_json_field){.key = "b", .kind = CS_JSON_BOOL};
        assert_int_equal(cs_json_read(cs_slice_str(bad[i]), &b, 1), CS_E_FORMAT);
    }
}

static void refuses_a_missing_required_field(void **state)
{
    (void)read_text("{}");
    f[0].required = true;
    assert_int_equal(cs_json_read(cs_slice_str("{\"n\":1}"), f, 3), CS_E_FORMAT);
}

static void bounds_strings_and_nesting(void **state)
{
    char big[200], deep[64] = "{\"x\":";
    memset(big, 'a', sizeof big);
    memcpy(big, "{\"s\":\"", 6);
    memcpy(big + 190, "\"}", 3);
    assert_int_equal(read_text(big), CS_E_RANGE);
    memset(deep + 5, '[', 15);
    memset(deep + 20, ']', 15);
    memcpy(deep + 35, "}", 2);
    assert_int_equal(read_text(deep), CS_OK);
    memset(deep + 5, '[', 17);
    memset(deep + 22, ']', 17);
    memcpy(deep + 39, "}", 2);
    assert_int_equal(read_text(deep), CS_E_FORMAT);
    /* a name longer than any of ours is passed over */
    assert_int_equal(read_text("{\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\":1}"),
                     CS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_the_fields_asked_for),
        cmocka_unit_test(null_is_absent),
        cmocka_unit_test(refuses_what_is_not_json),
        cmocka_unit_test(refuses_wrong_kinds_and_duplicates),
        cmocka_unit_test(takes_booleans),
        cmocka_unit_test(refuses_a_missing_required_field),
        cmocka_unit_test(bounds_strings_and_nesting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
