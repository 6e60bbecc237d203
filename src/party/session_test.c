/* Two whole parties in one process: the client's state machines against a small enclave on the same channel and MPC code. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "party/deal.h"
#include "party/session.h"

static cs_deal *dealt;
static cs_share_set *client, *service;
static cs_pwork *work;
static cs_mpc_peer *client_peer, *service_peer;

/* the enclave's side */
typedef struct enclave {
    cs_channel channel;
    cs_csession session;
    cs_mpc_setup *ot;
    cs_mpc_pair *pair;
    cs_mpc_sign2 *sign;
    cs_mpc_signature sig;
    uint8_t plain[CS_FRAME_MAX_PLAIN];
    uint8_t out[CS_FRAME_MAX];
    cs_buf frame;
    uint8_t digest32[32];
    cs_mpc_verdict v;
    bool answer;     /* answer the next hello with the stored signature */
    bool lie_answer; /* ... of another digest */
} enclave;

static enclave e;

static int start(void **state)
{
    cs_slice c, s;
    uint8_t pk[33];
    const cs_share_policy lax = {.allow_unsigned = true};
    if (cs_arena_init((size_t)64 << 20, false) != CS_OK || cs_deal_new(&dealt, 2) != CS_OK ||
        cs_deal_add(dealt, cs_slice_str("a"), NULL, pk) != CS_OK ||
        cs_deal_add(dealt, cs_slice_str("b"), NULL, pk) != CS_OK || cs_deal_finish(dealt, 1, NULL, &c, &s) != CS_OK ||
        cs_share_load(&client, c, &lax, NULL) != CS_OK || cs_share_load(&service, s, &lax, NULL) != CS_OK) {
        return -1;
    }
    work = cs_secret_alloc(sizeof *work);
    return work == NULL ? -1 : 0;
}

/* fresh peers: no ban is carried from test to test */
static int fresh(void **state)
{
    const cs_share_party *p = cs_share_party_at(client, 0);
    memset(&e, 0, sizeof e);
    return cs_mpc_peer_new(&client_peer, p->parties.idkey[0], p->parties.idkey[1]) == CS_OK &&
                   cs_mpc_peer_new(&service_peer, p->parties.idkey[1], p->parties.idkey[0]) == CS_OK
               ? 0
               : -1;
}

static int clear(void **state)
{
    cs_mpc_sign2_free(e.sign);
    cs_mpc_setup_free(e.ot);
    cs_mpc_pair_free(e.pair);
    cs_mpc_peer_free(client_peer);
    cs_mpc_peer_free(service_peer);
    return 0;
}

static cs_slice sealed(cs_data_kind kind, cs_slice payload)
{
    e.frame = cs_buf_wrap(e.out, sizeof e.out);
    assert_int_equal(cs_csession_seal_msg(&e.session, &e.frame, kind, payload), CS_OK);
    return cs_buf_slice(&e.frame);
}

static cs_slice enclave_hs1(cs_slice frame)
{
    assert_int_equal(cs_channel_accept(&e.channel, e.out, frame, cs_share_party_at(service, 0)->static_key.b), CS_OK);
    assert_int_equal(
        cs_mpc_setup_new(&e.ot, &(cs_mpc_setup_args){.peer = service_peer,
                                                     .role = CS_MPC_RESPONDER,
                                                     .chan32 = e.channel.chan32,
                                                     .secret32 = cs_share_party_at(service, 0)->static_key.b}),
        CS_OK);
    return cs_slice_of(e.out, CS_FRAME_HS2_LEN);
}

/* opens with a session of the frame's name when there is none */
static cs_err enclave_open(cs_slice frame, size_t *len)
{
    cs_frame f;
    assert_int_equal(cs_frame_parse(&f, frame), CS_OK);
    if (!e.session.alive) {
        assert_int_equal(cs_csession_init(&e.session, &e.channel, &f.session), CS_OK);
    }
    return cs_csession_open(&e.session, e.plain, sizeof e.plain, len, frame);
}

