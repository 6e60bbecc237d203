#include "party/testenclave.h"

#include <stdlib.h>
#include <string.h>

#define MAX_CHANNELS 16
#define MAX_SESSIONS 256
#define MAX_ANSWERS 64

typedef struct chan {
    cs_channel channel;
    cs_csession session; /* of the set-up */
    cs_mpc_setup *setup;
    cs_mpc_pair *pair;
} chan;

typedef struct session {
    cs_csession keys;
    cs_mpc_sign2 *sign;
    uint8_t label[32];
} session;

struct testenclave {
    const cs_share_set *shares;
    cs_mpc_peer *peer;
    chan *chans;
    session *sessions;
    size_t num_chans, num_sessions, num_answers;
    unsigned made, setups;
    struct {
        uint8_t label[32], answer[65];
    } answers[MAX_ANSWERS];
    uint8_t plain[CS_FRAME_MAX_PLAIN];
};

testenclave *testenclave_new(const cs_share_set *service)
{
    const cs_share_party *p = cs_share_party_at(service, 0);
    testenclave *e = calloc(1, sizeof *e);
    if (e == NULL) {
        abort();
    }
    e->shares = service;
    e->chans = cs_secret_alloc(MAX_CHANNELS * sizeof *e->chans);
    e->sessions = cs_secret_alloc(MAX_SESSIONS * sizeof *e->sessions);
    if (e->chans == NULL || e->sessions == NULL ||
        cs_mpc_peer_new(&e->peer, p->static_pub, p->parties.idkey[2 - p->index]) != CS_OK) {
        abort();
    }
    return e;
}

static cs_err on_hs1(testenclave *e, cs_buf *out, const cs_frame *f, cs_slice frame)
{
    const uint8_t *secret = cs_share_party_at(e->shares, 0)->static_key.b;
    chan *c = &e->chans[e->num_chans];
    uint8_t *hs2;
    for (size_t i = 0; i < e->num_chans; i++) {
        if (memcmp(e->chans[i].channel.id.b, f->channel.b, 16) == 0) {
            return CS_E_STATE;
        }
    }
    if (e->num_chans == MAX_CHANNELS) {
        return CS_E_NO_MEMORY;
    }
    CS_TRY(cs_put_space(out, &hs2, CS_FRAME_HS2_LEN));
    if (cs_channel_accept(&c->channel, hs2, frame, secret) != CS_OK) {
        out->len -= CS_FRAME_HS2_LEN;
        return CS_E_STATE;
    }
    e->num_chans++;
    return cs_mpc_setup_new(
        &c->setup, &(cs_mpc_setup_args){
                       .peer = e->peer, .role = CS_MPC_RESPONDER, .chan32 = c->channel.chan32, .secret32 = secret});
}

static cs_err on_ot(testenclave *e, cs_buf *out, chan *c, const cs_frame *f, cs_slice frame)
{
    static uint8_t mem[CS_MPC_SETUP_MAX_LEN];
    cs_buf msg = cs_buf_wrap(mem, sizeof mem);
    cs_mpc_verdict v;
    size_t len = 0;
    cs_csession before = c->session;
    if (!c->session.alive) {
        CS_TRY(cs_csession_init(&c->session, &c->channel, &f->session));
    }
    cs_err err = cs_csession_try(&c->session, e->plain, sizeof e->plain, &len, frame);
    if (err != CS_OK) {
        c->session = before;
        return err;
    }
    CS_TRY(cs_mpc_setup_on(c->setup, cs_slice_of(e->plain + 1, len - 1), &msg, &v));
    if (!cs_mpc_setup_done(c->setup)) {
        return cs_csession_seal_msg(&c->session, out, CS_DATA_OT, cs_buf_slice(&msg));
    }
    c->pair = cs_mpc_setup_take(c->setup);
    e->setups++;
    return cs_csession_seal_msg(&c->session, out, CS_DATA_OT_DONE, CS_SLICE_NULL);
}

static cs_err on_hello(testenclave *e, cs_buf *out, const chan *c, session *s, cs_slice payload)
{
    static uint8_t m2[CS_MPC_M2_LEN];
    cs_reader r = cs_reader_of(payload);
    cs_mpc_verdict v;
    cs_slice cbor;
    cs_hello h;
    uint16_t n = 0;
    CS_TRY(cs_read_u16(&r, &n));
    CS_TRY(cs_read_slice(&r, &cbor, n));
    CS_TRY(cs_hello_parse(&h, cbor));
    CS_TRY(cs_hello_label(s->label, &h));
    for (size_t i = 0; i < e->num_answers; i++) {
        if (memcmp(e->answers[i].label, s->label, 32) == 0) {
            return cs_csession_seal_msg(&s->keys, out, CS_DATA_ANSWER, cs_slice_of(e->answers[i].answer, 65));
        }
    }
    cs_mpc_request q = {.key = cs_share_find(e->shares, h.account_id),
                        .peer = 1,
                        .digest32 = h.digest32,
                        .label32 = s->label,
                        .path = h.path,
                        .path_len = h.path_len};
    if (q.key == NULL) {
        return cs_csession_seal_msg(&s->keys, out, CS_DATA_REFUSED, cs_slice_str("ACCOUNT_UNKNOWN"));
    }
    CS_TRY(cs_mpc_sign2_new(&s->sign, c->pair, &q));
    CS_TRY(cs_mpc_sign2_on_m1(s->sign, cs_slice_of(r.p, r.left), m2, &v));
    return cs_csession_seal_msg(&s->keys, out, CS_DATA_MSG, cs_slice_of(m2, sizeof m2));
}

