/* Signing through core: channels, sessions, what ends them, bans. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "driver.h"

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

static client connected(world *w, unsigned family)
{
    client cl;

    assert_int_equal(client_connect(w, &cl, family), CS_OK);
    return cl;
}

static void test_a_client_signs_with_each_account_of_its_channel(void **state)
{
    world *w = *state;
    client a = connected(w, 0), b = connected(w, 1);

    assert_true(sign_once(w, &a, &(ask){.account = 0, .tx_id = 1, .digest_byte = 1}));
    assert_true(sign_once(w, &a, &(ask){.account = 1, .tx_id = 2, .digest_byte = 2}));
    assert_true(sign_once(w, &b, &(ask){.account = 2, .tx_id = -3, .digest_byte = 3, .path = {44, 7}, .path_len = 2}));
    has(w, "\"signatures\":3");
    has(w, "\"live\":0");
    has(w, "\"streams\":0");
    assert_true(none(w, CS_LINK_SERVICE));
    client_free(&a);
    client_free(&b);
}

static void test_sessions_run_side_by_side(void **state)
{
    world *w = *state;
    client cl = connected(w, 0);
    session s[8];
    cs_mpc_signature sig;

    for (unsigned i = 0; i < 8; i++) {
        session_hello(w, &cl, &s[i], &(ask){.account = i % 2, .tx_id = i, .digest_byte = (uint8_t)(i + 1)});
    }
    has(w, "\"live\":8");
    for (unsigned i = 0; i < 8; i++) {
        session_m3(w, &s[i]);
    }
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(session_m4(w, &s[i], &sig), CS_OK);
        session_free(&s[i]);
    }
    has(w, "\"signatures\":8");
    client_free(&cl);
}

static void test_the_same_request_gets_the_same_answer_and_other_data_a_conflict(void **state)
{
    world *w = *state;
    client cl = connected(w, 0);
    ask a = {.account = 0, .tx_id = 5, .digest_byte = 9, .execution = "x1"};
    cs_mpc_signature sig;
    session s;
    cs_slice again;

    session_hello(w, &cl, &s, &a);
    session_m3(w, &s);
    assert_int_equal(session_m4(w, &s, &sig), CS_OK);
    session_free(&s);
    session_hello(w, &cl, &s, &a);
    again = session_get(w, &s, CS_DATA_ANSWER);
    assert_int_equal(again.len, 65);
    assert_memory_equal(again.p, sig.r, 32);
    assert_memory_equal(again.p + 32, sig.s, 32);
    assert_int_equal(again.p[64], sig.recid);
    expect_end(w, s.stream, CS_OK);
    session_free(&s);
    /* other digest, other path */
    a.digest_byte = 10;
    session_hello(w, &cl, &s, &a);
    session_refused(w, &s, CS_E_EXECUTION_CONFLICT);
    session_free(&s);
    a.digest_byte = 9;
    a.path_len = 1;
    session_hello(w, &cl, &s, &a);
    session_refused(w, &s, CS_E_EXECUTION_CONFLICT);
    session_free(&s);
    /* another execution of the same transaction is a new session */
    a.path_len = 0;
    a.execution = "x2";
    assert_true(sign_once(w, &cl, &a));
    has(w, "\"answered_again\":1");
    client_free(&cl);
}

static void test_a_conflict_holds_while_the_first_is_live_and_after_it_failed(void **state)
{
    world *w = *state;
    client cl = connected(w, 0);
    ask a = {.account = 0, .tx_id = 5, .digest_byte = 9}, b = {.account = 0, .tx_id = 5, .digest_byte = 8};
    session s, t;

    session_hello(w, &cl, &s, &a);
    (void)next(w, CS_LINK_SERVICE);
    session_hello(w, &cl, &t, &b);
    session_refused(w, &t, CS_E_EXECUTION_CONFLICT);
    session_free(&t);
    give1(w, CS_LINK_SERVICE, CS_RPC_PARTY_CLOSE, s.stream, CS_SLICE_NULL);
    expect_end(w, s.stream, CS_E_CLOSED);
    session_free(&s);
    session_hello(w, &cl, &t, &b);
    session_refused(w, &t, CS_E_EXECUTION_CONFLICT);
    session_free(&t);
    assert_true(sign_once(w, &cl, &a));
    client_free(&cl);
}

