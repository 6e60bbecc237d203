/* Scalars modulo q, inline parts for inner loops (sc.h is the contract). Limbs little endian; everything constant time. */
#ifndef CS_SECRET_SC_INT_H
#define CS_SECRET_SC_INT_H

#include <string.h>

#include "secret/sc.h"

__extension__ typedef unsigned __int128 cs_u128;

#define CS_SCI_C0 0x402DA1732FC9BEBFull
#define CS_SCI_C1 0x4551231950B75FC4ull /* C = C0 + C1 2^64 + 2^128 */
#define CS_SCI_Q0 0xBFD25E8CD0364141ull
#define CS_SCI_Q1 0xBAAEDCE6AF48A03Bull
#define CS_SCI_Q2 0xFFFFFFFFFFFFFFFEull
#define CS_SCI_Q3 0xFFFFFFFFFFFFFFFFull

/* a + b + *carry; *carry = carry out (0 or 1) */
static inline uint64_t cs_sci_adc(uint64_t a, uint64_t b, uint64_t *carry)
{
    cs_u128 t = (cs_u128)a + b + *carry;
    *carry = (uint64_t)(t >> 64);
    return (uint64_t)t;
}

/* a - b - *borrow; *borrow = 0 or 1 */
static inline uint64_t cs_sci_sbb(uint64_t a, uint64_t b, uint64_t *borrow)
{
    cs_u128 t = (cs_u128)a - b - *borrow;
    *borrow = (uint64_t)(t >> 64) & 1;
    return (uint64_t)t;
}

/* a + b * c + *carry; *carry = high limb */
static inline uint64_t cs_sci_mac(uint64_t a, uint64_t b, uint64_t c, uint64_t *carry)
{
    cs_u128 t = (cs_u128)b * c + a + *carry;
    *carry = (uint64_t)(t >> 64);
    return (uint64_t)t;
}

static inline uint64_t cs_sci_barrier(uint64_t m)
{
    __asm__("" : "+r"(m));
    return m;
}

/*
 * out = (top 2^256 + r) mod q for a value < 2q: subtract q when top is 1 or r >= q. Returns 1 when nothing was subtracted.
 */
static inline uint64_t cs_sci_final(uint64_t out[4], const uint64_t r[4], uint64_t top)
{
    uint64_t bw = 0, d[4];
    d[0] = cs_sci_sbb(r[0], CS_SCI_Q0, &bw);
    d[1] = cs_sci_sbb(r[1], CS_SCI_Q1, &bw);
    d[2] = cs_sci_sbb(r[2], CS_SCI_Q2, &bw);
    d[3] = cs_sci_sbb(r[3], CS_SCI_Q3, &bw);
    uint64_t keep = bw & (top ^ 1), m = cs_sci_barrier(0 - keep);
    for (int i = 0; i < 4; i++) {
        out[i] = (r[i] & m) | (d[i] & ~m);
    }
    return keep;
}

/* out = b mod q; 1 when b < q, else 0 */
static inline unsigned cs_sci_from_be(cs_sc *out, const uint8_t b[32])
{
    uint64_t r[4];
    for (int i = 0; i < 4; i++) {
        memcpy(&r[i], b + 24 - 8 * i, 8);
        r[i] = __builtin_bswap64(r[i]);
    }
    return (unsigned)cs_sci_final(out->v, r, 0);
}

static inline void cs_sci_to_be(uint8_t out[32], const cs_sc *a)
{
    for (int i = 0; i < 4; i++) {
        uint64_t v = __builtin_bswap64(a->v[3 - i]);
        memcpy(out + 8 * i, &v, 8);
    }
}

static inline void cs_sci_mask(cs_sc *out, const cs_sc *a, uint64_t m)
{
    for (int i = 0; i < 4; i++) {
        out->v[i] = a->v[i] & m;
    }
}

static inline void cs_sci_add(cs_sc *out, const cs_sc *a, const cs_sc *b)
{
    uint64_t c = 0, r[4];
    for (int i = 0; i < 4; i++) {
        r[i] = cs_sci_adc(a->v[i], b->v[i], &c);
    }
    (void)cs_sci_final(out->v, r, c);
}

static inline void cs_sci_sub(cs_sc *out, const cs_sc *a, const cs_sc *b)
{
    uint64_t bw = 0, c = 0, r[4];
    for (int i = 0; i < 4; i++) {
        r[i] = cs_sci_sbb(a->v[i], b->v[i], &bw);
    }
    uint64_t m = cs_sci_barrier(0 - bw); /* below zero: add q */
    out->v[0] = cs_sci_adc(r[0], CS_SCI_Q0 & m, &c);
    out->v[1] = cs_sci_adc(r[1], CS_SCI_Q1 & m, &c);
    out->v[2] = cs_sci_adc(r[2], CS_SCI_Q2 & m, &c);
    out->v[3] = cs_sci_adc(r[3], CS_SCI_Q3 & m, &c);
}

