/* The clock seam. */
#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static uint64_t fake_wall(void)
{
    return 1234;
}

static uint64_t fake_mono(void)
{
    return 5000000007;
}

static const cs_clock_source fake = {fake_wall, fake_mono};

static int restore(void **state)
{
    (void)state;
    cs_clock_set_for_tests(NULL);
    return 0;
}

static void tests_can_set_both_clocks(void **state)
{
    (void)state;
    cs_clock_set_for_tests(&fake);
    assert_int_equal(cs_clock_wall_ms(), 1234);
    assert_int_equal(cs_clock_mono_ns(), 5000000007);
    assert_int_equal(cs_clock_mono_ms(), 5000);
}

static void null_restores_the_system_clock(void **state)
{
    (void)state;
    cs_clock_set_for_tests(&fake);
    cs_clock_set_for_tests(NULL);
    /* later than 2020, and not the fake */
    assert_true(cs_clock_wall_ms() > UINT64_C(1577836800000));
}

static void monotonic_clock_never_goes_back(void **state)
{
    (void)state;
    uint64_t last = cs_clock_mono_ns();
    for (int i = 0; i < 1000; i++) {
        uint64_t now = cs_clock_mono_ns();
        assert_true(now >= last);
        last = now;
    }
}

static void thread_clock_counts_work(void **state)
{
    (void)state;
    uint64_t start = cs_clock_thread_cpu_ns();
    volatile unsigned sink = 0;
    for (unsigned i = 0; i < 1000000; i++) {
        sink += i;
    }
    assert_int_not_equal(sink, 0);
    assert_true(cs_clock_thread_cpu_ns() > start);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(tests_can_set_both_clocks, restore),
        cmocka_unit_test_teardown(null_restores_the_system_clock, restore),
        cmocka_unit_test(monotonic_clock_never_goes_back),
        cmocka_unit_test(thread_clock_counts_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
