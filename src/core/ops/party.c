#include "core/ops/party.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "core/pipeline/respond.h"

cs_err cs_party_send(cs_core *c, cs_stream *s, cs_data_kind kind, cs_slice payload)
{
    uint8_t *body = NULL;
    size_t len = 0;
    cs_buf frame;

    CS_TRY(cs_respond_body(c, CS_RPC_PARTY_SEND, s->id, 1 + payload.len + CS_FRAME_OVERHEAD, &body, &frame));
    body[CS_FRAME_HEAD] = (uint8_t)kind;
    if (payload.len > 0) {
        memcpy(body + CS_FRAME_HEAD + 1, payload.p, payload.len);
    }
    CS_TRY(cs_csession_seal(s->session, body, &len, 1 + payload.len));
    cs_respond_send(c, CS_LINK_SERVICE, &frame);
    return CS_OK;
}

void cs_party_end(cs_core *c, cs_stream *s, cs_err why, bool tell)
{
    if (tell && why != CS_OK && s->session != NULL && s->session->alive &&
        cs_party_send(c, s, CS_DATA_REFUSED, cs_slice_str(cs_err_code(why))) != CS_OK) {
        cs_log_err(CS_LOG_WARN, "refused_not_sent", why, CS_LU("stream", s->id));
    }
    if (s->kind == CS_STREAM_SIGN) {
        cs_answers_drop(&c->answers, s->label32, s->id);
    }
    cs_respond_code(c, CS_RPC_PARTY_END, s->id, why);
    cs_streams_remove(&c->streams, s);
}

/* Channels that are half open serve nobody but their stream. */
static void leave_half_open(cs_core *c, cs_chan *ch)
{
    if (ch != NULL && ch->pair == NULL && ch->streams == 0) {
        cs_channels_remove(&c->channels, ch);
    }
}

static void end_stream(cs_core *c, cs_stream *s, cs_err why, bool tell)
{
    cs_chan *ch = s->chan;

    cs_party_end(c, s, why, tell);
    leave_half_open(c, ch);
}

void cs_party_drop_channel(cs_core *c, cs_chan *ch, cs_err why)
{
    for (cs_stream *s = c->streams.first, *next; s != NULL; s = next) {
        next = s->next;
        if (s->chan == ch) {
            cs_party_end(c, s, why, true);
        }
    }
    cs_channels_remove(&c->channels, ch);
}

void cs_party_ban(cs_core *c, const cs_peer *liar, cs_mpc_check check)
{
    c->peers.bans++;
    cs_log_err(CS_LOG_ERROR, "ban", CS_E_PEER_BANNED, CS_LHEX("peer", cs_slice_of(liar->peer32, 32)),
               CS_LC("check", cs_mpc_check_name(check)), CS_LU("bans", liar->bans + 1));
    for (cs_peer *r = c->peers.first; r != NULL; r = r->next) {
        if (cs_ct_eq(r->peer32, liar->peer32, 32)) {
            r->banned = true;
            r->check = check;
            r->banned_wall_ms = cs_clock_wall_ms();
            r->bans++;
            cs_mpc_peer_ban(r->mpc, check);
        }
    }
    for (cs_chan *ch = c->channels.first, *next; ch != NULL; ch = next) {
        next = ch->next;
        if (ch->peer->banned) {
            cs_party_drop_channel(c, ch, CS_E_ABORT_SESSION);
        }
    }
    cs_waits_recheck(c);
}

void cs_party_recheck(cs_core *c)
{
    for (cs_chan *ch = c->channels.first, *next; ch != NULL; ch = next) {
        next = ch->next;
        if (cs_share_party_by_keys(c->set, ch->secret->enclave32, ch->secret->client32, NULL) == NULL) {
            cs_party_drop_channel(c, ch, CS_E_CHANNEL_UNKNOWN);
        }
    }
    for (cs_stream *s = c->streams.first, *next; s != NULL; s = next) {
        const cs_mpc_key *key = s->kind == CS_STREAM_SIGN ? cs_share_find(c->set, cs_slice_str(s->account)) : NULL;

        next = s->next;
        if (s->kind == CS_STREAM_SIGN && (key == NULL || !cs_ct_eq(key->kid32, s->kid32, 32))) {
            cs_party_end(c, s, CS_E_ABORT_SESSION, true);
        }
    }
    cs_waits_recheck(c);
}

void cs_party_silence(cs_core *c, uint64_t now_ms)
{
    while (c->streams.first != NULL && now_ms - c->streams.first->active_ms >= c->config->silence_ms) {
        cs_stream *s = c->streams.first;

        c->counters.silent++;
        cs_log_err(CS_LOG_INFO, "session_end", CS_E_PEER_SILENT, CS_LU("stream", s->id));
        end_stream(c, s, CS_E_PEER_SILENT, true);
    }
}

