#include "secret/sign/scheme.h"

#include <string.h>

#include "secret/rng.h"
#include "secret/sc.h"
#include "secret/sign/bip340.h"
#include "secret/sign/ecdsa_k1.h"
#include "secret/sign/ecdsa_p256.h"
#include "secret/sign/ed25519.h"
#include "secret/sign/p256_sc.h"
#include "secret/th.h"

struct cs_scheme {
    unsigned number;
    size_t public_len;
    bool takes_digest;                         /* a digest of 32 bytes may stand for the message */
    bool hashes;                               /* what it signs is always a digest: SHA-256 of a message */
    unsigned (*in_range)(const uint8_t b[32]); /* 1 or 0, constant time; NULL: any */
    cs_err (*public_key)(uint8_t *out, const cs_secret32 *key);
    /* payload: 32 bytes when the scheme hashes */
    cs_err (*sign)(cs_scheme_sig *out, const cs_secret32 *key, const cs_scheme_input *in);
    cs_err (*verify)(const uint8_t sig[CS_SCHEME_SIG], cs_slice public_key, cs_slice payload);
};

/* ---- the four */

static unsigned k1_in_range(const uint8_t b[32])
{
    CS_SECRET(cs_sc) d = {{0}};
    return cs_sc_from_be_check(&d, b) & (unsigned)(1 ^ cs_ct_is_zero(b, 32));
}

static unsigned p256_in_range(const uint8_t b[32])
{
    CS_SECRET(cs_p256_sc) d = {{0}};
    return cs_p256_sc_from_be(&d, b);
}

static cs_err ed25519_public(uint8_t *out, const cs_secret32 *key)
{
    cs_ed25519_public(out, key);
    return CS_OK;
}

static cs_err k1_sign(cs_scheme_sig *out, const cs_secret32 *key, const cs_scheme_input *in)
{
    unsigned recid = 0;
    CS_TRY(cs_ecdsa_k1_sign(out->b, &recid, key, in->payload.p, NULL));
    out->recid = recid;
    return CS_OK;
}

static cs_err p256_sign(cs_scheme_sig *out, const cs_secret32 *key, const cs_scheme_input *in)
{
    return cs_ecdsa_p256_sign(out->b, key, in->payload.p);
}

/* The others look at what they made themselves. A fault in a deterministic signature would give the key away. */
static cs_err ed25519_sign(cs_scheme_sig *out, const cs_secret32 *key, const cs_scheme_input *in)
{
    uint8_t public32[32];
    cs_ed25519_public(public32, key);
    cs_ed25519_sign(out->b, key, in->payload);
    return cs_ed25519_verify(public32, out->b, in->payload) == CS_OK ? CS_OK : CS_E_INTERNAL;
}

static cs_err bip340_sign(cs_scheme_sig *out, const cs_secret32 *key, const cs_scheme_input *in)
{
    return cs_bip340_sign(out->b, key, in->payload, in->aux32 != NULL ? in->aux32->b : NULL);
}

static cs_err k1_verify(const uint8_t sig[CS_SCHEME_SIG], cs_slice public_key, cs_slice payload)
{
    return cs_ecdsa_k1_verify(sig, payload.p, public_key);
}

static cs_err p256_verify(const uint8_t sig[CS_SCHEME_SIG], cs_slice public_key, cs_slice payload)
{
    return cs_ecdsa_p256_verify(sig, payload.p, public_key);
}

static cs_err ed25519_verify(const uint8_t sig[CS_SCHEME_SIG], cs_slice public_key, cs_slice payload)
{
    return cs_ed25519_verify(public_key.p, sig, payload);
}

static cs_err bip340_verify(const uint8_t sig[CS_SCHEME_SIG], cs_slice public_key, cs_slice payload)
{
    return cs_bip340_verify(public_key.p, sig, payload);
}

static const cs_scheme schemes[] = {
    {CS_SCHEME_ECDSA_K1, 33, true, true, k1_in_range, cs_ecdsa_k1_public, k1_sign, k1_verify},
    {CS_SCHEME_ECDSA_P256, 33, true, true, p256_in_range, cs_ecdsa_p256_public, p256_sign, p256_verify},
    {CS_SCHEME_ED25519, 32, false, false, NULL, ed25519_public, ed25519_sign, ed25519_verify},
    {CS_SCHEME_BIP340, 32, true, false, k1_in_range, cs_bip340_public, bip340_sign, bip340_verify},
};