static cs_err on_m3(testenclave *e, cs_buf *out, session *s, cs_slice msg)
{
    uint8_t m4[CS_MPC_M4_LEN];
    cs_mpc_verdict v;
    cs_mpc_signature sig;
    CS_TRY(cs_mpc_sign2_on_m3(s->sign, msg, m4, &sig, &v));
    e->made++;
    if (e->num_answers < MAX_ANSWERS) {
        uint8_t *a = e->answers[e->num_answers].answer;
        memcpy(e->answers[e->num_answers++].label, s->label, 32);
        memcpy(a, sig.r, 32);
        memcpy(a + 32, sig.s, 32);
        a[64] = sig.recid;
    }
    return cs_csession_seal_msg(&s->keys, out, CS_DATA_MSG, cs_slice_of(m4, sizeof m4));
}

static session *session_of(testenclave *e, const cs_frame *f)
{
    for (size_t i = 0; i < e->num_sessions; i++) {
        if (memcmp(e->sessions[i].keys.name.b, f->session.b, 16) == 0) {
            return &e->sessions[i];
        }
    }
    return NULL;
}

static cs_err on_session(testenclave *e, cs_buf *out, const chan *c, const cs_frame *f, cs_slice frame)
{
    session *s = session_of(e, f);
    bool fresh = s == NULL;
    size_t len = 0;
    if (fresh) {
        if (e->num_sessions == MAX_SESSIONS) {
            return CS_E_NO_MEMORY;
        }
        s = &e->sessions[e->num_sessions];
        memset(s, 0, sizeof *s);
        CS_TRY(cs_csession_init(&s->keys, &c->channel, &f->session));
    }
    cs_err err = cs_csession_try(&s->keys, e->plain, sizeof e->plain, &len, frame);
    if (err != CS_OK) {
        return err; /* a fresh one is not counted: the real frame makes it */
    }
    e->num_sessions += fresh;
    cs_slice payload = cs_slice_of(e->plain + 1, len - 1);
    return e->plain[0] == CS_DATA_HELLO ? on_hello(e, out, c, s, payload) : on_m3(e, out, s, payload);
}

cs_err testenclave_on(testenclave *e, cs_buf *out, cs_slice frame)
{
    cs_frame f;
    if (cs_frame_parse(&f, frame) != CS_OK || f.kind == CS_FRAME_HS2) {
        return CS_E_STATE;
    }
    if (f.kind == CS_FRAME_HS1) {
        return on_hs1(e, out, &f, frame);
    }
    for (size_t i = 0; i < e->num_chans; i++) {
        chan *c = &e->chans[i];
        if (memcmp(c->channel.id.b, f.channel.b, 16) == 0) {
            bool of_setup = c->pair == NULL || memcmp(c->session.name.b, f.session.b, 16) == 0;
            return of_setup ? on_ot(e, out, c, &f, frame) : on_session(e, out, c, &f, frame);
        }
    }
    return CS_E_CHANNEL_UNKNOWN;
}

void testenclave_restart(testenclave *e)
{
    for (size_t i = 0; i < e->num_sessions; i++) {
        cs_mpc_sign2_free(e->sessions[i].sign);
    }
    for (size_t i = 0; i < e->num_chans; i++) {
        cs_mpc_setup_free(e->chans[i].setup);
        cs_mpc_pair_free(e->chans[i].pair);
    }
    memset(e->chans, 0, MAX_CHANNELS * sizeof *e->chans);
    memset(e->sessions, 0, MAX_SESSIONS * sizeof *e->sessions);
    e->num_chans = e->num_sessions = e->num_answers = 0;
}

unsigned testenclave_signed(const testenclave *e)
{
    return e->made;
}

unsigned testenclave_setups(const testenclave *e)
{
    return e->setups;
}

void testenclave_free(testenclave *e)
{
    testenclave_restart(e);
    cs_secret_free(e->chans);
    cs_secret_free(e->sessions);
    cs_mpc_peer_free(e->peer);
    free(e);
}
