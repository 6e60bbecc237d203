#include "secret/hpke.h"

#include <sodium.h>
#include <string.h>

#include "secret/gcm.h"
#include "secret/noise.h"
#include "secret/rng.h"

#define KEM_ID 0x0020 /* DHKEM(X25519, HKDF-SHA256) */
#define KDF_ID 0x0001 /* HKDF-SHA256 */
#define CONTEXT_LEN 65

/* "KEM" || kem_id, or "HPKE" || kem_id || kdf_id || aead_id [RFC9180 4.1, 5.1] */
typedef struct suite_id {
    uint8_t b[10];
    size_t len;
} suite_id;

static const suite_id kem_suite = {{'K', 'E', 'M', KEM_ID >> 8, KEM_ID & 0xff}, 5};

static suite_id hpke_suite(cs_hpke_aead aead)
{
    suite_id id = {{'H', 'P', 'K', 'E'}, 10};
    cs_store_u16(id.b + 4, KEM_ID);
    cs_store_u16(id.b + 6, KDF_ID);
    cs_store_u16(id.b + 8, (uint16_t)aead);
    return id;
}

/* bytes of the key; 0: none; the aead is one that supported() has accepted */
static size_t key_len(cs_hpke_aead aead)
{
    return aead == CS_HPKE_AES128_GCM ? 16 : aead == CS_HPKE_EXPORT_ONLY ? 0 : 32;
}

static bool supported(cs_hpke_aead aead)
{
    return aead == CS_HPKE_AES128_GCM || aead == CS_HPKE_AES256_GCM || aead == CS_HPKE_CHACHA20_POLY1305 ||
           aead == CS_HPKE_EXPORT_ONLY;
}

/* LabeledExtract [RFC9180 4]; salt of 0 or 32 bytes */
static void extract(uint8_t out32[32], const suite_id *id, cs_slice salt, const char *label, cs_slice ikm)
{
    cs_hmac_sha256(out32, salt,
                   (cs_slice[]){cs_slice_str("HPKE-v1"), cs_slice_of(id->b, id->len), cs_slice_str(label), ikm}, 4);
}

/* LabeledExpand; out.len <= CS_HPKE_EXPORT_MAX */
static void expand(cs_buf out, const suite_id *id, const uint8_t prk32[32], const char *label, cs_slice info)
{
    uint8_t len[2];
    cs_store_u16(len, (uint16_t)out.cap);
    cs_hkdf_expand_sha256(out.p, out.cap, prk32,
                          (cs_slice[]){cs_slice_of(len, 2), cs_slice_str("HPKE-v1"), cs_slice_of(id->b, id->len),
                                       cs_slice_str(label), info},
                          5);
}

cs_err cs_hpke_derive_key_pair(cs_secret32 *out_secret, uint8_t out_public32[32], cs_slice ikm)
{
    CS_SECRET(cs_secret32) prk = {{0}};
    if (ikm.len < 32) {
        return CS_E_RANGE;
    }
    if (ikm.len > CS_HPKE_MESSAGE_MAX) {
        return CS_E_TOO_LARGE;
    }
    extract(prk.b, &kem_suite, CS_SLICE_NULL, "dkp_prk", ikm);
    expand(cs_buf_wrap(out_secret->b, 32), &kem_suite, prk.b, "sk", CS_SLICE_NULL);
    CS_CT_SECRET(out_secret->b, 32);
    cs_x25519_base(out_public32, out_secret->b);
    CS_CT_PUBLIC(out_public32, 32, "public key of a derived pair");
    return CS_OK;
}

/* one or two DH results and the public keys they are bound to [RFC9180 4.1] */
typedef struct kem {
    cs_secret64 dh;
    size_t dh_len;
    uint8_t context[96]; /* enc, receiver, sender */
    size_t context_len;
} kem;
CS_SECRET_DECLARE(kem)

