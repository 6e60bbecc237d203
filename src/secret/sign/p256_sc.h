/*
 * Scalars modulo the order n of P-256: 4x64-bit limbs in Montgomery form, always reduced, constant time
 * throughout. Own code because
 * no public API of OpenSSL promises constant time for arithmetic modulo n. Only what ECDSA needs. For
 * secret/sign/ only.
 */
#ifndef CS_SECRET_SIGN_P256_SC_H
#define CS_SECRET_SIGN_P256_SC_H

#include <stdint.h>

#include "secret/mem.h"

typedef struct cs_p256_sc {
    uint64_t v[4];
} cs_p256_sc;
CS_SECRET_DECLARE(cs_p256_sc)

/* cs_p256_sc_from_be - value mod n; returns 1 when it was in 1..n-1, else 0 (constant time). */
unsigned cs_p256_sc_from_be(cs_p256_sc *out, const uint8_t b[32]);
void cs_p256_sc_to_be(uint8_t out[32], const cs_p256_sc *a);
/* Results may alias inputs. */
void cs_p256_sc_add(cs_p256_sc *out, const cs_p256_sc *a, const cs_p256_sc *b);
void cs_p256_sc_sub(cs_p256_sc *out, const cs_p256_sc *a, const cs_p256_sc *b);
void cs_p256_sc_mul(cs_p256_sc *out, const cs_p256_sc *a, const cs_p256_sc *b);
/* cs_p256_sc_inv - Fermat; the inverse of 0 is 0. */
void cs_p256_sc_inv(cs_p256_sc *out, const cs_p256_sc *a);
/* cs_p256_sc_is_zero - 1 or 0, constant time. */
unsigned cs_p256_sc_is_zero(const cs_p256_sc *a);

#endif
