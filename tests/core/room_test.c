/* Sessions that sign-service carries over a room, and those who wait for a signature. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "driver.h"

static const ask request = {.account = 0, .tx_id = -5, .digest_byte = 9, .execution = "x1"};

static int setup(void **state)
{
    world *w = world_new();

    serve(w, 7);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world_free(*state);
    return 0;
}

static client connected(world *w)
{
    client cl;

    w->room = &request;
    assert_int_equal(client_connect(w, &cl, 0), CS_OK);
    return cl;
}

/* The client's part until M4 is the next frame of core. */
static cs_mpc_signature sign(world *w, client *cl, const ask *a)
{
    cs_mpc_signature sig;
    session s;

    session_hello(w, cl, &s, a);
    session_m3(w, &s);
    assert_int_equal(session_m4(w, &s, &sig), CS_OK);
    session_free(&s);
    return sig;
}

/* M4 and SIGN_REPLY come before PARTY_END. */
static void test_who_waits_is_told_the_signature_that_the_client_got(void **state)
{
    world *w = *state;
    client cl = connected(w);
    uint64_t id = wait_for(w, &request), twice = wait_for(w, &request);
    cs_mpc_signature sig;
    session s;
    cs_slice m4;

    session_hello(w, &cl, &s, &request);
    session_m3(w, &s);
    m4 = session_get(w, &s, CS_DATA_MSG);
    memcpy(sig.r, m4.p + 72, 32);
    memcpy(sig.s, m4.p + 104, 32);
    sig.recid = m4.p[136];
    expect_signature(w, twice, CS_OK, &sig, false);
    expect_signature(w, id, CS_OK, &sig, false);
    expect_end(w, s.stream, CS_OK);
    session_free(&s);
    /* later: from memory */
    id = wait_for(w, &request);
    expect_signature(w, id, CS_OK, &sig, true);
    assert_true(none(w, CS_LINK_SERVICE));
    client_free(&cl);
}

static void test_a_signature_made_on_a_direct_stream_is_told_too(void **state)
{
    world *w = *state;
    client cl = connected(w);
    uint64_t id = wait_for(w, &request);
    session s;

    w->room = NULL;
    session_hello(w, &cl, &s, &request);
    session_m3(w, &s);
    (void)session_get(w, &s, CS_DATA_MSG);
    assert_int_equal(next(w, CS_LINK_SERVICE).id, id);
    expect_end(w, s.stream, CS_OK);
    session_free(&s);
    client_free(&cl);
}

static void test_a_wait_for_other_data_is_a_conflict_whenever_it_comes(void **state)
{
    world *w = *state;
    client cl = connected(w);
    ask other = request;
    uint64_t id;
    session s;

    other.digest_byte = 8;
    id = wait_for(w, &other); /* nothing is known of the triple yet */
    assert_true(none(w, CS_LINK_SERVICE));
    session_hello(w, &cl, &s, &request);
    session_m3(w, &s);
    (void)session_get(w, &s, CS_DATA_MSG);
    expect_signature(w, id, CS_E_EXECUTION_CONFLICT, NULL, false);
    expect_end(w, s.stream, CS_OK);
    session_free(&s);
    id = wait_for(w, &other);
    expect_signature(w, id, CS_E_EXECUTION_CONFLICT, NULL, false);
    client_free(&cl);
}

static void test_a_cancelled_wait_is_told_nothing(void **state)
{
    world *w = *state;
    client cl = connected(w);
    uint64_t id = wait_for(w, &request);

    give1(w, CS_LINK_SERVICE, CS_RPC_SIGN_CANCEL, id, CS_SLICE_NULL);
    give1(w, CS_LINK_SERVICE, CS_RPC_SIGN_CANCEL, id, CS_SLICE_NULL);
    give1(w, CS_LINK_SERVICE, CS_RPC_SIGN_CANCEL, 77777, CS_SLICE_NULL);
    (void)sign(w, &cl, &request);
    assert_true(none(w, CS_LINK_SERVICE));
    client_free(&cl);
}

static void refused(world *w, const cs_rpc_frame *f, cs_err code)
{
    assert_int_equal(give(w, CS_LINK_SERVICE, f), CS_OK);
    if (f->type == CS_RPC_SIGN_WAIT) {
        expect_signature(w, f->id, code, NULL, false);
    } else {
        expect_end(w, f->id, code);
    }
}

