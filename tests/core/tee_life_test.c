/* The TEE service under load, without memory, over reloads, at its end: nothing is lost, nothing stays in the arena. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "codec/cbor.h"
#include "secret/rng.h"
#include "tee_driver.h"

#define OK(x) assert_int_equal((x), CS_OK)
#define S(text) cs_slice_str(text)

static tee_answer a; /* large */
static kept_row row, data;

static int setup(void **state)
{
    *state = tee_world_new(NULL);
    return 0;
}

static void long_queue(cs_core_config *c)
{
    c->tee_queue = 256;
    c->tee_workers = 4;
    c->tee_cache_seconds = 3600;
}

static int setup_long_queue(void **state)
{
    *state = tee_world_new(long_queue);
    return 0;
}

static int teardown(void **state)
{
    (void)cs_secret_fail_for_tests(0);
    (void)cs_random_fail_for_tests(0);
    tee_world_free(*state);
    return 0;
}

static tee_ask sign_ask(void)
{
    return (tee_ask){
        .op = CS_TEE_SIGN, .record = S("wallet-1"), .u1 = 1, .u2 = 1, .bytes = S("m"), .rows = &row.row, .num_rows = 1};
}

static void test_a_full_queue_says_busy_at_once_and_loses_nobody(void **state)
{
    tee_world *t = *state;
    tee_ask q = sign_ask();
    uint64_t frame[16], busy;
    unsigned done = 0;

    generate(t, &row, "wallet-1", CS_TEE_ECDSA_K1);
    t->kms_silent = true;
    for (unsigned i = 0; i < 16; i++) {
        frame[i] = tee_send(t, &q);
    }
    busy = tee_send(t, &q);
    tee_wait(t, &a); /* nothing has been looked at */
    assert_int_equal(a.frame, busy);
    assert_int_equal(a.code, CS_E_TEE_BUSY);
    assert_int_equal(a.reply.entry.len, 0);
    has(t->w, "\"busy\":1");
    t->kms_silent = false;
    for (unsigned i = 0; i < 16; i++) {
        tee_wait(t, &a);
        OK(a.code);
        for (unsigned k = 0; k < 16; k++) {
            done += frame[k] == a.frame;
        }
    }
    assert_int_equal(done, 16);
    assert_int_equal(jobs_under_way(t), 0);
    OK(tee_call(t, &a, &q));
}

static void test_calls_under_way_outlive_a_reload(void **state)
{
    static uint8_t text[2][2200];
    tee_world *t = *state;
    tee_ask q = sign_ask(), dave = {.op = CS_TEE_SIGN, .who = DAVE, .record = S("only-this"), .u1 = 1, .u2 = 1};
    cs_rpc_frame call;

    generate(t, &row, "wallet-1", CS_TEE_ECDSA_K1);
    t->kms_silent = true;
    (void)tee_send(t, &q);
    tee_settle(t);
    call = kms_next(t);
    memcpy(text[0], call.f[1].s.p, call.f[1].s.len);
    memcpy(text[1], call.f[2].s.p, call.f[2].s.len);
    call.f[1].s.p = text[0];
    call.f[2].s.p = text[1];
    t->without_dave = true;
    for (uint64_t generation = 8; generation < 12; generation++) {
        OK(inject_both(t->w, &(recipe){.generation = generation}, &(kms_answer){0}));
    }
    kms_reply(t, &call);
    tee_wait(t, &a);
    OK(a.code);
    t->kms_silent = false;
    assert_int_equal(tee_call(t, &a, &dave), CS_E_CALLER_UNKNOWN); /* he is gone */
    OK(tee_call(t, &a, &q));
}

static void test_calls_are_served_while_a_load_waits(void **state)
{
    tee_world *t = *state;
    tee_ask q = sign_ask();

    generate(t, &row, "wallet-1", CS_TEE_ECDSA_K1);
    inject_age(t->w, 5000);
    expect_reply(t->w, 5000, CS_OK);
    inject_shares(t->w, 5001, sealed_file(t->w, &(recipe){.generation = 9}));
    assert_int_equal(cs_core_phase(t->w->core), CS_PHASE_RELOADING);
    t->kms_silent = true;
    (void)tee_send(t, &q);
    tee_settle(t);
    answer_kms(t->w, &(kms_answer){.code = CS_E_KMS_DENIED}); /* that of the load came first */
    expect_reply(t->w, 5001, CS_E_KMS_DENIED);
    kms_answer_one(t);
    tee_wait(t, &a);
    OK(a.code);
}

