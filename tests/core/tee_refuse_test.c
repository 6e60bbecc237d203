/* What the TEE service refuses, in which order, with which code; what KMS may do to it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "core/tee/keys.h"
#include "tee_driver.h"

#define OK(x) assert_int_equal((x), CS_OK)
#define S(text) cs_slice_str(text)

static tee_answer a; /* large */
static kept_row row, other;

static void two_approvals(cs_core_config *c)
{
    c->tee_approvals[CS_TEE_SEAL] = 2;
}

static void cache_of_a_minute(cs_core_config *c)
{
    c->tee_cache_seconds = 60;
    c->tee_cache_entries = 2;
}

static int setup(void **state)
{
    *state = tee_world_new(NULL);
    return 0;
}

static int setup_approvals(void **state)
{
    *state = tee_world_new(two_approvals);
    return 0;
}

static int setup_cache(void **state)
{
    *state = tee_world_new(cache_of_a_minute);
    return 0;
}

static int teardown(void **state)
{
    tee_world_free(*state);
    return 0;
}

/* refused - with that code; logged says whether the chain has an entry of it. */
static void refused(tee_world *t, const tee_ask *q, cs_err code, bool logged)
{
    if (tee_call(t, &a, q) != code) {
        fail_msg("%s instead of %s", cs_err_code(a.code), cs_err_code(code));
    }
    assert_int_equal(a.reply.entry.len > 0, logged);
}

/* One request in which everything is wrong. Each fault that is mended shows the next one of the list in tee.md. */
static void test_checks_come_in_their_order(void **state)
{
    tee_world *t = *state;
    tee_ask q = {.op = CS_TEE_SEAL,
                 .who = NOBODY,
                 .as = "nobody-knows",
                 .record = S("purse-1"),
                 .u1 = 1,
                 .bytes = S("secret"),
                 .late_ms = 100000,
                 .garbage = true,
                 .attached = {.kms_key = S(FOREIGN_ARN), .data_key = S("none")},
                 .bad_attachments = true};

    t->w->config.tee_enabled = false; /* of the next core */
    world_core(t->w);
    refused(t, &q, CS_E_NOT_SERVING, false);
    credentials(t->w, CS_CRED_PRESENT);
    OK(inject_both(t->w, &(recipe){.generation = 7}, &(kms_answer){0}));
    assert_int_equal(next(t->w, CS_LINK_KMS).type, CS_RPC_CRED_WIPE);
    refused(t, &q, CS_E_TEE_DISABLED, false);
    t->w->config.tee_enabled = true;
    tee_restart(t, 7);
    refused(t, &q, CS_E_FORMAT, false);
    q.garbage = false;
    refused(t, &q, CS_E_CALLER_UNKNOWN, false);
    q.as = "";
    refused(t, &q, CS_E_CALLER_UNKNOWN, false);
    q.as = "dave";
    refused(t, &q, CS_E_CALLER_AUTH, false); /* no signature */
    q.as = NULL;
    q.who = DAVE;
    q.bad_signature = true;
    refused(t, &q, CS_E_CALLER_AUTH, false);
    q.bad_signature = false;
    refused(t, &q, CS_E_REQUEST_TIME, true);
    q.late_ms = -100000;
    refused(t, &q, CS_E_REQUEST_TIME, true);
    q.late_ms = 0;
    q.id = 77;
    refused(t, &q, CS_E_CALLER_OPERATION, true);
    q.u1 = 2; /* another request of the same id */
    refused(t, &q, CS_E_REQUEST_REPLAY, true);
    q.id = 0;
    q.who = ALICE;
    refused(t, &q, CS_E_CALLER_RECORD, true);
    q.record = S("wallet-1");
    refused(t, &q, CS_E_APPROVALS, true);
    q.approve[0] = BOB + 1;
    refused(t, &q, CS_E_APPROVALS, true);
    q.approve[1] = CAROL + 1;
    refused(t, &q, CS_E_REQUEST_CLEAR, true);
    q.sealed = true;
    refused(t, &q, CS_E_FORMAT, true);
    q.bad_attachments = false;
    refused(t, &q, CS_E_KMS_KEY_LIST, true);
    q.attached.kms_key = S(KEY_ARN);
    refused(t, &q, CS_E_KMS_CIPHERTEXT, true);
    q.attached = (cs_tee_attached){0};
    OK(tee_call(t, &a, &q));
    assert_true(a.sealed);
}