static cs_err kem_dh(kem *k, const uint8_t secret32[32], const uint8_t public32[32])
{
    CS_SECRET(cs_secret32) one = {{0}};
    CS_TRY(cs_x25519(&one, secret32, public32));
    memcpy(k->dh.b + k->dh_len, one.b, 32);
    k->dh_len += 32;
    return CS_OK;
}

static void kem_bind(kem *k, const uint8_t public32[32])
{
    memcpy(k->context + k->context_len, public32, 32);
    k->context_len += 32;
}

static void kem_shared(cs_secret32 *out, const kem *k)
{
    CS_SECRET(cs_secret32) eae = {{0}};
    extract(eae.b, &kem_suite, CS_SLICE_NULL, "eae_prk", cs_slice_of(k->dh.b, k->dh_len));
    expand(cs_buf_wrap(out->b, 32), &kem_suite, eae.b, "shared_secret", cs_slice_of(k->context, k->context_len));
}

static cs_err encap(cs_secret32 *out, uint8_t enc[32], const uint8_t receiver32[32], const cs_hpke_args *a)
{
    CS_SECRET(kem) k = {0};
    CS_SECRET(cs_secret32) e = {{0}};
    uint8_t sender32[32];
    if (a->unsafe_e32 != NULL) {
        memcpy(e.b, a->unsafe_e32, 32);
    } else {
        CS_TRY(cs_random(e.b, 32));
    }
    CS_CT_SECRET(e.b, 32);
    cs_x25519_base(enc, e.b);
    CS_CT_PUBLIC(enc, 32, "encapsulated key, sent in clear");
    CS_TRY(kem_dh(&k, e.b, receiver32));
    kem_bind(&k, enc);
    kem_bind(&k, receiver32);
    if (a->auth_secret32 != NULL) {
        CS_TRY(kem_dh(&k, a->auth_secret32, receiver32));
        cs_x25519_base(sender32, a->auth_secret32);
        CS_CT_PUBLIC(sender32, 32, "the sender's public key");
        kem_bind(&k, sender32);
    }
    kem_shared(out, &k);
    return CS_OK;
}

static cs_err decap(cs_secret32 *out, const uint8_t enc[32], const uint8_t secret32[32], const cs_hpke_args *a)
{
    CS_SECRET(kem) k = {0};
    uint8_t receiver32[32];
    cs_x25519_base(receiver32, secret32);
    CS_CT_PUBLIC(receiver32, 32, "the receiver's public key");
    CS_TRY(kem_dh(&k, secret32, enc));
    kem_bind(&k, enc);
    kem_bind(&k, receiver32);
    if (a->auth_public32 != NULL) {
        CS_TRY(kem_dh(&k, secret32, a->auth_public32));
        kem_bind(&k, a->auth_public32);
    }
    kem_shared(out, &k);
    return CS_OK;
}

static cs_err check_args(const cs_hpke_args *a, bool sender)
{
    if ((a->psk.len > 0) != (a->psk_id.len > 0) || (sender ? a->auth_public32 : a->auth_secret32) != NULL) {
        return CS_E_USAGE;
    }
    if (!supported(a->aead)) {
        return CS_E_UNSUPPORTED;
    }
    if (a->psk.len > 0 && a->psk.len < CS_HPKE_PSK_MIN) {
        return CS_E_RANGE;
    }
    bool fits =
        a->psk.len <= CS_HPKE_MESSAGE_MAX && a->psk_id.len <= CS_HPKE_MESSAGE_MAX && a->info.len <= CS_HPKE_MESSAGE_MAX;
    return fits ? CS_OK : CS_E_TOO_LARGE;
}

