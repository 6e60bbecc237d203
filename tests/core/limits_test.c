/* What a client with a valid key may take from the others: nothing. Tables, their order of eviction, and what they remember. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "core/ops/channels.h"
#include "core/policy/answers.h"
#include "driver.h"

#define OK(x) assert_int_equal((x), CS_OK)

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

/* A channel of nobody's making: no keys, complete or not. */
static cs_chan *add_channel(cs_channels *t, cs_peer *peer, bool complete)
{
    cs_channel *secret = cs_secret_alloc(sizeof *secret);
    cs_chan *ch = NULL;

    assert_non_null(secret);
    OK(cs_channels_add(t, &ch, peer, secret, 0));
    if (complete) {
        OK(cs_chan_complete(t, ch, NULL));
    }
    return ch;
}

static void test_session_names_chosen_to_collide_do_not_make_the_table_slow(void **state)
{
    const unsigned num = 4096;
    cs_channels t = {0};
    cs_chan *ch = NULL;
    cs_channel_id name = {{0}};
    size_t run = 0, longest = 0;

    (void)state;
    ch = add_channel(&t, NULL, true);
    for (unsigned i = 0; i < num; i++) {
        cs_store_u32(name.b + 8, i); /* the first eight bytes are all the same */
        assert_false(cs_chan_name_used(ch, &name));
        OK(cs_chan_name_add(ch, &name));
        assert_true(cs_chan_name_used(ch, &name));
    }
    for (size_t i = 0; i < ch->names.cap; i++) {
        run = ch->names.used[i] ? run + 1 : 0;
        longest = run > longest ? run : longest;
    }
    assert_true(longest < num / 8); /* a look-up walks over one run at most */
    cs_channels_remove(&t, ch);
}

/* Signs, and hands the account to what comes then. */
static client signed_once(world *w, const ask *a)
{
    client cl;

    OK(client_connect(w, &cl, 0));
    assert_true(sign_once(w, &cl, a));
    return cl;
}

static void test_an_answer_is_not_given_for_another_key_under_the_same_account(void **state)
{
    world *w = *state;
    const ask a = {.account = 0, .tx_id = 5, .digest_byte = 9};
    client cl = signed_once(w, &a);
    session s;

    cs_mpc_key_wipe(&w->key[0][0]);
    cs_mpc_key_wipe(&w->key[0][1]);
    OK(cs_mpc_deal2(w->key[0], &w->parties[0], NULL, NULL));
    OK(inject_both(w, &(recipe){.generation = 8}, &(kms_answer){0}));
    session_hello(w, &cl, &s, &a);
    session_refused(w, &s, CS_E_EXECUTION_CONFLICT);
    session_free(&s);
    assert_true(sign_once(w, &cl, &(ask){.account = 0, .tx_id = 6, .digest_byte = 9}));
    client_free(&cl);
}

static void test_an_answer_is_given_again_when_the_shares_were_refreshed(void **state)
{
    world *w = *state;
    ask a = {.account = 0, .tx_id = 5, .digest_byte = 9};
    client cl = signed_once(w, &a);
    session s;

    OK(inject_both(w, &(recipe){.generation = 8, .epoch = 1}, &(kms_answer){0}));
    a.epoch = 1;
    session_hello(w, &cl, &s, &a);
    assert_int_equal(session_get(w, &s, CS_DATA_ANSWER).len, 65);
    expect_end(w, s.stream, CS_OK);
    session_free(&s);
    client_free(&cl);
}

