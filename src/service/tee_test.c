/* countersign.v1.TeeCore/Call between clients and a core that the test plays: each answer reaches its caller, and no other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/countersign.pb-c.h"
#include "service/testfront.h"

#define PATH "/countersign.v1.TeeCore/Call"

struct tee {
    testfront f;
    cs_grpc_client *g;
};

static int set_up(void **state)
{
    static struct tee t;

    testfront_set_up(&t.f);
    assert_int_equal(cs_grpc_client_new(&t.g, t.f.s.loop, &t.f.grpc_ep, NULL), CS_OK);
    *state = &t;
    return 0;
}

static int tear_down(void **state)
{
    struct tee *t = *state;

    cs_grpc_client_free(t->g);
    testfront_tear_down(&t->f);
    return 0;
}

static cs_grpc_call *call(struct tee *t, testfront_client *k, uint32_t timeout_ms, cs_slice body, cs_slice attached)
{
    static uint8_t packed[CS_GRPC_MESSAGE_MAX + 64];
    Countersign__V1__TeeCoreCall in = COUNTERSIGN__V1__TEE_CORE_CALL__INIT;
    cs_grpc_call *c = NULL;

    in.call = (ProtobufCBinaryData){body.len, (uint8_t *)(uintptr_t)body.p};
    in.attachments = (ProtobufCBinaryData){attached.len, (uint8_t *)(uintptr_t)attached.p};
    in.sealed = 1;
    cs_slice part = cs_slice_of(packed, countersign__v1__tee_core_call__pack(&in, packed));
    assert_int_equal(cs_grpc_call_new(&c, t->g, PATH, timeout_ms, &testfront_events, k), CS_OK);
    assert_int_equal(cs_grpc_send(c, &part, 1), CS_OK);
    cs_grpc_end(c);
    return c;
}

static cs_grpc_call *call_text(struct tee *t, testfront_client *k, const char *body)
{
    return call(t, k, 0, cs_slice_str(body), CS_SLICE_NULL);
}

static void answer(struct tee *t, uint64_t id, const char *reply)
{
    cs_rpc_frame f = {.type = CS_RPC_TEE_REPLY, .id = id};

    f.f[0].s = cs_slice_str(reply);
    testfront_core_says(&t->f, &f);
}

static void turns(struct tee *t, int n)
{
    for (int i = 0; i < n; i++) {
        (void)cs_loop_run_once(t->f.s.loop, false);
    }
}

static void until_over(struct tee *t, const testfront_client *k)
{
    uint64_t end = cs_clock_mono_ms() + 10000;

    while (!k->over && cs_clock_mono_ms() < end) {
        (void)cs_loop_run_once(t->f.s.loop, false);
    }
    assert_true(k->over);
}

/* The message of k is a TeeCoreReply with this reply. */
static void has(const testfront_client *k, const char *reply)
{
    assert_int_equal(k->ended, CS_OK);
    assert_int_equal(k->messages, 1);
    Countersign__V1__TeeCoreReply *r = countersign__v1__tee_core_reply__unpack(NULL, k->last_len, k->last);
    assert_non_null(r);
    assert_int_equal(r->reply.len, strlen(reply));
    assert_memory_equal(r->reply.data, reply, strlen(reply));
    countersign__v1__tee_core_reply__free_unpacked(r, NULL);
}

static void core_gets_what_the_caller_sent(void **state)
{
    static uint8_t packet[CS_RPC_MAX];
    struct tee *t = *state;
    testfront_client k = {0};
    cs_rpc_frame f;
    ssize_t n = -1;

    (void)call(t, &k, 0, cs_slice_str("the call"), cs_slice_str("rows"));
    for (int i = 0; n < 0 && i < 1000; i++) {
        turns(t, 1);
        n = recv(t->f.core, packet, sizeof packet, MSG_DONTWAIT);
    }
    assert_true(n > 0);
    assert_int_equal(cs_rpc_decode(&f, cs_slice_of(packet, (size_t)n)), CS_OK);
    assert_int_equal(f.type, CS_RPC_TEE_CALL);
    assert_int_equal(f.f[0].u, 1);
    assert_true(cs_slice_eq_str(f.f[1].s, "the call") && cs_slice_eq_str(f.f[2].s, "rows"));
    answer(t, f.id, "done");
    until_over(t, &k);
    has(&k, "done");
}

