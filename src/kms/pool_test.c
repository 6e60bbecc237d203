/* Tests of kms/pool: each frame is answered once, the queue is bounded, the end waits for nobody. No network: the calls fail before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "kms/pool.h"

#define CALLS (CS_KMS_QUEUE + CS_KMS_WORKERS)
#define JSON "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"s\",\"Token\":\"t\",\"Expiration\":\"2020-01-02T03:04:05Z\"}"

struct world {
    cs_kms_config config;
    cs_kms_hold *hold;
    cs_kms_conns *conns;
    cs_kms_pool *pool;
    pthread_mutex_t lock;
    unsigned answers[CALLS + 1]; /* by id */
    unsigned total;
    char code[32]; /* of the last */
};

static void on_reply(void *cookie, cs_slice frame)
{
    struct world *w = cookie;
    cs_rpc_frame f;

    (void)pthread_mutex_lock(&w->lock);
    if (cs_rpc_decode(&f, frame) == CS_OK && f.type == CS_RPC_KMS_REPLY && f.id <= CALLS &&
        f.f[0].s.len < sizeof w->code) {
        w->answers[f.id]++;
        w->total++;
        memcpy(w->code, f.f[0].s.p, f.f[0].s.len);
        w->code[f.f[0].s.len] = '\0';
    }
    (void)pthread_mutex_unlock(&w->lock);
}

static int set_up(void **state)
{
    static struct world w;
    bool locked = false;

    memset(&w, 0, sizeof w);
    w.config = (cs_kms_config){.key_arn = cs_slice_str("arn"), .region = cs_slice_str("us-east-1"), .host = "h"};
    cs_log_init("pool_test", CS_LOG_ERROR, -1);
    (void)pthread_mutex_init(&w.lock, NULL);
    assert_int_equal(cs_kms_hold_new(&w.hold, false, &locked), CS_OK);
    assert_int_equal(cs_kms_conns_new(&w.conns, &w.config, NULL), CS_OK);
    const cs_kms_link link = {&w.config, w.hold, w.conns};
    assert_int_equal(cs_kms_pool_new(&w.pool, &link, on_reply, &w), CS_OK);
    *state = &w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;

    cs_kms_pool_free(w->pool);
    cs_kms_conns_free(w->conns);
    cs_kms_hold_free(w->hold);
    return 0;
}

static cs_err put(struct world *w, uint64_t id, const char *arn)
{
    uint8_t mem[256];
    cs_buf b = cs_buf_wrap(mem, sizeof mem);
    cs_rpc_frame f = {.type = CS_RPC_KMS_CALL, .id = id};

    f.f[0].u = CS_KMS_DECRYPT;
    f.f[1].s = cs_slice_str(arn);
    f.f[2].s = cs_slice_str("blob");
    f.f[3].s = cs_slice_str("doc");
    assert_int_equal(cs_rpc_encode(&b, &f), CS_OK);
    return cs_kms_pool_put(w->pool, cs_buf_slice(&b));
}

static unsigned total(struct world *w)
{
    (void)pthread_mutex_lock(&w->lock);
    unsigned n = w->total;
    (void)pthread_mutex_unlock(&w->lock);
    return n;
}

static void until(struct world *w, unsigned n)
{
    for (int i = 0; total(w) < n && i < 10000; i++) {
        (void)poll(NULL, 0, 1);
    }
    assert_int_equal(total(w), n);
}

static void each_frame_is_answered_once(void **state)
{
    struct world *w = *state;

    for (uint64_t id = 1; id <= 500; id++) {
        assert_int_equal(put(w, id, "arn"), CS_OK);
    }
    until(w, 500);
    for (uint64_t id = 1; id <= 500; id++) {
        assert_int_equal(w->answers[id], 1);
    }
    assert_string_equal(w->code, "CRED_MISSING");
    assert_int_equal(put(w, 1, "other"), CS_OK);
    until(w, 501);
    assert_string_equal(w->code, "KMS_KEY_LIST");
}

/* The threads wait for the credentials, which the test holds. */
static void hold_all(struct world *w)
{
    const cs_aws_creds *c = NULL;
    uint64_t generation = 0;

    assert_int_equal(cs_kms_hold_put(w->hold, cs_slice_str(JSON), 0), CS_OK);
    assert_int_equal(cs_kms_hold_get(&c, &generation, w->hold, 0), CS_OK);
    for (uint64_t id = 1; id <= CS_KMS_WORKERS; id++) {
        assert_int_equal(put(w, id, "arn"), CS_OK);
    }
    (void)poll(NULL, 0, 200); /* each thread has taken one */
}

static void more_than_the_queue_holds_is_busy(void **state)
{
    struct world *w = *state;
    uint64_t id = CS_KMS_WORKERS;

    hold_all(w);
    while (id < CALLS) {
        assert_int_equal(put(w, ++id, "arn"), CS_OK);
    }
    assert_int_equal(put(w, 1, "arn"), CS_E_TEE_BUSY);
    assert_int_equal(total(w), 0);
    cs_kms_hold_done(w->hold);
    until(w, CALLS);
    assert_string_equal(w->code, "CRED_EXPIRED"); /* 2020 is long ago */
    assert_int_equal(put(w, 1, "arn"), CS_OK);
    until(w, CALLS + 1);
    assert_int_equal(w->answers[1], 2);
}

static void the_bytes_of_the_queue_are_bounded_too(void **state)
{
    static uint8_t big[CS_RPC_MAX - 64], mem[CS_RPC_MAX];
    struct world *w = *state;
    cs_buf b = cs_buf_wrap(mem, sizeof mem);
    cs_rpc_frame f = {.type = CS_RPC_KMS_CALL, .id = 9};
    unsigned n = 0;

    hold_all(w);
    f.f[0].u = CS_KMS_DECRYPT;
    f.f[3].s = cs_slice_of(big, sizeof big);
    assert_int_equal(cs_rpc_encode(&b, &f), CS_OK);
    while (cs_kms_pool_put(w->pool, cs_buf_slice(&b)) == CS_OK) {
        n++;
    }
    assert_int_equal(n, CS_KMS_QUEUE_BYTES / b.len);
    assert_int_equal(put(w, 1, "arn"), CS_OK); /* what is small still fits */
    cs_kms_hold_done(w->hold);
    until(w, CS_KMS_WORKERS + n + 1);
}

static void a_full_queue_does_not_hold_up_the_end(void **state)
{
    struct world *w = *state;
    uint64_t began = cs_clock_mono_ms();

    hold_all(w);
    for (uint64_t id = CS_KMS_WORKERS; id < 500; id++) {
        assert_int_equal(put(w, id, "arn"), CS_OK);
    }
    cs_kms_hold_done(w->hold);
    cs_kms_pool_free(w->pool);
    w->pool = NULL;
    assert_true(cs_clock_mono_ms() - began < 5000);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(each_frame_is_answered_once),
        T(more_than_the_queue_holds_is_busy),
        T(the_bytes_of_the_queue_are_bounded_too),
        T(a_full_queue_does_not_hold_up_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