static cs_slice enclave_ot(cs_slice frame)
{
    static uint8_t mem[CS_MPC_SETUP_MAX_LEN];
    cs_buf out = cs_buf_wrap(mem, sizeof mem);
    size_t len = 0;
    assert_int_equal(enclave_open(frame, &len), CS_OK);
    assert_int_equal(e.plain[0], CS_DATA_OT);
    assert_int_equal(cs_mpc_setup_on(e.ot, cs_slice_of(e.plain + 1, len - 1), &out, &e.v), CS_OK);
    if (cs_mpc_setup_done(e.ot)) {
        e.pair = cs_mpc_setup_take(e.ot);
        assert_non_null(e.pair);
        return sealed(CS_DATA_OT_DONE, CS_SLICE_NULL);
    }
    return sealed(CS_DATA_OT, cs_buf_slice(&out));
}

static cs_pchannel *set_up(void)
{
    cs_psetup *s = NULL;
    cs_pchannel *made = NULL;
    cs_slice f;
    assert_int_equal(cs_psetup_new(&s, work, &f, cs_share_party_at(client, 0), 2, client_peer), CS_OK);
    f = enclave_hs1(f);
    while (made == NULL) {
        assert_int_equal(cs_psetup_on(s, work, &f, &made, f, NULL), CS_OK);
        if (made == NULL) {
            f = enclave_ot(f);
        }
    }
    cs_psetup_free(s);
    cs_csession_wipe(&e.session);
    return made;
}

static cs_slice enclave_hello(size_t len)
{
    static uint8_t m2[CS_MPC_M2_LEN];
    cs_reader r = cs_reader_of(cs_slice_of(e.plain + 1, len - 1));
    cs_slice cbor;
    cs_hello h;
    uint16_t n = 0;
    uint8_t label[32];
    assert_int_equal(cs_read_u16(&r, &n), CS_OK);
    assert_int_equal(cs_read_slice(&r, &cbor, n), CS_OK);
    assert_int_equal(cs_hello_parse(&h, cbor), CS_OK);
    if (e.answer) {
        uint8_t answer[65];
        memcpy(answer, e.sig.r, 32);
        memcpy(answer + 32, e.sig.s, 32);
        answer[64] = e.sig.recid ^ (e.lie_answer ? 1 : 0);
        return sealed(CS_DATA_ANSWER, cs_slice_of(answer, 65));
    }
    assert_int_equal(cs_hello_label(label, &h), CS_OK);
    cs_mpc_request q = {.key = cs_share_find(service, h.account_id),
                        .peer = 1,
                        .digest32 = h.digest32,
                        .label32 = label,
                        .path = h.path,
                        .path_len = h.path_len};
    assert_non_null(q.key);
    cs_mpc_sign2_free(e.sign);
    e.sign = NULL;
    assert_int_equal(cs_mpc_sign2_new(&e.sign, e.pair, &q), CS_OK);
    assert_int_equal(cs_mpc_sign2_on_m1(e.sign, cs_slice_of(r.p, r.left), m2, &e.v), CS_OK);
    return sealed(CS_DATA_MSG, cs_slice_of(m2, sizeof m2));
}

/* the enclave's answer to a frame of a signing session, or its error */
static cs_err enclave_sign(cs_slice *out, cs_slice frame)
{
    uint8_t m4[CS_MPC_M4_LEN];
    size_t len = 0;
    CS_TRY(enclave_open(frame, &len));
    if (e.plain[0] == CS_DATA_HELLO) {
        *out = enclave_hello(len);
        return CS_OK;
    }
    CS_TRY(cs_mpc_sign2_on_m3(e.sign, cs_slice_of(e.plain + 1, len - 1), m4, &e.sig, &e.v));
    *out = sealed(CS_DATA_MSG, cs_slice_of(m4, sizeof m4));
    return CS_OK;
}

static cs_psign_request request(const char *account)
{
    cs_psign_request r = {.account_id = cs_slice_str(account),
                          .key = cs_share_find(client, cs_slice_str(account)),
                          .tx_id = 5,
                          .execution_id = cs_slice_str("x1"),
                          .path = {0, 7},
                          .path_len = 2};
    memset(r.digest32, 0xab, 32);
    return r;
}

