/* Which counters the store has: any order, gaps, far ones, skipping. */
#include "gateway/tee_counters.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define W CS_TEE_COUNTERS_WINDOW

static void in_any_order(void **state)
{
    (void)state;
    cs_tee_counters c = {0};
    cs_tee_counters_have(&c, 0);
    cs_tee_counters_have(&c, 3);
    cs_tee_counters_have(&c, 2);
    assert_int_equal(c.low, 0);
    assert_int_equal(c.top, 3);
    cs_tee_counters_have(&c, 1);
    assert_int_equal(c.low, 3);
    cs_tee_counters_have(&c, 2); /* twice */
    assert_int_equal(c.low, 3);
    for (uint64_t n = 3 * (uint64_t)W; n > 3; n--) { /* backwards: the far ones are met again */
        cs_tee_counters_have(&c, n);
    }
    assert_int_equal(c.low, W + 2);
    assert_int_equal(c.top, 3 * W);
}

static void around_the_window_many_times(void **state)
{
    (void)state;
    cs_tee_counters c = {0};
    for (uint64_t n = 1; n <= 5 * (uint64_t)W; n += 2) {
        cs_tee_counters_have(&c, n + 1);
        assert_int_equal(c.low, n - 1);
        cs_tee_counters_have(&c, n);
        assert_int_equal(c.low, n + 1);
    }
    for (size_t i = 0; i < sizeof c.seen; i++) {
        assert_int_equal(c.seen[i], 0);
    }
}

static void a_gap_is_skipped(void **state)
{
    (void)state;
    cs_tee_counters c = {0};
    cs_tee_counters_begin(&c, 100);
    assert_int_equal(c.top, 100);
    cs_tee_counters_have(&c, 105);
    cs_tee_counters_have(&c, 106);
    cs_tee_counters_have(&c, 102);
    cs_tee_counters_skip(&c, 50); /* behind: nothing */
    assert_int_equal(c.low, 100);
    cs_tee_counters_skip(&c, 104);
    assert_int_equal(c.low, 106);
    cs_tee_counters_have(&c, 106 + W - 1);
    cs_tee_counters_skip(&c, 106 + 10 * (uint64_t)W); /* the bits of the window before say nothing here */
    assert_int_equal(c.low, 106 + 10 * (uint64_t)W);
    assert_int_equal(c.top, c.low);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_any_order),
        cmocka_unit_test(around_the_window_many_times),
        cmocka_unit_test(a_gap_is_skipped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
