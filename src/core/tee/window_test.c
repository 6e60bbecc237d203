/* Ids and times: what is remembered, what is too old, what core learns of clocks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "core/tee/window.h"

#define OK(x) assert_int_equal((x), CS_OK)
#define NOW 1800000000000ull

static cs_window *w;
static uint64_t wall, mono;

static int setup(void **state)
{
    wall = NOW;
    mono = 5000000;
    return cs_window_new(&w, 60000, 64) == CS_OK ? 0 : -1;
}

static int teardown(void **state)
{
    cs_window_free(w);
    return 0;
}

/* One of the caller, of that id, at that time less core's, with that body. */
static cs_err take(const char *caller, uint64_t id, int64_t ahead_ms, uint8_t body, cs_window_seen *seen)
{
    uint8_t id16[16] = {0}, hash32[32] = {body};
    cs_window_seen dummy;
    const cs_window_ask a = {.caller = cs_slice_str(caller),
                             .id16 = id16,
                             .hash32 = hash32,
                             .time_ms = (uint64_t)((int64_t)wall + ahead_ms),
                             .wall_ms = wall,
                             .mono_ms = mono};

    cs_store_u64(id16, id);
    return cs_window_take(w, seen == NULL ? &dummy : seen, &a);
}

static void test_times_at_the_edges(void **state)
{
    OK(take("a", 1, -60000, 0, NULL));
    OK(take("a", 2, 60000, 0, NULL));
    assert_int_equal(take("a", 3, -60001, 0, NULL), CS_E_REQUEST_TIME);
    assert_int_equal(take("a", 4, 60001, 0, NULL), CS_E_REQUEST_TIME);
    assert_int_equal(cs_window_time(w, UINT64_MAX, wall), CS_E_REQUEST_TIME);
    assert_int_equal(cs_window_time(w, 0, wall), CS_E_REQUEST_TIME);
    assert_int_equal(cs_window_count(w), 2);
}

static void test_the_same_again_and_another_of_the_id(void **state)
{
    cs_window_seen seen;

    OK(take("a", 1, 0, 1, &seen));
    assert_int_equal(seen, CS_WINDOW_NEW);
    OK(take("a", 1, 0, 1, &seen));
    assert_int_equal(seen, CS_WINDOW_AGAIN);
    assert_int_equal(take("a", 1, 0, 2, NULL), CS_E_REQUEST_REPLAY);
    OK(take("b", 1, 0, 2, &seen));
    assert_int_equal(seen, CS_WINDOW_NEW);
    assert_int_equal(cs_window_count(w), 2);
}

static void test_ids_stay_as_long_as_their_time_is_taken(void **state)
{
    cs_window_seen seen;

    OK(take("a", 1, 50000, 1, NULL)); /* from the future */
    wall += 110000;
    OK(take("a", 1, -60000, 1, &seen));
    assert_int_equal(seen, CS_WINDOW_AGAIN);
    assert_int_equal(take("a", 1, -60000, 2, NULL), CS_E_REQUEST_REPLAY);
    wall += 1;
    assert_int_equal(take("a", 1, -60001, 1, NULL), CS_E_REQUEST_TIME);
    OK(take("a", 2, 0, 1, NULL)); /* takes it away */
    assert_int_equal(cs_window_count(w), 1);
    wall -= 50000; /* the clock is set back: what was forgotten is refused */
    assert_int_equal(take("a", 1, -10001, 1, NULL), CS_E_REQUEST_TIME);
    assert_int_equal(take("a", 3, -10002, 1, NULL), CS_E_REQUEST_TIME);
    OK(take("a", 4, -10000, 1, NULL));
}

static void test_a_full_table_forgets_the_oldest_and_takes_nothing_older(void **state)
{
    cs_window_seen seen;

    for (unsigned i = 0; i < 64; i++) { /* times in no order, all different */
        OK(take("a", i, -(int64_t)(i * 37 % 64) * 100, 0, NULL));
    }
    assert_int_equal(cs_window_floor_ms(w), 0);
    OK(take("a", 1000, 0, 0, NULL));
    assert_int_equal(cs_window_count(w), 64);
    assert_int_equal(cs_window_floor_ms(w), wall - 6300 + 1);
    for (unsigned i = 0; i < 64; i++) {
        const int64_t ahead = -(int64_t)(i * 37 % 64) * 100;

        if (ahead == -6300) {
            assert_int_equal(take("a", i, ahead, 0, NULL), CS_E_REQUEST_TIME);
        } else {
            OK(take("a", i, ahead, 0, &seen));
            assert_int_equal(seen, CS_WINDOW_AGAIN);
        }
    }
    assert_int_equal(take("a", 2000, -6300, 0, NULL), CS_E_REQUEST_TIME);
    OK(take("a", 2001, 0, 0, NULL)); /* -6200 goes */
    assert_int_equal(take("a", 2002, -6200, 0, NULL), CS_E_REQUEST_TIME);
    for (unsigned i = 0; i < 500; i++) {
        OK(take("b", i, (int64_t)i, 0, NULL));
        assert_int_equal(cs_window_count(w), 64);
    }
    assert_int_equal(take("b", 9000, 0, 0, NULL), CS_E_REQUEST_TIME); /* it would be the oldest itself */
}

/* minutes of 40 requests, each so far ahead of core's clock */
static void minutes(unsigned n, int64_t ahead_ms, int64_t odd_ms)
{
    static uint64_t id = 100000;

    for (unsigned m = 0; m < n; m++) {
        for (unsigned i = 0; i < 40; i++) {
            wall += 1500;
            mono += 1500;
            (void)take("c", id++, i % 5 == 0 ? odd_ms : ahead_ms, 0, NULL);
        }
    }
}

static void test_the_drift_is_learnt_slowly_and_never_far(void **state)
{
    minutes(1, 5000, 5000);
    assert_true(cs_window_drift_ms(w) >= 0 && cs_window_drift_ms(w) <= 1000);
    minutes(2, 5000, 5000);
    assert_true(cs_window_drift_ms(w) >= 1000 && cs_window_drift_ms(w) <= 3000);
    minutes(10, 5000, -50000); /* late repetitions decide nothing */
    assert_int_equal(cs_window_drift_ms(w), 5000);
    assert_int_equal(cs_window_time(w, wall + 65000, wall), CS_OK);
    assert_int_equal(cs_window_time(w, wall + 65001, wall), CS_E_REQUEST_TIME);
    assert_int_equal(cs_window_time(w, wall - 55001, wall), CS_E_REQUEST_TIME);
    minutes(120, 55000, 55000);
    assert_int_equal(cs_window_drift_ms(w), CS_WINDOW_DRIFT_MAX_MS);
    minutes(120, -25000, -25000);
    assert_int_equal(cs_window_drift_ms(w), -25000);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_times_at_the_edges),
        T(test_the_same_again_and_another_of_the_id),
        T(test_ids_stay_as_long_as_their_time_is_taken),
        T(test_a_full_table_forgets_the_oldest_and_takes_nothing_older),
        T(test_the_drift_is_learnt_slowly_and_never_far),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