/* ---- what all have in common */

const cs_scheme *cs_scheme_of(uint64_t number)
{
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        if (schemes[i].number == number) {
            return &schemes[i];
        }
    }
    return NULL;
}

cs_err cs_scheme_check_key(const cs_scheme *s, const cs_secret32 *key)
{
    unsigned ok = s->in_range == NULL ? 1 : s->in_range(key->b);
    CS_CT_PUBLIC(&ok, sizeof ok, "a key out of range is refused");
    return ok == 1 ? CS_OK : CS_E_RANGE;
}

cs_err cs_scheme_generate(const cs_scheme *s, cs_secret32 *out)
{
    CS_SECRET(cs_secret32) key = {{0}};

    do { /* a draw out of range tells nothing of the one that is used */
        CS_TRY(cs_random(key.b, sizeof key.b));
        CS_CT_SECRET(key.b, sizeof key.b);
    } while (cs_scheme_check_key(s, &key) != CS_OK);
    memcpy(out->b, key.b, sizeof key.b);
    return CS_OK;
}

cs_err cs_scheme_public_key(const cs_scheme *s, cs_scheme_public *out, const cs_secret32 *key)
{
    cs_scheme_public made = {.len = s->public_len};

    CS_TRY(s->public_key(made.b, key));
    *out = made;
    return CS_OK;
}

static void sha256(uint8_t out32[32], cs_slice message)
{
    CS_SECRET(cs_sha256) h;

    cs_sha256_init(&h);
    if (message.len > 0) {
        cs_sha256_put(&h, message.p, message.len);
    }
    cs_sha256_end(&h, out32);
}

/* The input in the form that the scheme signs; digest32 is where a message's hash goes. */
static cs_err prepare(const cs_scheme *s, cs_scheme_input *out, uint8_t digest32[32], const cs_scheme_input *in)
{
    static const uint8_t none = 0;

    *out = *in;
    if (in->is_digest && !s->takes_digest) {
        return CS_E_ALGORITHM;
    }
    if (in->is_digest && in->payload.len != 32) {
        return CS_E_DIGEST_LENGTH;
    }
    if (s->hashes && !in->is_digest) {
        sha256(digest32, in->payload);
        out->payload = cs_slice_of(digest32, 32);
    } else if (in->payload.len == 0) {
        out->payload = cs_slice_of(&none, 0); /* the libraries take no NULL */
    }
    return CS_OK;
}

cs_err cs_scheme_sign(const cs_scheme *s, cs_scheme_sig *out, const cs_secret32 *key, const cs_scheme_input *in)
{
    cs_scheme_sig made = {.recid = 0};
    cs_scheme_input ready;
    uint8_t digest[32];

    CS_TRY(prepare(s, &ready, digest, in));
    cs_err err = s->sign(&made, key, &ready);
    if (err == CS_OK) {
        *out = made;
    }
    cs_wipe(&made, sizeof made); /* a signature with a fault in it tells of the key */
    return err;
}

cs_err cs_scheme_verify(const cs_scheme *s, const cs_scheme_sig *sig, cs_slice public_key, const cs_scheme_input *in)
{
    cs_scheme_input ready;
    uint8_t digest[32];

    CS_TRY(prepare(s, &ready, digest, in));
    return public_key.len == s->public_len ? s->verify(sig->b, public_key, ready.payload) : CS_E_FORMAT;
}

void cs_scheme_aux(cs_secret32 *out, const cs_secret32 *key, cs_slice body)
{
    static const char label[] = "countersign-tee-aux-1\n";
    CS_SECRET(cs_sha256) h;

    cs_sha256_init(&h);
    cs_sha256_put(&h, label, sizeof label - 1);
    cs_sha256_put(&h, key->b, 32);
    if (body.len > 0) {
        cs_sha256_put(&h, body.p, body.len);
    }
    cs_sha256_end(&h, out->b);
}