static void two_parties_sign_for_many_accounts_in_one_channel(void **state)
{
    cs_pchannel *c = set_up();
    size_t used = cs_arena_used();
    for (int i = 0; i < 4; i++) {
        cs_psign *s = NULL;
        cs_mpc_signature sig;
        cs_slice f;
        bool done = false;
        cs_psign_request r = request(i % 2 ? "a" : "b");
        r.tx_id = i;
        assert_int_equal(cs_psign_new(&s, work, &f, c, &r), CS_OK);
        while (!done) {
            assert_int_equal(enclave_sign(&f, f), CS_OK);
            assert_int_equal(cs_psign_on(s, work, &f, &done, &sig, f, NULL), CS_OK);
        }
        assert_int_equal(cs_psign_verify(&sig, r.digest32), CS_OK);
        assert_memory_equal(sig.r, e.sig.r, 32);
        sig.recid ^= 1;
        assert_int_equal(cs_psign_verify(&sig, r.digest32), CS_E_BAD_SIGNATURE);
        cs_psign_free(s);
        cs_csession_wipe(&e.session);
        cs_mpc_sign2_free(e.sign);
        e.sign = NULL;
    }
    assert_int_equal(cs_arena_used(), used);
    cs_pchannel_release(c);
}

static void a_stored_answer_is_verified(void **state)
{
    cs_pchannel *c = set_up();
    cs_psign_request r = request("a");
    for (int i = 0; i < 3; i++) {
        cs_psign *s = NULL;
        cs_mpc_signature sig;
        cs_slice f;
        bool done = false;
        cs_err err = CS_OK;
        e.answer = i > 0;
        e.lie_answer = i == 2;
        assert_int_equal(cs_psign_new(&s, work, &f, c, &r), CS_OK);
        while (!done && err == CS_OK) {
            assert_int_equal(enclave_sign(&f, f), CS_OK);
            err = cs_psign_on(s, work, &f, &done, &sig, f, NULL);
        }
        assert_int_equal(err, i == 2 ? CS_E_BAD_SIGNATURE : CS_OK);
        cs_psign_free(s);
        cs_csession_wipe(&e.session);
    }
    cs_pchannel_release(c);
}

enum { FLIP, REPLAY, REORDER, REFUSE, UNKNOWN_REFUSAL, WRONG_KIND };

static cs_err disturbed(cs_pchannel *c, int what)
{
    static uint8_t copy[CS_FRAME_MAX];
    cs_psign *s = NULL;
    cs_mpc_signature sig;
    cs_slice f, out;
    bool done = false;
    cs_psign_request r = request("a");
    assert_int_equal(cs_psign_new(&s, work, &f, c, &r), CS_OK);
    assert_int_equal(enclave_sign(&f, f), CS_OK);
    memcpy(copy, f.p, f.len);
    cs_slice m2 = cs_slice_of(copy, f.len);
    if (what == FLIP) {
        copy[20000] ^= 1;
    } else if (what == REPLAY) {
        assert_int_equal(cs_psign_on(s, work, &out, &done, &sig, m2, NULL), CS_OK);
    } else if (what == REORDER) {
        m2 = sealed(CS_DATA_MSG, cs_slice_str("next"));
    } else if (what == REFUSE || what == UNKNOWN_REFUSAL || what == WRONG_KIND) {
        cs_csession_wipe(&e.session);
        cs_psign_free(s);
        s = NULL;
        assert_int_equal(cs_psign_new(&s, work, &f, c, &r), CS_OK);
        size_t len = 0;
        assert_int_equal(enclave_open(f, &len), CS_OK);
        m2 = what == REFUSE            ? sealed(CS_DATA_REFUSED, cs_slice_str("EXECUTION_CONFLICT"))
             : what == UNKNOWN_REFUSAL ? sealed(CS_DATA_REFUSED, cs_slice_str("HUH"))
                                       : sealed(CS_DATA_OT, cs_slice_str("HUH"));
    }
    cs_err err = cs_psign_on(s, work, &out, &done, &sig, m2, NULL);
    assert_false(done);
    assert_int_equal(cs_psign_on(s, work, &out, &done, &sig, m2, NULL), CS_E_ABORT_SESSION); /* it is over */
    cs_psign_free(s);
    cs_csession_wipe(&e.session);
    return err;
}

