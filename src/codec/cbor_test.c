/* Tests of codec/cbor: every getter, every refusal, the deterministic writer. Vectors: RFC 8949 appendices A and F. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "codec/cbor.h"

#define LAXEST (CS_CBOR_INDEFINITE | CS_CBOR_LAX_INT)

/* Bytes of a hex literal; valid until the next but seven call. */
static cs_slice hex(const char *text)
{
    static uint8_t pool[8][4096];
    static unsigned next;
    uint8_t *p = pool[next++ % 8];

    assert_int_equal(cs_hex_decode(p, strlen(text) / 2, cs_slice_str(text)), CS_OK);
    return cs_slice_of(p, strlen(text) / 2);
}

static cs_cbor reader(const char *text, unsigned flags)
{
    return cs_cbor_of(hex(text), flags);
}

static void test_unsigned_integers_of_every_width_are_read(void **state)
{
    static const struct {
        const char *hex;
        uint64_t value;
    } rows[] = {{"00", 0},
                {"17", 23},
                {"1818", 24},
                {"18ff", 255},
                {"190100", 256},
                {"19ffff", 65535},
                {"1a00010000", 65536},
                {"1affffffff", UINT32_MAX},
                {"1b0000000100000000", (uint64_t)1 << 32},
                {"1bffffffffffffffff", UINT64_MAX}};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cs_cbor c = reader(rows[i].hex, CS_CBOR_STRICT);
        uint64_t v = 1;

        assert_int_equal(cs_cbor_peek(&c), CS_CBOR_UINT);
        assert_int_equal(cs_cbor_uint(&c, &v), CS_OK);
        assert_true(v == rows[i].value);
        assert_int_equal(cs_cbor_end(&c), CS_OK);
        assert_int_equal(cs_cbor_peek(&c), CS_CBOR_END);
    }
}

static void test_signed_integers_reach_both_ends_of_int64_and_no_further(void **state)
{
    cs_cbor c = reader("3b7fffffffffffffff", CS_CBOR_STRICT);
    uint64_t n = 0;
    int64_t v = 0;

    assert_int_equal(cs_cbor_int(&c, &v), CS_OK);
    assert_true(v == INT64_MIN);
    c = reader("1b7fffffffffffffff", CS_CBOR_STRICT);
    assert_int_equal(cs_cbor_int(&c, &v), CS_OK);
    assert_true(v == INT64_MAX);
    c = reader("3822", CS_CBOR_STRICT);
    assert_int_equal(cs_cbor_int(&c, &v), CS_OK);
    assert_true(v == -35);
    c = reader("3b8000000000000000", CS_CBOR_STRICT);
    assert_int_equal(cs_cbor_int(&c, &v), CS_E_FORMAT);
    assert_int_equal(cs_cbor_nint(&c, &n), CS_OK);
    assert_true(n == (uint64_t)1 << 63);
    c = reader("1b8000000000000000", CS_CBOR_STRICT);
    assert_int_equal(cs_cbor_int(&c, &v), CS_E_FORMAT);
}

static void test_a_getter_of_another_type_fails_and_leaves_the_reader(void **state)
{
    static const char *const items[] = {"01", "20", "41aa", "6161", "8101", "a10101", "c101", "f4", "f6", "f93c00"};

    for (size_t i = 0; i < sizeof items / sizeof items[0]; i++) {
        cs_cbor c = reader(items[i], CS_CBOR_STRICT), before = c;
        uint64_t u;
        int64_t s;
        uint8_t simple;
        double d;
        cs_slice b;
        bool flag;
        cs_cbor_iter it;

        switch (cs_cbor_peek(&c)) { /* each item is offered to the getters of the other types */
        case CS_CBOR_UINT:
        case CS_CBOR_NINT:
            break;
        default:
            assert_int_equal(cs_cbor_int(&c, &s), CS_E_FORMAT);
        }
        assert_true(i == 0 || cs_cbor_uint(&c, &u) == CS_E_FORMAT);
        assert_true(i == 1 || cs_cbor_nint(&c, &u) == CS_E_FORMAT);
        assert_true(i == 2 || cs_cbor_bytes(&c, &b) == CS_E_FORMAT);
        assert_true(i == 3 || cs_cbor_text(&c, &b) == CS_E_FORMAT);
        assert_true(i == 4 || cs_cbor_array(&c, &it) == CS_E_FORMAT);
        assert_true(i == 5 || cs_cbor_map(&c, &it) == CS_E_FORMAT);
        assert_true(i == 6 || cs_cbor_tag(&c, &u) == CS_E_FORMAT);
        assert_true(i == 7 || cs_cbor_bool(&c, &flag) == CS_E_FORMAT);
        assert_true(i == 8 || cs_cbor_null(&c) == CS_E_FORMAT);
        assert_true(i == 7 || i == 8 || cs_cbor_simple(&c, &simple) == CS_E_FORMAT);
        assert_true(i == 9 || cs_cbor_float(&c, &d) == CS_E_FORMAT);
        assert_memory_equal(&c, &before, sizeof c);
    }
}