static void test_a_retry_takes_the_place_of_the_live_session(void **state)
{
    world *w = *state;
    client cl = connected(w, 0);
    ask a = {.account = 0, .tx_id = 5, .digest_byte = 9};
    session old, fresh;
    cs_mpc_signature sig;

    session_hello(w, &cl, &old, &a);
    (void)session_get(w, &old, CS_DATA_MSG);
    session_hello(w, &cl, &fresh, &a);
    session_refused(w, &old, CS_E_ABORT_SESSION);
    session_m3(w, &fresh);
    assert_int_equal(session_m4(w, &fresh, &sig), CS_OK);
    has(w, "\"superseded\":1");
    session_free(&old);
    session_free(&fresh);
    client_free(&cl);
}

static void test_hellos_that_core_does_not_authorise_are_refused_with_their_code(void **state)
{
    static const uint8_t short_digest[] = "\xa6\x01\x65"
                                          "alpha\x02\x01\x03\x41"
                                          "e\x04\x41\x07\x05\x80\x06\x00";
    world *w = *state;
    client cl = connected(w, 0);
    const struct {
        ask a;
        cs_err code;
    } rows[] = {
        {{.account = 0, .epoch = 1}, CS_E_EPOCH},
        {{.account = 2}, CS_E_ACCOUNT_UNKNOWN}, /* exists, but not for this client */
        {{.raw_hello = {(const uint8_t *)"\xa0", 1}}, CS_E_FORMAT},
        {{.raw_hello = {short_digest, sizeof short_digest - 1}}, CS_E_DIGEST_LENGTH},
    };
    session s;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        session_hello(w, &cl, &s, &rows[i].a);
        session_refused(w, &s, rows[i].code);
        session_free(&s);
    }
    assert_true(sign_once(w, &cl, &(ask){.account = 0, .tx_id = 1}));
    client_free(&cl);
}

static void test_a_replayed_round_ends_the_session_and_nothing_else(void **state)
{
    world *w = *state;
    client cl = connected(w, 0);
    static uint8_t mem[CS_FRAME_MAX];
    cs_buf b = cs_buf_wrap(mem, sizeof mem);
    session s;
    uint64_t stream;

    session_hello(w, &cl, &s, &(ask){.account = 0, .tx_id = 1});
    (void)session_get(w, &s, CS_DATA_MSG);
    assert_int_equal(cs_csession_seal_msg(&s.cs, &b, CS_DATA_MSG, cs_slice_str("not an M3")), CS_OK);
    /* the same bytes on another stream: the name is taken */
    stream = open_stream(w);
    give1(w, CS_LINK_SERVICE, CS_RPC_PARTY_DATA, stream, cs_buf_slice(&b));
    expect_end(w, stream, CS_E_ABORT_SESSION);
    has(w, "\"live\":1");
    /* the frame, authentic but no M3: dropped, the session waits on */
    give1(w, CS_LINK_SERVICE, CS_RPC_PARTY_DATA, s.stream, cs_buf_slice(&b));
    assert_true(none(w, CS_LINK_SERVICE));
    has(w, "\"header\":1");
    has(w, "\"live\":1");
    /* once more: its counter was used */
    give1(w, CS_LINK_SERVICE, CS_RPC_PARTY_DATA, s.stream, cs_buf_slice(&b));
    expect_end(w, s.stream, CS_E_ABORT_SESSION);
    session_free(&s);
    /* the frame again where it came in order before */
    session_hello(w, &cl, &s, &(ask){.account = 0, .tx_id = 2});
    (void)session_get(w, &s, CS_DATA_MSG);
    b.len = 0;
    assert_int_equal(cs_csession_seal_msg(&s.cs, &b, CS_DATA_MSG, CS_SLICE_NULL), CS_OK);
    s.cs.next_send = 0; /* counter 0 was the hello's */
    b.len = 0;
    assert_int_equal(cs_csession_seal_msg(&s.cs, &b, CS_DATA_MSG, CS_SLICE_NULL), CS_OK);
    give1(w, CS_LINK_SERVICE, CS_RPC_PARTY_DATA, s.stream, cs_buf_slice(&b));
    expect_end(w, s.stream, CS_E_ABORT_SESSION);
    session_free(&s);
    assert_true(sign_once(w, &cl, &(ask){.account = 0, .tx_id = 3}));
    has(w, "\"bans\":0");
    client_free(&cl);
}

