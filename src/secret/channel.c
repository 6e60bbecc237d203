#include "secret/channel.h"

#include <sodium.h>
#include <string.h>

#include "secret/rng.h"

#define LABEL "countersign/party/1"
#define PROLOGUE_HEAD 81u /* bytes of HS1 in the prologue: kind, channel, both static keys */
#define NOISE_MSG 48u

cs_err cs_frame_parse(cs_frame *out, cs_slice body)
{
    cs_frame f = {0};
    cs_reader r = cs_reader_of(body);
    cs_slice client = {0}, enclave = {0};
    uint8_t kind = 0;
    if (body.len > CS_FRAME_MAX) {
        return CS_E_TOO_LARGE;
    }
    CS_TRY(cs_read_u8(&r, &kind));
    CS_TRY(cs_read_bytes(&r, f.channel.b, sizeof f.channel.b));
    switch (kind) {
    case CS_FRAME_HS1:
        CS_TRY(cs_read_slice(&r, &client, 32));
        CS_TRY(cs_read_slice(&r, &enclave, 32));
        CS_TRY(cs_read_slice(&r, &f.rest, NOISE_MSG));
        CS_TRY(cs_read_end(&r));
        break;
    case CS_FRAME_HS2:
        CS_TRY(cs_read_slice(&r, &f.rest, NOISE_MSG));
        CS_TRY(cs_read_end(&r));
        break;
    case CS_FRAME_DATA:
        CS_TRY(cs_read_bytes(&r, f.session.b, sizeof f.session.b));
        CS_TRY(cs_read_u64(&r, &f.counter));
        if (r.left < CS_NOISE_TAG + 1u) {
            return CS_E_FORMAT;
        }
        CS_TRY(cs_read_slice(&r, &f.rest, r.left));
        break;
    default:
        return CS_E_FORMAT;
    }
    f.kind = (cs_frame_kind)kind;
    f.client32 = client.p;
    f.enclave32 = enclave.p;
    *out = f;
    return CS_OK;
}

static void put_hs1_head(uint8_t out[PROLOGUE_HEAD], const cs_channel *c)
{
    out[0] = CS_FRAME_HS1;
    memcpy(out + 1, c->id.b, 16);
    memcpy(out + 17, c->client32, 32);
    memcpy(out + 49, c->enclave32, 32);
}

static cs_err begin_noise(cs_channel *c, const uint8_t head[PROLOGUE_HEAD], const uint8_t static32[32])
{
    uint8_t prologue[sizeof LABEL - 1 + PROLOGUE_HEAD];
    memcpy(prologue, LABEL, sizeof LABEL - 1);
    memcpy(prologue + sizeof LABEL - 1, head, PROLOGUE_HEAD);
    return cs_noise_init(&c->noise, &(cs_noise_args){.pattern = CS_NOISE_KK,
                                                     .initiator = c->client,
                                                     .prologue = cs_slice_of(prologue, sizeof prologue),
                                                     .s32 = static32,
                                                     .rs32 = c->client ? c->enclave32 : c->client32});
}

/* the keys of the channel; the handshake's own state is not needed any more */
static cs_err finish_keys(cs_channel *c)
{
    CS_SECRET(cs_secret32) ck = {0};
    CS_TRY(cs_noise_handshake_hash(&c->noise, c->chan32));
    CS_TRY(cs_noise_chaining_key(&c->noise, &ck));
    cs_hmac_sha256(c->secret.b, cs_slice_of(ck.b, 32), (cs_slice[]){cs_slice_str(LABEL " channel")}, 1);
    cs_wipe(&c->noise, sizeof c->noise);
    c->ready = true;
    return CS_OK;
}

/* everything that goes wrong with keys and tags looks the same */
static cs_err fail(cs_channel *c, cs_err err)
{
    cs_channel_wipe(c);
    return err == CS_E_ENTROPY || err == CS_E_STATE ? err : CS_E_CHANNEL_AUTH;
}

