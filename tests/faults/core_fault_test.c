/*
 * sign-core with the nth arena allocation, or the nth draw of random bytes, failing while it loads shares, makes a channel and
 * signs - for every n there is. Only what core itself asks for is counted: cs_core_frame and cs_core_tick are wrapped at link time.
 * Each time: a code of the table, no message out, the arena as before, and the next try succeeds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "driver.h"
#include "secret/rng.h"

#define OK(x) assert_int_equal((x), CS_OK)
#define MANY 200

cs_err __real_cs_core_frame(cs_core *c, cs_core_link link, cs_slice bytes);
cs_err __wrap_cs_core_frame(cs_core *c, cs_core_link link, cs_slice bytes);

void __real_cs_core_tick(cs_core *c);
void __wrap_cs_core_tick(cs_core *c);

static const struct fault {
    const char *name;
    unsigned (*arm)(unsigned nth);
    cs_err code;
} faults[] = {
    {"memory", cs_secret_fail_for_tests, CS_E_NO_MEMORY},
    {"random", cs_random_fail_for_tests, CS_E_ENTROPY},
};
#define NUM_FAULTS (sizeof faults / sizeof faults[0])

static const struct fault *fault = &faults[0];
static unsigned order; /* calls of core until one fails; 0: none, or done */

cs_err __wrap_cs_core_frame(cs_core *c, cs_core_link link, cs_slice bytes)
{
    (void)fault->arm(order);
    cs_err err = __real_cs_core_frame(c, link, bytes);
    order = fault->arm(0);
    return err;
}

/* the slices of a large load */
void __wrap_cs_core_tick(cs_core *c)
{
    (void)fault->arm(order);
    __real_cs_core_tick(c);
    order = fault->arm(0);
}

static int setup(void **state)
{
    *state = world_new();
    return 0;
}

static int teardown(void **state)
{
    order = 0;
    world_free(*state);
    return 0;
}

static void report(const char *what, unsigned points)
{
    print_message("# %s: %u points of %s failed in turn\n", what, points, fault->name);
}

/* The first refusal among the waiting replies. */
static cs_err replies(world *w)
{
    cs_err err = CS_OK;
    while (!none(w, CS_LINK_SERVICE)) {
        cs_rpc_frame f = next(w, CS_LINK_SERVICE);
        char code[64] = "";
        assert_string_equal(cs_rpc_name(f.type), "REPLY");
        memcpy(code, f.f[0].s.p, f.f[0].s.len);
        err = err != CS_OK ? err : cs_err_from_code(code);
    }
    return err;
}

static cs_err load(world *w, uint64_t generation)
{
    cs_slice file = sealed_file(w, &(recipe){.generation = generation});
    uint64_t id = w->next_id += 2;
    inject_age(w, id);
    inject_shares(w, id + 1, file);
    if (!none(w, CS_LINK_KMS)) {
        answer_kms(w, &(kms_answer){0});
    }
    cs_err err = replies(w);
    while (!none(w, CS_LINK_KMS)) {
        assert_string_equal(cs_rpc_name(next(w, CS_LINK_KMS).type), "CRED_WIPE");
    }
    return err;
}

static void a_load_that_fails_anywhere_is_as_if_it_never_was(void **state)
{
    world *w = *state;
    for (size_t k = 0; k < NUM_FAULTS; k++) {
        unsigned n;
        fault = &faults[k];
        for (n = 1; n < MANY; n++) {
            world_core(w);
            credentials(w, CS_CRED_PRESENT);
            size_t used = cs_arena_used();
            order = n;
            cs_err err = load(w, 7);
            bool struck = order == 0;
            order = 0;
            if (!struck) {
                OK(err);
                break;
            }
            /* a full arena while shares are loaded has a code of its own */
            if (err != fault->code && !(k == 0 && err == CS_E_SHARES_LIMIT)) {
                fail_msg("%s %u: %s", fault->name, n, cs_err_code(err));
            }
            assert_int_equal(cs_core_phase(w->core), CS_PHASE_WAITING);
            assert_int_equal(cs_arena_used(), used);
            credentials(w, CS_CRED_PRESENT);
            OK(load(w, 7));
            assert_int_equal(cs_core_phase(w->core), CS_PHASE_SERVING);
        }
        assert_in_range(n, 2, MANY - 1);
        report("load", n - 1);
    }
}