static void test_a_request_out_of_range_is_refused(void **state)
{
    static uint8_t long_execution[65];
    static const cs_rpc_type types[] = {CS_RPC_SIGN_WAIT, CS_RPC_PARTY_ROOM};
    world *w = *state;

    for (size_t i = 0; i < 2; i++) {
        cs_rpc_frame good = {.type = types[i], .id = 900}, f;
        named(&good, &request);
        f = good;
        f.f[0].s = cs_slice_str("nobody");
        refused(w, &f, CS_E_ACCOUNT_UNKNOWN);
        f.f[0].s = cs_slice_str("a/b");
        refused(w, &f, CS_E_ACCOUNT_UNKNOWN);
        f = good;
        f.f[2].s = CS_SLICE_NULL;
        refused(w, &f, CS_E_RANGE);
        f.f[2].s = cs_slice_of(long_execution, sizeof long_execution);
        refused(w, &f, CS_E_RANGE);
        f = good;
        f.f[3].s.len = 31;
        refused(w, &f, CS_E_DIGEST_LENGTH);
    }
    has(w, "\"streams\":0");
}

static void test_no_more_wait_than_sessions_are_allowed_and_an_id_waits_once(void **state)
{
    world *w = *state;
    cs_rpc_frame f = {.type = CS_RPC_SIGN_WAIT};
    uint64_t limit = w->config.sessions;

    named(&f, &request);
    for (uint64_t i = 0; i < limit; i++) {
        f.id = 5000 + i;
        assert_int_equal(give(w, CS_LINK_SERVICE, &f), CS_OK);
    }
    assert_true(none(w, CS_LINK_SERVICE));
    f.id = 4999;
    refused(w, &f, CS_E_SESSION_LIMIT);
    give1(w, CS_LINK_SERVICE, CS_RPC_SIGN_CANCEL, 5000, CS_SLICE_NULL);
    f.id = 5001;
    refused(w, &f, CS_E_EXISTS);
    f.id = 5000;
    assert_int_equal(give(w, CS_LINK_SERVICE, &f), CS_OK);
    assert_true(none(w, CS_LINK_SERVICE));
}

static void test_a_hello_of_another_request_is_aborted(void **state)
{
    world *w = *state;
    client cl = connected(w);
    ask others[] = {request, request, request, request, request};

    others[0].digest_byte = 8;
    others[1].tx_id = 5;
    others[2].execution = "x2";
    others[3].account = 1;
    others[4].path_len = 1;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        session s;
        session_hello(w, &cl, &s, &others[i]);
        session_refused(w, &s, CS_E_ABORT_SESSION);
        session_free(&s);
    }
    /* nothing was bound by them */
    (void)sign(w, &cl, &request);
    client_free(&cl);
}

static void data(world *w, uint64_t stream, const uint8_t *p, size_t len)
{
    give1(w, CS_LINK_SERVICE, CS_RPC_PARTY_DATA, stream, cs_slice_of(p, len));
}

/* Each byte of a frame changed, the frame cut, doubled: dropped without a word; the real one goes on. */
static void test_what_does_not_fit_is_dropped_and_the_session_goes_on(void **state)
{
    static uint8_t frame[CS_FRAME_MAX];
    static const size_t places[] = {0, 1, 17, 33, 40, 41, 60};
    world *w = *state;
    client cl = connected(w);
    session s = {0};
    cs_buf b = cs_buf_wrap(frame, sizeof frame);
    uint64_t stream = open_stream(w);

    assert_int_equal(cs_csession_init(&s.cs, &cl.ch, NULL), CS_OK);
    assert_int_equal(cs_csession_seal_msg(&s.cs, &b, CS_DATA_REFUSED, cs_slice_str("an authentic frame")), CS_OK);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        bool named_channel = places[i] >= 1 && places[i] < 17;
        frame[places[i]] ^= 1;
        data(w, stream, frame, b.len);
        frame[places[i]] ^= 1;
        if (named_channel) { /* a channel that core does not know is said, so that the client makes a new one */
            expect_end(w, stream, CS_E_CHANNEL_UNKNOWN);
            stream = open_stream(w);
        }
        assert_true(none(w, CS_LINK_SERVICE));
    }
    data(w, stream, frame, b.len - 1);
    data(w, stream, frame, 3);
    data(w, stream, frame, 0);
    assert_true(none(w, CS_LINK_SERVICE));
    has(w, "\"bans\":0");
    data(w, stream, frame, b.len); /* the real one: authentic, and out of place */
    s.stream = stream;
    session_refused(w, &s, CS_E_ABORT_SESSION);
    data(w, stream, frame, b.len); /* the stream is gone */
    assert_true(none(w, CS_LINK_SERVICE));
    /* the same frame again on another stream: its name was used */
    stream = open_stream(w);
    data(w, stream, frame, b.len);
    expect_end(w, stream, CS_E_ABORT_SESSION);
    session_free(&s);
    client_free(&cl);
}