/* count entries from that counter on, as they were in the replies; the last one is the head */
static void again(tee_world *t, uint64_t from, uint64_t first, size_t count)
{
    cs_rpc_frame f = {.type = CS_RPC_TEE_ENTRIES, .id = 4711};
    cs_cbor_iter all, pair;
    cs_tee_entry e;
    cs_slice entry, sig;
    cs_cbor c;

    f.f[0].u = from;
    OK(give(t->w, CS_LINK_SERVICE, &f));
    f = next(t->w, CS_LINK_SERVICE);
    assert_int_equal(f.type, CS_RPC_TEE_ENTRIES_REPLY);
    assert_int_equal(f.id, 4711);
    assert_true(cs_slice_eq_str(f.f[0].s, "OK"));
    c = cs_cbor_of(f.f[1].s, CS_CBOR_STRICT);
    OK(cs_cbor_array(&c, &all));
    assert_true(count == SIZE_MAX ? all.left > 0 : all.left == count);
    while (cs_cbor_more(&c, &all)) {
        OK(cs_cbor_array(&c, &pair));
        OK(cs_cbor_bytes(&c, &entry));
        OK(cs_cbor_bytes(&c, &sig));
        OK(cs_tee_entry_decode(&e, entry));
        assert_int_equal(e.counter, first++);
        assert_int_equal(sig.len, 64);
        if (e.counter == t->counter) {
            assert_true(cs_slice_eq(entry, a.reply.entry) && cs_slice_eq(sig, a.reply.entry_sig));
        }
    }
    OK(cs_cbor_end(&c));
}

static void test_entries_of_lost_replies_are_given_again(void **state)
{
    const tee_ask stats = {.op = CS_TEE_STATS, .who = NOBODY};
    tee_world *t = *state;
    uint64_t frame;

    again(t, 0, 0, 0);
    for (unsigned i = 0; i < 300; i++) {
        OK(tee_call(t, &a, &stats));
    }
    frame = tee_send(t, &stats);
    tee_wait(
        t,
        &a); /* the driver has freed what this reply points into when it gives the next frame: so its bytes are kept */
    assert_int_equal(a.frame, frame);
    static uint8_t kept[2][512];

    memcpy(kept[0], a.reply.entry.p, a.reply.entry.len);
    memcpy(kept[1], a.reply.entry_sig.p, 64);
    a.reply.entry.p = kept[0];
    a.reply.entry_sig.p = kept[1];
    again(t, 0, 1, 301);
    again(t, 301, 301, 1);
    again(t, 300, 300, 2);
    again(t, 302, 302, 0);
    again(t, UINT64_MAX, 0, 0);
    for (unsigned i = 0; i < 4000; i++) { /* the first are forgotten */
        OK(tee_call(t, &a, &stats));
    }
    memcpy(kept[0], a.reply.entry.p, a.reply.entry.len);
    memcpy(kept[1], a.reply.entry_sig.p, 64);
    a.reply.entry.p = kept[0];
    a.reply.entry_sig.p = kept[1];
    again(t, 4300, 4300, 2);
    again(t, 1, 4301 - 4096 + 1, SIZE_MAX); /* the oldest that is kept */
}

/* What a core holds that has never had a call of the TEE service, against one that ends in the midst of many. */
static void test_nothing_is_left_in_the_arena(void **state)
{
    tee_world *t = *state;
    tee_ask q;
    size_t used;

    generate(t, &row, "wallet-1", CS_TEE_ECDSA_K1);
    cs_core_free(t->w->core);
    t->w->core = NULL;
    used = cs_arena_used();
    tee_restart(t, 8);
    generate(t, &row, "wallet-1", CS_TEE_ECDSA_K1);
    q = sign_ask();
    t->kms_silent = true;
    for (unsigned i = 0; i < 5; i++) {
        (void)tee_send(t, &q);
    }
    tee_settle(t); /* they wait for KMS */
    q.op = CS_TEE_GENERATE;
    for (unsigned i = 0; i < 5; i++) {
        (void)tee_send(t, &q); /* these are at the workers, or wait for them */
    }
    cs_core_stop(t->w->core);
    for (unsigned i = 0; i < 10; i++) {
        assert_false(none(t->w, CS_LINK_SERVICE));
        tee_wait(t, &a);
        assert_int_equal(a.code, CS_E_CLOSED);
    }
    assert_true(none(t->w, CS_LINK_SERVICE));
    assert_int_equal(cs_core_fd(t->w->core), -1);
    cs_core_tick(t->w->core);
    cs_core_link_down(t->w->core, CS_LINK_KMS);
    cs_core_free(t->w->core);
    t->w->core = NULL;
    assert_int_equal(cs_arena_used(), used);
}

