#include "party/session.h"

#include <secp256k1.h>
#include <secp256k1_recovery.h>
#include <string.h>

#define PLAIN_AT (CS_FRAME_HEAD + 1u) /* payload in a frame, behind head and kind */

static void channel_unuse(cs_pchannel *c)
{
    if (c->released && c->users == 0) {
        cs_mpc_pair_free(c->pair);
        cs_secret_free(c);
    }
}

void cs_pchannel_release(cs_pchannel *c)
{
    if (c != NULL) {
        c->released = true;
        channel_unuse(c);
    }
}

/* the payload stands in work->frame; seals it in place */
static cs_err seal(cs_csession *s, cs_pwork *work, cs_slice *out, cs_data_kind kind, size_t payload_len)
{
    size_t len = 0;
    work->frame[CS_FRAME_HEAD] = (uint8_t)kind;
    cs_party_seam_plain(work->frame + CS_FRAME_HEAD, payload_len + 1);
    CS_TRY(cs_csession_seal(s, work->frame, &len, payload_len + 1));
    cs_party_seam_frame(work->frame, len);
    *out = cs_slice_of(work->frame, len);
    return CS_OK;
}

/* REFUSED: the code as text; anything unknown is an abort */
static cs_err refusal(cs_slice text)
{
    char code[48] = {0};
    if (text.len == 0 || text.len >= sizeof code) {
        return CS_E_ABORT_SESSION;
    }
    memcpy(code, text.p, text.len);
    cs_err e = cs_err_from_code(code);
    return e == CS_OK || e == CS_E_INTERNAL ? CS_E_ABORT_SESSION : e;
}

/* CS_E_STATE: in a room, to be dropped */
static cs_err open_frame(cs_csession *s, bool room, cs_pwork *work, size_t *len, cs_slice frame)
{
    return room ? cs_csession_try(s, work->plain, sizeof work->plain, len, frame)
                : cs_csession_open(s, work->plain, sizeof work->plain, len, frame);
}

/* ---- set-up */

struct cs_psetup {
    cs_pchannel *made;
    cs_csession session;
    cs_mpc_setup *ot;
    cs_mpc_peer *peer;
    cs_secret32 static_key;
    bool handshake_done, room;
};

cs_err cs_psetup_new(cs_psetup **out, cs_pwork *work, cs_slice *out_frame, const cs_share_party *own, uint16_t peer,
                     cs_mpc_peer *mpc_peer)
{
    cs_psetup *s = NULL;
    if (peer < 1 || peer > own->parties.n || peer == own->index) {
        return CS_E_KEY_MISMATCH;
    }
    s = cs_secret_alloc(sizeof *s);
    cs_err err = s == NULL ? CS_E_NO_MEMORY : CS_OK;
    if (err == CS_OK) {
        s->peer = mpc_peer;
        s->static_key = own->static_key;
        s->made = cs_secret_alloc(sizeof *s->made);
        err = s->made == NULL ? CS_E_NO_MEMORY : CS_OK;
    }
    if (err == CS_OK) {
        err = cs_channel_start(&s->made->channel, work->frame, own->static_key.b, own->parties.idkey[peer - 1]);
    }
    if (err != CS_OK) {
        cs_psetup_free(s);
        return err;
    }
    *out_frame = cs_slice_of(work->frame, CS_FRAME_HS1_LEN);
    *out = s; /* transferred */
    return CS_OK;
}

/* in a room, what is no answer to our handshake leaves it as it was: CS_E_STATE */
static cs_err finish_handshake(cs_psetup *s, cs_slice hs2)
{
    CS_SECRET(cs_channel) before = s->made->channel;
    cs_err err = cs_channel_finish(&s->made->channel, hs2);
    if (s->room && err == CS_E_CHANNEL_AUTH) {
        s->made->channel = before;
        return CS_E_STATE;
    }
    return err;
}