static void test_noise_in_the_middle_of_a_session_does_not_end_it(void **state)
{
    static uint8_t frame[CS_FRAME_MAX], bad[CS_FRAME_MAX];
    world *w = *state;
    client cl = connected(w);
    cs_mpc_signature sig;
    session s, liar;
    cs_buf b = cs_buf_wrap(frame, sizeof frame);

    session_hello(w, &cl, &s, &request);
    /* as the session's next frame, sealed with another key */
    assert_int_equal(cs_csession_init(&liar.cs, &cl.ch, NULL), CS_OK);
    assert_int_equal(cs_csession_seal_msg(&liar.cs, &b, CS_DATA_MSG, cs_slice_str("M3")), CS_OK);
    memcpy(bad, frame, b.len);
    memcpy(bad + 17, s.cs.name.b, 16);
    bad[40] = 1;
    data(w, s.stream, bad, b.len);
    bad[40] = 0;
    data(w, s.stream, bad, b.len);
    cs_csession_wipe(&liar.cs);
    session_m3(w, &s);
    assert_int_equal(session_m4(w, &s, &sig), CS_OK);
    session_free(&s);
    client_free(&cl);
}

static void test_noise_does_not_put_off_the_silence_deadline(void **state)
{
    static uint8_t junk[100] = {3};
    world *w = *state;
    client cl = connected(w);
    uint64_t stream = open_stream(w);

    tick_ms(w, w->config.silence_ms - 1);
    data(w, stream, junk, sizeof junk);
    if (!none(w, CS_LINK_SERVICE)) { /* junk names a channel that does not exist */
        expect_end(w, stream, CS_E_CHANNEL_UNKNOWN);
        stream = open_stream(w);
        tick_ms(w, w->config.silence_ms - 1);
        junk[0] = 9;
        data(w, stream, junk, sizeof junk);
    }
    tick_ms(w, 1);
    expect_end(w, stream, CS_E_PEER_SILENT);
    client_free(&cl);
}

static void test_a_handshake_read_again_from_the_history_changes_nothing(void **state)
{
    uint8_t hs1[CS_FRAME_HS1_LEN];
    world *w = *state;
    cs_channel ch = {0};
    uint64_t stream;
    cs_rpc_frame f;

    w->room = &request;
    assert_int_equal(cs_channel_start(&ch, hs1, w->client_key[0], w->enclave_pub[0]), CS_OK);
    stream = open_stream(w);
    data(w, stream, hs1, sizeof hs1);
    f = next(w, CS_LINK_SERVICE);
    assert_string_equal(cs_rpc_name(f.type), "PARTY_SEND");
    assert_int_equal(cs_channel_finish(&ch, f.f[0].s), CS_OK);
    stream = open_stream(w);
    data(w, stream, hs1, sizeof hs1);
    expect_end(w, stream, CS_E_ABORT_SESSION);
    cs_channel_wipe(&ch);
}

/* The client's M3 is a lie that bans it. */
static void lie(world *w, client *cl)
{
    static uint8_t m3[CS_MPC_M3_LEN];
    cs_mpc_verdict v;
    session s;

    session_hello(w, cl, &s, &request);
    assert_int_equal(cs_mpc_sign2_on_m2(s.sign, session_get(w, &s, CS_DATA_MSG), m3, &v), CS_OK);
    m3[40105 + 31] ^= 1; /* mu */
    session_send(w, &s, CS_DATA_MSG, cs_slice_of(m3, sizeof m3));
    session_refused(w, &s, CS_E_ABORT_SESSION);
    session_free(&s);
}

/* Shares that come while others wait; the caller takes what core says, REPLY of 901 last. */
static void reload(world *w, const recipe *r)
{
    credentials(w, CS_CRED_PRESENT);
    inject_age(w, 900);
    expect_reply(w, 900, CS_OK);
    inject_shares(w, 901, sealed_file(w, r));
    answer_kms(w, &(kms_answer){0});
}