static void test_longer_heads_than_needed_are_refused_unless_lax(void **state)
{
    static const char *const rows[] = {"1817",  "190017", "1900ff", "1a0000ffff", "1b00000000ffffffff",
                                       "3800",  "5801aa", "780161", "980101",     "b8010101",
                                       "d80101"};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(cs_cbor_check(hex(rows[i]), CS_CBOR_STRICT), CS_E_FORMAT);
        assert_int_equal(cs_cbor_check(hex(rows[i]), CS_CBOR_INDEFINITE), CS_E_FORMAT);
        assert_int_equal(cs_cbor_check(hex(rows[i]), CS_CBOR_LAX_INT), CS_OK);
    }
}

static void test_text_that_is_not_utf8_is_refused(void **state)
{
    static const char *const rows[] = {"61ff", "62c080", "63eda080", "7f61c361a9ff"};
    cs_slice s;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cs_cbor c = reader(rows[i], LAXEST);

        assert_int_equal(cs_cbor_text(&c, &s), CS_E_FORMAT);
        assert_int_equal(cs_cbor_check(hex(rows[i]), LAXEST), CS_E_FORMAT);
    }
}

static void test_indefinite_strings_are_joined_only_when_allowed(void **state)
{
    uint8_t mem[16];
    cs_buf out = cs_buf_wrap(mem, sizeof mem);
    cs_cbor c = reader("5f42010243030405ff", CS_CBOR_INDEFINITE);
    cs_slice s;

    assert_int_equal(cs_cbor_bytes(&c, &s), CS_E_FORMAT);
    assert_int_equal(cs_cbor_bytes_copy(&c, &out), CS_OK);
    assert_true(cs_slice_eq(cs_buf_slice(&out), hex("0102030405")));
    assert_int_equal(cs_cbor_end(&c), CS_OK);
    c = reader("5f42010243030405ff", CS_CBOR_STRICT);
    assert_int_equal(cs_cbor_bytes_copy(&c, &out), CS_E_FORMAT);
    c = reader("7f657374726561646d696e67ff", CS_CBOR_INDEFINITE);
    cs_buf_wipe(&out);
    assert_int_equal(cs_cbor_text_copy(&c, &out), CS_OK);
    assert_true(cs_slice_eq_str(cs_buf_slice(&out), "streaming"));
}

static void test_a_string_that_does_not_fit_leaves_buffer_and_reader(void **state)
{
    uint8_t mem[4] = {9};
    cs_buf out = cs_buf_wrap(mem, sizeof mem);
    cs_cbor c = reader("5f42010243030405ff", CS_CBOR_INDEFINITE), before = c;

    assert_int_equal(cs_put_u8(&out, 7), CS_OK);
    assert_int_equal(cs_cbor_bytes_copy(&c, &out), CS_E_RANGE);
    assert_int_equal(out.len, 1);
    assert_memory_equal(&c, &before, sizeof c);
}

static void test_containers_are_walked_definite_and_indefinite(void **state)
{
    static const char *const rows[] = {"83010203", "9f010203ff"};

    for (size_t i = 0; i < 2; i++) {
        cs_cbor c = reader(rows[i], CS_CBOR_INDEFINITE);
        uint64_t v = 0, sum = 0, count = 0;
        cs_cbor_iter it;

        assert_int_equal(cs_cbor_array(&c, &it), CS_OK);
        while (cs_cbor_more(&c, &it)) {
            assert_int_equal(cs_cbor_uint(&c, &v), CS_OK);
            sum = sum * 10 + v;
            count++;
        }
        assert_int_equal(count, 3);
        assert_int_equal(sum, 123);
        assert_int_equal(cs_cbor_end(&c), CS_OK);
    }
}