static void test_approvals_are_of_different_others_who_may(void **state)
{
    static const struct {
        int approve[4];
        cs_err code;
    } rows[] = {
        {{BOB + 1, BOB + 1}, CS_E_APPROVALS},
        {{BOB + 1, ALICE + 1}, CS_E_APPROVALS},
        {{BOB + 1, DAVE + 1}, CS_E_APPROVALS},
        {{BOB + 1, NOBODY + 1}, CS_E_APPROVALS},
        {{BOB + 1, CAROL + 1}, CS_OK},
        {{CAROL + 1, BOB + 1}, CS_OK},
        {{DAVE + 1, CAROL + 1, BOB + 1}, CS_OK},
        {{ALICE + 1, CAROL + 1, CAROL + 1}, CS_E_APPROVALS},
        {{BOB + 1, BOB + 1, CAROL + 1, CAROL + 1}, CS_OK},
    };
    tee_world *t = *state;
    tee_ask q = {.op = CS_TEE_SEAL, .record = S("wallet-1"), .u1 = 1, .bytes = S("s"), .sealed = true};

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        memcpy(q.approve, rows[i].approve, sizeof q.approve);
        assert_int_equal(tee_call(t, &a, &q), rows[i].code);
    }
    memcpy(q.approve, rows[4].approve, sizeof q.approve);
    q.bad_approval = true;
    assert_int_equal(tee_call(t, &a, &q), CS_E_APPROVALS);
}

static void test_the_rate_of_a_caller(void **state)
{
    tee_world *t = *state;
    tee_ask q = {.op = CS_TEE_SIGN, .who = DAVE, .record = S("only-this"), .u1 = 1, .u2 = 1};

    /* a burst of two, then one each second; what is wrong behind it costs as much */
    assert_int_equal(tee_call(t, &a, &q), CS_E_FORMAT);
    assert_int_equal(tee_call(t, &a, &q), CS_E_FORMAT);
    refused(t, &q, CS_E_CALLER_RATE, true);
    tick_ms(t->w, 999);
    assert_int_equal(tee_call(t, &a, &q), CS_E_CALLER_RATE);
    tick_ms(t->w, 1);
    assert_int_equal(tee_call(t, &a, &q), CS_E_FORMAT);
    assert_int_equal(tee_call(t, &a, &q), CS_E_CALLER_RATE);
    OK(inject_both(t->w, &(recipe){.generation = 8}, &(kms_answer){0})); /* a reload fills no bucket */
    assert_int_equal(tee_call(t, &a, &q), CS_E_CALLER_RATE);
    q.record = S("wallet-1"); /* what is refused before costs nothing */
    assert_int_equal(tee_call(t, &a, &q), CS_E_CALLER_RECORD);
    generate(t, &row, "wallet-1", CS_TEE_ED25519); /* others have theirs */
}