static void test_a_flipped_byte_ends_the_session_and_a_retry_signs(void **state)
{
    static uint8_t m3[CS_MPC_M3_LEN], mem[CS_FRAME_MAX];
    static const size_t at[] = {0, 1, 17, 33, 41, 5000, 40000};
    world *w = *state;
    client cl = connected(w, 0);
    ask a = {.account = 0, .tx_id = 1, .digest_byte = 4};

    for (size_t i = 0; i < sizeof at / sizeof at[0]; i++) {
        cs_buf b = cs_buf_wrap(mem, sizeof mem);
        cs_mpc_verdict v;
        session s;

        session_hello(w, &cl, &s, &a);
        assert_int_equal(cs_mpc_sign2_on_m2(s.sign, session_get(w, &s, CS_DATA_MSG), m3, &v), CS_OK);
        assert_int_equal(cs_csession_seal_msg(&s.cs, &b, CS_DATA_MSG, cs_slice_of(m3, sizeof m3)), CS_OK);
        mem[at[i]] ^= 0x20;
        give1(w, CS_LINK_SERVICE, CS_RPC_PARTY_DATA, s.stream, cs_buf_slice(&b));
        if (at[i] == 0) {
            session_refused(w, &s, CS_E_ABORT_SESSION); /* no frame at all; the session is told in its own channel */
        } else {
            expect_end(w, s.stream, CS_E_ABORT_SESSION);
        }
        session_free(&s);
    }
    assert_true(sign_once(w, &cl, &a));
    has(w, "\"bans\":0");
    client_free(&cl);
}

/* The client sends an M3 with a byte changed before sealing: a lie inside the protocol. */
static void lie(world *w, client *cl, const ask *a, size_t at)
{
    static uint8_t m3[CS_MPC_M3_LEN];
    cs_mpc_verdict v;
    session s;

    session_hello(w, cl, &s, a);
    assert_int_equal(cs_mpc_sign2_on_m2(s.sign, session_get(w, &s, CS_DATA_MSG), m3, &v), CS_OK);
    m3[at] ^= 1;
    session_send(w, &s, CS_DATA_MSG, cs_slice_of(m3, sizeof m3));
    session_refused(w, &s, CS_E_ABORT_SESSION); /* looks like any other abort */
    session_free(&s);
}