static void test_a_core_ends_at_any_moment(void **state)
{
    tee_world *t = *state;
    tee_ask q;
    size_t used;

    cs_core_free(t->w->core);
    t->w->core = NULL;
    used = cs_arena_used();
    for (unsigned turns = 0; turns < 12; turns++) {
        tee_restart(t, 8);
        generate(t, &row, "wallet-1", CS_TEE_ECDSA_K1);
        q = sign_ask();
        for (unsigned i = 0; i < 6; i++) {
            q.op = i % 2 == 0 ? CS_TEE_SIGN : CS_TEE_GENERATE;
            (void)tee_send(t, &q);
        }
        for (unsigned i = 0; i < turns; i++) {
            tee_turn(t, 1);
            if (!none(t->w, CS_LINK_KMS)) {
                kms_answer_one(t);
            }
        }
        cs_core_free(t->w->core);
        t->w->core = NULL;
        assert_int_equal(cs_arena_used(), used);
        while (!none(t->w, CS_LINK_SERVICE)) {
            (void)next(t->w, CS_LINK_SERVICE);
        }
    }
}

/* The call fails with code or, when its n-th allocation is the last, works; either way it leaves nothing behind. */
static void fail_each(tee_world *t, const tee_ask *q, cs_err code, unsigned *out_failures)
{
    const size_t used = cs_arena_used();
    unsigned left = 0;

    for (unsigned n = 1; left == 0; n++) {
        t->fail_in = n;
        (void)tee_call(t, &a, q);
        left = cs_secret_fail_for_tests(0);
        t->fail_in = 0;
        if (a.code != CS_OK && a.code != code) {
            fail_msg("%s at allocation %u", cs_err_code(a.code), n);
        }
        *out_failures += a.code == code;
        assert_true(left == 0 || a.code == CS_OK);
        assert_int_equal(jobs_under_way(t), 0);
        assert_int_equal(cs_arena_used(), used);
        OK(tee_call(t, &a, q));
        assert_true(n < 500);
    }
}

static void test_without_memory_a_call_fails_and_the_next_works(void **state)
{
    const cs_slice records[1] = {S("wallet-1")};
    tee_world *t = *state;
    tee_ask q = sign_ask();
    unsigned failures = 0;

    generate(t, &row, "wallet-1", CS_TEE_ECDSA_P256);
    seal(t, &data, "wallet-2", S("a secret"));
    q.u1 = CS_TEE_ECDSA_P256;
    fail_each(t, &q, CS_E_NO_MEMORY, &failures);
    assert_true(failures >= 5);
    q.sealed = true;
    fail_each(t, &q, CS_E_NO_MEMORY, &failures);
    q = (tee_ask){.op = CS_TEE_UNSEAL, .record = S("wallet-2"), .rows = &data.row, .num_rows = 1};
    fail_each(t, &q, CS_E_NO_MEMORY, &failures);
    q = (tee_ask){.op = CS_TEE_GENERATE, .record = S("wallet-3"), .u1 = CS_TEE_ED25519};
    fail_each(t, &q, CS_E_NO_MEMORY, &failures);
    q = (tee_ask){.op = CS_TEE_ROTATE, .u1 = 1, .records = records, .num_records = 1, .rows = &row.row, .num_rows = 1};
    fail_each(t, &q, CS_E_NO_MEMORY, &failures);
    q = (tee_ask){.op = CS_TEE_ATTEST, .who = NOBODY, .bytes = S("0123456789abcdef")};
    fail_each(t, &q, CS_E_NO_MEMORY, &failures);
    assert_true(failures >= 30);
}