cs_err cs_channel_start(cs_channel *c, uint8_t out_hs1[CS_FRAME_HS1_LEN], const uint8_t static32[32],
                        const uint8_t enclave32[32])
{
    cs_buf out = cs_buf_wrap(out_hs1, CS_FRAME_HS1_LEN);
    memset(c, 0, sizeof *c);
    c->client = true;
    cs_x25519_base(c->client32, static32);
    CS_CT_PUBLIC(c->client32, 32, "own static public key");
    memcpy(c->enclave32, enclave32, 32);
    cs_err err = cs_random(c->id.b, sizeof c->id.b);
    if (err == CS_OK) {
        put_hs1_head(out_hs1, c);
        out.len = PROLOGUE_HEAD;
        err = begin_noise(c, out_hs1, static32);
    }
    if (err == CS_OK) {
        err = cs_noise_write(&c->noise, &out, CS_SLICE_NULL);
    }
    return err == CS_OK ? CS_OK : fail(c, err);
}

cs_err cs_channel_finish(cs_channel *c, cs_slice hs2)
{
    cs_frame f;
    cs_buf none = {0};
    if (!c->client || c->ready || c->noise.hash == NULL) {
        return fail(c, CS_E_STATE);
    }
    cs_err err = cs_frame_parse(&f, hs2);
    if (err == CS_OK && (f.kind != CS_FRAME_HS2 || !cs_ct_eq(f.channel.b, c->id.b, 16))) {
        err = CS_E_CHANNEL_AUTH;
    }
    if (err == CS_OK) {
        err = cs_noise_read(&c->noise, &none, f.rest);
    }
    if (err == CS_OK) {
        err = finish_keys(c);
    }
    return err == CS_OK ? CS_OK : fail(c, err);
}

cs_err cs_channel_accept(cs_channel *c, uint8_t out_hs2[CS_FRAME_HS2_LEN], cs_slice hs1, const uint8_t static32[32])
{
    cs_frame f;
    uint8_t own[32];
    cs_buf none = {0}, out = cs_buf_wrap(out_hs2, CS_FRAME_HS2_LEN);
    memset(c, 0, sizeof *c);
    cs_err err = cs_frame_parse(&f, hs1);
    if (err == CS_OK && f.kind != CS_FRAME_HS1) {
        err = CS_E_FORMAT;
    }
    if (err == CS_OK) {
        cs_x25519_base(own, static32);
        CS_CT_PUBLIC(own, 32, "own static public key");
        c->id = f.channel;
        memcpy(c->client32, f.client32, 32);
        memcpy(c->enclave32, f.enclave32, 32);
        err = cs_ct_eq(own, c->enclave32, 32) && !cs_ct_eq(own, c->client32, 32) ? CS_OK : CS_E_CHANNEL_AUTH;
    }
    if (err == CS_OK) {
        err = begin_noise(c, hs1.p, static32);
    }
    if (err == CS_OK) {
        err = cs_noise_read(&c->noise, &none, f.rest);
    }
    if (err == CS_OK) {
        out_hs2[0] = CS_FRAME_HS2;
        memcpy(out_hs2 + 1, c->id.b, 16);
        out.len = 17;
        err = cs_noise_write(&c->noise, &out, CS_SLICE_NULL);
    }
    if (err == CS_OK) {
        err = finish_keys(c);
    }
    return err == CS_OK ? CS_OK : fail(c, err);
}

void cs_channel_wipe(cs_channel *c)
{
    cs_wipe(c, sizeof *c);
}

/* ---- sessions */

static void session_key(cs_secret32 *out, const cs_channel *c, const cs_channel_id *name, uint8_t direction)
{
    cs_hkdf_expand_sha256(out->b, 32, c->secret.b,
                          (cs_slice[]){cs_slice_str(LABEL " session"), {name->b, 16}, {&direction, 1}}, 3);
}

cs_err cs_csession_init(cs_csession *s, const cs_channel *c, const cs_channel_id *name)
{
    memset(s, 0, sizeof *s);
    if (!c->ready) {
        return CS_E_STATE;
    }
    if (name != NULL) {
        s->name = *name;
    } else {
        CS_TRY(cs_random(s->name.b, sizeof s->name.b));
    }
    s->channel = c->id;
    session_key(&s->send, c, &s->name, c->client ? 0 : 1);
    session_key(&s->receive, c, &s->name, c->client ? 1 : 0);
    s->alive = true;
    return CS_OK;
}

