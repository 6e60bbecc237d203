/* The participant's server with a signer that is this test: checks, joining, memory, callers that leave, health, draining. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "net/health.pb-c.h"
#include "net/mpc.pb-c.h"
#include "party/deal.h"
#include "tools/gateway_sign.h"
#include "tools/participant.h"

#define SIGN "/mpc.Participant/SignTx"

struct cs_pjob {
    cs_pjob *next;
    cs_pclient_fn *fn;
    void *cookie;
    cs_psign_request r;
    bool cancelled;
};

static cs_deal *dealt;
static cs_share_set *shares;
static cs_loop *loop;
static cs_participant *participant;
static cs_grpc_client *client;
static cs_pjob *jobs; /* newest first */
static unsigned started;
static cs_err refuse;
static cs_timer *tick;

static void on_tick(void *cookie)
{
    (void)cookie;
}

static cs_err fake_sign(cs_pjob **out, void *signer, const cs_psign_request *r, cs_pclient_fn *fn, void *cookie)
{
    assert_ptr_equal(signer, &jobs);
    if (refuse != CS_OK) {
        return refuse;
    }
    cs_pjob *j = calloc(1, sizeof *j);
    assert_non_null(j);
    *j = (cs_pjob){.next = jobs, .fn = fn, .cookie = cookie, .r = *r};
    jobs = j;
    started++;
    *out = j;
    return CS_OK;
}

static void fake_cancel(cs_pjob *j)
{
    assert_false(j->cancelled);
    j->cancelled = true;
}

static void finish_job(cs_pjob *j, cs_err err)
{
    cs_presult r = {.err = err, .attempts = 1, .hint = err == CS_E_PEER_SILENT ? CS_E_NOT_SERVING : CS_OK};
    assert_false(j->cancelled);
    memset(r.sig.r, 0x11, 32);
    memset(r.sig.s, 0x22, 32);
    r.sig.r[31] = (uint8_t)started;
    r.sig.recid = 1;
    j->fn(j->cookie, &r);
}

static int start(void **state)
{
    cs_slice c, s;
    uint8_t pk[33];
    cs_log_init("test", CS_LOG_ERROR, 2);
    return cs_arena_init((size_t)16 << 20, false) == CS_OK && cs_deal_new(&dealt, 1) == CS_OK &&
                   cs_deal_add(dealt, cs_slice_str("a"), NULL, pk) == CS_OK &&
                   cs_deal_finish(dealt, 1, NULL, &c, &s) == CS_OK &&
                   cs_share_load(&shares, c, &(cs_share_policy){.allow_unsigned = true}, NULL) == CS_OK
               ? 0
               : -1;
}

static int fresh(void **state)
{
    cs_endpoint ep, bound;
    int fd = -1;
    started = 0;
    refuse = CS_OK;
    assert_int_equal(cs_loop_new(&loop), CS_OK);
    assert_int_equal(cs_timer_new(&tick, loop, on_tick, NULL), CS_OK);
    cs_timer_start(tick, 5, 5);
    assert_int_equal(cs_endpoint_parse(&ep, cs_slice_str("tcp:127.0.0.1:0")), CS_OK);
    assert_int_equal(cs_endpoint_listen(&fd, &ep, 16), CS_OK);
    assert_int_equal(cs_endpoint_bound(&bound, fd), CS_OK);
    cs_participant_config config = {
        .loop = loop, .shares = shares, .sign = fake_sign, .cancel = fake_cancel, .signer = &jobs};
    assert_int_equal(cs_participant_new(&participant, &config, fd), CS_OK);
    assert_int_equal(cs_grpc_client_new(&client, loop, &bound, NULL), CS_OK);
    return 0;
}

static int clear(void **state)
{
    cs_grpc_client_free(client);
    cs_participant_free(participant);
    cs_timer_free(tick);
    cs_loop_free(loop);
    while (jobs != NULL) {
        cs_pjob *next = jobs->next;
        free(jobs);
        jobs = next;
    }
    return 0;
}

/* ---- calls */

typedef struct outcome {
    cs_grpc_call *call;
    bool done;
    cs_err err;
    cs_grpc_status status;
    char text[300];
    uint8_t r[32], s[32];
    unsigned v, messages;
    int health;
} outcome;