static void test_an_indefinite_container_without_break_makes_the_next_getter_fail(void **state)
{
    cs_cbor c = reader("9f01", CS_CBOR_INDEFINITE);
    cs_cbor_iter it;
    uint64_t v;

    assert_int_equal(cs_cbor_array(&c, &it), CS_OK);
    assert_true(cs_cbor_more(&c, &it));
    assert_int_equal(cs_cbor_uint(&c, &v), CS_OK);
    assert_true(cs_cbor_more(&c, &it));
    assert_int_equal(cs_cbor_uint(&c, &v), CS_E_FORMAT);
}

static void test_counts_beyond_the_input_are_refused_at_the_head(void **state)
{
    cs_cbor c = reader("9bffffffffffffffff00", CS_CBOR_STRICT);
    cs_cbor_iter it;
    cs_slice s;

    assert_int_equal(cs_cbor_array(&c, &it), CS_E_FORMAT);
    c = reader("bbffffffffffffffff0000", CS_CBOR_STRICT);
    assert_int_equal(cs_cbor_map(&c, &it), CS_E_FORMAT);
    c = reader("a2000000", CS_CBOR_STRICT);
    assert_int_equal(cs_cbor_map(&c, &it), CS_E_FORMAT);
    c = reader("5bffffffffffffffff00", CS_CBOR_STRICT);
    assert_int_equal(cs_cbor_bytes(&c, &s), CS_E_FORMAT);
}

static void test_not_well_formed_items_are_refused_under_all_flags(void **state)
{
    /* one or more of every group of RFC 8949 appendix F.1, and the reserved forms */
    static const char *const rows[] = {
        "",       "18",           "19",         "1901",         "1a010203",     "1b01020304050607",
        "38",     "58",           "78",         "98",           "9a01ff00",     "b8",
        "d8",     "f8",           "f900",       "fa0000",       "fb000000",     "41",
        "61",     "5affffffff00", "81",         "818181",       "8200",         "a1",
        "a20102", "a100",         "a2000000",   "5f4100",       "7f6100",       "9f",
        "9f0102", "bf",           "bf01020102", "819f",         "9f8000",       "9f9f9f9fffffff",
        "1c",     "1d",           "1e",         "3c",           "5c",           "7d",
        "9e",     "bc",           "dd",         "fc",           "fe",           "f800",
        "f801",   "f818",         "f81f",       "5f00ff",       "5f21ff",       "5f6100ff",
        "5f80ff", "5fc000ff",     "7f4100ff",   "5f5f4100ffff", "7f7f6100ffff", "ff",
        "81ff",   "8200ff",       "a1ff",       "a1ff00",       "a100ff",       "a20000ff",
        "9f81ff", "bf00ff",       "bf000000ff", "1f",           "3f",           "df",
        "c0",     "c0ff",         "0000",       "f600"};
    static const unsigned flags[] = {CS_CBOR_STRICT, CS_CBOR_INDEFINITE, CS_CBOR_LAX_INT, LAXEST};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (size_t f = 0; f < sizeof flags / sizeof flags[0]; f++) {
            assert_int_equal(cs_cbor_check(hex(rows[i]), flags[f]), CS_E_FORMAT);
        }
    }
}

static void test_nesting_is_bounded(void **state)
{
    uint8_t deep[CS_CBOR_MAX_DEPTH + 2];

    memset(deep, 0x81, sizeof deep);
    deep[CS_CBOR_MAX_DEPTH] = 0;
    assert_int_equal(cs_cbor_check(cs_slice_of(deep, CS_CBOR_MAX_DEPTH + 1), CS_CBOR_STRICT), CS_OK);
    deep[CS_CBOR_MAX_DEPTH] = 0x81;
    deep[CS_CBOR_MAX_DEPTH + 1] = 0;
    assert_int_equal(cs_cbor_check(cs_slice_of(deep, sizeof deep), CS_CBOR_STRICT), CS_E_FORMAT);
    memset(deep, 0xc1, CS_CBOR_MAX_DEPTH + 1);
    assert_int_equal(cs_cbor_check(cs_slice_of(deep, sizeof deep), LAXEST), CS_E_FORMAT);
}