static void test_replays_are_done_again_and_others_of_the_id_are_refused(void **state)
{
    tee_world *t = *state;
    tee_ask q = {.op = CS_TEE_SIGN, .record = S("wallet-1"), .u1 = 3, .u2 = 1, .bytes = S("m"), .rows = &row.row};
    uint8_t sig[64];

    q.num_rows = 1;
    q.id = 500;
    generate(t, &row, "wallet-1", CS_TEE_ED25519);
    OK(tee_call(t, &a, &q));
    memcpy(sig, a.result.f[0].s.p, sizeof sig);
    OK(tee_call(t, &a, &q));
    assert_memory_equal(sig, a.result.f[0].s.p, sizeof sig);
    has(t->w, "\"repeated\":1");
    q.bytes = S("n");
    assert_int_equal(tee_call(t, &a, &q), CS_E_REQUEST_REPLAY);
    /* out of order, within the window; behind it, not even the same */
    q.bytes = S("m");
    q.id = 501;
    q.late_ms = 59000;
    OK(tee_call(t, &a, &q));
    tick_ms(t->w, 2000);
    q.late_ms = 61000;
    assert_int_equal(tee_call(t, &a, &q), CS_E_REQUEST_TIME);
    /* ids of different callers are different ids; nobody's are not kept */
    assert_int_equal(
        tee_call(t, &a,
                 &(tee_ask){.op = CS_TEE_SIGN, .who = DAVE, .id = 500, .record = S("only-this"), .u1 = 1, .u2 = 1}),
        CS_E_FORMAT); /* no row */
    for (unsigned i = 0; i < 3; i++) {
        OK(tee_call(t, &a, &(tee_ask){.op = CS_TEE_ATTEST, .who = NOBODY, .id = 500, .bytes = S("0123456789abcdef")}));
    }
    assert_int_equal(tee_call(t, &a, &(tee_ask){.op = CS_TEE_STATS, .who = NOBODY, .late_ms = 100000}),
                     CS_E_REQUEST_TIME);
    assert_int_equal(a.reply.entry.len, 0);
}

/* Core's clock goes an hour ahead and comes back: what was not taken meanwhile is taken again, nothing is taken twice as new. */
static void test_a_clock_that_jumps(void **state)
{
    tee_world *t = *state;
    tee_ask q = {.op = CS_TEE_SIGN, .record = S("wallet-1"), .u1 = 3, .u2 = 1, .bytes = S("m"), .rows = &row.row};

    q.num_rows = 1;
    generate(t, &row, "wallet-1", CS_TEE_ED25519);
    q.id = 700;
    OK(tee_call(t, &a, &q));
    wall_ms += 3600000;
    q.late_ms = 3600000;
    assert_int_equal(tee_call(t, &a, &q), CS_E_REQUEST_TIME);
    wall_ms -= 3600000;
    q.late_ms = 0;
    OK(tee_call(t, &a, &q));
    has(t->w, "\"repeated\":1");
    q.bytes = S("n");
    assert_int_equal(tee_call(t, &a, &q), CS_E_REQUEST_REPLAY);
    wall_ms -= 3600000; /* and behind */
    q.late_ms = -3600000;
    q.id = 0;
    assert_int_equal(tee_call(t, &a, &q), CS_E_REQUEST_TIME);
    wall_ms += 3600000;
    q.late_ms = 0;
    OK(tee_call(t, &a, &q));
}

static void test_requests_sealed_to_another_boot_do_not_open(void **state)
{
    tee_world *t = *state;
    tee_ask q = {.op = CS_TEE_SEAL, .record = S("wallet-1"), .u1 = 1, .bytes = S("s"), .sealed = true};

    q.other_boot = true;
    refused(t, &q, CS_E_FORMAT, false);
    q.other_boot = false;
    OK(tee_call(t, &a, &q));
    tee_restart(t, 8);
    OK(tee_call(t, &a, &q));
}

