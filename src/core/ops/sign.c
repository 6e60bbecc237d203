/* A signing session, enclave's side: hello and M1 in, M2 out, M3 in, M4 out. Messages are written and sealed in the frame. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "core/ops/party.h"
#include "core/pipeline/respond.h"

/* Seal what stands in the frame and send it; the plaintext was written in place behind the head. */
static cs_err seal_and_send(cs_core *c, cs_stream *s, const cs_buf *frame, uint8_t *body, size_t msg_len)
{
    size_t len = 0;

    CS_TRY(cs_csession_seal(s->session, body, &len, 1 + msg_len));
    cs_respond_send(c, CS_LINK_SERVICE, frame);
    return CS_OK;
}

/* A retry of the client takes the place of the session that it gave up: one session of a triple at a time. */
static void supersede(cs_core *c, const cs_stream *s, const cs_sign_grant *g)
{
    cs_stream *old = g->has_live && g->live_stream != s->id ? cs_streams_find(&c->streams, g->live_stream) : NULL;

    if (old != NULL && old->kind == CS_STREAM_SIGN && cs_ct_eq(old->label32, g->label32, 32)) {
        c->counters.superseded++;
        cs_party_end(c, old, CS_E_ABORT_SESSION, true);
    }
}

static void adopt(cs_core *c, cs_stream *s, const cs_sign_grant *g)
{
    s->kind = CS_STREAM_SIGN;
    c->streams.signing++;
    c->counters.sessions++;
    memcpy(s->label32, g->label32, 32);
    memcpy(s->data32, g->data32, 32);
    memcpy(s->kid32, g->key->kid32, 32);
    memcpy(s->account, g->account_id.p, g->account_id.len); /* at most 128 bytes, checked by the parser */
    s->account[g->account_id.len] = '\0';
    s->tx_id = g->tx_id;
    s->began_ns = cs_clock_mono_ns();
}

static cs_err execute(cs_core *c, cs_stream *s, const cs_sign_permit *permit, cs_slice m1, cs_mpc_verdict *v,
                      bool *done)
{
    const cs_sign_grant *g = cs_sign_permit_grant(permit);
    cs_mpc_request request = {.key = g->key,
                              .peer = g->peer,
                              .digest32 = g->digest32,
                              .label32 = g->label32,
                              .path = g->path,
                              .path_len = g->path_len};
    uint8_t *body = NULL;
    cs_buf frame;

    if (g->answer65 != NULL) {
        c->counters.answers++;
        *done = true;
        return cs_party_send(c, s, CS_DATA_ANSWER, cs_slice_of(g->answer65, CS_ANSWER_LEN));
    }
    supersede(c, s, g);
    adopt(c, s, g);
    s->pair = cs_pair_take(s->chan->pair);
    CS_TRY(cs_mpc_sign2_new(&s->sign, s->pair->pair, &request));
    CS_TRY(cs_respond_body(c, CS_RPC_PARTY_SEND, s->id, 1 + CS_MPC_M2_LEN + CS_FRAME_OVERHEAD, &body, &frame));
    body[CS_FRAME_HEAD] = CS_DATA_MSG;
    CS_TRY(cs_mpc_sign2_on_m1(s->sign, m1, body + CS_FRAME_HEAD + 1, v));
    return seal_and_send(c, s, &frame, body, CS_MPC_M2_LEN);
}

cs_err cs_sign_hello(cs_core *c, cs_stream *s, cs_slice payload, cs_mpc_verdict *v, bool *done)
{
    cs_reader r = cs_reader_of(payload);
    const cs_sign_want want = {s->want_label32, s->want_data32};
    const cs_sign_permit *permit = NULL;
    cs_slice hello;
    uint16_t len = 0;

    CS_TRY(cs_read_u16(&r, &len));
    CS_TRY(cs_read_slice(&r, &hello, len));
    if (s->chan->peer->banned) {
        return CS_E_PEER_BANNED;
    }
    if (s->chan->pair == NULL) {
        return CS_E_CHANNEL_UNKNOWN; /* no OT set-up was finished in it */
    }
    CS_TRY(cs_authorise_sign(c, s->chan, s->id, hello, s->room ? &want : NULL, &permit));
    return execute(c, s, permit, cs_slice_of(r.p, r.left), v, done);
}

cs_err cs_sign_message(cs_core *c, cs_stream *s, cs_slice msg, cs_mpc_verdict *v, bool *done)
{
    uint8_t *body = NULL, answer[CS_ANSWER_LEN];
    cs_mpc_signature sig;
    cs_buf frame;

    CS_TRY(cs_respond_body(c, CS_RPC_PARTY_SEND, s->id, 1 + CS_MPC_M4_LEN + CS_FRAME_OVERHEAD, &body, &frame));
    body[CS_FRAME_HEAD] = CS_DATA_MSG;
    CS_TRY(cs_mpc_sign2_on_m3(s->sign, msg, body + CS_FRAME_HEAD + 1, &sig, v));
    memcpy(answer, sig.r, 32);
    memcpy(answer + 32, sig.s, 32);
    answer[64] = sig.recid;
    cs_answers_done(&c->answers, s->label32, answer);
    /* M4 stands in the output frame: whoever waits is told after it has gone */
    c->counters.signatures++;
    *done = true;
    cs_log(CS_LOG_INFO, "signed", CS_LC("account", s->account), CS_LI("tx_id", s->tx_id), CS_LU("stream", s->id),
           CS_LU("us", (cs_clock_mono_ns() - s->began_ns) / 1000));
    CS_TRY(seal_and_send(c, s, &frame, body, CS_MPC_M4_LEN));
    cs_waits_tell(c, s->label32, s->data32, answer);
    return CS_OK;
}