static void test_the_oldest_request_is_forgotten_but_none_that_is_under_way(void **state)
{
    cs_answers t;
    cs_answer_found found;
    uint8_t label[32] = {0}, data[32] = {2}, answer[CS_ANSWER_LEN] = {7};

    (void)state;
    OK(cs_answers_init(&t, 4));
    for (uint8_t i = 0; i < 4; i++) {
        label[31] = i;
        OK(cs_answers_claim(&t, &found, label, data, i));
        if (i != 0) {
            cs_answers_drop(&t, label, i); /* only the first one, the oldest, is live */
        }
    }
    for (uint8_t i = 4; i < 40; i++) {
        label[31] = i;
        OK(cs_answers_claim(&t, &found, label, data, i));
        cs_answers_drop(&t, label, i);
    }
    assert_int_equal(t.forgotten, 36);
    label[31] = 0;
    cs_answers_done(&t, label, answer);
    OK(cs_answers_claim(&t, &found, label, data, 99));
    assert_true(found.answered);
    assert_int_equal(found.answer[0], 7);
    data[0] = 1;
    assert_int_equal(cs_answers_claim(&t, &found, label, data, 99), CS_E_EXECUTION_CONFLICT);
    data[0] = 2;
    cs_answers_cleanup(&t);
    /* all live: the oldest goes, the table stays in order */
    OK(cs_answers_init(&t, 4));
    for (uint8_t i = 0; i < 9; i++) {
        label[31] = i;
        OK(cs_answers_claim(&t, &found, label, data, i));
        assert_false(found.live);
    }
    OK(cs_answers_claim(&t, &found, label, data, 8));
    assert_true(found.live);
    assert_int_equal(t.forgotten, 5);
    cs_answers_cleanup(&t);
}

static void test_one_client_does_not_displace_the_channels_of_another(void **state)
{
    cs_channels t = {0};
    cs_peer honest = {.bans = 0}, greedy = {.bans = 0};
    const cs_chan *kept = add_channel(&t, &honest, true), *oldest = NULL;

    (void)state;
    for (unsigned i = 0; i < CS_CHANNELS_MAX + 10; i++) {
        (void)add_channel(&t, &greedy, true);
    }
    assert_int_equal(t.num, CS_CHANNELS_PEER + 1);
    for (const cs_chan *ch = t.first; ch != NULL; ch = ch->next) {
        oldest = ch;
    }
    assert_ptr_equal(oldest, kept);
    while (t.first != NULL) {
        cs_channels_remove(&t, t.first);
    }
}

static void test_half_open_channels_of_one_client_do_not_lock_out_the_others(void **state)
{
    world *w = *state;
    client half, other;

    w->config.sessions = 200;
    for (unsigned i = 0; i < CS_CHANNELS_HALF_OPEN_PEER; i++) {
        OK(client_handshake(w, &half, 0, open_stream(w)));
        client_free(&half);
    }
    assert_int_equal(client_handshake(w, &half, 0, open_stream(w)), CS_E_SESSION_LIMIT);
    client_free(&half);
    OK(client_connect(w, &other, 1));
    assert_true(sign_once(w, &other, &(ask){.account = 2, .tx_id = 1}));
    client_free(&other);
}

static void test_a_forged_handshake_reaches_no_table(void **state)
{
    uint8_t hs1[CS_FRAME_HS1_LEN];
    world *w = *state;
    client cl;
    uint64_t stream;

    w->config.sessions = 200;
    for (unsigned i = 0; i < CS_CHANNELS_HALF_OPEN_PEER; i++) {
        OK(client_handshake(w, &cl, 0, open_stream(w)));
        client_free(&cl);
    }
    /* the names of a client that may open no more, without its key: had the tables been asked first, this were SESSION_LIMIT */
    OK(cs_channel_start(&cl.ch, hs1, w->client_key[0], w->enclave_pub[0]));
    hs1[128] ^= 1;
    stream = open_stream(w);
    give1(w, CS_LINK_SERVICE, CS_RPC_PARTY_DATA, stream, cs_slice_of(hs1, sizeof hs1));
    expect_end(w, stream, CS_E_CHANNEL_AUTH);
    cs_channel_wipe(&cl.ch);
}

