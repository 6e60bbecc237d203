#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "codec/json.h"

static cs_err whole(const char *text)
{
    cs_json j = cs_json_of(cs_slice_str(text));
    CS_TRY(cs_json_skip(&j));
    return cs_json_end(&j);
}

static void values_are_accepted(void **state)
{
    static const char *const good[] = {"0",
                                       "-0",
                                       "1e5",
                                       "-1.5E-3",
                                       "\"\"",
                                       "\"\\u00e9\\n\"",
                                       "[]",
                                       "{}",
                                       "[1,{\"a\":[null]}]",
                                       " true ",
                                       "{\"a\":1,\"a\":2}",
                                       "\"\xc3\xa9\"",
                                       "[[],[]]"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(whole(good[i]), CS_OK);
    }
}

static void everything_else_is_refused(void **state)
{
    static const char *const bad[] = {"",       " ",          "01",       "+1",   "1.",      ".5",
                                      "1e",     "-",          "nul",      "[1,]", "[,1]",    "{\"a\"}",
                                      "{a:1}",  "{\"a\":1,}", "[1 2]",    "\"",   "\"\\x\"", "\"\\u12g4\"",
                                      "\"\t\"", "[",          "]",        "{",    "1 2",     "NaN",
                                      "'a'",    "\"\xc3\"",   "{\"a\":}", "[1}",  "{]",      "\xef\xbb\xbf{}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(whole(bad[i]), CS_E_FORMAT);
    }
}

/* Every byte at every place of a long string: what is skipped eight at a time is judged as one at a time. */
static void long_strings_are_read_like_short_ones(void **state)
{
    for (unsigned c = 0; c < 256; c++) {
        for (size_t i = 0; i < 24; i++) {
            char text[27] = "\"abcdefghijklmnopqrstuvwx\"";
            cs_json j = cs_json_of(cs_slice_of(text, 26));
            cs_slice raw;
            bool plain;
            text[1 + i] = (char)c;
            cs_err err = cs_json_string(&j, &raw, &plain);
            if (c == '"') {
                assert_int_equal(err, CS_OK);
                assert_int_equal(raw.len, i);
            } else if (c < 0x20 || c >= 0x80) {
                assert_int_equal(err, CS_E_FORMAT);
            } else if (c != '\\') {
                assert_int_equal(err, CS_OK);
                assert_int_equal(raw.len, 24);
                assert_true(plain);
            } else { /* an escape of what follows */
                assert_int_equal(err, strchr("bfnrt\"", text[2 + i]) != NULL && i < 23 ? CS_OK : CS_E_FORMAT);
            }
        }
    }
}

static void depth_is_bounded(void **state)
{
    char text[2 * CS_JSON_MAX_DEPTH + 4];
    memset(text, '[', CS_JSON_MAX_DEPTH);
    memset(text + CS_JSON_MAX_DEPTH, ']', CS_JSON_MAX_DEPTH);
    text[2 * CS_JSON_MAX_DEPTH] = 0;
    assert_int_equal(whole(text), CS_OK);
    memset(text, '[', CS_JSON_MAX_DEPTH + 1);
    memset(text + CS_JSON_MAX_DEPTH + 1, ']', CS_JSON_MAX_DEPTH + 1);
    text[2 * CS_JSON_MAX_DEPTH + 2] = 0;
    assert_int_equal(whole(text), CS_E_FORMAT);
}

static void getters_fail_without_moving(void **state)
{
    cs_json j = cs_json_of(cs_slice_str(" -3,"));
    uint64_t v = 9;
    cs_slice s;
    bool plain;
    assert_int_equal(cs_json_u64(&j, 10, &v), CS_E_FORMAT);
    assert_int_equal(cs_json_string(&j, &s, &plain), CS_E_FORMAT);
    assert_int_equal(j.r.left, 4);
    assert_int_equal(cs_json_number(&j, &s), CS_OK);
    assert_true(cs_slice_eq_str(s, "-3"));
    assert_true(cs_json_try(&j, ','));
    assert_int_equal(cs_json_peek(&j), CS_JSON_END);
}

static void numbers_have_a_maximum(void **state)
{
    uint64_t v = 0;
    cs_json j = cs_json_of(cs_slice_str("17"));
    assert_int_equal(cs_json_u64(&j, 16, &v), CS_E_RANGE);
    assert_int_equal(cs_json_u64(&j, 17, &v), CS_OK);
    assert_int_equal(v, 17);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_accepted),
        cmocka_unit_test(everything_else_is_refused),
        cmocka_unit_test(long_strings_are_read_like_short_ones),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(getters_fail_without_moving),
        cmocka_unit_test(numbers_have_a_maximum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
