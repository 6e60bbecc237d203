/* grpc-timeout, percent encoding, message framing, Frame. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "net/h2/text.h"
#include "net/h2/unframe.h"
#include "net/h2/wire.h"

static void timeout_is_parsed_strictly(void **state)
{
    static const struct {
        const char *text;
        uint64_t ms;
    } good[] = {{"1H", 3600000}, {"2M", 120000}, {"3S", 3000},
                {"4m", 4},       {"1u", 1},      {"1001u", 2},
                {"1n", 1},       {"0m", 0},      {"99999999H", 359999996400000}};
    static const char *const bad[] = {"", "1", "m", "1x", "-1m", " 1m", "1m ", "123456789m", "1.5S", "1s"};
    uint64_t ms = 7;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(cs_grpc_timeout_parse(&ms, cs_slice_str(good[i].text)), CS_OK);
        assert_true(ms == good[i].ms);
    }
    ms = 7;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(cs_grpc_timeout_parse(&ms, cs_slice_str(bad[i])), CS_E_FORMAT);
        assert_int_equal(ms, 7);
    }
}

static void percent_encoding_round_trips(void **state)
{
    uint8_t all[256];
    uint8_t mem[1024];
    uint8_t back[1024];
    for (int i = 0; i < 256; i++) {
        all[i] = (uint8_t)i;
    }
    cs_buf enc = cs_buf_wrap(mem, sizeof mem);
    cs_buf dec = cs_buf_wrap(back, sizeof back);
    assert_int_equal(cs_percent_put(&enc, cs_slice_of(all, 256)), CS_OK);
    for (size_t i = 0; i < enc.len; i++) {
        assert_in_range(enc.p[i], 0x20, 0x7e);
    }
    assert_int_equal(cs_percent_get(&dec, cs_buf_slice(&enc)), CS_OK);
    assert_int_equal(dec.len, 256);
    assert_memory_equal(dec.p, all, 256);
    dec.len = 0;
    assert_int_equal(cs_percent_get(&dec, cs_slice_str("%zz %4 %")), CS_OK);
    assert_true(cs_slice_eq_str(cs_buf_slice(&dec), "%zz %4 %"));
}

static void message_is_found_at_any_cut(void **state)
{
    static const uint8_t wire[] = {0, 0, 0, 0, 3, 'a', 'b', 'c', 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 'd'};
    for (size_t step = 1; step <= sizeof wire; step++) {
        cs_unframer u = {.max = 3};
        uint8_t got[8] = {0};
        size_t len = 0;
        unsigned num = 0;
        for (size_t at = 0; at < sizeof wire; at += step) {
            cs_slice in = cs_slice_of(wire + at, sizeof wire - at < step ? sizeof wire - at : step);
            cs_slice m;
            bool have = true;
            while (have && in.len > 0) {
                assert_int_equal(cs_unframe(&u, &m, &have, &in), CS_OK);
                if (have) {
                    num++;
                    memcpy(got + len, m.p, m.len);
                    len += m.len;
                }
            }
        }
        assert_int_equal(num, 3);
        assert_memory_equal(got, "abcd", 4);
        assert_true(cs_unframe_idle(&u));
        cs_unframe_cleanup(&u);
    }
}

static void bad_prefixes_are_refused(void **state)
{
    static const struct {
        uint8_t wire[5];
        cs_err err;
    } bad[] = {{{1, 0, 0, 0, 1}, CS_E_UNSUPPORTED},
               {{2, 0, 0, 0, 1}, CS_E_FORMAT},
               {{0, 0, 0, 0, 4}, CS_E_TOO_LARGE},
               {{0, 255, 255, 255, 255}, CS_E_TOO_LARGE}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cs_unframer u = {.max = 3};
        cs_slice in = cs_slice_of(bad[i].wire, 5);
        cs_slice m;
        bool have;
        assert_int_equal(cs_unframe(&u, &m, &have, &in), bad[i].err);
        cs_unframe_cleanup(&u);
    }
}

static void frame_body_follows_proto3(void **state)
{
    uint8_t head[CS_FRAME_HEAD_MAX];
    cs_slice body;
    assert_int_equal(cs_frame_head(head, 300), 3);
    assert_memory_equal(head, "\x0a\xac\x02", 3);
    assert_int_equal(cs_frame_body(&body, cs_slice_of("\x0a\x02hi", 4)), CS_OK);
    assert_true(cs_slice_eq_str(body, "hi"));
    assert_int_equal(cs_frame_body(&body, CS_SLICE_NULL), CS_OK);
    assert_int_equal(body.len, 0);
    /* unknown fields 2 (varint), 3 (eight bytes), 4 (bytes), 5 (four bytes); the last body wins */
    static const char mixed[] = "\x0a\x01"
                                "a"
                                "\x10\x96\x01"
                                "\x19"
                                "12345678"
                                "\x22\x02zz"
                                "\x2d"
                                "1234"
                                "\x0a\x01"
                                "b";
    assert_int_equal(cs_frame_body(&body, cs_slice_of(mixed, sizeof mixed - 1)), CS_OK);
    assert_true(cs_slice_eq_str(body, "b"));
    static const struct {
        const char *p;
        size_t len;
    } bad[] = {{"\x0a", 1},
               {"\x0a\x03hi", 4},
               {"\x0b\x01", 2},
               {"\x00\x01", 2},
               {"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 11},
               {"\x10", 1},
               {"\x19"
                "123",
                4},
               {"\x80", 1}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(cs_frame_body(&body, cs_slice_of(bad[i].p, bad[i].len)), CS_E_FORMAT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timeout_is_parsed_strictly),  cmocka_unit_test(percent_encoding_round_trips),
        cmocka_unit_test(message_is_found_at_any_cut), cmocka_unit_test(bad_prefixes_are_refused),
        cmocka_unit_test(frame_body_follows_proto3),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