static void test_a_lie_bans_the_pair_and_all_its_channels_but_nobody_else(void **state)
{
    world *w = *state;
    client a = connected(w, 0), a2 = connected(w, 0), b = connected(w, 1), refused;
    session other;

    session_hello(w, &a2, &other, &(ask){.account = 1, .tx_id = 77});
    (void)session_get(w, &other, CS_DATA_MSG);
    {
        static uint8_t m3[CS_MPC_M3_LEN];
        cs_mpc_verdict v;
        session s;

        session_hello(w, &a, &s, &(ask){.account = 0, .tx_id = 1});
        assert_int_equal(cs_mpc_sign2_on_m2(s.sign, session_get(w, &s, CS_DATA_MSG), m3, &v), CS_OK);
        m3[40105 + 31] ^= 1; /* mu */
        session_send(w, &s, CS_DATA_MSG, cs_slice_of(m3, sizeof m3));
        session_refused(w, &s, CS_E_ABORT_SESSION);
        session_free(&s);
    }
    session_refused(w, &other, CS_E_ABORT_SESSION);
    session_free(&other);
    has(w, "\"bans\":1");
    has(w, "\"mu\":1");
    has(w, "\"open\":1");
    assert_int_equal(client_handshake(w, &refused, 0, open_stream(w)), CS_E_PEER_BANNED);
    client_free(&refused);
    /* the old channel is gone */
    session_hello(w, &a2, &other, &(ask){.account = 1, .tx_id = 78});
    expect_end(w, other.stream, CS_E_CHANNEL_UNKNOWN);
    session_free(&other);
    assert_true(sign_once(w, &b, &(ask){.account = 2, .tx_id = 1}));
    client_free(&a);
    client_free(&a2);
    client_free(&b);
}

static void test_a_lie_in_the_ot_setup_bans_too(void **state)
{
    static uint8_t mem[CS_MPC_SETUP_MAX_LEN];
    world *w = *state;
    client cl, again;
    uint64_t stream = open_stream(w);
    cs_mpc_setup_args args = {.peer = w->peer[0], .role = CS_MPC_INITIATOR, .secret32 = w->client_key[0]};
    cs_buf out = cs_buf_wrap(mem, sizeof mem);
    session s = {.stream = stream};
    cs_mpc_setup *made = NULL;
    cs_mpc_verdict v;

    assert_int_equal(client_handshake(w, &cl, 0, stream), CS_OK);
    args.chan32 = cl.ch.chan32;
    assert_int_equal(cs_csession_init(&s.cs, &cl.ch, NULL), CS_OK);
    assert_int_equal(cs_mpc_setup_new(&made, &args), CS_OK);
    assert_int_equal(cs_mpc_setup_start(made, &out, &v), CS_OK);
    while (!cs_mpc_setup_done(made)) {
        session_send(w, &s, CS_DATA_OT, cs_buf_slice(&out));
        out.len = 0;
        assert_int_equal(cs_mpc_setup_on(made, session_get(w, &s, CS_DATA_OT), &out, &v), CS_OK);
    }
    mem[CS_MPC_O5_LEN - 1] ^= 1; /* the check value of the last tree */
    session_send(w, &s, CS_DATA_OT, cs_buf_slice(&out));
    session_refused(w, &s, CS_E_ABORT_SESSION);
    has(w, "\"pprf\":1");
    has(w, "\"bans\":1,");
    has(w, "\"half_open\":0");
    assert_int_equal(client_handshake(w, &again, 0, open_stream(w)), CS_E_PEER_BANNED);
    cs_mpc_setup_free(made);
    client_free(&again);
    client_free(&cl);
}

static cs_slice order(world *w, uint64_t time_s, const uint8_t seed[32])
{
    static uint8_t mem[CS_UNBAN_MAX];
    cs_buf b = cs_buf_wrap(mem, sizeof mem);
    cs_unban u = {.time_s = time_s};

    memcpy(u.key32, w->client_pub[0], 32);
    assert_int_equal(cs_unban_put(&b, seed, &u), CS_OK);
    return cs_buf_slice(&b);
}

static void unban(world *w, cs_slice line, cs_err code)
{
    give1(w, CS_LINK_SERVICE, CS_RPC_UNBAN, 900, line);
    expect_reply(w, 900, code);
}