static void two_at_once_are_answered_in_any_order(void **state)
{
    struct tee *t = *state;
    testfront_client a = {0}, b = {0};
    uint64_t id_a = 0, id_b = 0;

    (void)call_text(t, &a, "a");
    testfront_core_gets(&t->f, CS_RPC_TEE_CALL, &id_a);
    (void)call_text(t, &b, "b");
    testfront_core_gets(&t->f, CS_RPC_TEE_CALL, &id_b);
    assert_true(id_a != id_b);
    answer(t, id_b, "to b");
    until_over(t, &b);
    assert_false(a.over);
    has(&b, "to b");
    answer(t, id_b, "to b again"); /* a second answer finds nobody */
    answer(t, id_a, "to a");
    until_over(t, &a);
    has(&a, "to a");
    assert_int_equal(t->f.s.tee_calls, 0);
}

static void a_call_that_was_cancelled_is_forgotten(void **state)
{
    struct tee *t = *state;
    testfront_client a = {0}, b = {0};
    uint64_t id_a = 0, id_b = 0;

    cs_grpc_call *c = call_text(t, &a, "a");
    testfront_core_gets(&t->f, CS_RPC_TEE_CALL, &id_a);
    (void)call_text(t, &b, "b");
    testfront_core_gets(&t->f, CS_RPC_TEE_CALL, &id_b);
    cs_grpc_cancel(c);
    for (int i = 0; t->f.s.tee_calls == 2 && i < 1000; i++) {
        turns(t, 1);
    }
    assert_int_equal(t->f.s.tee_calls, 1);
    assert_null(cs_idmap_get(&t->f.s.pending, id_a)); /* not only marked: nothing of it waits for its time */
    answer(t, id_a, "too late");
    turns(t, 20);
    assert_int_equal(a.messages, 0);
    answer(t, id_b, "to b");
    until_over(t, &b);
    has(&b, "to b");
    assert_int_equal(t->f.s.pending.used, 0);
}

static void a_reply_for_an_unknown_id_is_dropped(void **state)
{
    struct tee *t = *state;
    testfront_client k = {0};
    uint64_t id = 0;

    (void)call_text(t, &k, "a");
    testfront_core_gets(&t->f, CS_RPC_TEE_CALL, &id);
    answer(t, id + 1, "nobody's");
    answer(t, 1, "nobody's");
    turns(t, 20);
    assert_false(k.over);
    assert_false(t->f.s.core_gone);
    answer(t, id, "mine");
    until_over(t, &k);
    has(&k, "mine");
}

static void a_reply_of_another_kind_is_an_error(void **state)
{
    struct tee *t = *state;
    testfront_client k = {0};
    cs_rpc_frame f = {.type = CS_RPC_REPLY};

    (void)call_text(t, &k, "a");
    testfront_core_gets(&t->f, CS_RPC_TEE_CALL, &f.id);
    f.f[0].s = cs_slice_str("OK");
    testfront_core_says(&t->f, &f);
    until_over(t, &k);
    assert_int_equal(k.ended, CS_E_INTERNAL);
    assert_int_equal(t->f.s.tee_calls, 0);
}

static void a_reply_that_is_no_frame_ends_the_program(void **state)
{
    struct tee *t = *state;
    testfront_client k = {0};

    cs_grpc_call *c = call_text(t, &k, "a");
    testfront_core_gets(&t->f, CS_RPC_TEE_CALL, NULL);
    assert_int_equal(send(t->f.core, "\x83\x18\x28", 3, 0), 3); /* half of a TEE_REPLY */
    turns(t, 20);
    assert_true(t->f.s.core_gone);
    assert_int_equal(k.messages, 0);
    cs_grpc_cancel(c);
}

