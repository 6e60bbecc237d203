/* The rule of restarts, with a clock of the test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/restarts.h"

static void five_in_a_minute_with_growing_delays_then_no_more(void **state)
{
    static const uint32_t want[] = {100, 200, 400, 800, 1600};
    cs_restarts r = {0};
    uint32_t delay = 0;

    (void)state;
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(cs_restarts_next(&r, 1000 + i, &delay), CS_OK);
        assert_int_equal(delay, want[i]);
    }
    assert_int_equal(cs_restarts_next(&r, 60999, &delay), CS_E_LAUNCH);
    /* the first of them is a minute old now */
    assert_int_equal(cs_restarts_next(&r, 61000, &delay), CS_OK);
    assert_int_equal(delay, 1600);
    assert_int_equal(cs_restarts_next(&r, 61000, &delay), CS_E_LAUNCH);
}

static void rare_deaths_never_halt(void **state)
{
    cs_restarts r = {0};
    uint32_t delay = 0;

    (void)state;
    for (uint64_t i = 0; i < 1000; i++) {
        assert_int_equal(cs_restarts_next(&r, i * 15000, &delay), CS_OK);
    }
    assert_int_equal(delay, 800); /* three before it in the last minute */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(five_in_a_minute_with_growing_delays_then_no_more),
        cmocka_unit_test(rare_deaths_never_halt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