/* the handshake is complete: first OT message, in the session that follows it on the same stream */
static cs_err start_ot(cs_psetup *s, cs_pwork *work, cs_slice *out_frame, cs_slice hs2, cs_mpc_verdict *v)
{
    cs_buf msg = cs_buf_wrap(work->frame + PLAIN_AT, CS_FRAME_MAX_PLAIN);
    CS_TRY(finish_handshake(s, hs2));
    s->handshake_done = true;
    CS_TRY(cs_csession_init(&s->session, &s->made->channel, NULL));
    CS_TRY(cs_mpc_setup_new(&s->ot, &(cs_mpc_setup_args){.peer = s->peer,
                                                         .role = CS_MPC_INITIATOR,
                                                         .chan32 = s->made->channel.chan32,
                                                         .secret32 = s->static_key.b}));
    cs_wipe(&s->static_key, sizeof s->static_key);
    CS_TRY(cs_mpc_setup_start(s->ot, &msg, v));
    return seal(&s->session, work, out_frame, CS_DATA_OT, msg.len);
}

static cs_err take_channel(cs_psetup *s, cs_pchannel **out_channel)
{
    if (!cs_mpc_setup_done(s->ot)) {
        return CS_E_ABORT_SESSION;
    }
    s->made->pair = cs_mpc_setup_take(s->ot);
    if (s->made->pair == NULL) {
        return CS_E_PEER_BANNED;
    }
    *out_channel = s->made; /* transferred */
    s->made = NULL;
    return CS_OK;
}

cs_err cs_psetup_on(cs_psetup *s, cs_pwork *work, cs_slice *out_frame, cs_pchannel **out_channel, cs_slice frame,
                    cs_mpc_verdict *v)
{
    cs_mpc_verdict ignored;
    cs_buf msg = cs_buf_wrap(work->frame + PLAIN_AT, CS_FRAME_MAX_PLAIN);
    size_t len = 0;
    v = v != NULL ? v : &ignored;
    *out_frame = CS_SLICE_NULL;
    if (!s->handshake_done) {
        cs_err err = start_ot(s, work, out_frame, frame, v);
        return s->room && err == CS_E_STATE && !s->handshake_done ? CS_OK : err;
    }
    cs_err opened = open_frame(&s->session, s->room, work, &len, frame);
    if (opened != CS_OK) {
        return s->room && opened == CS_E_STATE ? CS_OK : opened;
    }
    cs_slice payload = cs_slice_of(work->plain + 1, len - 1);
    switch (work->plain[0]) {
    case CS_DATA_OT: {
        cs_err err = cs_mpc_setup_on(s->ot, payload, &msg, v);
        if (err == CS_E_STATE) { /* DROP; or a ban took the set-up away */
            return cs_mpc_peer_banned(s->peer) == CS_MPC_CHK_NONE ? CS_OK : CS_E_PEER_BANNED;
        }
        CS_TRY(err);
        return msg.len == 0 ? CS_OK : seal(&s->session, work, out_frame, CS_DATA_OT, msg.len);
    }
    case CS_DATA_OT_DONE:
        return payload.len == 0 ? take_channel(s, out_channel) : CS_E_ABORT_SESSION;
    case CS_DATA_REFUSED:
        return refusal(payload);
    default:
        return CS_E_ABORT_SESSION;
    }
}

void cs_psetup_in_room(cs_psetup *s)
{
    s->room = true;
}

bool cs_psetup_is(const cs_psetup *s, const uint8_t channel16[16])
{
    return s->made != NULL && memcmp(s->made->channel.id.b, channel16, 16) == 0;
}

void cs_psetup_free(cs_psetup *s)
{
    if (s != NULL) {
        cs_mpc_setup_free(s->ot);
        cs_secret_free(s->made);
        cs_secret_free(s);
    }
}

/* ---- signing */

struct cs_psign {
    cs_pchannel *channel;
    cs_csession session;
    cs_mpc_sign2 *sign;
    uint8_t digest32[32], pk33[33];
    enum { WAIT_M2, WAIT_M4, OVER } state;
    bool room;
};

