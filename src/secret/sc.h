/*
 * Scalars modulo the order q of secp256k1: 4x64-bit limbs, always reduced, constant time throughout.
 * Own code because no public API offers zero, subtraction, inner products and inversion in constant time.
 * Source: specs mpc.md 3.2.
 */
#ifndef CS_SECRET_SC_H
#define CS_SECRET_SC_H

#include <stdint.h>

#include "base/err.h"
#include "secret/mem.h"

/* Little-endian limbs, value < q. */
typedef struct cs_sc {
    uint64_t v[4];
} cs_sc;
CS_SECRET_DECLARE(cs_sc)

/* A sum of products, not reduced: 576 bits, room for 2^64 products. The zero state is zero. */
typedef struct cs_sc_acc {
    uint64_t v[9];
} cs_sc_acc;
CS_SECRET_DECLARE(cs_sc_acc)

extern const cs_sc cs_sc_one;

/* cs_sc_from_be - strict: CS_E_RANGE when the 32 big-endian bytes are >= q (out is then their residue: do not use it). */
CS_MUST cs_err cs_sc_from_be(cs_sc *out, const uint8_t b[32]);
/* cs_sc_from_be_check - residue in out; returns 1 when the value was < q, else 0; constant time (combine many with &). */
unsigned cs_sc_from_be_check(cs_sc *out, const uint8_t b[32]);
/* cs_sc_from_be_mod - value mod q. */
void cs_sc_from_be_mod(cs_sc *out, const uint8_t b[32]);
void cs_sc_to_be(uint8_t out[32], const cs_sc *a);
void cs_sc_from_u64(cs_sc *out, uint64_t a);

/* Results may alias inputs. */
void cs_sc_add(cs_sc *out, const cs_sc *a, const cs_sc *b);
void cs_sc_sub(cs_sc *out, const cs_sc *a, const cs_sc *b);
void cs_sc_neg(cs_sc *out, const cs_sc *a);
void cs_sc_mul(cs_sc *out, const cs_sc *a, const cs_sc *b);
/* cs_sc_inv - Fermat; the inverse of 0 is 0. */
void cs_sc_inv(cs_sc *out, const cs_sc *a);
/* cs_sc_mask - out = a when bit is 1, 0 when bit is 0. cs_sc_cmov - out = a when bit is 1. */
void cs_sc_mask(cs_sc *out, const cs_sc *a, unsigned bit);
void cs_sc_cmov(cs_sc *out, const cs_sc *a, unsigned bit);
/* 1 or 0, constant time. cs_sc_is_high: a > (q - 1) / 2. */
unsigned cs_sc_is_zero(const cs_sc *a);
unsigned cs_sc_eq(const cs_sc *a, const cs_sc *b);
unsigned cs_sc_is_high(const cs_sc *a);

/* cs_sc_acc_mul - acc += a * b; cs_sc_acc_add - acc += a; cs_sc_acc_reduce - acc mod q. */
void cs_sc_acc_mul(cs_sc_acc *acc, const cs_sc *a, const cs_sc *b);
void cs_sc_acc_add(cs_sc_acc *acc, const cs_sc *a);
void cs_sc_acc_reduce(cs_sc *out, const cs_sc_acc *acc);

#endif