static void test_duplicate_map_keys_are_refused_in_any_order(void **state)
{
    assert_int_equal(cs_cbor_check(hex("a201000200"), CS_CBOR_STRICT), CS_OK);
    assert_int_equal(cs_cbor_check(hex("a202000100"), CS_CBOR_STRICT), CS_OK);
    assert_int_equal(cs_cbor_check(hex("a201000100"), CS_CBOR_STRICT), CS_E_FORMAT);
    assert_int_equal(cs_cbor_check(hex("a3030001000300"), CS_CBOR_STRICT), CS_E_FORMAT);
    assert_int_equal(cs_cbor_check(hex("a3020003000200"), CS_CBOR_STRICT), CS_E_FORMAT);
    assert_int_equal(cs_cbor_check(hex("81a2616100616100"), CS_CBOR_STRICT), CS_E_FORMAT);
    assert_int_equal(cs_cbor_check(hex("a1a20100010000"), CS_CBOR_STRICT), CS_E_FORMAT);
    assert_int_equal(cs_cbor_check(hex("a201000100"), CS_CBOR_INDEFINITE), CS_OK);
}

static void test_too_many_unordered_keys_are_refused(void **state)
{
    uint8_t mem[4096];
    cs_buf b = cs_buf_wrap(mem, sizeof mem);

    assert_int_equal(cs_cbor_put_map(&b, CS_CBOR_MAX_UNORDERED + 2), CS_OK);
    for (unsigned k = CS_CBOR_MAX_UNORDERED + 2; k > 0; k--) {
        assert_int_equal(cs_cbor_put_uint(&b, 1000 + k), CS_OK);
        assert_int_equal(cs_cbor_put_null(&b), CS_OK);
    }
    assert_int_equal(cs_cbor_check(cs_buf_slice(&b), CS_CBOR_STRICT), CS_E_FORMAT);
    assert_int_equal(cs_cbor_check(cs_buf_slice(&b), CS_CBOR_INDEFINITE), CS_OK);
}

static void test_skip_returns_the_bytes_of_one_item(void **state)
{
    cs_cbor c = reader("82a1016161c140f6", CS_CBOR_STRICT), before;
    cs_slice s;

    assert_int_equal(cs_cbor_skip(&c, &s), CS_OK);
    assert_true(cs_slice_eq(s, hex("82a1016161c140")));
    assert_int_equal(cs_cbor_null(&c), CS_OK);
    before = c;
    assert_int_equal(cs_cbor_skip(&c, &s), CS_E_FORMAT);
    assert_memory_equal(&c, &before, sizeof c);
}

static void test_floats_of_every_width_are_read(void **state)
{
    static const struct {
        const char *hex;
        double value;
    } rows[] = {{"f90000", 0.0},
                {"f93c00", 1.0},
                {"f93e00", 1.5},
                {"f97bff", 65504.0},
                {"f90001", 0x1p-24},
                {"f90400", 0x1p-14},
                {"f9c400", -4.0},
                {"fa47c35000", 100000.0},
                {"f97c00", INFINITY},
                {"faff800000", -INFINITY},
                {"fb3ff199999999999a", 1.1},
                {"fb7ff0000000000000", INFINITY}};
    cs_cbor c;
    double v;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        c = reader(rows[i].hex, CS_CBOR_STRICT);
        assert_int_equal(cs_cbor_peek(&c), CS_CBOR_FLOAT);
        assert_int_equal(cs_cbor_float(&c, &v), CS_OK);
        assert_true(v == rows[i].value);
    }
    c = reader("f97e00", CS_CBOR_STRICT);
    assert_int_equal(cs_cbor_float(&c, &v), CS_OK);
    assert_true(isnan(v));
}

static void expect_written(cs_buf *b, const char *want)
{
    assert_true(cs_slice_eq(cs_buf_slice(b), hex(want)));
    cs_buf_wipe(b);
}