static cs_err make_hello(cs_hello *h, uint8_t label32[32], const cs_psign_request *r)
{
    *h = (cs_hello){.account_id = r->account_id,
                    .tx_id = r->tx_id,
                    .execution_id = r->execution_id,
                    .path_len = r->path_len,
                    .epoch = r->key->epoch};
    if (r->path_len > CS_HELLO_MAX_PATH) {
        return CS_E_RANGE;
    }
    memcpy(h->digest32, r->digest32, 32);
    memcpy(h->path, r->path, r->path_len * sizeof r->path[0]);
    return cs_hello_label(label32, h);
}

/* kind, u16 length, hello, M1: written where they are sealed */
static cs_err first_frame(cs_psign *s, cs_pwork *work, cs_slice *out_frame, const cs_hello *h)
{
    cs_mpc_verdict v;
    uint8_t *m1 = NULL;
    cs_buf b = cs_buf_wrap(work->frame + PLAIN_AT, CS_FRAME_MAX_PLAIN);
    CS_TRY(cs_put_u16(&b, 0));
    CS_TRY(cs_hello_put(&b, h));
    cs_store_u16(work->frame + PLAIN_AT, (uint16_t)(b.len - 2));
    CS_TRY(cs_put_space(&b, &m1, CS_MPC_M1_LEN));
    CS_TRY(cs_mpc_sign2_m1(s->sign, m1, &v));
    return seal(&s->session, work, out_frame, CS_DATA_HELLO, b.len);
}

static cs_err begin(cs_psign *s, cs_pwork *work, cs_slice *out_frame, const cs_psign_request *r)
{
    cs_hello h;
    uint8_t label32[32], rid32[32];
    CS_TRY(make_hello(&h, label32, r));
    cs_mpc_request q = {.key = r->key,
                        .peer = (uint16_t)(3 - r->key->index),
                        .digest32 = r->digest32,
                        .label32 = label32,
                        .path = r->path,
                        .path_len = r->path_len};
    CS_TRY(cs_mpc_request_id(rid32, s->pk33, &q));
    CS_TRY(cs_mpc_sign2_new(&s->sign, s->channel->pair, &q));
    CS_TRY(cs_csession_init(&s->session, &s->channel->channel, NULL));
    return first_frame(s, work, out_frame, &h);
}

cs_err cs_psign_new(cs_psign **out, cs_pwork *work, cs_slice *out_frame, cs_pchannel *channel,
                    const cs_psign_request *r)
{
    if (r->key->parties->n != 2) {
        return CS_E_UNSUPPORTED;
    }
    cs_psign *s = cs_secret_alloc(sizeof *s);
    if (s == NULL) {
        return CS_E_NO_MEMORY;
    }
    s->channel = channel;
    channel->users++;
    memcpy(s->digest32, r->digest32, 32);
    cs_err err = begin(s, work, out_frame, r);
    if (err != CS_OK) {
        cs_psign_free(s);
        return err;
    }
    *out = s; /* transferred */
    return CS_OK;
}

cs_err cs_psign_verify(const cs_mpc_signature *sig, const uint8_t digest32[32])
{
    uint8_t rs[64], pk33[33];
    size_t len = sizeof pk33;
    secp256k1_ecdsa_recoverable_signature rec;
    secp256k1_ecdsa_signature plain;
    secp256k1_pubkey pk;
    memcpy(rs, sig->r, 32);
    memcpy(rs + 32, sig->s, 32);
    if (sig->recid > 3 ||
        secp256k1_ecdsa_recoverable_signature_parse_compact(secp256k1_context_static, &rec, rs, sig->recid) != 1 ||
        secp256k1_ecdsa_signature_parse_compact(secp256k1_context_static, &plain, rs) != 1 ||
        secp256k1_ecdsa_signature_normalize(secp256k1_context_static, NULL, &plain) != 0 || /* s must be low */
        secp256k1_ecdsa_recover(secp256k1_context_static, &pk, &rec, digest32) != 1) {
        return CS_E_BAD_SIGNATURE;
    }
    (void)secp256k1_ec_pubkey_serialize(secp256k1_context_static, pk33, &len, &pk, SECP256K1_EC_COMPRESSED);
    return cs_ct_eq(pk33, sig->pk33, 33) ? CS_OK : CS_E_BAD_SIGNATURE;
}

