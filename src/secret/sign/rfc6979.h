/*
 * Deterministic nonces: the HMAC-DRBG of RFC 6979, section 3.2, with SHA-256, for curves whose order has 256 bits.
 * Used for P-256; libsecp256k1 has its own for secp256k1.
 */
#ifndef CS_SECRET_SIGN_RFC6979_H
#define CS_SECRET_SIGN_RFC6979_H

#include "base/bytes.h"
#include "secret/mem.h"

typedef struct cs_rfc6979 {
    cs_secret32 k, v;
    bool drawn;
} cs_rfc6979;
CS_SECRET_DECLARE(cs_rfc6979)

/*
 * cs_rfc6979_init - key32: the private key (secret); hash32: the digest reduced modulo the order; extra: section
 * 3.6, may be empty.
 */
void cs_rfc6979_init(cs_rfc6979 *out, const uint8_t key32[32], const uint8_t hash32[32], cs_slice extra);
/* cs_rfc6979_next - the next candidate, secret; the caller takes the first that is in 1..order-1. */
void cs_rfc6979_next(cs_rfc6979 *r, cs_secret32 *out);

#endif
