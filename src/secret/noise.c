#include "secret/noise.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "secret/rng.h"

#define BLOCK 64u
#define MAX_PARTS 8u

/* Handshake messages as token strings [Noise 7.5]; pre-messages: who knows whose static key before. */
static const struct {
    const char *name;
    bool pre_i, pre_r; /* the initiator's, the responder's static key is known to the other */
    const char *message[3];
} patterns[] = {
    [CS_NOISE_KK] = {"KK", true, true, {"e,es,ss", "e,ee,se", NULL}},
    [CS_NOISE_IK] = {"IK", false, true, {"e,es,s,ss", "e,ee,se", NULL}},
    [CS_NOISE_XX] = {"XX", false, false, {"e", "e,ee,s,es", "s,se"}},
};

static void sha256(uint8_t out[32], const cs_slice *parts, size_t num_parts)
{
    crypto_hash_sha256_state st;
    crypto_hash_sha256_init(&st);
    for (size_t i = 0; i < num_parts; i++) {
        crypto_hash_sha256_update(&st, parts[i].p, parts[i].len);
    }
    crypto_hash_sha256_final(&st, out);
    cs_wipe(&st, sizeof st);
}

const cs_noise_hash cs_noise_sha256 = {"SHA256", sha256};

static void hmac(uint8_t out[32], const cs_noise_hash *h, cs_slice key, const cs_slice *parts, size_t num_parts)
{
    CS_SECRET(cs_secret64) pad = {0};
    CS_SECRET(cs_secret32) inner = {0};
    cs_slice in[MAX_PARTS + 1] = {{pad.b, BLOCK}};
    for (size_t i = 0; i < BLOCK; i++) {
        pad.b[i] = (uint8_t)((i < key.len ? key.p[i] : 0) ^ 0x36);
    }
    for (size_t i = 0; i < num_parts && i < MAX_PARTS; i++) {
        in[i + 1] = parts[i];
    }
    h->digest(inner.b, in, num_parts + 1);
    for (size_t i = 0; i < BLOCK; i++) {
        pad.b[i] ^= 0x36 ^ 0x5c;
    }
    h->digest(out, (cs_slice[]){{pad.b, BLOCK}, {inner.b, 32}}, 2);
}

void cs_hmac_sha256(uint8_t out32[32], cs_slice key, const cs_slice *parts, size_t num_parts)
{
    hmac(out32, &cs_noise_sha256, key, parts, num_parts);
}

void cs_hkdf_expand_sha256(uint8_t *out, size_t out_len, const uint8_t prk32[32], const cs_slice *info, size_t num_info)
{
    CS_SECRET(cs_secret32) t = {0};
    cs_slice in[MAX_PARTS];
    uint8_t counter = 0;
    for (size_t at = 0; at < out_len; at += 32) {
        size_t n = 0, part = out_len - at < 32 ? out_len - at : 32;
        if (counter > 0) {
            in[n++] = cs_slice_of(t.b, 32);
        }
        for (size_t i = 0; i < num_info && n < MAX_PARTS - 1; i++) {
            in[n++] = info[i];
        }
        counter++;
        in[n++] = cs_slice_of(&counter, 1);
        cs_hmac_sha256(t.b, cs_slice_of(prk32, 32), in, n);
        memcpy(out + at, t.b, part);
    }
}

void cs_x25519_base(uint8_t out32[32], const uint8_t private32[32])
{
    (void)crypto_scalarmult_curve25519_base(out32, private32);
}

cs_err cs_x25519(cs_secret32 *out, const uint8_t private32[32], const uint8_t public32[32])
{
    /* libsodium refuses points of small order and a zero result */
    if (crypto_scalarmult_curve25519(out->b, private32, public32) != 0) {
        cs_wipe(out, sizeof *out);
        return CS_E_AUTH;
    }
    return CS_OK;
}

/* ---- symmetric state [Noise 5.1, 5.2] */

static void nonce12(uint8_t out[12], uint64_t n)
{
    memset(out, 0, 4);
    for (unsigned i = 0; i < 8; i++) {
        out[4 + i] = (uint8_t)(n >> (8 * i)); /* ChaChaPoly of Noise: little endian */
    }
}