static void test_what_nobody_may_not_and_callers_need_no_grant_for_what_he_may(void **state)
{
    tee_world *t = *state;

    for (uint64_t op = 1; op <= CS_TEE_NUM_OPS; op++) {
        const cs_slice one[1] = {S("wallet-1")};
        tee_ask q = {.op = (cs_tee_op)op,
                     .who = NOBODY,
                     .record = S("wallet-1"),
                     .u1 = 1,
                     .u2 = 1,
                     .records = one,
                     .num_records = 1};
        uint8_t bytes[32] = {1};

        q.bytes = q.more = cs_slice_of(bytes, sizeof bytes);
        if (op == CS_TEE_ROTATE) {
            q.record = CS_SLICE_NULL;
        }
        (void)tee_call(t, &a, &q);
        assert_int_equal(a.code == CS_E_CALLER_UNKNOWN, (cs_tee_op_of(op)->flags & CS_TEE_CALLER) != 0);
    }
    /* Dave is given Sign alone */
    OK(tee_call(t, &a, &(tee_ask){.op = CS_TEE_STATS, .who = DAVE}));
    assert_true(cs_slice_eq_str(a.entry.caller, "dave"));
}

/* ---------------------------------------------------------------- KMS */

static void test_each_fault_of_kms_has_its_code_and_the_next_call_works(void **state)
{
    static const struct {
        kms_fault fault;
        cs_err decrypt, generate;
    } rows[] = {
        {{.code = CS_E_KMS_THROTTLED}, CS_E_KMS_THROTTLED, CS_E_KMS_THROTTLED},
        {{.code = CS_E_KMS_DENIED}, CS_E_KMS_DENIED, CS_E_KMS_DENIED},
        {{.code = CS_E_CRED_EXPIRED}, CS_E_CRED_EXPIRED, CS_E_CRED_EXPIRED},
        {{.code = CS_E_KMS_UNAVAILABLE}, CS_E_KMS_UNAVAILABLE, CS_E_KMS_UNAVAILABLE},
        {{.key_id = FOREIGN_ARN}, CS_E_KMS_KEY_ID, CS_E_KMS_KEY_ID},
        {{.key_id = OTHER_ARN}, CS_E_KMS_KEY_ID, CS_E_KMS_KEY_ID},
        {{.forged = true}, CS_E_CMS, CS_E_CMS},
        {{.no_envelope = true}, CS_E_KMS_PLAINTEXT, CS_E_KMS_PLAINTEXT},
        {{.short_key = true}, CS_E_KMS_ANSWER, CS_E_KMS_ANSWER},
        {{.long_key = true}, CS_E_KMS_ANSWER, CS_E_KMS_ANSWER},
        {{.no_blob = true}, CS_OK, CS_E_KMS_ANSWER},
        {{.another_key = true}, CS_OK, CS_E_KMS_ANSWER}, /* nothing would open what is sealed with it */
    };
    tee_world *t = *state;
    tee_ask sign = {.op = CS_TEE_SIGN, .record = S("wallet-1"), .u1 = 4, .u2 = 1, .rows = &row.row, .num_rows = 1};
    tee_ask make = {.op = CS_TEE_GENERATE, .record = S("wallet-2"), .u1 = 4};

    generate(t, &row, "wallet-1", CS_TEE_BIP340);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        t->fault = rows[i].fault;
        assert_int_equal(tee_call(t, &a, &sign), rows[i].decrypt);
        assert_int_equal(tee_call(t, &a, &make), rows[i].generate);
        assert_true(a.code == CS_OK || a.num_rows == 0);
        t->fault = (kms_fault){0};
        OK(tee_call(t, &a, &sign));
    }
}

static void test_an_answer_that_never_comes_is_a_timeout_and_a_late_one_is_nothing(void **state)
{
    tee_world *t = *state;
    tee_ask sign = {.op = CS_TEE_SIGN, .record = S("wallet-1"), .u1 = 4, .u2 = 1, .rows = &row.row, .num_rows = 1};
    static uint8_t text[2][2200];
    cs_rpc_frame call;

    generate(t, &row, "wallet-1", CS_TEE_BIP340);
    t->kms_silent = true;
    (void)tee_send(t, &sign);
    tee_settle(t);
    call = kms_next(t);
    memcpy(text[0], call.f[1].s.p, call.f[1].s.len);
    memcpy(text[1], call.f[2].s.p, call.f[2].s.len);
    call.f[1].s.p = text[0];
    call.f[2].s.p = text[1];
    tick_ms(t->w, CS_KEYS_KMS_MS - 1);
    assert_int_equal(jobs_under_way(t), 1);
    tick_ms(t->w, 1);
    tee_wait(t, &a);
    assert_int_equal(a.code, CS_E_TIMEOUT);
    kms_reply(t, &call);
    kms_reply(t, &call);
    call.id = CS_KEYS_CALL | 0xffff;
    kms_reply(t, &call);
    tee_settle(t);
    assert_true(none(t->w, CS_LINK_SERVICE));
    t->kms_silent = false;
    OK(tee_call(t, &a, &sign));
}