static void on_signature(cs_grpc_call *c, void *cookie, cs_slice message)
{
    outcome *o = cookie;
    Mpc__SignatureMessage *m = mpc__signature_message__unpack(NULL, message.len, message.p);
    assert_non_null(m);
    assert_int_equal(m->r.len, 32);
    assert_int_equal(m->s.len, 32);
    memcpy(o->r, m->r.data, 32);
    memcpy(o->s, m->s.data, 32);
    o->v = m->v;
    o->messages++;
    mpc__signature_message__free_unpacked(m, NULL);
}

static void on_health(cs_grpc_call *c, void *cookie, cs_slice message)
{
    outcome *o = cookie;
    Grpc__Health__V1__HealthCheckResponse *m =
        grpc__health__v1__health_check_response__unpack(NULL, message.len, message.p);
    assert_non_null(m);
    o->health = (int)m->status;
    o->messages++;
    grpc__health__v1__health_check_response__free_unpacked(m, NULL);
}

static void on_end(cs_grpc_call *c, void *cookie, const cs_grpc_result *r)
{
    outcome *o = cookie;
    o->done = true;
    o->err = r->err;
    o->status = r->status;
    for (size_t i = 0; i < r->message.len && i < sizeof o->text - 1; i++) {
        o->text[i] = (char)r->message.p[i];
    }
}

static const cs_grpc_call_events sign_events = {on_signature, NULL, on_end};
static const cs_grpc_call_events health_events = {on_health, NULL, on_end};

static void call(outcome *o, const char *path, cs_slice message)
{
    const cs_grpc_call_events *events = strcmp(path, SIGN) == 0 ? &sign_events : &health_events;
    *o = (outcome){0};
    assert_int_equal(cs_grpc_call_new(&o->call, client, path, 5000, events, o), CS_OK);
    assert_int_equal(cs_grpc_send(o->call, &message, 1), CS_OK);
    cs_grpc_end(o->call);
}

static void ask(outcome *o, int32_t tx, const char *execution, uint8_t digest)
{
    static Mpc__SignMessage m;
    uint8_t packed[300], d[32] = {digest};
    m = (Mpc__SignMessage)MPC__SIGN_MESSAGE__INIT;
    m.tx_id = tx;
    m.account_id = (char *)(uintptr_t) "a";
    m.execution_id = (ProtobufCBinaryData){strlen(execution), (uint8_t *)(uintptr_t)execution};
    m.data = (ProtobufCBinaryData){32, d};
    call(o, SIGN, cs_slice_of(packed, mpc__sign_message__pack(&m, packed)));
}

static void turn(void)
{
    assert_true(cs_loop_run_once(loop, true));
}

static void wait_for(const outcome *o)
{
    while (!o->done) {
        turn();
    }
}

static void wait_started(unsigned n)
{
    while (started < n) {
        turn();
    }
}

/* ---- tests */

static void refused(Mpc__SignMessage *m, cs_err err, cs_grpc_status status)
{
    outcome o;
    uint8_t packed[600];
    call(&o, SIGN, cs_slice_of(packed, mpc__sign_message__pack(m, packed)));
    wait_for(&o);
    assert_int_equal(o.err, err);
    assert_int_equal(o.status, status);
    assert_int_equal(o.messages, 0);
}