static void test_without_entropy_nothing_is_made(void **state)
{
    tee_world *t = *state;
    unsigned failures = 0, left = 0;

    generate(t, &row, "wallet-1", CS_TEE_ECDSA_K1);
    tee_settle(t); /* the RSA key is there */
    for (unsigned n = 1; left == 0; n++) {
        tee_ask q = {.op = CS_TEE_GENERATE, .record = S("wallet-3"), .u1 = CS_TEE_ECDSA_K1, .sealed = n % 2 == 0};

        t->random_fail_in = n;
        (void)tee_call(t, &a, &q);
        left = cs_random_fail_for_tests(0);
        t->random_fail_in = 0;
        assert_true(a.code == CS_E_ENTROPY || (a.code == CS_OK && left > 0));
        failures += a.code == CS_E_ENTROPY;
        assert_true(n < 50);
    }
    assert_true(failures >= 2);
}

static void test_a_core_without_memory_does_not_start(void **state)
{
    tee_world *t = *state;
    const cs_nsm *nsm = &t->w->nsm;
    cs_core_args args = {.config = &t->w->config, .nsm = nsm, .emulated = true};
    unsigned left = 0;
    size_t used;

    cs_core_free(t->w->core);
    t->w->core = NULL;
    used = cs_arena_used();
    for (unsigned n = 1; left == 0; n++) {
        (void)cs_secret_fail_for_tests(n);
        cs_err err = cs_core_new(&t->w->core, &args);

        left = cs_secret_fail_for_tests(0);
        assert_true(left > 0 ? err == CS_OK : err == CS_E_NO_MEMORY);
        assert_true(n < 50);
    }
    cs_core_free(t->w->core);
    t->w->core = NULL;
    assert_int_equal(cs_arena_used(), used);
}

/* Many at once on four workers, of all kinds, in whatever order they come back. */
static void test_many_calls_at_once(void **state)
{
    enum { ROUNDS = 6, N = 200 };
    const cs_slice records[1] = {S("wallet-1")};
    tee_world *t = *state;
    tee_ask kinds[5];
    uint8_t sig[64] = {0};

    generate(t, &row, "wallet-1", CS_TEE_ECDSA_K1);
    seal(t, &data, "wallet-2", S("a secret"));
    kinds[0] = sign_ask();
    kinds[0].id = 9999; /* the same request over and over: the same signature */
    kinds[1] =
        (tee_ask){.op = CS_TEE_UNSEAL, .record = S("wallet-2"), .rows = &data.row, .num_rows = 1, .sealed = true};
    kinds[2] =
        (tee_ask){.op = CS_TEE_PUBLIC_KEY, .who = NOBODY, .record = S("wallet-1"), .rows = &row.row, .num_rows = 1};
    kinds[3] =
        (tee_ask){.op = CS_TEE_ROTATE, .u1 = 1, .records = records, .num_records = 1, .rows = &row.row, .num_rows = 1};
    kinds[4] = (tee_ask){.op = CS_TEE_STATS, .who = NOBODY};
    for (unsigned r = 0; r < ROUNDS; r++) {
        for (unsigned i = 0; i < N; i++) {
            (void)tee_send(t, &kinds[(i * 7 + r) % 5]);
        }
        for (unsigned i = 0; i < N; i++) {
            tee_wait(t, &a);
            OK(a.code);
            if (a.entry.op == CS_TEE_SIGN) {
                assert_true(sig[0] == 0 || memcmp(sig, a.result.f[0].s.p, 64) == 0);
                memcpy(sig, a.result.f[0].s.p, 64);
            } else if (a.entry.op == CS_TEE_UNSEAL) {
                assert_true(cs_slice_eq_str(a.result.f[0].s, "a secret"));
            }
        }
    }
    assert_int_equal(jobs_under_way(t), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_a_full_queue_says_busy_at_once_and_loses_nobody),
        T(test_calls_under_way_outlive_a_reload),
        T(test_calls_are_served_while_a_load_waits),
        T(test_entries_of_lost_replies_are_given_again),
        T(test_nothing_is_left_in_the_arena),
        T(test_a_core_ends_at_any_moment),
        T(test_without_memory_a_call_fails_and_the_next_works),
        T(test_without_entropy_nothing_is_made),
        T(test_a_core_without_memory_does_not_start),
        cmocka_unit_test_setup_teardown(test_many_calls_at_once, setup_long_queue, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