static void what_is_too_large_never_reaches_core(void **state)
{
    static uint8_t big[CS_RPC_MAX];
    struct tee *t = *state;
    testfront_client fits = {0}, over = {0}, wrap = {0};
    uint64_t id = 0;

    (void)call(t, &fits, 0, cs_slice_of(big, 128u << 10), cs_slice_of(big, (128u << 10) - 64));
    testfront_core_gets(&t->f, CS_RPC_TEE_CALL, &id);
    answer(t, id, "ok");
    until_over(t, &fits);
    has(&fits, "ok");
    (void)call(t, &over, 0, cs_slice_of(big, 128u << 10), cs_slice_of(big, (128u << 10) - 63));
    until_over(t, &over);
    assert_int_equal(over.ended, CS_E_TOO_LARGE);
    (void)call(t, &wrap, 0, cs_slice_of(big, CS_GRPC_MESSAGE_MAX - 10), CS_SLICE_NULL); /* as a message it fits */
    until_over(t, &wrap);
    assert_int_equal(wrap.ended, CS_E_TOO_LARGE);
    testfront_core_gets_nothing(&t->f);
    assert_int_equal(t->f.s.tee_calls, 0);
}

static void what_is_no_message_never_reaches_core(void **state)
{
    struct tee *t = *state;
    testfront_client k = {0};
    cs_grpc_call *c = NULL;
    cs_slice part = cs_slice_of("\x0a\x05xx", 4); /* a field that is longer than the message */

    assert_int_equal(cs_grpc_call_new(&c, t->g, PATH, 0, &testfront_events, &k), CS_OK);
    assert_int_equal(cs_grpc_send(c, &part, 1), CS_OK);
    cs_grpc_end(c);
    until_over(t, &k);
    assert_int_equal(k.ended, CS_E_FORMAT);
    testfront_core_gets_nothing(&t->f);
}

static void the_callers_deadline_is_a_timeout_of_the_call(void **state)
{
    struct tee *t = *state;
    testfront_client k = {0}, later = {0};
    uint64_t id = 0, began = cs_clock_mono_ms();

    (void)call(t, &k, 300, cs_slice_str("a"), CS_SLICE_NULL);
    testfront_core_gets(&t->f, CS_RPC_TEE_CALL, &id);
    until_over(t, &k);
    assert_int_equal(k.ended, CS_E_TEE_TIMEOUT); /* not the transport's own: the code says what to do */
    assert_true(cs_clock_mono_ms() - began < 5000);
    answer(t, id, "too late");
    (void)call_text(t, &later, "b");
    testfront_core_gets(&t->f, CS_RPC_TEE_CALL, &id);
    answer(t, id, "in time");
    until_over(t, &later);
    has(&later, "in time");
    assert_int_equal(k.messages, 0);
    assert_int_equal(t->f.s.tee_calls, 0);
}

static void a_full_link_and_too_many_calls_are_busy(void **state)
{
    static uint8_t body[200000];
    struct tee *t = *state;
    testfront_client full = {0}, many = {0}, next = {0};
    cs_rpc_frame data = {.type = CS_RPC_PARTY_DATA, .id = 7};
    uint64_t id = 0;

    t->f.s.tee_calls = CS_SERVICE_TEE_CALLS;
    (void)call_text(t, &many, "a");
    until_over(t, &many);
    assert_int_equal(many.ended, CS_E_TEE_BUSY);
    testfront_core_gets_nothing(&t->f);
    t->f.s.tee_calls = CS_SERVICE_TEE_CALLS - 1;
    (void)call_text(t, &next, "b");
    testfront_core_gets(&t->f, CS_RPC_TEE_CALL, &id);
    answer(t, id, "ok");
    until_over(t, &next);
    has(&next, "ok");
    t->f.s.tee_calls = 0;
    data.f[0].s = cs_slice_of(body, sizeof body);
    while (!cs_link_full(t->f.s.core)) { /* also after the socket has taken what it takes */
        assert_int_equal(cs_service_send(&t->f.s, &data), CS_OK);
        turns(t, cs_link_full(t->f.s.core) ? 20 : 0);
    }
    (void)call_text(t, &full, "c");
    until_over(t, &full);
    assert_int_equal(full.ended, CS_E_TEE_BUSY);
    assert_int_equal(cs_service_send(&t->f.s, &data), CS_OK); /* sessions have room where calls have none */
    assert_int_equal(t->f.s.tee_calls, 0);
}