static void requests_are_checked_as_the_service_does(void **state)
{
    outcome o;
    uint8_t data[65] = {1};
    Mpc__SignMessage good = MPC__SIGN_MESSAGE__INIT, m;
    good.account_id = (char *)(uintptr_t) "a";
    good.data = (ProtobufCBinaryData){32, data};
    good.execution_id = (ProtobufCBinaryData){1, data};
    m = good;
    m.data.len = 31;
    refused(&m, CS_E_DIGEST_LENGTH, CS_GRPC_INVALID_ARGUMENT);
    m.data.len = 33;
    refused(&m, CS_E_DIGEST_LENGTH, CS_GRPC_INVALID_ARGUMENT);
    m.data.len = 0;
    refused(&m, CS_E_DIGEST_LENGTH, CS_GRPC_INVALID_ARGUMENT);
    m = good;
    m.execution_id.len = 0;
    refused(&m, CS_E_RANGE, CS_GRPC_OUT_OF_RANGE);
    m.execution_id.len = 65;
    refused(&m, CS_E_RANGE, CS_GRPC_OUT_OF_RANGE);
    m = good;
    m.account_id = (char *)(uintptr_t) "b";
    refused(&m, CS_E_ACCOUNT_UNKNOWN, CS_GRPC_NOT_FOUND);
    m.account_id = (char *)(uintptr_t) "";
    refused(&m, CS_E_ACCOUNT_UNKNOWN, CS_GRPC_NOT_FOUND);
    m = good;
    m.chain = (Mpc__Chain)2;
    refused(&m, CS_E_RANGE, CS_GRPC_OUT_OF_RANGE);
    /* "a" and what stands behind a NUL is another account: field 5, 3 bytes, given last */
    uint8_t packed[600];
    size_t len = mpc__sign_message__pack(&good, packed);
    memcpy(packed + len,
           "\x2a\x03"
           "a\0b",
           5);
    call(&o, SIGN, cs_slice_of(packed, len + 5));
    wait_for(&o);
    assert_int_equal(o.err, CS_E_ACCOUNT_UNKNOWN);
    call(&o, SIGN, cs_slice_str("\x12\x7f broken"));
    wait_for(&o);
    assert_int_equal(o.status, CS_GRPC_INTERNAL);
    assert_int_equal(started, 0);
    refuse = CS_E_SESSION_LIMIT;
    refused(&good, CS_E_SESSION_LIMIT, CS_GRPC_RESOURCE_EXHAUSTED);
    refuse = CS_OK;
    assert_int_equal(cs_participant_busy(participant), 0);
}

static void the_same_request_joins_and_is_remembered(void **state)
{
    outcome a, b, c;
    ask(&a, -7, "x", 1);
    wait_started(1);
    assert_int_equal(jobs->r.tx_id, -7);
    assert_int_equal(jobs->r.digest32[0], 1);
    assert_int_equal(cs_participant_busy(participant), 1);
    ask(&b, -7, "x", 1);
    ask(&c, -7, "x", 2); /* the conflict comes back while the first is under way; then b has joined */
    wait_for(&c);
    assert_int_equal(c.err, CS_E_EXECUTION_CONFLICT);
    assert_int_equal(c.status, CS_GRPC_FAILED_PRECONDITION);
    assert_int_equal(started, 1);
    finish_job(jobs, CS_OK);
    wait_for(&a);
    wait_for(&b);
    assert_int_equal(a.err, CS_OK);
    assert_int_equal(a.v, 1);
    assert_int_equal(a.s[0], 0x22);
    assert_memory_equal(a.r, b.r, 32);
    assert_int_equal(cs_participant_busy(participant), 0);
    ask(&c, -7, "x", 1);
    wait_for(&c);
    assert_int_equal(c.err, CS_OK);
    assert_memory_equal(a.r, c.r, 32);
    assert_int_equal(started, 1);
    ask(&c, -7, "x", 2);
    wait_for(&c);
    assert_int_equal(c.err, CS_E_EXECUTION_CONFLICT);
    ask(&a, -7, "y", 2); /* another execution of the transaction is another request */
    wait_started(2);
    finish_job(jobs, CS_OK);
    wait_for(&a);
    assert_int_equal(a.err, CS_OK);
    assert_memory_not_equal(a.r, b.r, 32);
}

static void a_failure_is_told_to_all_and_may_be_tried_again(void **state)
{
    outcome a, b;
    ask(&a, 1, "x", 1);
    ask(&b, 2, "x", 1);
    wait_started(2);
    finish_job(jobs, CS_E_PEER_SILENT);
    finish_job(jobs->next, CS_E_PEER_BANNED);
    wait_for(&a);
    wait_for(&b);
    outcome *silent = a.err == CS_E_PEER_SILENT ? &a : &b, *banned = silent == &a ? &b : &a;
    assert_int_equal(silent->err, CS_E_PEER_SILENT);
    assert_int_equal(silent->status, CS_GRPC_DEADLINE_EXCEEDED);
    assert_non_null(strstr(silent->text, "NOT_SERVING")); /* what the other side is said to have ended with */
    assert_int_equal(banned->err, CS_E_PEER_BANNED);
    ask(&a, silent == &a ? 1 : 2, "x", 1);
    wait_started(3);
    finish_job(jobs, CS_OK);
    wait_for(&a);
    assert_int_equal(a.err, CS_OK);
}