static void test_only_a_fresh_order_of_a_publisher_lifts_a_ban(void **state)
{
    static uint8_t copy[CS_UNBAN_MAX], old[CS_UNBAN_MAX];
    world *w = *state;
    client cl = connected(w, 0);
    uint8_t stranger[32] = {1};
    cs_slice line;
    size_t len, old_len;

    line = order(w, wall_ms / 1000 + 1, w->publisher_seed);
    memcpy(old, line.p, line.len);
    old_len = line.len;
    unban(w, line, CS_E_NOT_FOUND); /* nobody is banned */
    tick_ms(w, 5000);
    lie(w, &cl, &(ask){.account = 0, .tx_id = 1}, 40105 + 31);
    client_free(&cl);
    unban(w, cs_slice_of(old, old_len), CS_E_UNBAN); /* made before the ban */
    tick_ms(w, 5000);
    unban(w, order(w, wall_ms / 1000, stranger), CS_E_UNBAN);
    unban(w, order(w, wall_ms / 1000 + 400, w->publisher_seed), CS_E_UNBAN); /* of the future */
    line = order(w, wall_ms / 1000, w->publisher_seed);
    memcpy(copy, line.p, line.len);
    len = line.len;
    copy[len - 5] ^= 1;
    unban(w, cs_slice_of(copy, len), CS_E_UNBAN);
    copy[len - 5] ^= 1;
    has(w, "\"bans\":1,");
    unban(w, cs_slice_of(copy, len), CS_OK);
    has(w, "\"bans\":0,");
    has(w, "\"bans_lifted\":1");
    cl = connected(w, 0);
    assert_true(sign_once(w, &cl, &(ask){.account = 0, .tx_id = 2}));
    /* banned again in the same second: the order that was taken does not work twice */
    lie(w, &cl, &(ask){.account = 0, .tx_id = 3}, 40105 + 31);
    wall_ms -= 3600000; /* not even when the parent turns the clock back */
    unban(w, cs_slice_of(copy, len), CS_E_UNBAN);
    wall_ms += 3600000;
    has(w, "\"bans\":1,");
    client_free(&cl);
}

static void test_bans_of_a_key_are_lifted_three_times_a_day(void **state)
{
    world *w = *state;

    for (unsigned i = 0; i < 4; i++) {
        client cl = connected(w, 0);
        lie(w, &cl, &(ask){.account = 0, .tx_id = i}, 40105 + 31);
        client_free(&cl);
        tick_ms(w, 5000);
        unban(w, order(w, wall_ms / 1000, w->publisher_seed), i < 3 ? CS_OK : CS_E_UNBAN_LIMIT);
    }
    has(w, "\"bans\":1,");
    tick_ms(w, 24u * 3600u * 1000u - 3 * 5000);
    unban(w, order(w, wall_ms / 1000, w->publisher_seed), CS_OK); /* a day after the first */
    has(w, "\"bans\":0,");
}

static void test_a_silent_peer_is_ended_at_the_deadline_and_not_before(void **state)
{
    world *w = *state;
    client cl = connected(w, 0);
    session s, t;
    uint64_t idle = open_stream(w);

    session_hello(w, &cl, &s, &(ask){.account = 0, .tx_id = 1});
    (void)session_get(w, &s, CS_DATA_MSG);
    assert_int_equal(cs_core_wait_ms(w->core), 10000);
    tick_ms(w, 9999);
    assert_true(none(w, CS_LINK_SERVICE));
    session_hello(w, &cl, &t, &(ask){.account = 0, .tx_id = 2});
    (void)session_get(w, &t, CS_DATA_MSG);
    tick_ms(w, 1);
    expect_end(w, idle, CS_E_PEER_SILENT);
    session_refused(w, &s, CS_E_PEER_SILENT);
    assert_true(none(w, CS_LINK_SERVICE));
    has(w, "\"silent\":2");
    has(w, "\"live\":1");
    session_free(&s);
    session_free(&t);
    client_free(&cl);
}