cs_err cs_noise_seal(cs_noise_cipher *c, cs_buf *out, cs_slice aad, cs_slice plain)
{
    uint8_t nonce[12], *at = NULL;
    if (!c->has_key || c->n == UINT64_MAX) {
        return CS_E_STATE;
    }
    CS_TRY(cs_put_space(out, &at, plain.len + CS_NOISE_TAG));
    nonce12(nonce, c->n++);
    unsigned long long tag_len = 0;
    (void)crypto_aead_chacha20poly1305_ietf_encrypt_detached(at, at + plain.len, &tag_len, plain.p, plain.len, aad.p,
                                                             aad.len, NULL, nonce, c->key.b);
    return CS_OK;
}

cs_err cs_noise_open(cs_noise_cipher *c, cs_buf *out, cs_slice aad, cs_slice sealed)
{
    uint8_t nonce[12], *at = NULL;
    size_t before = out->len;
    if (!c->has_key || c->n == UINT64_MAX) {
        return CS_E_STATE;
    }
    if (sealed.len < CS_NOISE_TAG) {
        return CS_E_FORMAT;
    }
    size_t len = sealed.len - CS_NOISE_TAG;
    uint8_t none;
    if (len > 0) {
        CS_TRY(cs_put_space(out, &at, len));
    } else {
        at = &none;
    }
    nonce12(nonce, c->n);
    if (crypto_aead_chacha20poly1305_ietf_decrypt_detached(at, NULL, sealed.p, len, sealed.p + len, aad.p, aad.len,
                                                           nonce, c->key.b) != 0) {
        cs_wipe(at, len);
        out->len = before;
        return CS_E_AUTH;
    }
    c->n++;
    return CS_OK;
}

static void mix_hash(cs_noise *n, cs_slice data)
{
    n->hash->digest(n->h, (cs_slice[]){{n->h, 32}, data}, 2);
}

/* HKDF of Noise 4.3 with two outputs */
static void hkdf2(uint8_t out1[32], uint8_t out2[32], const cs_noise *n, cs_slice input)
{
    CS_SECRET(cs_secret32) temp = {0};
    CS_SECRET(cs_secret32) first = {0};
    hmac(temp.b, n->hash, cs_slice_of(n->ck.b, 32), &input, 1);
    hmac(first.b, n->hash, cs_slice_of(temp.b, 32), (cs_slice[]){{(const uint8_t *)"\x01", 1}}, 1);
    hmac(out2, n->hash, cs_slice_of(temp.b, 32), (cs_slice[]){{first.b, 32}, {(const uint8_t *)"\x02", 1}}, 2);
    memcpy(out1, first.b, 32);
}

static cs_err mix_dh(cs_noise *n, const uint8_t private32[32], const uint8_t public32[32])
{
    CS_SECRET(cs_secret32) dh = {0};
    CS_TRY(cs_x25519(&dh, private32, public32));
    hkdf2(n->ck.b, n->cipher.key.b, n, cs_slice_of(dh.b, 32));
    n->cipher.n = 0;
    n->cipher.has_key = true;
    return CS_OK;
}

static cs_err encrypt_and_hash(cs_noise *n, cs_buf *out, cs_slice plain)
{
    size_t at = out->len;
    if (n->cipher.has_key) {
        CS_TRY(cs_noise_seal(&n->cipher, out, cs_slice_of(n->h, 32), plain));
    } else {
        CS_TRY(cs_put_slice(out, plain));
    }
    mix_hash(n, cs_slice_of(out->p + at, out->len - at));
    return CS_OK;
}

static cs_err decrypt_and_hash(cs_noise *n, cs_buf *out, cs_slice sealed)
{
    if (n->cipher.has_key) {
        CS_TRY(cs_noise_open(&n->cipher, out, cs_slice_of(n->h, 32), sealed));
    } else {
        CS_TRY(cs_put_slice(out, sealed));
    }
    mix_hash(n, sealed);
    return CS_OK;
}