static void a_request_that_nobody_waits_for_is_given_up(void **state)
{
    outcome a, b;
    ask(&a, 1, "x", 1);
    ask(&b, 1, "x", 1);
    wait_started(1);
    for (int i = 0; i < 5; i++) {
        turn(); /* so that b has joined, or joins */
    }
    cs_grpc_cancel(a.call);
    ask(&a, 1, "x", 9);
    wait_for(&a); /* behind the cancellation on the same connection */
    assert_int_equal(a.err, CS_E_EXECUTION_CONFLICT);
    assert_false(jobs->cancelled);
    cs_grpc_cancel(b.call);
    while (!jobs->cancelled) {
        turn();
    }
    assert_int_equal(cs_participant_busy(participant), 0);
    ask(&b, 1, "x", 1); /* and is started again when somebody asks */
    wait_started(2);
    finish_job(jobs, CS_OK);
    wait_for(&b);
    assert_int_equal(b.err, CS_OK);
}

static void health_and_draining(void **state)
{
    outcome check, unknown, watch, a;
    call(&check, "/grpc.health.v1.Health/Check", CS_SLICE_NULL);
    call(&unknown, "/grpc.health.v1.Health/Check", cs_slice_str("\x0a\x01z"));
    call(&watch, "/grpc.health.v1.Health/Watch", cs_slice_str("\x0a\x0fmpc.Participant"));
    wait_for(&check);
    wait_for(&unknown);
    assert_int_equal(check.health, 1);
    assert_int_equal(unknown.status, CS_GRPC_NOT_FOUND);
    while (watch.messages == 0) {
        turn();
    }
    assert_int_equal(watch.health, 1);
    ask(&a, 1, "x", 1);
    wait_started(1);
    cs_participant_drain(participant, on_tick, NULL);
    wait_for(&watch);
    assert_int_equal(watch.health, 2);
    assert_int_equal(watch.err, CS_OK);
    assert_false(a.done);
    finish_job(jobs, CS_OK); /* what is under way ends as it would have */
    wait_for(&a);
    assert_int_equal(a.err, CS_OK);
}

static void freed_with_requests_under_way(void **state)
{
    outcome a, watch;
    call(&watch, "/grpc.health.v1.Health/Watch", CS_SLICE_NULL);
    ask(&a, 1, "x", 1);
    wait_started(1);
    cs_participant_free(participant);
    participant = NULL;
    assert_true(jobs->cancelled);
    wait_for(&a);
    wait_for(&watch);
    assert_int_equal(a.err, CS_E_CLOSED);
}

/* the gateway's side of `signctl sign` and `bench stack`: the same message to another service name */
static void on_theirs(void *cookie, const cs_gateway_sign *r)
{
    *(cs_gateway_sign *)cookie = *r;
}

static void a_gateway_that_is_none_is_refused(void **state)
{
    cs_gateway_sign got = {.err = CS_OK};
    uint8_t x = 1;
    cs_psign_request r = {.account_id = cs_slice_str("a"), .execution_id = cs_slice_of(&x, 1)};
    assert_int_equal(cs_gateway_sign_start(client, &r, 5000, on_theirs, &got), CS_OK);
    while (got.err == CS_OK) {
        turn();
    }
    assert_int_equal(got.err, CS_E_NOT_IMPLEMENTED);
    r.tx_id = (int64_t)INT32_MAX + 1;
    assert_int_equal(cs_gateway_sign_start(client, &r, 5000, on_theirs, &got), CS_E_RANGE);
    r.tx_id = 0;
    r.path_len = 1;
    assert_int_equal(cs_gateway_sign_start(client, &r, 5000, on_theirs, &got), CS_E_RANGE);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fresh, clear)
    const struct CMUnitTest tests[] = {
        T(requests_are_checked_as_the_service_does),
        T(the_same_request_joins_and_is_remembered),
        T(a_failure_is_told_to_all_and_may_be_tried_again),
        T(a_request_that_nobody_waits_for_is_given_up),
        T(health_and_draining),
        T(freed_with_requests_under_way),
        T(a_gateway_that_is_none_is_refused),
    };
#undef T
    return cmocka_run_group_tests(tests, start, NULL);
}