void cs_party_end_all(cs_core *c, cs_err why)
{
    while (c->streams.first != NULL) {
        cs_party_end(c, c->streams.first, why, false);
    }
    while (c->channels.first != NULL) {
        cs_channels_remove(&c->channels, c->channels.first);
    }
}

/* Streams on which nothing has come yet cost their maker nothing: at the limit the oldest of them gives way. */
static cs_err make_stream_room(cs_core *c)
{
    cs_stream *s = c->streams.first;

    if (c->streams.num < c->config->sessions) {
        return CS_OK;
    }
    while (s != NULL && (s->kind != CS_STREAM_NEW || s->session != NULL)) {
        s = s->next;
    }
    if (s == NULL) {
        return CS_E_SESSION_LIMIT;
    }
    end_stream(c, s, CS_E_SESSION_LIMIT, false);
    return CS_OK;
}

/* The stream may sign this request only. An account that is unknown now cannot be signed for on it. */
static cs_err bind_to_request(cs_core *c, cs_stream *s, const cs_rpc_frame *f)
{
    cs_hello h;
    const cs_mpc_key *key;
    cs_err err;

    cs_request_of_frame(&h, f);
    key = cs_share_find(c->set, h.account_id);
    err = key == NULL ? CS_E_ACCOUNT_UNKNOWN : cs_hello_label(s->want_label32, &h);
    if (err == CS_OK) {
        err = cs_answers_data(s->want_data32, key->pk33, &h);
    }
    if (err != CS_OK) {
        cs_streams_remove(&c->streams, s);
        return err;
    }
    s->room = true;
    return CS_OK;
}

void cs_op_party_open(cs_core *c, const cs_permit *p)
{
    const uint64_t id = cs_permit_frame(p)->id;
    cs_stream *s = cs_streams_find(&c->streams, id);
    cs_err err;

    if (s != NULL) {
        /* a new sign-service counts from the start again: what the old one had is gone */
        cs_chan *ch = s->chan;

        if (s->kind == CS_STREAM_SIGN) {
            cs_answers_drop(&c->answers, s->label32, s->id);
        }
        cs_streams_remove(&c->streams, s);
        leave_half_open(c, ch);
    }
    err = make_stream_room(c);
    if (err == CS_OK) {
        err = cs_streams_add(&c->streams, &s, id, cs_clock_mono_ms());
    }
    if (err == CS_OK && cs_permit_op(p) == CS_OP_PARTY_ROOM) {
        err = bind_to_request(c, s, cs_permit_frame(p));
    }
    if (err != CS_OK) {
        cs_log_err(CS_LOG_WARN, "session_refused", err, CS_LU("stream", id));
        cs_respond_code(c, CS_RPC_PARTY_END, id, err);
    }
}

void cs_op_party_close(cs_core *c, const cs_permit *p)
{
    cs_stream *s = cs_streams_find(&c->streams, cs_permit_frame(p)->id);

    if (s == NULL) {
        return;
    }
    c->counters.gone++;
    cs_log(CS_LOG_INFO, "session_end", CS_LU("stream", s->id), CS_LC("code", "CLOSED"));
    end_stream(c, s, CS_E_CLOSED, false);
}

/* First frame of a session: its keys. The name is burnt only when the frame is authentic. */
static cs_err first_data(cs_core *c, cs_stream *s, const cs_frame *f)
{
    cs_chan *ch = s->chan != NULL ? s->chan : cs_channels_find(&c->channels, &f->channel);

    if (ch == NULL || !ch->secret->ready || !cs_ct_eq(&ch->secret->id, &f->channel, sizeof f->channel)) {
        return CS_E_CHANNEL_UNKNOWN;
    }
    if (s->chan == NULL) {
        if (cs_chan_expired(ch, cs_clock_mono_ms())) {
            if (ch->streams == 0) {
                cs_channels_remove(&c->channels, ch);
            }
            return CS_E_CHANNEL_UNKNOWN;
        }
        cs_stream_join(s, ch);
    }
    if (cs_chan_name_used(ch, &f->session)) {
        c->counters.tags++;
        return CS_E_ABORT_SESSION;
    }
    s->session = cs_secret_alloc(sizeof *s->session);
    return s->session == NULL ? CS_E_NO_MEMORY : cs_csession_init(s->session, ch->secret, &f->session);
}

/* In a room: what was made for a frame that turned out not to be authentic goes again, so that the real one finds its place. */
static void forget_first(cs_stream *s)
{
    cs_csession_wipe(s->session);
    cs_secret_free(s->session);
    s->session = NULL;
    if (s->kind == CS_STREAM_NEW) {
        cs_stream_leave(s);
    }
}