static void test_a_peer_gone_in_mid_round_leaves_nothing_behind(void **state)
{
    world *w = *state;
    client cl = connected(w, 0), half;
    size_t used = cs_arena_used();
    session s;
    uint64_t stream;

    session_hello(w, &cl, &s, &(ask){.account = 0, .tx_id = 1});
    (void)session_get(w, &s, CS_DATA_MSG);
    session_free(&s);
    give1(w, CS_LINK_SERVICE, CS_RPC_PARTY_CLOSE, w->next_id, CS_SLICE_NULL);
    expect_end(w, w->next_id, CS_E_CLOSED);
    assert_int_equal(cs_arena_used(), used);
    /* gone in the set-up: the half-open channel goes too */
    stream = open_stream(w);
    assert_int_equal(client_handshake(w, &half, 0, stream), CS_OK);
    has(w, "\"half_open\":1");
    give1(w, CS_LINK_SERVICE, CS_RPC_PARTY_CLOSE, stream, CS_SLICE_NULL);
    expect_end(w, stream, CS_E_CLOSED);
    has(w, "\"half_open\":0");
    assert_int_equal(cs_arena_used(), used);
    client_free(&half);
    /* after the end the number is nobody's */
    give1(w, CS_LINK_SERVICE, CS_RPC_PARTY_DATA, stream, cs_slice_str("late"));
    give1(w, CS_LINK_SERVICE, CS_RPC_PARTY_CLOSE, stream, CS_SLICE_NULL);
    assert_true(none(w, CS_LINK_SERVICE));
    client_free(&cl);
}

static void test_handshakes_of_unknown_keys_and_replays_are_refused(void **state)
{
    world *w = *state;
    client cl;
    uint8_t hs1[CS_FRAME_HS1_LEN], stranger[32];
    uint64_t stream = open_stream(w);

    memset(stranger, 0x55, sizeof stranger);
    assert_int_equal(cs_channel_start(&cl.ch, hs1, stranger, w->enclave_pub[0]), CS_OK);
    give1(w, CS_LINK_SERVICE, CS_RPC_PARTY_DATA, stream, cs_slice_of(hs1, sizeof hs1));
    expect_end(w, stream, CS_E_CHANNEL_AUTH);
    /* the key of another family's client does not fit this enclave key */
    stream = open_stream(w);
    assert_int_equal(cs_channel_start(&cl.ch, hs1, w->client_key[1], w->enclave_pub[0]), CS_OK);
    give1(w, CS_LINK_SERVICE, CS_RPC_PARTY_DATA, stream, cs_slice_of(hs1, sizeof hs1));
    expect_end(w, stream, CS_E_CHANNEL_AUTH);
    /* the right names, but not the key */
    stream = open_stream(w);
    assert_int_equal(cs_channel_start(&cl.ch, hs1, w->client_key[0], w->enclave_pub[0]), CS_OK);
    hs1[128] ^= 1;
    give1(w, CS_LINK_SERVICE, CS_RPC_PARTY_DATA, stream, cs_slice_of(hs1, sizeof hs1));
    expect_end(w, stream, CS_E_CHANNEL_AUTH);
    /* played again while its channel lives */
    hs1[128] ^= 1;
    stream = open_stream(w);
    give1(w, CS_LINK_SERVICE, CS_RPC_PARTY_DATA, stream, cs_slice_of(hs1, sizeof hs1));
    (void)next(w, CS_LINK_SERVICE);
    stream = open_stream(w);
    give1(w, CS_LINK_SERVICE, CS_RPC_PARTY_DATA, stream, cs_slice_of(hs1, sizeof hs1));
    expect_end(w, stream, CS_E_CHANNEL_AUTH);
    has(w, "\"half_open\":1");
    has(w, "\"bans\":0");
}