/* KeySchedule [RFC9180 5.1] */
static void key_schedule(cs_hpke *out, const cs_secret32 *shared, const cs_hpke_args *a, bool sender)
{
    CS_SECRET(cs_secret32) secret = {{0}};
    const suite_id id = hpke_suite(a->aead);
    uint8_t context[CONTEXT_LEN];
    const cs_slice ctx = cs_slice_of(context, sizeof context);
    bool auth = a->auth_secret32 != NULL || a->auth_public32 != NULL;
    context[0] = (uint8_t)((a->psk.len > 0 ? 1 : 0) | (auth ? 2 : 0));
    extract(context + 1, &id, CS_SLICE_NULL, "psk_id_hash", a->psk_id);
    extract(context + 33, &id, CS_SLICE_NULL, "info_hash", a->info);
    extract(secret.b, &id, cs_slice_of(shared->b, 32), "secret", a->psk);
    *out = (cs_hpke){.aead = a->aead, .sender = sender};
    if (key_len(a->aead) > 0) {
        expand(cs_buf_wrap(out->key.b, key_len(a->aead)), &id, secret.b, "key", ctx);
        expand(cs_buf_wrap(out->base_nonce, CS_HPKE_NONCE), &id, secret.b, "base_nonce", ctx);
    }
    expand(cs_buf_wrap(out->exporter.b, 32), &id, secret.b, "exp", ctx);
    if (a->unsafe_trace != NULL) {
        memcpy(a->unsafe_trace->shared_secret, shared->b, 32);
        memcpy(a->unsafe_trace->key_schedule_context, context, sizeof context);
        memcpy(a->unsafe_trace->secret, secret.b, 32);
    }
}

cs_err cs_hpke_send(cs_hpke *out, uint8_t out_enc[CS_HPKE_ENC], const uint8_t receiver32[32], const cs_hpke_args *args)
{
    CS_SECRET(cs_secret32) shared = {{0}};
    uint8_t enc[32];
    cs_wipe(out, sizeof *out);
    CS_TRY(check_args(args, true));
    CS_TRY(encap(&shared, enc, receiver32, args));
    key_schedule(out, &shared, args, true);
    memcpy(out_enc, enc, sizeof enc);
    return CS_OK;
}

cs_err cs_hpke_receive(cs_hpke *out, const uint8_t enc[CS_HPKE_ENC], const uint8_t secret32[32],
                       const cs_hpke_args *args)
{
    CS_SECRET(cs_secret32) shared = {{0}};
    cs_wipe(out, sizeof *out);
    CS_TRY(check_args(args, false));
    CS_TRY(decap(&shared, enc, secret32, args));
    key_schedule(out, &shared, args, false);
    return CS_OK;
}

/* ---- messages */

static void nonce_of(uint8_t out[CS_HPKE_NONCE], const cs_hpke *c)
{
    uint8_t seq[8];
    memcpy(out, c->base_nonce, CS_HPKE_NONCE);
    cs_store_u64(seq, c->seq);
    for (unsigned i = 0; i < 8; i++) {
        out[4 + i] ^= seq[i];
    }
}

static cs_gcm gcm_of(const cs_hpke *c, const uint8_t nonce[CS_HPKE_NONCE], cs_slice aad)
{
    return (cs_gcm){cs_slice_of(c->key.b, key_len(c->aead)), nonce, aad};
}

static cs_err ready(const cs_hpke *c, bool sender, cs_slice aad, cs_slice data)
{
    /* the zero state has aead 0 */
    if (!supported(c->aead) || key_len(c->aead) == 0 || c->sender != sender || c->seq == UINT64_MAX) {
        return CS_E_STATE;
    }
    return aad.len > CS_HPKE_MESSAGE_MAX || data.len > CS_HPKE_MESSAGE_MAX ? CS_E_TOO_LARGE : CS_OK;
}