static void test_a_reload_tells_those_who_would_wait_in_vain(void **state)
{
    static const ask stays = {.account = 1, .tx_id = 4}, rekeyed = {.account = 2, .tx_id = 5};
    world *w = *state;
    client cl = connected(w);
    uint64_t gone = wait_for(w, &request), still = wait_for(w, &stays), other = wait_for(w, &rekeyed);
    bool told[2] = {false, false};

    assert_int_equal(cs_mpc_deal2(w->key[2], &w->parties[1], NULL, NULL), CS_OK);
    reload(w, &(recipe){.generation = 8, .without_alpha = true});
    for (unsigned i = 0; i < 2; i++) {
        cs_rpc_frame f = next(w, CS_LINK_SERVICE);
        assert_string_equal(cs_rpc_name(f.type), "SIGN_REPLY");
        told[f.id == gone] = true;
        assert_true(f.id == gone || f.id == other);
        assert_true(cs_slice_eq_str(f.f[0].s, f.id == gone ? "ACCOUNT_UNKNOWN" : "ABORT_SESSION"));
    }
    assert_true(told[0] && told[1]);
    expect_reply(w, 901, CS_OK);
    assert_true(none(w, CS_LINK_SERVICE));
    /* whoever may still hope waits on, and who asks again waits for the new key */
    w->room = &stays;
    session s;
    session_hello(w, &cl, &s, &stays);
    session_m3(w, &s);
    (void)session_get(w, &s, CS_DATA_MSG);
    assert_int_equal(next(w, CS_LINK_SERVICE).id, still);
    expect_end(w, s.stream, CS_OK);
    session_free(&s);
    (void)wait_for(w, &rekeyed);
    assert_true(none(w, CS_LINK_SERVICE));
    client_free(&cl);
}

/* 2 of 3: whom nobody has caught may still sign. */
static void test_one_liar_of_three_does_not_speak_for_the_other_client(void **state)
{
    static const ask of_three = {.account = 2, .tx_id = 6};
    world *w = *state;
    uint64_t id, both;

    reload(w, &(recipe){.generation = 8, .third = true});
    expect_reply(w, 901, CS_OK);
    client cl = connected(w);
    id = wait_for(w, &request);
    both = wait_for(w, &of_three);
    lie(w, &cl);
    expect_signature(w, id, CS_E_PEER_BANNED, NULL, false);
    assert_true(none(w, CS_LINK_SERVICE));
    give1(w, CS_LINK_SERVICE, CS_RPC_SIGN_CANCEL, both, CS_SLICE_NULL);
    (void)wait_for(w, &of_three);
    assert_true(none(w, CS_LINK_SERVICE));
    client_free(&cl);
}

static void test_a_ban_is_told_to_those_who_wait_for_that_client_only(void **state)
{
    static const ask stranger = {.account = 2, .tx_id = 1, .digest_byte = 3};
    world *w = *state;
    client cl = connected(w);
    uint64_t id, sibling, other;

    id = wait_for(w, &request);
    sibling = wait_for(w, &(ask){.account = 1, .tx_id = 4}); /* of the same client */
    other = wait_for(w, &stranger);
    lie(w, &cl);
    for (unsigned i = 0; i < 2; i++) {
        cs_rpc_frame f = next(w, CS_LINK_SERVICE);
        assert_true(f.type == CS_RPC_SIGN_REPLY && (f.id == id || f.id == sibling));
        assert_true(cs_slice_eq_str(f.f[0].s, "PEER_BANNED"));
    }
    assert_true(none(w, CS_LINK_SERVICE));
    id = wait_for(w, &request);
    expect_signature(w, id, CS_E_PEER_BANNED, NULL, false);
    give1(w, CS_LINK_SERVICE, CS_RPC_SIGN_CANCEL, other, CS_SLICE_NULL);
    client_free(&cl);
}

static void test_stopping_drops_those_who_wait(void **state)
{
    world *w = *state;

    (void)wait_for(w, &request);
    cs_core_stop(w->core);
    (void)state; /* the sanitizer would see what is left */
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_who_waits_is_told_the_signature_that_the_client_got),
        T(test_a_signature_made_on_a_direct_stream_is_told_too),
        T(test_a_wait_for_other_data_is_a_conflict_whenever_it_comes),
        T(test_a_cancelled_wait_is_told_nothing),
        T(test_a_request_out_of_range_is_refused),
        T(test_no_more_wait_than_sessions_are_allowed_and_an_id_waits_once),
        T(test_a_hello_of_another_request_is_aborted),
        T(test_what_does_not_fit_is_dropped_and_the_session_goes_on),
        T(test_noise_in_the_middle_of_a_session_does_not_end_it),
        T(test_noise_does_not_put_off_the_silence_deadline),
        T(test_a_handshake_read_again_from_the_history_changes_nothing),
        T(test_a_ban_is_told_to_those_who_wait_for_that_client_only),
        T(test_a_reload_tells_those_who_would_wait_in_vain),
        T(test_one_liar_of_three_does_not_speak_for_the_other_client),
        T(test_stopping_drops_those_who_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