/* Several at once, answered in another order; equal ones are asked once. */
static void test_data_keys_are_asked_for_side_by_side(void **state)
{
    enum { N = 5 };
    static kept_row kept[N];
    static uint8_t text[N][2][2200];
    cs_rpc_frame call[N];
    uint64_t frame[N], again[N];
    tee_world *t = *state;
    tee_ask q = {.op = CS_TEE_SIGN, .record = S("wallet-1"), .u1 = 1, .u2 = 1, .bytes = S("m"), .num_rows = 1};
    unsigned calls;

    for (unsigned i = 0; i < N; i++) {
        generate(t, &kept[i], "wallet-1", CS_TEE_ECDSA_K1);
    }
    t->kms_silent = true;
    calls = t->kms_calls;
    for (unsigned i = 0; i < N; i++) {
        q.rows = &kept[i].row;
        frame[i] = tee_send(t, &q);
        tee_settle(t);
        again[i] = tee_send(t, &q);
        tee_settle(t);
        call[i] = kms_next(t);
        memcpy(text[i][0], call[i].f[1].s.p, call[i].f[1].s.len);
        memcpy(text[i][1], call[i].f[2].s.p, call[i].f[2].s.len);
        call[i].f[1].s.p = text[i][0];
        call[i].f[2].s.p = text[i][1];
    }
    assert_true(none(t->w, CS_LINK_KMS));
    assert_int_equal(t->kms_calls - calls, N);
    assert_int_equal(jobs_under_way(t), 2 * N);
    for (unsigned i = N; i-- > 0;) {
        kms_reply(t, &call[i]);
        for (unsigned k = 0; k < 2; k++) {
            tee_wait(t, &a);
            assert_true(a.frame == frame[i] || a.frame == again[i]);
            OK(a.code);
            assert_true(cs_slice_eq(a.result.f[2].s, kept[i].row.public_key));
        }
    }
    has(t->w, "\"shared\":5");
}

static void test_without_sign_kms_calls_that_need_it_end_and_others_go_on(void **state)
{
    tee_world *t = *state;
    tee_ask sign = {.op = CS_TEE_SIGN, .record = S("wallet-1"), .u1 = 4, .u2 = 1, .rows = &row.row, .num_rows = 1};

    generate(t, &row, "wallet-1", CS_TEE_BIP340);
    t->kms_silent = true;
    (void)tee_send(t, &sign);
    tee_settle(t);
    cs_core_link_down(t->w->core, CS_LINK_KMS);
    tee_wait(t, &a);
    assert_int_equal(a.code, CS_E_KMS_UNAVAILABLE);
    assert_int_equal(tee_call(t, &a, &sign), CS_E_KMS_UNAVAILABLE);
    OK(tee_call(t, &a, &(tee_ask){.op = CS_TEE_STATS, .who = NOBODY}));
}

static void test_a_module_that_fails_fails_the_calls_that_need_a_document(void **state)
{
    tee_world *t = *state;

    t->w->nsm_fails = true;
    assert_int_equal(tee_call(t, &a, &(tee_ask){.op = CS_TEE_GENERATE, .record = S("wallet-2"), .u1 = 4}), CS_E_NSM);
    assert_int_equal(tee_call(t, &a, &(tee_ask){.op = CS_TEE_ATTEST, .who = NOBODY, .bytes = S("0123456789abcdef")}),
                     CS_E_NSM);
    t->w->nsm_fails = false;
    generate(t, &row, "wallet-1", CS_TEE_BIP340);
}