/* ---- handshake state [Noise 5.3] */

static void set_name(cs_noise *n)
{
    uint8_t mem[64];
    cs_buf name = cs_buf_wrap(mem, sizeof mem);
    if (cs_put_fmt(&name, "Noise_%s_25519_ChaChaPoly_%s", patterns[n->pattern].name, n->hash->name) != CS_OK) {
        abort(); /* the tables hold short names only */
    }
    memset(n->h, 0, sizeof n->h);
    if (name.len <= sizeof n->h) {
        memcpy(n->h, mem, name.len);
    } else {
        n->hash->digest(n->h, (cs_slice[]){cs_buf_slice(&name)}, 1);
    }
    memcpy(n->ck.b, n->h, sizeof n->ck.b);
}

cs_err cs_noise_init(cs_noise *n, const cs_noise_args *args)
{
    memset(n, 0, sizeof *n);
    if (sodium_init() < 0) {
        return CS_E_ENTROPY;
    }
    bool knows_peer = args->initiator ? patterns[args->pattern].pre_r : patterns[args->pattern].pre_i;
    if (args->s32 == NULL || knows_peer != (args->rs32 != NULL)) {
        return CS_E_USAGE;
    }
    n->hash = args->hash != NULL ? args->hash : &cs_noise_sha256;
    n->pattern = args->pattern;
    n->initiator = args->initiator;
    n->num_messages = patterns[n->pattern].message[2] != NULL ? 3 : 2;
    memcpy(n->s.b, args->s32, 32);
    CS_CT_SECRET(n->s.b, 32);
    cs_x25519_base(n->s_pub, n->s.b);
    CS_CT_PUBLIC(n->s_pub, 32, "own static public key");
    n->has_s = true;
    if (args->rs32 != NULL) {
        memcpy(n->rs, args->rs32, 32);
        n->has_rs = true;
    }
    if (args->unsafe_e32 != NULL) {
        memcpy(n->e.b, args->unsafe_e32, 32);
        n->fixed_e = true;
    }
    set_name(n);
    mix_hash(n, args->prologue);
    if (patterns[n->pattern].pre_i) {
        mix_hash(n, cs_slice_of(n->initiator ? n->s_pub : n->rs, 32));
    }
    if (patterns[n->pattern].pre_r) {
        mix_hash(n, cs_slice_of(n->initiator ? n->rs : n->s_pub, 32));
    }
    return CS_OK;
}

/* "es": initiator's e with responder's s, and so on: the first letter belongs to the initiator */
static cs_err token_dh(cs_noise *n, const char *token)
{
    char own = n->initiator ? token[0] : token[1], peer = n->initiator ? token[1] : token[0];
    if ((own == 'e' ? !n->has_e : !n->has_s) || (peer == 'e' ? !n->has_re : !n->has_rs)) {
        return CS_E_STATE;
    }
    return mix_dh(n, own == 'e' ? n->e.b : n->s.b, peer == 'e' ? n->re : n->rs);
}

static cs_err write_token(cs_noise *n, cs_buf *out, const char *token, size_t len)
{
    if (len == 2) {
        return token_dh(n, token);
    }
    if (token[0] == 's') {
        return encrypt_and_hash(n, out, cs_slice_of(n->s_pub, 32));
    }
    if (!n->fixed_e) {
        CS_TRY(cs_random(n->e.b, 32));
    }
    CS_CT_SECRET(n->e.b, 32);
    cs_x25519_base(n->e_pub, n->e.b);
    CS_CT_PUBLIC(n->e_pub, 32, "ephemeral public key, sent in clear");
    n->has_e = true;
    mix_hash(n, cs_slice_of(n->e_pub, 32));
    return cs_put(out, n->e_pub, 32);
}

static cs_err read_token(cs_noise *n, cs_reader *in, const char *token, size_t len)
{
    cs_slice field;
    if (len == 2) {
        return token_dh(n, token);
    }
    if (token[0] == 'e') {
        CS_TRY(cs_read_bytes(in, n->re, 32));
        n->has_re = true;
        mix_hash(n, cs_slice_of(n->re, 32));
        return CS_OK;
    }
    cs_buf rs = cs_buf_wrap(n->rs, sizeof n->rs);
    CS_TRY(cs_read_slice(in, &field, n->cipher.has_key ? 32 + CS_NOISE_TAG : 32));
    CS_TRY(decrypt_and_hash(n, &rs, field));
    n->has_rs = true;
    return CS_OK;
}