static void test_frames_that_are_none_end_the_stream_only(void **state)
{
    static uint8_t junk[CS_FRAME_MAX + 100];
    static const struct {
        size_t len;
        uint8_t first;
        cs_err code;
    } rows[] = {{0, 0, CS_E_FORMAT},      {1, 0x03, CS_E_FORMAT},
                {57, 0x03, CS_E_FORMAT},  {65, 0x02, CS_E_FORMAT},
                {200, 0x01, CS_E_FORMAT}, {100, 0x03, CS_E_CHANNEL_UNKNOWN},
                {100, 0xff, CS_E_FORMAT}, {CS_FRAME_MAX + 1, 0x03, CS_E_TOO_LARGE}};
    world *w = *state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t stream = open_stream(w);

        junk[0] = rows[i].first;
        give1(w, CS_LINK_SERVICE, CS_RPC_PARTY_DATA, stream, cs_slice_of(junk, rows[i].len));
        expect_end(w, stream, rows[i].code);
    }
    has(w, "\"streams\":0");
}

static void test_a_channel_without_ot_setup_signs_nothing(void **state)
{
    world *w = *state;
    client full = connected(w, 0), half;
    uint64_t stream = open_stream(w);
    session s;
    cs_mpc_pair *pair = full.pair;

    assert_int_equal(client_handshake(w, &half, 0, stream), CS_OK);
    half.pair = pair; /* only to make an M1 */
    session_hello(w, &half, &s, &(ask){.account = 0, .tx_id = 1});
    session_refused(w, &s, CS_E_CHANNEL_UNKNOWN);
    session_free(&s);
    half.pair = NULL;
    client_free(&half);
    client_free(&full);
}

static void test_a_renewed_ot_setup_replaces_the_old_one_when_complete(void **state)
{
    world *w = *state;
    client cl = connected(w, 0);
    session live;

    session_hello(w, &cl, &live, &(ask){.account = 0, .tx_id = 1});
    (void)session_get(w, &live, CS_DATA_MSG);
    session_free(&live);
    assert_int_equal(client_ot(w, &cl, open_stream(w)), CS_OK);
    has(w, "\"renewals\":1");
    has(w, "\"live\":1"); /* the session of the old state goes on */
    assert_true(sign_once(w, &cl, &(ask){.account = 0, .tx_id = 2}));
    client_free(&cl);
}

static void test_the_number_of_streams_is_limited_and_idle_ones_give_way(void **state)
{
    world *w = *state;
    client cl = connected(w, 0);
    session s[64];
    uint64_t first = w->next_id + 1, last;

    for (unsigned i = 0; i < 64; i++) {
        (void)open_stream(w);
    }
    assert_true(none(w, CS_LINK_SERVICE));
    /* nothing was said on any of them: a client with something to say is not locked out, and the oldest goes */
    for (unsigned i = 0; i < 64; i++) {
        session_hello(w, &cl, &s[i], &(ask){.account = 0, .tx_id = i});
        expect_end(w, first + i, CS_E_SESSION_LIMIT);
        (void)session_get(w, &s[i], CS_DATA_MSG);
    }
    has(w, "\"streams\":64");
    /* all are at work */
    last = open_stream(w);
    expect_end(w, last, CS_E_SESSION_LIMIT);
    has(w, "\"live\":64");
    give1(w, CS_LINK_SERVICE, CS_RPC_PARTY_CLOSE, s[7].stream, CS_SLICE_NULL);
    expect_end(w, s[7].stream, CS_E_CLOSED);
    (void)open_stream(w);
    assert_true(none(w, CS_LINK_SERVICE));
    for (unsigned i = 0; i < 64; i++) {
        session_free(&s[i]);
    }
    client_free(&cl);
}

static void test_half_open_channels_are_few_and_displace_no_complete_one(void **state)
{
    world *w = *state;
    client cl = connected(w, 0), half;

    w->config.sessions = 200;
    for (unsigned i = 0; i < 64; i++) {
        assert_int_equal(client_handshake(w, &half, i % 2, open_stream(w)), CS_OK);
        client_free(&half);
    }
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(client_handshake(w, &half, i, open_stream(w)), CS_E_SESSION_LIMIT);
        client_free(&half);
    }
    assert_true(sign_once(w, &cl, &(ask){.account = 0, .tx_id = 1}));
    client_free(&cl);
}

