/* Text codecs: one form for each value, everything else refused. */
#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void trimming_takes_the_set_from_both_ends(void **state)
{
    static const char *const rows[][2] = {{"  a b\t", "a b"}, {"a", "a"}, {" \t ", ""}, {"", ""}, {"\r a\r", "\r a\r"}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_true(cs_slice_eq_str(cs_trim(cs_slice_str(rows[i][0]), " \t"), rows[i][1]));
    }
}

static void hex_takes_exact_lengths_of_either_case(void **state)
{
    (void)state;
    uint8_t out[3] = {9, 9, 9};
    char text[7];
    assert_int_equal(cs_hex_decode(out, 3, cs_slice_str("00aBfF")), CS_OK);
    assert_memory_equal(out, "\x00\xab\xff", 3);
    cs_hex_encode(text, cs_slice_of(out, 3));
    assert_string_equal(text, "00abff");
}

static void hex_refuses_and_leaves_the_output(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "00", "0011223", "00112", "0011zz", "00112 ", "0x1122", "00112\n"};
    uint8_t out[3] = {9, 9, 9};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(cs_hex_decode(out, 3, cs_slice_str(bad[i])), CS_E_FORMAT);
        assert_memory_equal(out, "\x09\x09\x09", 3);
    }
}

static void base64_round_trips_every_length(void **state)
{
    (void)state;
    uint8_t in[64], mid[128], back[64];
    for (size_t i = 0; i < sizeof in; i++) {
        in[i] = (uint8_t)(i * 7 + 250);
    }
    for (int kind = CS_B64_STD; kind <= CS_B64_STD_RAW; kind++) {
        for (size_t len = 0; len <= sizeof in; len++) {
            cs_buf m = cs_buf_wrap(mid, sizeof mid), b = cs_buf_wrap(back, sizeof back);
            assert_int_equal(cs_b64_put(&m, cs_slice_of(in, len), (cs_b64)kind), CS_OK);
            assert_int_equal(cs_b64_get(&b, cs_buf_slice(&m), (cs_b64)kind), CS_OK);
            assert_true(cs_slice_eq(cs_buf_slice(&b), cs_slice_of(in, len)));
        }
    }
}

static void base64_refuses_other_forms(void **state)
{
    (void)state;
    static const struct {
        cs_b64 kind;
        const char *text;
    } bad[] = {
        {CS_B64_STD, "Zg="},      {CS_B64_STD, "Zg"},        {CS_B64_STD, "Zg==="},      {CS_B64_STD, "Zh=="},
        {CS_B64_STD, "Zm9="},     {CS_B64_STD, "===="},      {CS_B64_STD, "Z==="},       {CS_B64_STD, "Zm9v\n"},
        {CS_B64_STD, "Zm 9v"},    {CS_B64_STD, "Zm9v===="},  {CS_B64_STD, "-_-_"},       {CS_B64_URL, "+/+/"},
        {CS_B64_URL, "Zg=="},     {CS_B64_URL, "Zh"},        {CS_B64_URL, "Z"},          {CS_B64_STD_RAW, "Zg=="},
        {CS_B64_STD_RAW, "-_-_"}, {CS_B64_STD_RAW, "Zm9vZ"}, {CS_B64_STD_RAW, "Zm9vZh"}, {CS_B64_STD, "Zg==Zg=="},
    };
    uint8_t mem[32];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cs_buf b = cs_buf_wrap(mem, sizeof mem);
        assert_int_equal(cs_b64_get(&b, cs_slice_str(bad[i].text), bad[i].kind), CS_E_FORMAT);
        assert_int_equal(b.len, 0);
    }
}