/* the token at *at; advances; 0 at the end */
static size_t next_token(const char **at)
{
    *at += **at == ',' ? 1 : 0;
    return strcspn(*at, ",");
}

static bool our_turn(const cs_noise *n, bool writing)
{
    bool initiator_sends = n->next % 2 == 0;
    return !n->failed && n->hash != NULL && n->next < n->num_messages && (n->initiator == initiator_sends) == writing;
}

static cs_err end_message(cs_noise *n, cs_err err, cs_buf *out, size_t before)
{
    if (err != CS_OK) {
        if (out->len > before) {
            cs_wipe(out->p + before, out->len - before);
        }
        out->len = before;
        cs_wipe(n, sizeof *n);
        n->failed = true;
        return err;
    }
    n->next++;
    if (n->next == n->num_messages) {
        cs_wipe(&n->s, sizeof n->s);
        cs_wipe(&n->e, sizeof n->e);
    }
    return CS_OK;
}

cs_err cs_noise_write(cs_noise *n, cs_buf *out, cs_slice payload)
{
    size_t before = out->len, len;
    cs_err err = CS_OK;
    if (!our_turn(n, true) || payload.len > CS_NOISE_MAX_MESSAGE - 256) {
        return CS_E_STATE;
    }
    const char *t = patterns[n->pattern].message[n->next];
    for (; err == CS_OK && (len = next_token(&t)) > 0; t += len) {
        err = write_token(n, out, t, len);
    }
    if (err == CS_OK) {
        err = encrypt_and_hash(n, out, payload);
    }
    return end_message(n, err, out, before);
}

cs_err cs_noise_read(cs_noise *n, cs_buf *out, cs_slice message)
{
    size_t before = out->len, len;
    cs_err err = CS_OK;
    cs_reader in = cs_reader_of(message);
    cs_slice payload;
    if (!our_turn(n, false)) {
        return CS_E_STATE;
    }
    err = message.len > CS_NOISE_MAX_MESSAGE ? CS_E_FORMAT : CS_OK;
    const char *t = patterns[n->pattern].message[n->next];
    for (; err == CS_OK && (len = next_token(&t)) > 0; t += len) {
        err = read_token(n, &in, t, len);
    }
    if (err == CS_OK) {
        err = cs_read_slice(&in, &payload, in.left);
    }
    if (err == CS_OK) {
        err = decrypt_and_hash(n, out, payload);
    }
    return end_message(n, err, out, before);
}

bool cs_noise_done(const cs_noise *n)
{
    return !n->failed && n->num_messages > 0 && n->next == n->num_messages;
}

const uint8_t *cs_noise_remote_static(const cs_noise *n)
{
    return n->has_rs ? n->rs : NULL;
}

cs_err cs_noise_handshake_hash(const cs_noise *n, uint8_t out32[32])
{
    if (!cs_noise_done(n)) {
        return CS_E_STATE;
    }
    memcpy(out32, n->h, 32);
    return CS_OK;
}

cs_err cs_noise_chaining_key(const cs_noise *n, cs_secret32 *out)
{
    if (!cs_noise_done(n)) {
        return CS_E_STATE;
    }
    *out = n->ck;
    return CS_OK;
}

cs_err cs_noise_split(const cs_noise *n, cs_noise_cipher *out_send, cs_noise_cipher *out_receive)
{
    if (!cs_noise_done(n)) {
        return CS_E_STATE;
    }
    cs_noise_cipher *first = n->initiator ? out_send : out_receive, *second = n->initiator ? out_receive : out_send;
    hkdf2(first->key.b, second->key.b, n, CS_SLICE_NULL);
    first->n = second->n = 0;
    first->has_key = second->has_key = true;
    return CS_OK;
}