static void nonce12(uint8_t out[12], uint64_t counter)
{
    memset(out, 0, 4);
    cs_store_u64(out + 4, counter);
}

cs_err cs_csession_seal(cs_csession *s, uint8_t *frame, size_t *out_len, size_t plain_len)
{
    uint8_t nonce[12];
    if (plain_len == 0 || plain_len > CS_FRAME_MAX_PLAIN) {
        return CS_E_RANGE;
    }
    if (!s->alive || s->next_send == UINT64_MAX) {
        return CS_E_STATE;
    }
    frame[0] = CS_FRAME_DATA;
    memcpy(frame + 1, s->channel.b, 16);
    memcpy(frame + 17, s->name.b, 16);
    cs_store_u64(frame + 33, s->next_send);
    nonce12(nonce, s->next_send++);
    uint8_t *text = frame + CS_FRAME_HEAD;
    unsigned long long tag_len = 0;
    (void)crypto_aead_chacha20poly1305_ietf_encrypt_detached(text, text + plain_len, &tag_len, text, plain_len, frame,
                                                             CS_FRAME_HEAD, NULL, nonce, s->send.b);
    *out_len = plain_len + CS_FRAME_OVERHEAD;
    return CS_OK;
}

cs_err cs_csession_seal_msg(cs_csession *s, cs_buf *out, cs_data_kind kind, cs_slice payload)
{
    uint8_t *frame = NULL;
    size_t before = out->len, len = 0;
    if (payload.len >= CS_FRAME_MAX_PLAIN) {
        return CS_E_RANGE;
    }
    CS_TRY(cs_put_space(out, &frame, payload.len + 1 + CS_FRAME_OVERHEAD));
    frame[CS_FRAME_HEAD] = (uint8_t)kind;
    if (payload.len > 0) {
        memcpy(frame + CS_FRAME_HEAD + 1, payload.p, payload.len);
    }
    cs_err err = cs_csession_seal(s, frame, &len, payload.len + 1);
    if (err != CS_OK) {
        cs_wipe(frame, payload.len + 1 + CS_FRAME_OVERHEAD);
        out->len = before;
    }
    return err;
}

cs_err cs_csession_try(cs_csession *s, uint8_t *out, size_t cap, size_t *out_len, cs_slice frame)
{
    cs_frame f;
    uint8_t nonce[12];
    if (!s->alive) {
        return CS_E_ABORT_SESSION;
    }
    if (cs_frame_parse(&f, frame) != CS_OK || f.kind != CS_FRAME_DATA || !cs_ct_eq(f.channel.b, s->channel.b, 16) ||
        !cs_ct_eq(f.session.b, s->name.b, 16) || f.counter != s->next_receive || f.counter == UINT64_MAX) {
        return CS_E_STATE;
    }
    size_t len = f.rest.len - CS_NOISE_TAG;
    if (len > cap) {
        return CS_E_RANGE;
    }
    nonce12(nonce, f.counter);
    if (crypto_aead_chacha20poly1305_ietf_decrypt_detached(out, NULL, f.rest.p, len, f.rest.p + len, frame.p,
                                                           CS_FRAME_HEAD, nonce, s->receive.b) != 0) {
        cs_wipe(out, len);
        return CS_E_STATE;
    }
    s->next_receive++;
    *out_len = len;
    return CS_OK;
}

cs_err cs_csession_open(cs_csession *s, uint8_t *out, size_t cap, size_t *out_len, cs_slice frame)
{
    cs_err err = cs_csession_try(s, out, cap, out_len, frame);
    if (err == CS_E_STATE) {
        cs_csession_wipe(s);
        return CS_E_ABORT_SESSION;
    }
    return err;
}

void cs_csession_wipe(cs_csession *s)
{
    cs_wipe(s, sizeof *s);
}
