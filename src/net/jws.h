/*
 * Bearer tokens: JSON web signatures in compact form (RFC 7515) with EdDSA over Ed25519 (RFC 8037) or ES256 (RFC 7518 3.4), and the
 * claims of JSON web tokens (RFC 7519) on top. Strict: these two algorithms and no other, each with keys of its own kind only; base64url
 * without padding and with zero unused bits; no unknown critical header; no member twice; no header that brings a key of its own into play.
 * Verification only; public keys only. For host programs.
 */
#ifndef CS_NET_JWS_H
#define CS_NET_JWS_H

#include "base/bytes.h"

#define CS_JWS_MAX 8192u /* bytes of a token */
#define CS_JWS_KEYS_MAX 32u

typedef struct cs_jws_keys cs_jws_keys;

/*
 * cs_jws_keys_read - a JWK, a JWK set, or one or more PEM public keys. Keys that cannot be for this (another `use`, key_ops without
 * verify, another kty or curve) are left out of a set and refused alone. CS_E_FORMAT (malformed, no key that fits, a private key) |
 * CS_E_TOO_LARGE | CS_E_NO_MEMORY.
 */
CS_MUST cs_err cs_jws_keys_read(cs_jws_keys **out, cs_slice text);
void cs_jws_keys_free(cs_jws_keys *k);
size_t cs_jws_keys_num(const cs_jws_keys *k);

/*
 * cs_jws_verify - append the payload of a token that a key of the set has signed. With `kid` in the header: a key of that kid, or one that
 * has none. CS_E_TOKEN | CS_E_RANGE (out) | CS_E_NO_MEMORY; out is then as before.
 */
CS_MUST cs_err cs_jws_verify(cs_buf *out, const cs_jws_keys *keys, cs_slice token);

typedef struct cs_jwt_rules {
    const char *issuer, *audience; /* NULL: not compared. Audience: the claim, or one of its list */
    uint64_t now_s;
    uint64_t leeway_s; /* for exp, nbf and iat */
} cs_jwt_rules;

#define CS_JWT_SUBJECT_MAX 255
typedef struct cs_jwt {
    char subject[CS_JWT_SUBJECT_MAX + 1]; /* "": none, or one that is longer or has control characters */
    uint64_t expires_s;
} cs_jwt;

/*
 * cs_jwt_verify - the same for a token: `exp` must be there and later than now; nbf and iat, when there, not later; iss and aud as the
 * rules say. *why (static text) says which. CS_E_TOKEN | CS_E_NO_MEMORY.
 */
CS_MUST cs_err cs_jwt_verify(cs_jwt *out, const char **why, const cs_jws_keys *keys, cs_slice token,
                             const cs_jwt_rules *rules);

#endif
