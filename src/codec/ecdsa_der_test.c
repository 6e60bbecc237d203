#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "codec/ecdsa_der.h"

static cs_err parse(uint8_t *rs, size_t width, const char *hex)
{
    uint8_t der[300];
    size_t len = strlen(hex) / 2;
    assert_true(len <= sizeof der);
    assert_int_equal(cs_hex_decode(der, len, cs_slice_str(hex)), CS_OK);
    return cs_ecdsa_der_parse(rs, width, cs_slice_of(der, len));
}

static void numbers_of_every_length_come_back(void **state)
{
    (void)state;
    for (size_t width = 1; width <= CS_ECDSA_WIDTH_MAX; width++) {
        for (unsigned top = 0; top < 3; top++) { /* nothing, 0x7f, 0x80 in front */
            for (size_t zeros = 0; zeros < width; zeros++) {
                uint8_t rs[2 * CS_ECDSA_WIDTH_MAX] = {0}, got[2 * CS_ECDSA_WIDTH_MAX], mem[CS_ECDSA_DER_MAX];
                cs_buf out = cs_buf_wrap(mem, sizeof mem);
                rs[zeros] = (uint8_t)(top == 0 ? 0 : 0x7e + top);
                rs[2 * width - 1] ^= 1;
                assert_int_equal(cs_ecdsa_der_put(&out, rs, width), CS_OK);
                assert_int_equal(cs_ecdsa_der_parse(got, width, cs_buf_slice(&out)), CS_OK);
                assert_memory_equal(got, rs, 2 * width);
                for (size_t n = 0; n < out.len; n++) { /* cut anywhere */
                    assert_int_equal(cs_ecdsa_der_parse(got, width, cs_slice_of(mem, n)), CS_E_FORMAT);
                }
            }
        }
    }
}

static void other_encodings_of_the_same_numbers_are_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "30",
        "3006020101020101"
        "00", /* behind the sequence */
        "3007020101020101"
        "00",                   /* behind s */
        "3006020101020201",     /* s is cut */
        "30030201013003020101", /* s outside */
        "308106020101020101",   /* length in two bytes */
        "30820006020101020101", /* and in three */
        "3080020101020101"
        "0000", /* indefinite */
        "30070281010102"
        "0101",               /* a number's length in two bytes */
        "300702020001020101", /* a zero in front of r */
        "300702010102020001", /* and of s */
        "30050200020101",     /* no number at all */
        "3006020181020101",   /* negative r */
        "3006020101020180",   /* negative s */
        "3106020101020101",   /* a set */
        "2006020101020101",   /* primitive */
        "3006030101020101",   /* a bit string */
        "3006020101220101",   /* constructed integer */
        "30090201010201010201"
        "01",         /* three numbers */
        "3003020101", /* one */
    };
    uint8_t rs[64];
    (void)state;
    assert_int_equal(parse(rs, 32, "3006020101020101"), CS_OK);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        memset(rs, 0x5a, sizeof rs);
        assert_int_equal(parse(rs, 32, bad[i]), CS_E_FORMAT);
        assert_int_equal(rs[0], 0x5a);
        assert_int_equal(rs[63], 0x5a);
    }
}

static void numbers_wider_than_the_curve_are_refused(void **state)
{
    uint8_t rs[2 * CS_ECDSA_WIDTH_MAX], mem[4];
    cs_buf tight = cs_buf_wrap(mem, sizeof mem);
    (void)state;
    assert_int_equal(parse(rs, 1, "30080202010002020100"), CS_E_RANGE);
    assert_int_equal(parse(rs, 1, "3008020200ff020200ff"), CS_OK);
    assert_int_equal(parse(rs, 0, "3006020101020101"), CS_E_RANGE);
    assert_int_equal(parse(rs, CS_ECDSA_WIDTH_MAX + 1, "3006020101020101"), CS_E_RANGE);
    assert_int_equal(cs_ecdsa_der_put(&tight, rs, 0), CS_E_RANGE);
    assert_int_equal(cs_ecdsa_der_put(&tight, rs, CS_ECDSA_WIDTH_MAX + 1), CS_E_RANGE);
    assert_int_equal(cs_ecdsa_der_put(&tight, rs, 32), CS_E_RANGE);
    assert_int_equal(tight.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_of_every_length_come_back),
        cmocka_unit_test(other_encodings_of_the_same_numbers_are_refused),
        cmocka_unit_test(numbers_wider_than_the_curve_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