/* A reload of many accounts on a core that serves: every request of memory in the slices behind KMS's answer. */
static void a_large_reload_that_fails_anywhere_leaves_the_old_set(void **state)
{
    world *w = *state;
    client cl;
    unsigned n;
    fault = &faults[0];
    w->config.max_bytes = (uint64_t)4 << 20;
    serve(w, 7);
    OK(client_connect(w, &cl, 0));
    for (n = 1; n < MANY; n++) {
        const uint64_t id = w->next_id += 2;
        size_t used = cs_arena_used();
        credentials(w, CS_CRED_PRESENT);
        inject_age(w, id);
        inject_shares(w, id + 1, sealed_file(w, &(recipe){.generation = 8, .more = 4000}));
        expect_reply(w, id, CS_OK);
        answer_kms(w, &(kms_answer){0});
        order = n;
        while (none(w, CS_LINK_SERVICE)) {
            cs_core_tick(w->core);
        }
        bool struck = order == 0;
        order = 0;
        if (!struck) {
            expect_reply(w, id + 1, CS_OK);
            has(w, "\"accounts\":4003");
            break;
        }
        expect_reply(w, id + 1, CS_E_SHARES_LIMIT);
        assert_int_equal(cs_core_phase(w->core), CS_PHASE_SERVING);
        assert_int_equal(cs_arena_used(), used);
        has(w, "\"generation\":7");
        has(w, "\"accounts\":3");
        assert_true(sign_once(w, &cl, &(ask){.tx_id = n, .digest_byte = 1}));
    }
    assert_in_range(n, 10, MANY - 1);
    report("large reload", n - 1);
    client_free(&cl);
}

/* The code a stream ended with, or CS_OK and the plaintext of the message of that kind. Nothing else may have been sent. */
static cs_err answer(world *w, session *s, cs_data_kind kind, cs_slice *out)
{
    static uint8_t mem[CS_FRAME_MAX];
    cs_rpc_frame f = next(w, CS_LINK_SERVICE);
    char code[64] = "";
    if (f.type == CS_RPC_PARTY_SEND) {
        size_t len = 0;
        OK(cs_csession_open(&s->cs, mem, sizeof mem, &len, f.f[0].s));
        if (mem[0] == kind) {
            *out = cs_slice_of(mem + 1, len - 1);
            return CS_OK;
        }
        assert_int_equal(mem[0], CS_DATA_REFUSED);
        f = next(w, CS_LINK_SERVICE);
    }
    assert_string_equal(cs_rpc_name(f.type), "PARTY_END");
    memcpy(code, f.f[0].s.p, f.f[0].s.len);
    assert_true(none(w, CS_LINK_SERVICE));
    return cs_err_from_code(code);
}

static cs_err ot(world *w, client *cl, uint64_t stream)
{
    static uint8_t mem[CS_MPC_SETUP_MAX_LEN];
    cs_mpc_setup_args args = {.peer = w->peer[cl->family],
                              .role = CS_MPC_INITIATOR,
                              .chan32 = cl->ch.chan32,
                              .secret32 = w->client_key[cl->family]};
    cs_buf out = cs_buf_wrap(mem, sizeof mem);
    session s = {.stream = stream};
    cs_mpc_setup *setup_ = NULL;
    cs_mpc_verdict v;
    cs_slice in = CS_SLICE_NULL;
    cs_err err = CS_OK;
    OK(cs_csession_init(&s.cs, &cl->ch, NULL));
    OK(cs_mpc_setup_new(&setup_, &args));
    OK(cs_mpc_setup_start(setup_, &out, &v));
    while (err == CS_OK && !cs_mpc_setup_done(setup_)) {
        session_send(w, &s, CS_DATA_OT, cs_buf_slice(&out));
        out.len = 0;
        err = answer(w, &s, CS_DATA_OT, &in);
        if (err == CS_OK) {
            OK(cs_mpc_setup_on(setup_, in, &out, &v));
        }
    }
    if (err == CS_OK) {
        session_send(w, &s, CS_DATA_OT, cs_buf_slice(&out));
        err = answer(w, &s, CS_DATA_OT_DONE, &in);
    }
    if (err == CS_OK) {
        expect_end(w, stream, CS_OK);
        cl->pair = cs_mpc_setup_take(setup_);
    }
    cs_mpc_setup_free(setup_);
    cs_csession_wipe(&s.cs);
    return err;
}

