/* Primitives of age: key derivation, STREAM chunks, wrapping of the file key. Source: age specification, RFC 5869, RFC 7748. */
#include <sodium.h>
#include <string.h>

#include "secret/age_int.h"
#include "secret/rng.h"

static void hmac(uint8_t out[32], cs_slice key, const cs_slice *parts, size_t num_parts)
{
    crypto_auth_hmacsha256_state st;

    crypto_auth_hmacsha256_init(&st, key.p, key.len);
    for (size_t i = 0; i < num_parts; i++) {
        if (parts[i].len > 0) {
            crypto_auth_hmacsha256_update(&st, parts[i].p, parts[i].len);
        }
    }
    crypto_auth_hmacsha256_final(&st, out);
    cs_wipe(&st, sizeof st);
}

/* HKDF-SHA256 with 32 bytes of output: extract, then the first block of expand. */
static void hkdf(cs_secret32 *out, cs_slice secret, cs_slice salt, const char *info)
{
    static const uint8_t one = 1;
    const cs_slice expand[] = {cs_slice_str(info), cs_slice_of(&one, 1)};
    CS_SECRET(cs_secret32) prk = {{0}};

    hmac(prk.b, salt, &secret, 1);
    hmac(out->b, cs_slice_of(prk.b, sizeof prk.b), expand, 2);
}

void cs_age_header_mac(uint8_t out[AGE_MAC], const cs_secret16 *file_key, cs_slice header)
{
    CS_SECRET(cs_secret32) key = {{0}};
    static const uint8_t no_salt[1];

    hkdf(&key, cs_slice_of(file_key->b, sizeof file_key->b), cs_slice_of(no_salt, 0), "header");
    hmac(out, cs_slice_of(key.b, sizeof key.b), &header, 1);
}

void cs_age_stream_init(age_stream *s, const cs_secret16 *file_key, const uint8_t nonce[AGE_NONCE])
{
    CS_SECRET(cs_secret32) key = {{0}};

    hkdf(&key, cs_slice_of(file_key->b, sizeof file_key->b), cs_slice_of(nonce, AGE_NONCE), "payload");
    memcpy(s->key, key.b, sizeof s->key);
    s->counter = 0;
}

static void stream_nonce(uint8_t nonce[12], const age_stream *s, bool last)
{
    memset(nonce, 0, 3);
    cs_store_u64(nonce + 3,
                 s->counter); /* the upper three of the counter's 11 bytes stay zero: 2^64 chunks are enough */
    nonce[11] = last;
}

bool cs_age_stream_open(uint8_t *plain, const age_stream *s, cs_slice chunk, bool last)
{
    uint8_t nonce[12];

    stream_nonce(nonce, s, last);
    return chunk.len >= AGE_TAG &&
           crypto_aead_chacha20poly1305_ietf_decrypt_detached(
               plain, NULL, chunk.p, chunk.len - AGE_TAG, chunk.p + chunk.len - AGE_TAG, NULL, 0, nonce, s->key) == 0;
}

bool cs_age_stream_seal(const age_stream *s, uint8_t *chunk, size_t len, bool last)
{
    uint8_t nonce[12];

    stream_nonce(nonce, s, last);
    return crypto_aead_chacha20poly1305_ietf_encrypt_detached(chunk, chunk + len, NULL, chunk, len, NULL, 0, NULL,
                                                              nonce, s->key) == 0;
}

static const uint8_t zero_nonce[12];

bool cs_age_unwrap(cs_secret16 *out, const cs_secret32 *key, const uint8_t body[32])
{
    return crypto_aead_chacha20poly1305_ietf_decrypt_detached(out->b, NULL, body, AGE_FILE_KEY, body + AGE_FILE_KEY,
                                                              NULL, 0, zero_nonce, key->b) == 0;
}

void cs_age_wrap(uint8_t body[32], const cs_secret32 *key, const cs_secret16 *file_key)
{
    (void)crypto_aead_chacha20poly1305_ietf_encrypt_detached(body, body + AGE_FILE_KEY, NULL, file_key->b, AGE_FILE_KEY,
                                                             NULL, 0, NULL, zero_nonce, key->b);
}

/* The wrapping key: HKDF(X25519(scalar, point), share || recipient). False when the product is zero. */
static bool x25519_key(cs_secret32 *out, const uint8_t scalar[32], const uint8_t point[32], const uint8_t salt[64])
{
    CS_SECRET(cs_secret32) product = {{0}};

    if (crypto_scalarmult(product.b, scalar, point) != 0 || cs_ct_is_zero(product.b, sizeof product.b)) {
        return false;
    }
    hkdf(out, cs_slice_of(product.b, sizeof product.b), cs_slice_of(salt, 64), "age-encryption.org/v1/X25519");
    return true;
}

cs_err cs_age_x25519_unwrap(cs_secret16 *out, const cs_age_identity *id, const uint8_t share[32],
                            const uint8_t body[32])
{
    CS_SECRET(cs_secret32) key = {{0}};
    uint8_t salt[64];

    memcpy(salt, share, 32);
    memcpy(salt + 32, id->recipient.b, 32);
    if (!x25519_key(&key, id->scalar, share, salt)) {
        return CS_E_AGE_HEADER;
    }
    return cs_age_unwrap(out, &key, body) ? CS_OK : CS_E_AGE_NO_MATCH;
}

cs_err cs_age_x25519_wrap(uint8_t share[32], uint8_t body[32], const cs_age_recipient *to, const cs_secret16 *file_key)
{
    CS_SECRET(cs_secret32) ephemeral = {{0}}, key = {{0}};
    uint8_t salt[64];

    CS_TRY(cs_random(ephemeral.b, sizeof ephemeral.b));
    if (crypto_scalarmult_base(share, ephemeral.b) != 0) {
        return CS_E_INTERNAL;
    }
    memcpy(salt, share, 32);
    memcpy(salt + 32, to->b, 32);
    if (!x25519_key(&key, ephemeral.b, to->b, salt)) {
        return CS_E_AGE_IDENTITY; /* a low-order recipient */
    }
    cs_age_wrap(body, &key, file_key);
    return CS_OK;
}

cs_err cs_age_scrypt_key(cs_secret32 *out, cs_slice passphrase, const uint8_t salt[16], unsigned work_factor)
{
    static const char label[] = "age-encryption.org/v1/scrypt";
    uint8_t full_salt[sizeof label - 1 + 16];

    if (work_factor == 0 || work_factor > CS_AGE_MAX_WORK_FACTOR) {
        return CS_E_RANGE;
    }
    memcpy(full_salt, label, sizeof label - 1);
    memcpy(full_salt + sizeof label - 1, salt, 16);
    if (crypto_pwhash_scryptsalsa208sha256_ll(passphrase.p, passphrase.len, full_salt, sizeof full_salt,
                                              (uint64_t)1 << work_factor, 8, 1, out->b, sizeof out->b) != 0) {
        return CS_E_NO_MEMORY;
    }
    return CS_OK;
}