static void what_happens_on_the_way_ends_the_session_and_a_retry_signs(void **state)
{
    cs_pchannel *c = set_up();
    assert_int_equal(disturbed(c, FLIP), CS_E_ABORT_SESSION);
    assert_int_equal(disturbed(c, REPLAY), CS_E_ABORT_SESSION);
    assert_int_equal(disturbed(c, REORDER), CS_E_ABORT_SESSION);
    assert_int_equal(disturbed(c, REFUSE), CS_E_EXECUTION_CONFLICT);
    assert_int_equal(disturbed(c, UNKNOWN_REFUSAL), CS_E_ABORT_SESSION);
    assert_int_equal(disturbed(c, WRONG_KIND), CS_E_ABORT_SESSION);
    assert_int_equal(cs_mpc_peer_banned(client_peer), CS_MPC_CHK_NONE);
    cs_psign *s = NULL;
    cs_mpc_signature sig;
    cs_slice f;
    bool done = false;
    cs_psign_request r = request("a");
    assert_int_equal(cs_psign_new(&s, work, &f, c, &r), CS_OK);
    while (!done) {
        assert_int_equal(enclave_sign(&f, f), CS_OK);
        assert_int_equal(cs_psign_on(s, work, &f, &done, &sig, f, NULL), CS_OK);
    }
    cs_psign_free(s);
    cs_pchannel_release(c);
}

static void a_lie_inside_the_protocol_bans(void **state)
{
    cs_pchannel *c = set_up();
    cs_psign *s = NULL;
    cs_mpc_signature sig;
    cs_mpc_verdict v;
    cs_slice f;
    bool done = false;
    cs_psign_request r = request("a");
    assert_int_equal(cs_psign_new(&s, work, &f, c, &r), CS_OK);
    size_t len = 0;
    assert_int_equal(enclave_open(f, &len), CS_OK);
    f = enclave_hello(len);
    /* the enclave's M2 with another at[0], sealed properly */
    cs_csession copy = e.session;
    copy.next_send--;
    e.session = copy;
    static uint8_t m2[CS_MPC_M2_LEN];
    cs_csession open = e.session;
    open.receive = e.session.send;
    open.next_receive = open.next_send;
    assert_int_equal(cs_csession_open(&open, work->plain, sizeof work->plain, &len, f), CS_OK);
    memcpy(m2, work->plain + 1, sizeof m2);
    m2[2785 + 31] ^= 1;
    f = sealed(CS_DATA_MSG, cs_slice_of(m2, sizeof m2));
    assert_int_equal(cs_psign_on(s, work, &f, &done, &sig, f, &v), CS_E_PEER_BANNED);
    assert_int_equal(v.cls, CS_MPC_BAN);
    cs_psign_free(s);
    s = NULL;
    assert_int_not_equal(cs_mpc_peer_banned(client_peer), CS_MPC_CHK_NONE);
    assert_int_equal(cs_psign_new(&s, work, &f, c, &r), CS_E_PEER_BANNED);
    assert_null(s);
    cs_pchannel_release(c);
}