cs_err cs_hpke_seal(cs_hpke *c, cs_buf *out, cs_slice aad, cs_slice plain)
{
    uint8_t nonce[CS_HPKE_NONCE], *at = NULL;
    size_t before = out->len;
    cs_gcm g;
    cs_err err;
    CS_TRY(ready(c, true, aad, plain));
    CS_TRY(cs_put_space(out, &at, plain.len + CS_HPKE_TAG));
    nonce_of(nonce, c);
    g = gcm_of(c, nonce, aad);
    if (c->aead == CS_HPKE_CHACHA20_POLY1305) {
        err = crypto_aead_chacha20poly1305_ietf_encrypt_detached(at, at + plain.len, NULL, plain.p, plain.len, aad.p,
                                                                 aad.len, NULL, nonce, c->key.b) == 0
                  ? CS_OK
                  : CS_E_NO_MEMORY;
    } else {
        err = cs_gcm_seal(at, &g, plain);
    }
    if (err != CS_OK) { /* only without memory: the number was not used for anything that leaves */
        cs_wipe(at, plain.len + CS_HPKE_TAG);
        out->len = before;
        return err;
    }
    c->seq++;
    return CS_OK;
}

cs_err cs_hpke_open(cs_hpke *c, cs_buf *out, cs_slice aad, cs_slice sealed)
{
    uint8_t nonce[CS_HPKE_NONCE], none = 0, *at = &none;
    size_t before = out->len;
    cs_gcm g;
    cs_err err;
    CS_TRY(ready(c, false, aad, sealed));
    if (sealed.len < CS_HPKE_TAG) {
        return CS_E_FORMAT;
    }
    size_t len = sealed.len - CS_HPKE_TAG;
    if (len > 0) {
        CS_TRY(cs_put_space(out, &at, len));
    }
    nonce_of(nonce, c);
    g = gcm_of(c, nonce, aad);
    if (c->aead == CS_HPKE_CHACHA20_POLY1305) {
        err = crypto_aead_chacha20poly1305_ietf_decrypt_detached(at, NULL, sealed.p, len, sealed.p + len, aad.p,
                                                                 aad.len, nonce, c->key.b) == 0
                  ? CS_OK
                  : CS_E_AUTH;
    } else {
        err = cs_gcm_open(at, &g, sealed);
    }
    if (err != CS_OK) {
        cs_wipe(at, len);
        out->len = before;
        return err;
    }
    c->seq++;
    return CS_OK;
}

cs_err cs_hpke_export(const cs_hpke *c, uint8_t *out, size_t len, cs_slice context)
{
    if (!supported(c->aead)) {
        return CS_E_STATE;
    }
    if (len > CS_HPKE_EXPORT_MAX) {
        return CS_E_RANGE;
    }
    if (context.len > CS_HPKE_MESSAGE_MAX) {
        return CS_E_TOO_LARGE;
    }
    const suite_id id = hpke_suite(c->aead);
    expand(cs_buf_wrap(out, len), &id, c->exporter.b, "sec", context);
    return CS_OK;
}

cs_err cs_hpke_seal_once(cs_buf *out, const uint8_t receiver32[32], const cs_hpke_args *args, cs_slice aad,
                         cs_slice plain)
{
    CS_SECRET(cs_hpke) c = {0};
    uint8_t enc[CS_HPKE_ENC];
    size_t before = out->len;
    CS_TRY(cs_hpke_send(&c, enc, receiver32, args));
    CS_TRY(cs_put(out, enc, sizeof enc));
    cs_err err = cs_hpke_seal(&c, out, aad, plain);
    if (err != CS_OK) {
        out->len = before;
    }
    return err;
}

cs_err cs_hpke_open_once(cs_buf *out, const uint8_t secret32[32], const cs_hpke_args *args, cs_slice aad,
                         cs_slice sealed)
{
    CS_SECRET(cs_hpke) c = {0};
    cs_slice enc;
    cs_reader in = cs_reader_of(sealed);
    if (sealed.len < CS_HPKE_ENC + CS_HPKE_TAG || cs_read_slice(&in, &enc, CS_HPKE_ENC) != CS_OK) {
        return CS_E_AUTH;
    }
    CS_TRY(cs_hpke_receive(&c, enc.p, secret32, args));
    return cs_hpke_open(&c, out, aad, cs_slice_of(in.p, in.left));
}