static void test_an_arena_that_is_full_refuses_the_session_and_recovers(void **state)
{
    world *w = *state;
    client cl = connected(w, 0);
    size_t used = cs_arena_used(), num = 0;
    static void *hoard[4096];
    session s;
    cs_slice text;

    session_hello(w, &cl, &s, &(ask){.account = 0, .tx_id = 1, .digest_byte = 3});
    for (size_t len = (size_t)16 << 20; len >= 64; len /= 2) {
        while (num < 4096 && (hoard[num] = cs_secret_alloc(len)) != NULL) {
            num++;
        }
    }
    (void)session_get(w, &s, CS_DATA_MSG);
    {
        uint64_t stream = open_stream(w);
        uint8_t frame[CS_FRAME_HEAD + 32] = {CS_FRAME_DATA};

        memcpy(frame + 1, cl.ch.id.b, 16);
        frame[17] = 0xee;
        give1(w, CS_LINK_SERVICE, CS_RPC_PARTY_DATA, stream, cs_slice_of(frame, sizeof frame));
        expect_end(w, stream, CS_E_NO_MEMORY);
    }
    while (num > 0) {
        cs_secret_free(hoard[--num]);
    }
    give1(w, CS_LINK_SERVICE, CS_RPC_PARTY_CLOSE, s.stream, CS_SLICE_NULL);
    text = next(w, CS_LINK_SERVICE).f[0].s;
    assert_true(cs_slice_eq_str(text, "CLOSED"));
    session_free(&s);
    assert_int_equal(cs_arena_used(), used);
    assert_true(sign_once(w, &cl, &(ask){.account = 0, .tx_id = 1, .digest_byte = 3}));
    client_free(&cl);
}

static void test_a_new_sign_service_may_use_the_numbers_again(void **state)
{
    world *w = *state;
    client cl = connected(w, 0);
    session s;
    ask a = {.account = 0, .tx_id = 1};

    session_hello(w, &cl, &s, &a);
    (void)session_get(w, &s, CS_DATA_MSG);
    session_free(&s);
    w->next_id--;
    (void)open_stream(w);
    assert_true(none(w, CS_LINK_SERVICE));
    has(w, "\"live\":0");
    has(w, "\"streams\":1");
    assert_true(sign_once(w, &cl, &a));
    client_free(&cl);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_a_client_signs_with_each_account_of_its_channel),
        T(test_sessions_run_side_by_side),
        T(test_the_same_request_gets_the_same_answer_and_other_data_a_conflict),
        T(test_a_conflict_holds_while_the_first_is_live_and_after_it_failed),
        T(test_a_retry_takes_the_place_of_the_live_session),
        T(test_hellos_that_core_does_not_authorise_are_refused_with_their_code),
        T(test_a_replayed_round_ends_the_session_and_nothing_else),
        T(test_a_flipped_byte_ends_the_session_and_a_retry_signs),
        T(test_a_lie_bans_the_pair_and_all_its_channels_but_nobody_else),
        T(test_a_lie_in_the_ot_setup_bans_too),
        T(test_only_a_fresh_order_of_a_publisher_lifts_a_ban),
        T(test_bans_of_a_key_are_lifted_three_times_a_day),
        T(test_a_silent_peer_is_ended_at_the_deadline_and_not_before),
        T(test_a_peer_gone_in_mid_round_leaves_nothing_behind),
        T(test_handshakes_of_unknown_keys_and_replays_are_refused),
        T(test_frames_that_are_none_end_the_stream_only),
        T(test_a_channel_without_ot_setup_signs_nothing),
        T(test_a_renewed_ot_setup_replaces_the_old_one_when_complete),
        T(test_the_number_of_streams_is_limited_and_idle_ones_give_way),
        T(test_half_open_channels_are_few_and_displace_no_complete_one),
        T(test_an_arena_that_is_full_refuses_the_session_and_recovers),
        T(test_a_new_sign_service_may_use_the_numbers_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