/* One plaintext by its kind and what the stream is doing. What is authentic but out of place ends the session. */
static cs_err dispatch(cs_core *c, cs_stream *s, cs_slice plain, cs_mpc_verdict *v, bool *done)
{
    cs_slice payload = cs_slice_of(plain.p + 1, plain.len - 1);

    switch (plain.p[0]) {
    case CS_DATA_OT:
        if (s->kind != CS_STREAM_SIGN) {
            return cs_setup_message(c, s, payload, v, done);
        }
        return CS_E_ABORT_SESSION;
    case CS_DATA_HELLO:
        if (s->kind == CS_STREAM_NEW) {
            return cs_sign_hello(c, s, payload, v, done);
        }
        return CS_E_ABORT_SESSION;
    case CS_DATA_MSG:
        if (s->kind == CS_STREAM_SIGN) {
            return cs_sign_message(c, s, payload, v, done);
        }
        return CS_E_ABORT_SESSION;
    default: /* also REFUSED: the client gave up */
        return CS_E_ABORT_SESSION;
    }
}

static cs_err on_data(cs_core *c, cs_stream *s, const cs_frame *f, cs_slice body, cs_mpc_verdict *v, bool *done)
{
    const bool first = s->session == NULL;
    size_t len = 0;
    cs_err err;

    if (first) {
        CS_TRY(first_data(c, s, f));
    }
    err = s->room ? cs_csession_try(s->session, c->plain, CS_FRAME_MAX_PLAIN, &len, body)
                  : cs_csession_open(s->session, c->plain, CS_FRAME_MAX_PLAIN, &len, body);
    if (err != CS_OK) {
        c->counters.tags++;
        if (s->room && first) {
            forget_first(s);
        }
        return err;
    }
    if (first) {
        CS_TRY(cs_chan_name_add(s->chan, &f->session));
    }
    err = dispatch(c, s, cs_slice_of(c->plain, len), v, done);
    return err;
}

static cs_err on_frame(cs_core *c, cs_stream *s, cs_slice body, cs_mpc_verdict *v, bool *done)
{
    cs_frame f;
    cs_err err = cs_frame_parse(&f, body);

    if (err == CS_OK && f.kind == CS_FRAME_DATA) {
        return on_data(c, s, &f, body, v, done);
    }
    if (err == CS_OK && f.kind == CS_FRAME_HS1 && s->kind == CS_STREAM_NEW) {
        return cs_setup_hs1(c, s, &f, body);
    }
    if (s->room) {
        c->counters.tags++;
        return CS_E_STATE;
    }
    if (s->kind != CS_STREAM_NEW) {
        return CS_E_ABORT_SESSION; /* a byte changed on the way, wherever it was */
    }
    return err != CS_OK ? err : CS_E_FORMAT;
}

/* After a step that failed: what is told, counted and logged. s may be gone afterwards. */
static void step_failed(cs_core *c, cs_stream *s, cs_err err, const cs_mpc_verdict *v)
{
    const bool by_check = v->check != CS_MPC_CHK_NONE;
    const uint64_t id = s->id;
    cs_peer *peer = s->chan == NULL ? NULL : s->chan->peer;

    if (by_check) {
        c->counters.aborts[v->check]++;
    }
    /* anybody may write to a room: no line for each byte of noise */
    cs_log_err(by_check                       ? CS_LOG_WARN
               : s->room && err == CS_E_STATE ? CS_LOG_DEBUG
                                              : CS_LOG_INFO,
               err == CS_E_STATE ? "drop" : "session_end", err, CS_LU("stream", id),
               CS_LC("class", cs_mpc_class_name(v->cls)), CS_LC("check", cs_mpc_check_name(v->check)));
    if (err == CS_E_STATE) {
        return; /* DROP: nothing is answered, the silence deadline runs on */
    }
    /* what a check found looks alike to the peer */
    end_stream(c, s, by_check ? CS_E_ABORT_SESSION : err, true);
    if (err == CS_E_PEER_BANNED && v->cls == CS_MPC_BAN && peer != NULL) {
        cs_party_ban(c, peer, v->check);
    }
}

void cs_op_party_data(cs_core *c, const cs_permit *p)
{
    const cs_rpc_frame *rf = cs_permit_frame(p);
    cs_stream *s = cs_streams_find(&c->streams, rf->id);
    cs_mpc_verdict v = {CS_MPC_FINE, CS_MPC_CHK_NONE, 0};
    bool done = false;
    cs_err err;

    if (s == NULL) {
        return; /* ended already; the frame was under way */
    }
    err = on_frame(c, s, rf->f[0].s, &v, &done);
    if (err != CS_OK) {
        step_failed(c, s, err, &v);
    } else if (done) {
        end_stream(c, s, CS_OK, false);
    } else {
        cs_streams_touch(&c->streams, s, cs_clock_mono_ms()); /* it got on: a message that was dropped is none */
    }
}