static void base64_that_does_not_fit_leaves_the_output(void **state)
{
    (void)state;
    uint8_t mem[2];
    cs_buf b = cs_buf_wrap(mem, sizeof mem);
    assert_int_equal(cs_b64_get(&b, cs_slice_str("Zm9v"), CS_B64_STD), CS_E_RANGE);
    assert_int_equal(cs_b64_put(&b, cs_slice_str("f"), CS_B64_STD), CS_E_RANGE);
    assert_int_equal(b.len, 0);
}

static void numbers_have_one_form(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", "00", "01", "+1", "-1", " 1", "1 ", "1.0", "1e3", "0x1", "999999999999999999999"};
    uint64_t v = 7;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(cs_parse_u64(cs_slice_str(bad[i]), UINT64_MAX, &v), CS_E_FORMAT);
    }
    assert_int_equal(cs_parse_u64(cs_slice_str("18446744073709551616"), UINT64_MAX, &v), CS_E_RANGE);
    assert_int_equal(cs_parse_u64(cs_slice_str("11"), 10, &v), CS_E_RANGE);
    assert_int_equal(v, 7);
    assert_int_equal(cs_parse_u64(cs_slice_str("18446744073709551615"), UINT64_MAX, &v), CS_OK);
    assert_true(v == UINT64_MAX);
    assert_int_equal(cs_parse_u64(cs_slice_str("0"), 0, &v), CS_OK);
    assert_int_equal(v, 0);
}

static void dates_are_read_with_zone_and_fraction(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t ms;
    } good[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2000-02-29T12:00:00Z", UINT64_C(951825600000)},
        {"2026-01-02T03:04:05.678Z", UINT64_C(1767323045678)},
        {"2026-01-02T03:04:05.6789Z", UINT64_C(1767323045678)},
        {"2026-01-02T04:34:05.678+01:30", UINT64_C(1767323045678)},
        {"2026-01-01T22:04:05.678-05:00", UINT64_C(1767323045678)},
        {"2026-01-02t03:04:05z", UINT64_C(1767323045000)},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        uint64_t ms = 1;
        assert_int_equal(cs_parse_rfc3339(cs_slice_str(good[i].text), &ms), CS_OK);
        assert_true(ms == good[i].ms);
    }
}

static void impossible_dates_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "2026-01-02",
        "2026-01-02T03:04:05",
        "2026-13-02T03:04:05Z",
        "2026-00-02T03:04:05Z",
        "2026-02-29T03:04:05Z",
        "1900-02-28T03:04:05Z",
        "2100-02-29T03:04:05Z",
        "2026-04-31T03:04:05Z",
        "2026-01-02T24:04:05Z",
        "2026-01-02T03:60:05Z",
        "2026-01-02T03:04:61Z",
        "2026-01-02T03:04:05.Z",
        "2026-01-02T03:04:05+1:00",
        "2026-01-02T03:04:05+24:00",
        "2026-01-02T03:04:05Zx",
        "1970-01-01T00:00:00+00:01",
        "26-01-02T03:04:05Z",
    };
    uint64_t ms = 5;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(cs_parse_rfc3339(cs_slice_str(bad[i]), &ms), CS_E_FORMAT);
    }
    assert_int_equal(ms, 5);
}

static void dates_are_written_in_utc(void **state)
{
    (void)state;
    uint8_t mem[40];
    cs_buf b = cs_buf_wrap(mem, sizeof mem);
    assert_int_equal(cs_put_rfc3339(&b, UINT64_C(1767323045678)), CS_OK);
    assert_true(cs_slice_eq_str(cs_buf_slice(&b), "2026-01-02T03:04:05.678Z"));
}

