/* Properties: one reading of each value, what IAM does not take is refused, families of addresses do not mix. */
#include "net/aws/iam_value.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_numbers_are_decimal_and_finite(void **state)
{
    static const char *const bad[] = {"", " 1", "1 ", "0x10", "inf", "nan", "1e999", "1,5", "--1", "e"};
    double v = 0;

    (void)state;
    assert_true(cs_iam_number("-12.5e1", &v) && v < -124.9 && v > -125.1);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(cs_iam_number(bad[i], &v));
    }
}

static void test_dates_are_days_times_or_seconds(void **state)
{
    static const char *const same[] = {"2026-01-02", "2026-01-02T00:00Z", "2026-01-02T00:00:00Z", "1767312000"};
    double v = 0;

    (void)state;
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        assert_true(cs_iam_date(same[i], &v));
        assert_true(v >= 1767312000000.0 && v <= 1767312000000.0);
    }
    assert_false(cs_iam_date("2026-13-02", &v));
    assert_false(cs_iam_date("", &v));
    assert_false(cs_iam_date("tomorrow", &v));
}

static void test_addresses_are_in_ranges_of_their_own_family(void **state)
{
    static const struct {
        const char *want, *got;
        bool in;
    } rows[] = {
        {"10.0.0.0/8", "10.255.0.1", true},
        {"10.0.0.0/8", "11.0.0.0", false},
        {"10.0.0.1", "10.0.0.1", true},
        {"0.0.0.0/0", "255.1.2.3", true},
        {"0.0.0.0/0", "::1", false},
        {"2001:db8::/33", "2001:db8:7fff::1", true},
        {"2001:db8::/33", "2001:db8:8000::1", false},
        {"10.0.0.0/33", "10.0.0.1", false},
        {"10.0.0.0/8", "10.0.0.0/8", false},
        {"10.0.0.0/", "10.0.0.0", false},
        {"x", "10.0.0.1", false},
        {"10.0.0.0/8", "", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(cs_iam_ip_in(rows[i].want, rows[i].got), rows[i].in);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_are_decimal_and_finite),
        cmocka_unit_test(test_dates_are_days_times_or_seconds),
        cmocka_unit_test(test_addresses_are_in_ranges_of_their_own_family),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