/* the stored answer of an earlier session with the same triple and data */
static cs_err take_answer(cs_psign *s, cs_mpc_signature *sig, cs_slice payload)
{
    cs_reader r = cs_reader_of(payload);
    cs_mpc_signature got = {0};
    if (cs_read_bytes(&r, got.r, 32) != CS_OK || cs_read_bytes(&r, got.s, 32) != CS_OK ||
        cs_read_u8(&r, &got.recid) != CS_OK || cs_read_end(&r) != CS_OK) {
        return CS_E_ABORT_SESSION;
    }
    memcpy(got.pk33, s->pk33, 33);
    CS_TRY(cs_psign_verify(&got, s->digest32));
    *sig = got;
    return CS_OK;
}

static cs_err take_message(cs_psign *s, cs_pwork *work, cs_slice *out_frame, bool *out_done, cs_mpc_signature *sig,
                           cs_slice msg, cs_mpc_verdict *v)
{
    cs_err err;
    if (s->state == WAIT_M2) {
        err = cs_mpc_sign2_on_m2(s->sign, msg, work->frame + PLAIN_AT, v);
        if (err == CS_OK) {
            s->state = WAIT_M4;
            err = seal(&s->session, work, out_frame, CS_DATA_MSG, CS_MPC_M3_LEN);
        }
    } else {
        err = cs_mpc_sign2_on_m4(s->sign, msg, sig, v);
        *out_done = err == CS_OK;
    }
    if (err == CS_E_STATE) { /* DROP: nothing has changed; or a ban took the session away, and no answer will ever do */
        return cs_mpc_pair_usable(s->channel->pair) ? CS_OK : CS_E_PEER_BANNED;
    }
    return err;
}

cs_err cs_psign_on(cs_psign *s, cs_pwork *work, cs_slice *out_frame, bool *out_done, cs_mpc_signature *sig,
                   cs_slice frame, cs_mpc_verdict *v)
{
    cs_mpc_verdict ignored;
    size_t len = 0;
    v = v != NULL ? v : &ignored;
    *v = (cs_mpc_verdict){0};
    *out_frame = CS_SLICE_NULL;
    *out_done = false;
    if (s->state == OVER) {
        return CS_E_ABORT_SESSION;
    }
    cs_err err = open_frame(&s->session, s->room, work, &len, frame);
    if (s->room && err == CS_E_STATE) {
        return CS_OK;
    }
    if (err == CS_OK) {
        cs_slice payload = cs_slice_of(work->plain + 1, len - 1);
        switch (work->plain[0]) {
        case CS_DATA_MSG:
            err = take_message(s, work, out_frame, out_done, sig, payload, v);
            break;
        case CS_DATA_ANSWER:
            err = s->state == WAIT_M2 ? take_answer(s, sig, payload) : CS_E_ABORT_SESSION;
            *out_done = err == CS_OK;
            break;
        case CS_DATA_REFUSED:
            err = refusal(payload);
            break;
        default:
            err = CS_E_ABORT_SESSION;
        }
    }
    if (err != CS_OK || *out_done) {
        s->state = OVER;
        cs_csession_wipe(&s->session);
    }
    return err;
}

void cs_psign_in_room(cs_psign *s)
{
    s->room = true;
}

bool cs_psign_is(const cs_psign *s, const uint8_t channel16[16], const uint8_t session16[16])
{
    return s->session.alive && memcmp(s->session.channel.b, channel16, 16) == 0 &&
           memcmp(s->session.name.b, session16, 16) == 0;
}

void cs_psign_free(cs_psign *s)
{
    if (s != NULL) {
        cs_mpc_sign2_free(s->sign);
        s->channel->users--;
        channel_unuse(s->channel);
        cs_secret_free(s);
    }
}