static void utf8_is_well_formed_or_not(void **state)
{
    (void)state;
    static const char *const good[] = {
        "", "a", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x99\x82", "\xf4\x8f\xbf\xbf", "\xed\x9f\xbf"};
    static const char *const bad[] = {"\x80",
                                      "\xc0\x80",
                                      "\xc1\xbf",
                                      "\xe0\x80\x80",
                                      "\xed\xa0\x80",
                                      "\xf4\x90\x80\x80",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xe2\x82",
                                      "\xf5\x80\x80\x80",
                                      "\xc3\x28",
                                      "\xff",
                                      "a\xe2\x82z"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(cs_utf8_valid(cs_slice_str(good[i])));
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(cs_utf8_valid(cs_slice_str(bad[i])));
    }
}

static void distance_counts_edits(void **state)
{
    static char long_name[CS_EDIT_MAX + 2];

    (void)state;
    memset(long_name, 'a', sizeof long_name - 1);
    assert_int_equal(cs_edit_distance("", ""), 0);
    assert_int_equal(cs_edit_distance("", "abc"), 3);
    assert_int_equal(cs_edit_distance("abc", ""), 3);
    assert_int_equal(cs_edit_distance("kitten", "sitting"), 3);
    assert_int_equal(cs_edit_distance("region", "regoin"), 2);
    assert_true(cs_edit_distance(long_name, "a") == SIZE_MAX && cs_edit_distance("a", long_name) == SIZE_MAX);
    assert_int_equal(cs_edit_distance(long_name + 1, long_name + 1), 0);
    assert_int_equal(cs_edit_distance(long_name + 1, "a"), CS_EDIT_MAX - 1);
}

/* Long texts go another way than short ones: every byte at every place of the last groups, and a bad byte anywhere. */
static void long_base64_is_as_strict(void **state)
{
    static const cs_b64 kinds[] = {CS_B64_STD, CS_B64_URL, CS_B64_STD_RAW};
    uint8_t bytes[400], got[400];

    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(i * 151 + 7);
    }
    for (size_t k = 0; k < 3; k++) {
        for (size_t len = 180; len < sizeof bytes; len++) {
            uint8_t text[600];
            cs_buf t = cs_buf_wrap(text, sizeof text), out = cs_buf_wrap(got, sizeof got);

            assert_int_equal(cs_b64_put(&t, cs_slice_of(bytes, len), kinds[k]), CS_OK);
            assert_int_equal(cs_b64_get(&out, cs_buf_slice(&t), kinds[k]), CS_OK);
            assert_int_equal(out.len, len);
            assert_memory_equal(got, bytes, len);
            out.len = 0;
            size_t at = len % t.len;
            text[at] = (uint8_t)(k == 1 ? '+' : '-'); /* of the other alphabet */
            assert_int_equal(cs_b64_get(&out, cs_buf_slice(&t), kinds[k]), CS_E_FORMAT);
            assert_int_equal(out.len, 0);
        }
    }
}

static void names_need_no_escape(void **state)
{
    static const char *const good[] = {"", "a", "~!*/-_.:", "0123456789"};
    static const char *const bad[] = {" ", "a b", "\"", "\\", "a\x7f", "\xc3\xa9", "\n", "01234567890"};

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(cs_name_valid(cs_slice_str(good[i]), 10));
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(cs_name_valid(cs_slice_str(bad[i]), 10));
    }
    assert_false(cs_name_valid(cs_slice_of("a\0b", 3), 10));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_need_no_escape),
        cmocka_unit_test(trimming_takes_the_set_from_both_ends),
        cmocka_unit_test(hex_takes_exact_lengths_of_either_case),
        cmocka_unit_test(hex_refuses_and_leaves_the_output),
        cmocka_unit_test(base64_round_trips_every_length),
        cmocka_unit_test(base64_refuses_other_forms),
        cmocka_unit_test(base64_that_does_not_fit_leaves_the_output),
        cmocka_unit_test(numbers_have_one_form),
        cmocka_unit_test(dates_are_read_with_zone_and_fraction),
        cmocka_unit_test(impossible_dates_are_refused),
        cmocka_unit_test(dates_are_written_in_utc),
        cmocka_unit_test(utf8_is_well_formed_or_not),
        cmocka_unit_test(distance_counts_edits),
        cmocka_unit_test(long_base64_is_as_strict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
