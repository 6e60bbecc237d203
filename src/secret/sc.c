/*
 * Scalars modulo q. With q = 2^256 - C and C of 129 bits, a wide value is folded: low 256 bits + C * the rest, until 256 bits
 * are left, then q is subtracted once under a mask.
 */
#include "secret/sc.h"

#include "secret/sc_int.h"

const cs_sc cs_sc_one = {{1, 0, 0, 0}};

unsigned cs_sc_from_be_check(cs_sc *out, const uint8_t b[32])
{
    return cs_sci_from_be(out, b);
}

cs_err cs_sc_from_be(cs_sc *out, const uint8_t b[32])
{
    return cs_sc_from_be_check(out, b) == 1 ? CS_OK : CS_E_RANGE;
}

void cs_sc_from_be_mod(cs_sc *out, const uint8_t b[32])
{
    (void)cs_sc_from_be_check(out, b);
}

void cs_sc_to_be(uint8_t out[32], const cs_sc *a)
{
    cs_sci_to_be(out, a);
}

void cs_sc_from_u64(cs_sc *out, uint64_t a)
{
    *out = (cs_sc){{a, 0, 0, 0}};
}

void cs_sc_add(cs_sc *out, const cs_sc *a, const cs_sc *b)
{
    cs_sci_add(out, a, b);
}

void cs_sc_sub(cs_sc *out, const cs_sc *a, const cs_sc *b)
{
    cs_sci_sub(out, a, b);
}

void cs_sc_neg(cs_sc *out, const cs_sc *a)
{
    const cs_sc zero = {{0}};
    cs_sci_sub(out, &zero, a);
}

void cs_sc_mul(cs_sc *out, const cs_sc *a, const cs_sc *b)
{
    uint64_t t[8];
    cs_sci_mul512(t, a->v, b->v);
    cs_sci_reduce512(out->v, t);
}

/* out = out^(2^n) * m */
static void sqr_n_mul(cs_sc *out, int n, const cs_sc *m)
{
    for (int i = 0; i < n; i++) {
        cs_sc_mul(out, out, out);
    }
    cs_sc_mul(out, out, m);
}

void cs_sc_inv(cs_sc *out, const cs_sc *a)
{
    /* a^(q-2) by fixed 4-bit windows; the exponent is a public constant, so indexing by its digits is no leak */
    static const uint8_t q_minus_2[32] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                          0xff, 0xff, 0xff, 0xff, 0xfe, 0xba, 0xae, 0xdc, 0xe6, 0xaf, 0x48,
                                          0xa0, 0x3b, 0xbf, 0xd2, 0x5e, 0x8c, 0xd0, 0x36, 0x41, 0x3f};
    cs_sc pow[16] = {cs_sc_one, *a}, r = cs_sc_one;
    for (int i = 2; i < 16; i++) {
        cs_sc_mul(&pow[i], &pow[i - 1], a);
    }
    for (int i = 0; i < 32; i++) {
        sqr_n_mul(&r, 4, &pow[q_minus_2[i] >> 4]);
        sqr_n_mul(&r, 4, &pow[q_minus_2[i] & 15]);
    }
    *out = r;
    cs_wipe(pow, sizeof pow);
    cs_wipe(&r, sizeof r);
}

void cs_sc_mask(cs_sc *out, const cs_sc *a, unsigned bit)
{
    uint64_t m = cs_ct_mask(bit);
    for (int i = 0; i < 4; i++) {
        out->v[i] = a->v[i] & m;
    }
}

void cs_sc_cmov(cs_sc *out, const cs_sc *a, unsigned bit)
{
    uint64_t m = cs_ct_mask(bit);
    for (int i = 0; i < 4; i++) {
        out->v[i] ^= m & (out->v[i] ^ a->v[i]);
    }
}

static unsigned zero_bit(uint64_t d)
{
    return (unsigned)(1 & ~((d | (0 - d)) >> 63));
}

unsigned cs_sc_is_zero(const cs_sc *a)
{
    return zero_bit(a->v[0] | a->v[1] | a->v[2] | a->v[3]);
}

unsigned cs_sc_eq(const cs_sc *a, const cs_sc *b)
{
    return zero_bit((a->v[0] ^ b->v[0]) | (a->v[1] ^ b->v[1]) | (a->v[2] ^ b->v[2]) | (a->v[3] ^ b->v[3]));
}

unsigned cs_sc_is_high(const cs_sc *a)
{
    /* half = (q - 1) / 2; a > half when half - a borrows */
    static const uint64_t half[4] = {0xDFE92F46681B20A0ull, 0x5D576E7357A4501Dull, 0xFFFFFFFFFFFFFFFFull,
                                     0x7FFFFFFFFFFFFFFFull};
    uint64_t borrow = 0;
    for (int i = 0; i < 4; i++) {
        cs_u128 d = (cs_u128)half[i] - a->v[i] - borrow;
        borrow = (uint64_t)(d >> 64) & 1;
    }
    return (unsigned)borrow;
}

void cs_sc_acc_mul(cs_sc_acc *acc, const cs_sc *a, const cs_sc *b)
{
    cs_sci_acc_mul(acc->v, a->v, b->v);
}

void cs_sc_acc_add(cs_sc_acc *acc, const cs_sc *a)
{
    cs_sci_acc_add(acc->v, a->v);
}

void cs_sc_acc_reduce(cs_sc *out, const cs_sc_acc *acc)
{
    cs_sci_reduce576(out->v, acc->v);
}