/* Both families have the same client: one static key, two enclave keys. */
static void join_families(world *w)
{
    cs_mpc_peer_free(w->peer[1]);
    memcpy(w->client_key[1], w->client_key[0], 32);
    memcpy(w->client_pub[1], w->client_pub[0], 32);
    memcpy(w->parties[1].idkey[0], w->client_pub[0], 32);
    OK(cs_mpc_peer_new(&w->peer[1], w->client_pub[1], w->enclave_pub[1]));
    for (unsigned i = 0; i < 2; i++) {
        cs_mpc_key_wipe(&w->key[2][i]);
    }
    OK(cs_mpc_deal2(w->key[2], &w->parties[1], NULL, NULL));
}

static void unban(world *w, cs_err code)
{
    uint8_t mem[CS_UNBAN_MAX];
    cs_buf b = cs_buf_wrap(mem, sizeof mem);
    cs_unban u = {.time_s = wall_ms / 1000 + 1};

    memcpy(u.key32, w->client_pub[0], 32);
    OK(cs_unban_put(&b, w->publisher_seed, &u));
    give1(w, CS_LINK_SERVICE, CS_RPC_UNBAN, 900, cs_buf_slice(&b));
    expect_reply(w, 900, code);
}

static void test_a_ban_holds_for_every_pair_of_the_static_key(void **state)
{
    static uint8_t m3[CS_MPC_M3_LEN];
    world *w = *state;
    client a, b, again;
    cs_mpc_verdict v;
    session s, other;

    join_families(w);
    OK(inject_both(w, &(recipe){.generation = 8}, &(kms_answer){0}));
    OK(client_connect(w, &a, 0));
    OK(client_connect(w, &b, 1));
    session_hello(w, &b, &other, &(ask){.account = 2, .tx_id = 1});
    (void)session_get(w, &other, CS_DATA_MSG);
    session_hello(w, &a, &s, &(ask){.account = 0, .tx_id = 1});
    OK(cs_mpc_sign2_on_m2(s.sign, session_get(w, &s, CS_DATA_MSG), m3, &v));
    m3[40105 + 31] ^= 1;
    session_send(w, &s, CS_DATA_MSG, cs_slice_of(m3, sizeof m3));
    session_refused(w, &s, CS_E_ABORT_SESSION);
    session_refused(w, &other, CS_E_ABORT_SESSION);
    session_free(&s);
    session_free(&other);
    for (unsigned i = 0; i < NUM_FAMILIES; i++) {
        assert_int_equal(client_handshake(w, &again, i, open_stream(w)), CS_E_PEER_BANNED);
        client_free(&again);
    }
    has(w, "\"bans_total\":1");
    unban(w, CS_OK);
    client_free(&b);
    OK(client_connect(w, &b, 1));
    assert_true(sign_once(w, &b, &(ask){.account = 2, .tx_id = 2}));
    client_free(&a);
    client_free(&b);
}

static void test_messages_that_are_dropped_do_not_put_off_the_silence_deadline(void **state)
{
    world *w = *state;
    client cl;
    session s;

    OK(client_connect(w, &cl, 0));
    session_hello(w, &cl, &s, &(ask){.account = 0, .tx_id = 1});
    (void)session_get(w, &s, CS_DATA_MSG);
    tick_ms(w, 9000);
    session_send(w, &s, CS_DATA_MSG, cs_slice_str("authentic, but no M3"));
    assert_true(none(w, CS_LINK_SERVICE));
    tick_ms(w, 1000);
    session_refused(w, &s, CS_E_PEER_SILENT);
    session_free(&s);
    client_free(&cl);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_session_names_chosen_to_collide_do_not_make_the_table_slow),
        T(test_an_answer_is_not_given_for_another_key_under_the_same_account),
        T(test_an_answer_is_given_again_when_the_shares_were_refreshed),
        T(test_the_oldest_request_is_forgotten_but_none_that_is_under_way),
        T(test_one_client_does_not_displace_the_channels_of_another),
        T(test_half_open_channels_of_one_client_do_not_lock_out_the_others),
        T(test_a_forged_handshake_reaches_no_table),
        T(test_a_ban_holds_for_every_pair_of_the_static_key),
        T(test_messages_that_are_dropped_do_not_put_off_the_silence_deadline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
