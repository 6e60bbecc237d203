/* Workers: every task comes back once, also those that nobody began; buckets and cached keys. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/tee/cache.h"
#include "core/tee/pool.h"
#include "core/tee/rates.h"

#define OK(x) assert_int_equal((x), CS_OK)
#define N 2000

typedef struct sum {
    cs_task task;
    uint64_t in, out;
    unsigned back;
} sum;

static void add(cs_task *t)
{
    sum *s = (sum *)(void *)t;

    s->out = s->in * 3;
}

static unsigned collect(cs_pool *p, unsigned wanted)
{
    unsigned n = 0;

    while (n < wanted) {
        struct pollfd f = {.fd = cs_pool_fd(p), .events = POLLIN};
        cs_task *t = NULL;

        assert_true(poll(&f, 1, 10000) > 0);
        cs_pool_rest(p);
        while ((t = cs_pool_take(p)) != NULL) {
            ((sum *)(void *)t)->back++;
            n++;
        }
    }
    return n;
}

static void test_each_task_is_worked_on_once_and_comes_back(void **state)
{
    static sum s[N];
    cs_pool *p = NULL;

    OK(cs_pool_new(&p, 3));
    assert_int_equal(cs_pool_workers(p), 3);
    for (unsigned i = 0; i < N; i++) {
        s[i] = (sum){.task = {.work = add}, .in = i};
        cs_pool_put(p, &s[i].task);
    }
    assert_int_equal(collect(p, N), N);
    for (unsigned i = 0; i < N; i++) {
        assert_true(s[i].back == 1 && s[i].out == 3 * s[i].in);
    }
    assert_null(cs_pool_take(p));
    cs_pool_free(p);
}

static void test_what_nobody_began_comes_back_when_the_pool_stops(void **state)
{
    static sum s[N];
    cs_pool *p = NULL;
    unsigned done = 0;
    cs_task *t = NULL;

    OK(cs_pool_new(&p, 1));
    for (unsigned i = 0; i < N; i++) {
        s[i] = (sum){.task = {.work = add}, .in = 1};
        cs_pool_put(p, &s[i].task);
    }
    cs_pool_stop(p);
    while ((t = cs_pool_take(p)) != NULL) {
        ((sum *)(void *)t)->back++;
        done++;
    }
    assert_int_equal(done, N);
    s[0].back = 0;
    cs_pool_put(p, &s[0].task); /* too late, but not lost */
    assert_ptr_equal(cs_pool_take(p), &s[0].task);
    cs_pool_free(p);
    cs_pool_free(NULL);
    assert_int_equal(cs_pool_new(&p, 0), CS_E_RANGE);
    assert_int_equal(cs_pool_new(&p, CS_POOL_WORKERS_MAX + 1), CS_E_RANGE);
    assert_true(cs_pool_cpus() >= 1);
}

static void test_a_bucket_fills_at_its_rate_up_to_its_burst(void **state)
{
    const cs_rate rate = {.per_s = 10, .burst = 3}, none = {0};
    cs_rates *r = NULL;
    char name[16];
    cs_buf b;

    OK(cs_rates_new(&r));
    for (unsigned round = 0; round < 2; round++) {
        const uint64_t now = 1000 + round * 1000000;

        for (unsigned i = 0; i < 3; i++) {
            OK(cs_rates_take(r, cs_slice_str("a"), &rate, now));
        }
        assert_int_equal(cs_rates_take(r, cs_slice_str("a"), &rate, now), CS_E_CALLER_RATE);
        OK(cs_rates_take(r, cs_slice_str("b"), &rate, now));
        OK(cs_rates_take(r, cs_slice_str("a"), &none, now));
        assert_int_equal(cs_rates_take(r, cs_slice_str("a"), &rate, now + 99), CS_E_CALLER_RATE);
        OK(cs_rates_take(r, cs_slice_str("a"), &rate, now + 100));
        assert_int_equal(cs_rates_take(r, cs_slice_str("a"), &rate, now + 100), CS_E_CALLER_RATE);
    }
    for (unsigned i = 0; i < CS_RATES_MAX - 2; i++) {
        b = cs_buf_wrap(name, sizeof name);
        OK(cs_put_fmt(&b, "caller-%u", i));
        OK(cs_rates_take(r, cs_buf_slice(&b), &rate, 2000000));
    }
    assert_int_equal(cs_rates_take(r, cs_slice_str("one more"), &rate, 2000000), CS_OK); /* a and b have filled up */
    cs_rates_free(r);
    cs_rates_free(NULL);
}

static void test_keys_live_their_time_and_the_unused_go_first(void **state)
{
    const uint8_t name[3][32] = {{1}, {2}, {1, 0, 7}}; /* the last in the chain of the first */
    cs_secret32 key = {{9}}, got = {{0}};
    cs_key_cache *c = NULL;
    size_t used;

    OK(cs_key_cache_new(&c, 1000, 2));
    used = cs_arena_used();
    cs_key_cache_put(c, name[0], &key, 0);
    key.b[0] = 8;
    cs_key_cache_put(c, name[0], &key, 500); /* is there: neither changed nor made younger */
    assert_true(cs_key_cache_get(c, &got, name[0], 999));
    assert_int_equal(got.b[0], 9);
    assert_int_equal(cs_key_cache_deadline(c), 1000);
    cs_key_cache_put(c, name[1], &key, 999);
    assert_false(cs_key_cache_get(c, &got, name[0], 1000));
    assert_int_equal(cs_key_cache_count(c), 1);
    cs_key_cache_put(c, name[2], &key, 1000);
    assert_true(cs_key_cache_get(c, &got, name[1], 1000));
    cs_key_cache_put(c, name[0], &key, 1001); /* the third goes: the second was used */
    assert_false(cs_key_cache_get(c, &got, name[2], 1001));
    assert_true(cs_key_cache_get(c, &got, name[1], 1001));
    assert_true(cs_key_cache_get(c, &got, name[0], 1001));
    cs_key_cache_tick(c, 5000);
    assert_int_equal(cs_key_cache_deadline(c), UINT64_MAX);
    assert_int_equal(cs_arena_used(), used);
    (void)cs_secret_fail_for_tests(1);
    cs_key_cache_put(c, name[0], &key, 6000); /* without room it is not kept */
    assert_int_equal(cs_key_cache_count(c), 0);
    cs_key_cache_put(c, name[0], &key, 6000);
    cs_key_cache_free(c);
    assert_int_equal(cs_arena_used(), used);
    OK(cs_key_cache_new(&c, 0, 2)); /* off */
    cs_key_cache_put(c, name[0], &key, 0);
    assert_false(cs_key_cache_get(c, &got, name[0], 0));
    cs_key_cache_free(c);
}

static int setup(void **state)
{
    return cs_arena_init((size_t)1 << 20, false) == CS_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_task_is_worked_on_once_and_comes_back),
        cmocka_unit_test(test_what_nobody_began_comes_back_when_the_pool_stops),
        cmocka_unit_test(test_a_bucket_fills_at_its_rate_up_to_its_burst),
        cmocka_unit_test(test_keys_live_their_time_and_the_unused_go_first),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