static void test_the_rsa_key_is_replaced_after_an_hour(void **state)
{
    tee_world *t = *state;
    uint8_t first[1024];
    size_t len;

    generate(t, &row, "wallet-1", CS_TEE_BIP340);
    len = t->spki_len;
    memcpy(first, t->spki, len);
    generate(t, &row, "wallet-1", CS_TEE_BIP340);
    assert_memory_equal(first, t->spki, len);
    tick_ms(t->w, CS_KEYS_RSA_MS);
    generate(t, &row, "wallet-1", CS_TEE_BIP340); /* with the old one: nobody waits for the new one */
    for (unsigned i = 0; i < 200 && memcmp(first, t->spki, len) == 0; i++) {
        tee_turn(t, 100);
        generate(t, &row, "wallet-1", CS_TEE_BIP340);
    }
    assert_memory_not_equal(first, t->spki, len);
}

static void test_a_cached_data_key_is_used_for_its_time_and_no_longer(void **state)
{
    tee_world *t = *state;
    tee_ask q = {.op = CS_TEE_SIGN, .record = S("wallet-1"), .u1 = 4, .u2 = 1, .rows = &row.row, .num_rows = 1};
    unsigned calls;

    generate(t, &row, "wallet-1", CS_TEE_BIP340);
    calls = t->kms_calls;
    OK(tee_call(t, &a, &q)); /* one that was generated is kept too */
    assert_int_equal(t->kms_calls, calls);
    tick_ms(t->w, 59999);
    OK(tee_call(t, &a, &q));
    assert_int_equal(t->kms_calls, calls);
    tick_ms(t->w, 1);
    has(t->w, "\"cached\":0");
    OK(tee_call(t, &a, &q));
    assert_int_equal(t->kms_calls, calls + 1);
    /* the key of a KMS key is that of no other */
    row.row.kms_key = S(OTHER_ARN);
    assert_int_equal(tee_call(t, &a, &q), CS_E_KMS_CIPHERTEXT);
    row.row.kms_key = S(KEY_ARN);
    /* two have room: the one not used for longest goes */
    generate(t, &other, "wallet-2", CS_TEE_BIP340);
    OK(tee_call(t, &a, &q));
    generate(t, &other, "wallet-3", CS_TEE_BIP340);
    calls = t->kms_calls;
    OK(tee_call(t, &a, &q));
    assert_int_equal(t->kms_calls, calls);
    has(t->w, "\"cached\":2");
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_checks_come_in_their_order, setup_approvals, teardown),
        cmocka_unit_test_setup_teardown(test_approvals_are_of_different_others_who_may, setup_approvals, teardown),
        T(test_the_rate_of_a_caller),
        T(test_replays_are_done_again_and_others_of_the_id_are_refused),
        T(test_a_clock_that_jumps),
        T(test_requests_sealed_to_another_boot_do_not_open),
        T(test_what_nobody_may_not_and_callers_need_no_grant_for_what_he_may),
        T(test_each_fault_of_kms_has_its_code_and_the_next_call_works),
        T(test_an_answer_that_never_comes_is_a_timeout_and_a_late_one_is_nothing),
        T(test_data_keys_are_asked_for_side_by_side),
        T(test_without_sign_kms_calls_that_need_it_end_and_others_go_on),
        T(test_a_module_that_fails_fails_the_calls_that_need_a_document),
        T(test_the_rsa_key_is_replaced_after_an_hour),
        cmocka_unit_test_setup_teardown(test_a_cached_data_key_is_used_for_its_time_and_no_longer, setup_cache,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