static cs_err connect_client(world *w, client *cl)
{
    uint64_t stream = open_stream(w);
    cs_err err = client_handshake(w, cl, 0, stream);
    err = err != CS_OK ? err : ot(w, cl, stream);
    assert_true(none(w, CS_LINK_SERVICE));
    return err;
}

static void a_channel_that_fails_anywhere_ends_its_stream_only(void **state)
{
    world *w = *state;
    for (size_t k = 0; k < NUM_FAULTS; k++) {
        client cl, good = {0};
        unsigned n;
        fault = &faults[k];
        world_core(w);
        serve(w, 7);
        OK(client_connect(w, &good, 0));
        for (n = 1; n < MANY; n++) {
            order = n;
            cs_err err = connect_client(w, &cl);
            bool struck = order == 0;
            order = 0;
            client_free(&cl);
            if (!struck) {
                OK(err);
                break;
            }
            if (err != fault->code) {
                fail_msg("%s %u: %s", fault->name, n, cs_err_code(err));
            }
            assert_true(sign_once(w, &good, &(ask){.tx_id = n, .digest_byte = 1})); /* the channel that was there */
        }
        assert_in_range(n, 3, MANY - 1);
        report("channel", n - 1);
        client_free(&good);
    }
}

/* The client's half is not counted. CS_OK: a verified signature. */
static cs_err sign(world *w, client *cl, const ask *a)
{
    static uint8_t m3[CS_MPC_M3_LEN];
    cs_mpc_signature sig;
    cs_mpc_verdict v;
    session s;
    cs_slice in = CS_SLICE_NULL;
    session_hello(w, cl, &s, a);
    cs_err err = answer(w, &s, CS_DATA_MSG, &in);
    if (err == CS_OK) {
        OK(cs_mpc_sign2_on_m2(s.sign, in, m3, &v));
        session_send(w, &s, CS_DATA_MSG, cs_slice_of(m3, sizeof m3));
        err = answer(w, &s, CS_DATA_MSG, &in);
    }
    if (err == CS_OK) {
        OK(cs_mpc_sign2_on_m4(s.sign, in, &sig, &v));
        expect_end(w, s.stream, CS_OK);
    }
    session_free(&s);
    return err;
}

static void a_session_that_fails_anywhere_can_be_tried_again(void **state)
{
    world *w = *state;
    for (size_t k = 0; k < NUM_FAULTS; k++) {
        client cl;
        unsigned n;
        fault = &faults[k];
        world_core(w);
        serve(w, 7);
        OK(client_connect(w, &cl, 0));
        for (n = 1; n < MANY; n++) {
            const ask a = {.tx_id = n, .digest_byte = 3};
            size_t used = cs_arena_used();
            order = n;
            cs_err err = sign(w, &cl, &a);
            bool struck = order == 0;
            order = 0;
            if (!struck) {
                OK(err);
                break;
            }
            if (err != fault->code) {
                fail_msg("%s %u: %s", fault->name, n, cs_err_code(err));
            }
            assert_int_equal(cs_arena_used(), used);
            OK(sign(w, &cl, &a)); /* the same request again */
            has(w, "\"bans\":0");
        }
        assert_in_range(n, 2, MANY - 1);
        report("session", n - 1);
        client_free(&cl);
    }
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_load_that_fails_anywhere_is_as_if_it_never_was),
        T(a_large_reload_that_fails_anywhere_leaves_the_old_set),
        T(a_channel_that_fails_anywhere_ends_its_stream_only),
        T(a_session_that_fails_anywhere_can_be_tried_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