static void without_core_calls_are_refused(void **state)
{
    struct tee *t = *state;
    testfront_client k = {0};

    turns(t, 20);
    cs_link *gone = t->f.s.core;
    t->f.s.core = NULL;
    (void)call_text(t, &k, "a");
    until_over(t, &k);
    assert_int_equal(k.ended, CS_E_CLOSED);
    t->f.s.core = gone;
}

static cs_grpc_call *entries(struct tee *t, testfront_client *k, uint64_t from)
{
    static uint8_t packed[32];
    Countersign__V1__TeeCoreEntries in = COUNTERSIGN__V1__TEE_CORE_ENTRIES__INIT;
    cs_grpc_call *c = NULL;

    in.from = from;
    cs_slice part = cs_slice_of(packed, countersign__v1__tee_core_entries__pack(&in, packed));
    assert_int_equal(cs_grpc_call_new(&c, t->g, "/countersign.v1.TeeCore/Entries", 0, &testfront_events, k), CS_OK);
    assert_int_equal(cs_grpc_send(c, &part, 1), CS_OK);
    cs_grpc_end(c);
    return c;
}

static void entries_of_core_go_back_to_who_asks(void **state)
{
    struct tee *t = *state;
    testfront_client a = {0}, b = {0}, c = {0}, d = {0};
    cs_rpc_frame f = {.type = CS_RPC_TEE_ENTRIES_REPLY};

    (void)entries(t, &a, 7);
    testfront_core_gets(&t->f, CS_RPC_TEE_ENTRIES, &f.id);
    f.f[0].s = cs_slice_str("OK");
    f.f[1].s = cs_slice_str("entries");
    testfront_core_says(&t->f, &f);
    until_over(t, &a);
    has(&a, "entries");
    (void)entries(t, &b, 7);
    testfront_core_gets(&t->f, CS_RPC_TEE_ENTRIES, &f.id);
    f.f[0].s = cs_slice_str("TEE_DISABLED");
    testfront_core_says(&t->f, &f);
    until_over(t, &b);
    assert_int_equal(b.ended, CS_E_TEE_DISABLED);
    (void)entries(t, &c, 7);
    testfront_core_gets(&t->f, CS_RPC_TEE_ENTRIES, &f.id);
    answer(t, f.id, "of another kind");
    until_over(t, &c);
    assert_int_equal(c.ended, CS_E_INTERNAL);
    cs_grpc_call *gone = entries(t, &d, 7);
    testfront_core_gets(&t->f, CS_RPC_TEE_ENTRIES, &f.id);
    cs_grpc_cancel(gone);
    turns(t, 50);
    f.f[0].s = cs_slice_str("OK");
    testfront_core_says(&t->f, &f);
    turns(t, 20);
    assert_int_equal(d.messages, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(core_gets_what_the_caller_sent),
        T(two_at_once_are_answered_in_any_order),
        T(entries_of_core_go_back_to_who_asks),
        T(a_call_that_was_cancelled_is_forgotten),
        T(a_reply_for_an_unknown_id_is_dropped),
        T(a_reply_of_another_kind_is_an_error),
        T(a_reply_that_is_no_frame_ends_the_program),
        T(what_is_too_large_never_reaches_core),
        T(what_is_no_message_never_reaches_core),
        T(the_callers_deadline_is_a_timeout_of_the_call),
        T(a_full_link_and_too_many_calls_are_busy),
        T(without_core_calls_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
