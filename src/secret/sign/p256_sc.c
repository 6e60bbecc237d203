/* Montgomery multiplication by words (CIOS) [Koc, Acar, Kaliski 1996]; R = 2^256. */
#include "secret/sign/p256_sc.h"

#include "base/bytes.h"

__extension__ typedef unsigned __int128 u128;

static const uint64_t order[4] = {0xf3b9cac2fc632551u, 0xbce6faada7179e84u, 0xffffffffffffffffu, 0xffffffff00000000u};
static const uint64_t order_less_2[4] = {0xf3b9cac2fc63254fu, 0xbce6faada7179e84u, 0xffffffffffffffffu,
                                         0xffffffff00000000u};
static const cs_p256_sc r_squared = {
    {0x83244c95be79eea2u, 0x4699799c49bd6fa6u, 0x2845b2392b6bec59u, 0x66e12d94f3d95620u}};
static const cs_p256_sc r_one = {{0x0c46353d039cdaafu, 0x4319055258e8617bu, 0, 0x00000000ffffffffu}}; /* R mod n */
static const uint64_t minus_inverse = 0xccd1c8aaee00bc4fu; /* -1/n mod 2^64 */

/*
 * out = t - n when that is not negative (t has a fifth limb `top`, t < 2n), else t; returns 1 when it was
 * subtracted
 */
static unsigned reduce_once(uint64_t out[4], const uint64_t t[4], uint64_t top)
{
    uint64_t d[4], borrow = 0;
    for (unsigned i = 0; i < 4; i++) {
        u128 x = (u128)t[i] - order[i] - borrow;
        d[i] = (uint64_t)x;
        borrow = (uint64_t)(x >> 64) & 1;
    }
    unsigned subtract = (unsigned)((top | (borrow ^ 1)) & 1);
    uint64_t mask = cs_ct_mask(subtract);
    for (unsigned i = 0; i < 4; i++) {
        out[i] = (d[i] & mask) | (t[i] & ~mask);
    }
    cs_wipe(d, sizeof d); /* t may be a key: t - n is as good as it */
    return subtract;
}

void cs_p256_sc_mul(cs_p256_sc *out, const cs_p256_sc *a, const cs_p256_sc *b)
{
    uint64_t t[6] = {0};
    for (unsigned i = 0; i < 4; i++) {
        u128 c = 0;
        for (unsigned j = 0; j < 4; j++) {
            c += (u128)a->v[j] * b->v[i] + t[j];
            t[j] = (uint64_t)c;
            c >>= 64;
        }
        c += t[4];
        t[4] = (uint64_t)c;
        t[5] = (uint64_t)(c >> 64);
        uint64_t m = t[0] * minus_inverse;
        c = ((u128)m * order[0] + t[0]) >> 64;
        for (unsigned j = 1; j < 4; j++) {
            c += (u128)m * order[j] + t[j];
            t[j - 1] = (uint64_t)c;
            c >>= 64;
        }
        c += t[4];
        t[3] = (uint64_t)c;
        t[4] = t[5] + (uint64_t)(c >> 64);
    }
    (void)reduce_once(out->v, t, t[4]);
    cs_wipe(t, sizeof t);
}

void cs_p256_sc_add(cs_p256_sc *out, const cs_p256_sc *a, const cs_p256_sc *b)
{
    uint64_t t[4];
    u128 c = 0;
    for (unsigned i = 0; i < 4; i++) {
        c += (u128)a->v[i] + b->v[i];
        t[i] = (uint64_t)c;
        c >>= 64;
    }
    (void)reduce_once(out->v, t, (uint64_t)c);
    cs_wipe(t, sizeof t);
}

void cs_p256_sc_sub(cs_p256_sc *out, const cs_p256_sc *a, const cs_p256_sc *b)
{
    uint64_t t[4], borrow = 0;
    for (unsigned i = 0; i < 4; i++) {
        u128 x = (u128)a->v[i] - b->v[i] - borrow;
        t[i] = (uint64_t)x;
        borrow = (uint64_t)(x >> 64) & 1;
    }
    uint64_t mask = cs_ct_mask((unsigned)borrow);
    u128 c = 0;
    for (unsigned i = 0; i < 4; i++) {
        c += (u128)t[i] + (order[i] & mask);
        out->v[i] = (uint64_t)c;
        c >>= 64;
    }
    cs_wipe(t, sizeof t);
}

unsigned cs_p256_sc_is_zero(const cs_p256_sc *a)
{
    return (unsigned)cs_ct_is_zero(a->v, sizeof a->v);
}

unsigned cs_p256_sc_from_be(cs_p256_sc *out, const uint8_t b[32])
{
    CS_SECRET(cs_p256_sc) t = {{0}};
    for (unsigned i = 0; i < 4; i++) {
        t.v[3 - i] = cs_load_u64(b + (size_t)8 * i);
    }
    unsigned high = reduce_once(t.v, t.v, 0); /* 2^256 < 2n */
    cs_p256_sc_mul(out, &t, &r_squared);
    return (high ^ 1) & (cs_p256_sc_is_zero(out) ^ 1);
}

void cs_p256_sc_to_be(uint8_t out[32], const cs_p256_sc *a)
{
    static const cs_p256_sc one = {{1}};
    CS_SECRET(cs_p256_sc) t = {{0}};
    cs_p256_sc_mul(&t, a, &one);
    for (unsigned i = 0; i < 4; i++) {
        cs_store_u64(out + (size_t)8 * i, t.v[3 - i]);
    }
}

void cs_p256_sc_inv(cs_p256_sc *out, const cs_p256_sc *a)
{
    CS_SECRET(cs_p256_sc) x = r_one;
    CS_SECRET(cs_p256_sc) base = *a;
    for (unsigned i = 256; i-- > 0;) { /* the exponent is public */
        cs_p256_sc_mul(&x, &x, &x);
        if ((order_less_2[i / 64] >> (i % 64) & 1) != 0) {
            cs_p256_sc_mul(&x, &x, &base);
        }
    }
    *out = x;
}