static void a_ban_ends_the_sessions_and_set_ups_that_are_under_way(void **state)
{
    cs_pchannel *c = set_up(), *made = NULL;
    cs_psign_request r = request("a");
    const cs_share_party *own = cs_share_party_at(client, 0);
    cs_psetup *u = NULL;
    cs_psign *s = NULL;
    cs_mpc_signature sig;
    cs_slice f, m2;
    bool done = false;
    assert_int_equal(cs_psign_new(&s, work, &f, c, &r), CS_OK);
    assert_int_equal(enclave_sign(&m2, f), CS_OK);
    cs_mpc_peer_ban(client_peer, CS_MPC_CHK_MU); /* another session found a lie */
    assert_int_equal(cs_psign_on(s, work, &f, &done, &sig, m2, NULL), CS_E_PEER_BANNED);
    assert_false(done);
    cs_psign_free(s);
    cs_csession_wipe(&e.session);
    cs_mpc_peer_unban(client_peer);
    cs_mpc_setup_free(e.ot);
    assert_int_equal(cs_psetup_new(&u, work, &f, own, (uint16_t)(3 - own->index), client_peer), CS_OK);
    f = enclave_hs1(f);
    assert_int_equal(cs_psetup_on(u, work, &f, &made, f, NULL), CS_OK);
    f = enclave_ot(f);
    cs_mpc_peer_ban(client_peer, CS_MPC_CHK_MU);
    assert_int_equal(cs_psetup_on(u, work, &f, &made, f, NULL), CS_E_PEER_BANNED);
    assert_null(made);
    cs_psetup_free(u);
    cs_pchannel_release(c);
}

static void a_channel_lives_until_its_last_session(void **state)
{
    cs_pchannel *c = set_up();
    cs_psign *s = NULL;
    cs_slice f;
    cs_psign_request r = request("a");
    assert_int_equal(cs_psign_new(&s, work, &f, c, &r), CS_OK);
    cs_pchannel_release(c);
    assert_int_equal(enclave_sign(&f, f), CS_OK); /* still works */
    cs_mpc_signature sig;
    bool done = false;
    assert_int_equal(cs_psign_on(s, work, &f, &done, &sig, f, NULL), CS_OK);
    cs_psign_free(s);
}

static void a_wrong_enclave_key_fails_the_handshake(void **state)
{
    cs_psetup *s = NULL;
    cs_slice f;
    cs_pchannel *made = NULL;
    uint8_t other[32] = {1, 2, 3};
    assert_int_equal(cs_psetup_new(&s, work, &f, cs_share_party_at(client, 0), 2, client_peer), CS_OK);
    assert_int_equal(cs_channel_accept(&e.channel, e.out, f, other), CS_E_CHANNEL_AUTH);
    memset(e.out, 0, CS_FRAME_HS2_LEN);
    assert_int_equal(cs_psetup_on(s, work, &f, &made, cs_slice_of(e.out, CS_FRAME_HS2_LEN), NULL), CS_E_CHANNEL_AUTH);
    cs_psetup_free(s);
    s = NULL;
    assert_int_equal(cs_psetup_new(&s, work, &f, cs_share_party_at(client, 0), 1, client_peer), CS_E_KEY_MISMATCH);
}

static void requests_out_of_range_are_refused(void **state)
{
    cs_pchannel *c = set_up();
    cs_psign *s = NULL;
    cs_slice f;
    cs_psign_request r = request("a");
    r.path[0] = 0x80000000u;
    assert_int_equal(cs_psign_new(&s, work, &f, c, &r), CS_E_RANGE);
    r = request("a");
    r.execution_id = CS_SLICE_NULL;
    assert_int_equal(cs_psign_new(&s, work, &f, c, &r), CS_E_RANGE);
    r = request("a");
    r.path_len = 11;
    assert_int_equal(cs_psign_new(&s, work, &f, c, &r), CS_E_RANGE);
    cs_pchannel_release(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(two_parties_sign_for_many_accounts_in_one_channel, fresh, clear),
        cmocka_unit_test_setup_teardown(a_stored_answer_is_verified, fresh, clear),
        cmocka_unit_test_setup_teardown(what_happens_on_the_way_ends_the_session_and_a_retry_signs, fresh, clear),
        cmocka_unit_test_setup_teardown(a_lie_inside_the_protocol_bans, fresh, clear),
        cmocka_unit_test_setup_teardown(a_ban_ends_the_sessions_and_set_ups_that_are_under_way, fresh, clear),
        cmocka_unit_test_setup_teardown(a_channel_lives_until_its_last_session, fresh, clear),
        cmocka_unit_test_setup_teardown(a_wrong_enclave_key_fails_the_handshake, fresh, clear),
        cmocka_unit_test_setup_teardown(requests_out_of_range_are_refused, fresh, clear),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