static void test_the_writer_takes_the_shortest_form(void **state)
{
    static const struct {
        double value;
        const char *hex;
    } floats[] = {{0.0, "f90000"},
                  {-0.0, "f98000"},
                  {1.5, "f93e00"},
                  {65504.0, "f97bff"},
                  {65505.0, "fa477fe100"},
                  {0x1p-24, "f90001"},
                  {0x1p-25, "fa33000000"},
                  {0x1p-14, "f90400"},
                  {3.4028234663852886e+38, "fa7f7fffff"},
                  {1.0e300, "fb7e37e43c8800759c"},
                  {1.1, "fb3ff199999999999a"},
                  {INFINITY, "f97c00"},
                  {-INFINITY, "f9fc00"},
                  {NAN, "f97e00"},
                  {1.00048828125, "fa3f801000"}};
    uint8_t mem[64];
    cs_buf b = cs_buf_wrap(mem, sizeof mem);

    for (size_t i = 0; i < sizeof floats / sizeof floats[0]; i++) {
        assert_int_equal(cs_cbor_put_float(&b, floats[i].value), CS_OK);
        expect_written(&b, floats[i].hex);
    }
    assert_int_equal(cs_cbor_put_int(&b, INT64_MIN), CS_OK);
    expect_written(&b, "3b7fffffffffffffff");
    assert_int_equal(cs_cbor_put_int(&b, -35), CS_OK);
    expect_written(&b, "3822");
    assert_int_equal(cs_cbor_put_nint(&b, UINT64_MAX), CS_OK);
    expect_written(&b, "3bffffffffffffffff");
    assert_int_equal(cs_cbor_put_uint(&b, 65536), CS_OK);
    expect_written(&b, "1a00010000");
    assert_int_equal(cs_cbor_put_text(&b, "IETF"), CS_OK);
    expect_written(&b, "6449455446");
    assert_int_equal(cs_cbor_put_bytes(&b, hex("01020304")), CS_OK);
    expect_written(&b, "4401020304");
    assert_int_equal(cs_cbor_put_tag(&b, 18), CS_OK);
    assert_int_equal(cs_cbor_put_array(&b, 2), CS_OK);
    assert_int_equal(cs_cbor_put_bool(&b, true), CS_OK);
    assert_int_equal(cs_cbor_put_simple(&b, 255), CS_OK);
    expect_written(&b, "d282f5f8ff");
    assert_int_equal(cs_cbor_put_simple(&b, 31), CS_E_RANGE);
    assert_int_equal(b.len, 0);
}

static void test_a_write_that_does_not_fit_leaves_the_buffer(void **state)
{
    uint8_t mem[4];
    cs_buf b = cs_buf_wrap(mem, sizeof mem);

    assert_int_equal(cs_cbor_put_bytes(&b, hex("01020304")), CS_E_RANGE);
    assert_int_equal(b.len, 0);
    assert_int_equal(cs_cbor_put_uint(&b, 65536), CS_E_RANGE);
    assert_int_equal(b.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unsigned_integers_of_every_width_are_read),
        cmocka_unit_test(test_signed_integers_reach_both_ends_of_int64_and_no_further),
        cmocka_unit_test(test_a_getter_of_another_type_fails_and_leaves_the_reader),
        cmocka_unit_test(test_longer_heads_than_needed_are_refused_unless_lax),
        cmocka_unit_test(test_text_that_is_not_utf8_is_refused),
        cmocka_unit_test(test_indefinite_strings_are_joined_only_when_allowed),
        cmocka_unit_test(test_a_string_that_does_not_fit_leaves_buffer_and_reader),
        cmocka_unit_test(test_containers_are_walked_definite_and_indefinite),
        cmocka_unit_test(test_an_indefinite_container_without_break_makes_the_next_getter_fail),
        cmocka_unit_test(test_counts_beyond_the_input_are_refused_at_the_head),
        cmocka_unit_test(test_not_well_formed_items_are_refused_under_all_flags),
        cmocka_unit_test(test_nesting_is_bounded),
        cmocka_unit_test(test_duplicate_map_keys_are_refused_in_any_order),
        cmocka_unit_test(test_too_many_unordered_keys_are_refused),
        cmocka_unit_test(test_skip_returns_the_bytes_of_one_item),
        cmocka_unit_test(test_floats_of_every_width_are_read),
        cmocka_unit_test(test_the_writer_takes_the_shortest_form),
        cmocka_unit_test(test_a_write_that_does_not_fit_leaves_the_buffer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