static inline void cs_sci_mul512(uint64_t t[8], const uint64_t a[4], const uint64_t b[4])
{
    uint64_t c = 0;
    t[0] = cs_sci_mac(0, a[0], b[0], &c);
    t[1] = cs_sci_mac(0, a[0], b[1], &c);
    t[2] = cs_sci_mac(0, a[0], b[2], &c);
    t[3] = cs_sci_mac(0, a[0], b[3], &c);
    t[4] = c;
    for (int i = 1; i < 4; i++) {
        c = 0;
        t[i] = cs_sci_mac(t[i], a[i], b[0], &c);
        t[i + 1] = cs_sci_mac(t[i + 1], a[i], b[1], &c);
        t[i + 2] = cs_sci_mac(t[i + 2], a[i], b[2], &c);
        t[i + 3] = cs_sci_mac(t[i + 3], a[i], b[3], &c);
        t[i + 4] = c;
    }
}

/* t (4 + hn limbs) -> r = low 256 bits + C * high part, hn + 3 limbs (at least 5). The result always fits. */
static inline __attribute__((always_inline)) void cs_sci_fold(uint64_t *r, const uint64_t *t, int hn)
{
    int rn = hn + 3 < 5 ? 5 : hn + 3;
    uint64_t c = 0;
    for (int i = 0; i < rn; i++) {
        r[i] = i < 4 ? t[i] : 0;
    }
    for (int i = 0; i < hn; i++) {
        r[i] = cs_sci_mac(r[i], t[4 + i], CS_SCI_C0, &c);
    }
    for (int i = hn; i < rn; i++) {
        r[i] = cs_sci_adc(r[i], 0, &c);
    }
    c = 0;
    for (int i = 0; i < hn; i++) {
        r[i + 1] = cs_sci_mac(r[i + 1], t[4 + i], CS_SCI_C1, &c);
    }
    for (int i = hn + 1; i < rn; i++) {
        r[i] = cs_sci_adc(r[i], 0, &c);
    }
    c = 0;
    for (int i = 0; i < hn; i++) {
        r[i + 2] = cs_sci_adc(r[i + 2], t[4 + i], &c);
    }
    for (int i = hn + 2; i < rn; i++) {
        r[i] = cs_sci_adc(r[i], 0, &c);
    }
}

/* Three limbs above 2^256 (of which at most 130 bits are used) down to a scalar. */
static inline __attribute__((always_inline)) void cs_sci_tail(uint64_t out[4], const uint64_t t[7])
{
    uint64_t a[6], b[5], d[5];
    cs_sci_fold(a, t, 3); /* < 2^256 + 2^259: a[4] < 16, a[5] = 0 */
    cs_sci_fold(b, a, 1); /* < 2^256 + 2^133: b[4] is 0 or 1, and then the rest is < 2^133 */
    cs_sci_fold(d, b, 1); /* < 2^256 */
    (void)cs_sci_final(out, d, 0);
}

static inline void cs_sci_reduce512(uint64_t out[4], const uint64_t t[8])
{
    uint64_t r[7];
    cs_sci_fold(r, t, 4); /* < 2^386 */
    cs_sci_tail(out, r);
}

static inline void cs_sci_reduce576(uint64_t out[4], const uint64_t t[9])
{
    uint64_t r[8], s[7];
    cs_sci_fold(r, t, 5); /* < 2^450 */
    cs_sci_fold(s, r, 4); /* < 2^324 */
    cs_sci_tail(out, s);
}

static inline void cs_sci_acc_mul(uint64_t acc[9], const uint64_t a[4], const uint64_t b[4])
{
    uint64_t t[8], c = 0;
    cs_sci_mul512(t, a, b);
    for (int i = 0; i < 8; i++) {
        acc[i] = cs_sci_adc(acc[i], t[i], &c);
    }
    acc[8] += c;
}

static inline void cs_sci_acc_add(uint64_t acc[9], const uint64_t a[4])
{
    uint64_t c = 0;
    for (int i = 0; i < 4; i++) {
        acc[i] = cs_sci_adc(acc[i], a[i], &c);
    }
    for (int i = 4; i < 9; i++) {
        acc[i] = cs_sci_adc(acc[i], 0, &c);
    }
}

#endif
