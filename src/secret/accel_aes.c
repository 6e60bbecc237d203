/*
 * AES-128 [FIPS 197] without tables: four blocks at once as eight planes of 64 bits, plane k holding bit k of all 64 bytes
 * (bit 16 b + i of a plane = byte i of block b). The S-box is computed, x^254 by squarings and four products.
 * Each of the four lanes has its own key.
 */
#include <string.h>

#include "secret/accel.h"
#include "secret/accel_int.h"
#include "secret/mem.h"

typedef struct planes {
    uint64_t p[8];
} planes;

static void to_planes(planes *out, const uint8_t in[64])
{
    memset(out, 0, sizeof *out);
    for (int g = 0; g < 8; g++) {
        uint64_t x = 0;
        for (int i = 0; i < 8; i++) {
            x |= (uint64_t)in[8 * g + i] << (8 * i);
        }
        x = cs_bits_transpose8(x);
        for (int k = 0; k < 8; k++) {
            out->p[k] |= (x >> (8 * k) & 0xff) << (8 * g);
        }
    }
}

static void from_planes(uint8_t out[64], const planes *in)
{
    for (int g = 0; g < 8; g++) {
        uint64_t x = 0;
        for (int k = 0; k < 8; k++) {
            x |= (in->p[k] >> (8 * g) & 0xff) << (8 * k);
        }
        x = cs_bits_transpose8(x);
        for (int i = 0; i < 8; i++) {
            out[8 * g + i] = (uint8_t)(x >> (8 * i));
        }
    }
}

/* the 15 coefficients of a product or square modulo x^8 + x^4 + x^3 + x + 1 */
static void reduce(planes *out, uint64_t t[15])
{
    for (int i = 14; i >= 8; i--) {
        t[i - 4] ^= t[i];
        t[i - 5] ^= t[i];
        t[i - 7] ^= t[i];
        t[i - 8] ^= t[i];
    }
    memcpy(out->p, t, sizeof out->p);
}

static void mul(planes *out, const planes *a, const planes *b)
{
    uint64_t t[15] = {0};
    for (int i = 0; i < 8; i++) {
        for (int j = 0; j < 8; j++) {
            t[i + j] ^= a->p[i] & b->p[j];
        }
    }
    reduce(out, t);
}

static void square(planes *out, const planes *a)
{
    uint64_t t[15] = {0};
    for (int i = 0; i < 8; i++) {
        t[2 * i] = a->p[i];
    }
    reduce(out, t);
}

/* x -> affine(x^254) */
static void sub_bytes(planes *x)
{
    planes a2, a3, a12, t;
    square(&a2, x);
    mul(&a3, &a2, x);
    square(&t, &a3);
    square(&a12, &t);
    mul(&t, &a12, &a3); /* 15 */
    for (int i = 0; i < 4; i++) {
        square(&t, &t);
    }                  /* 240 */
    mul(&t, &t, &a12); /* 252 */
    mul(&t, &t, &a2);  /* 254 */
    for (int i = 0; i < 8; i++) {
        x->p[i] = t.p[i] ^ t.p[(i + 4) & 7] ^ t.p[(i + 5) & 7] ^ t.p[(i + 6) & 7] ^ t.p[(i + 7) & 7];
        x->p[i] ^= 0x63 >> i & 1 ? ~(uint64_t)0 : 0; /* public constant */
    }
}

#define LANES(m) ((uint64_t)(m)*0x0001000100010001ull)

/* rotate every 16-bit lane right by n */
static uint64_t ror16(uint64_t x, int n)
{
    uint64_t low = LANES(0xffffu >> n);
    return (x >> n & low) | (x << (16 - n) & ~low);
}

static void shift_rows(planes *x)
{
    for (int k = 0; k < 8; k++) {
        uint64_t v = x->p[k], r = v & LANES(0x1111);
        r |= ror16(v, 4) & LANES(0x2222);
        r |= ror16(v, 8) & LANES(0x4444);
        r |= ror16(v, 12) & LANES(0x8888);
        x->p[k] = r;
    }
}

/* rotate every 4-bit column: byte r of the result is byte r + n of the column */
static uint64_t rot4(uint64_t x, int n)
{
    uint64_t low = (uint64_t)(0xfu >> n) * 0x1111111111111111ull;
    return (x >> n & low) | (x << (4 - n) & ~low);
}

static void mix_columns(planes *x)
{
    planes s, r;
    for (int k = 0; k < 8; k++) {
        uint64_t v = x->p[k];
        s.p[k] = v ^ rot4(v, 1); /* doubled below */
        r.p[k] = rot4(v, 1) ^ rot4(v, 2) ^ rot4(v, 3);
    }
    for (int k = 0; k < 8; k++) {
        uint64_t d = k > 0 ? s.p[k - 1] : 0;
        d ^= k == 0 || k == 1 || k == 3 || k == 4 ? s.p[7] : 0;
        x->p[k] = d ^ r.p[k];
    }
}

/* Round keys of four lanes, as planes. */
typedef struct sched {
    planes rk[11];
} sched;

static void expand(sched *s, const uint8_t keys[64])
{
    uint8_t k[64], last[64];
    uint8_t rcon = 1;
    memcpy(k, keys, sizeof k);
    to_planes(&s->rk[0], k);
    for (int r = 1; r < 11; r++) {
        planes t;
        to_planes(&t, k);
        sub_bytes(&t);
        from_planes(last, &t);
        for (int b = 0; b < 64; b += 16) {
            for (int i = 0; i < 4; i++) {
                k[b + i] ^= last[b + 12 + ((i + 1) & 3)];
            }
            k[b] ^= rcon;
            for (int i = 4; i < 16; i++) {
                k[b + i] ^= k[b + i - 4];
            }
        }
        to_planes(&s->rk[r], k);
        rcon = (uint8_t)(rcon << 1 ^ (rcon >> 7) * 0x1b);
    }
    cs_wipe(k, sizeof k);
    cs_wipe(last, sizeof last);
}

static void encrypt4(uint8_t out[64], const sched *s, const uint8_t in[64])
{
    planes x;
    to_planes(&x, in);
    for (int r = 0; r < 11; r++) {
        if (r > 0) {
            sub_bytes(&x);
            shift_rows(&x);
        }
        if (r > 0 && r < 10) {
            mix_columns(&x);
        }
        for (int k = 0; k < 8; k++) {
            x.p[k] ^= s->rk[r].p[k];
        }
    }
    from_planes(out, &x);
    cs_wipe(&x, sizeof x);
}

static void increment(uint8_t ctr[16])
{
    unsigned carry = 1;
    for (int i = 15; i >= 0; i--) {
        carry += ctr[i];
        ctr[i] = (uint8_t)carry;
        carry >>= 8;
    }
}

/* lane l: blocks of AES-CTR(keys[16 l], ivs[16 l]), written at out + l * stride; wipes its copy of the counters */
static void ctr4(uint8_t *out, size_t stride, const uint8_t keys[64], const uint8_t ivs[64], size_t blocks)
{
    sched s;
    uint8_t ctr[64], ks[64];
    expand(&s, keys);
    memcpy(ctr, ivs, sizeof ctr);
    for (size_t i = 0; i < blocks; i++) {
        encrypt4(ks, &s, ctr);
        for (size_t l = 0; l < 4; l++) {
            memcpy(out + l * stride + 16 * i, ks + 16 * l, 16);
            increment(ctr + 16 * l);
        }
    }
    cs_wipe(&s, sizeof s);
    cs_wipe(ctr, sizeof ctr);
    cs_wipe(ks, sizeof ks);
}

void cs_aes_ctr_portable(uint8_t *out, const uint8_t key[16], const uint8_t iv[16], size_t n)
{
    uint8_t keys[64] = {0}, ivs[64] = {0}, one[64];
    memcpy(keys, key, 16);
    memcpy(ivs, iv, 16);
    for (size_t i = 0; i < n; i++) {
        ctr4(one, 16, keys, ivs, 1);
        memcpy(out + 16 * i, one, 16);
        increment(ivs);
    }
    cs_wipe(keys, sizeof keys);
    cs_wipe(one, sizeof one);
}

void cs_aes_pads_portable(uint8_t *out, const uint8_t *keys, size_t n)
{
    uint8_t k[64], iv[64], ks[4 * CS_PAD_LEN];
    for (size_t i = 0; i < n; i += 4) {
        size_t lanes = n - i < 4 ? n - i : 4;
        memset(k, 0, sizeof k);
        memset(iv, 0, sizeof iv);
        for (size_t l = 0; l < lanes; l++) {
            memcpy(k + 16 * l, keys + 32 * (i + l), 16);
            memcpy(iv + 16 * l, keys + 32 * (i + l) + 16, 16);
        }
        ctr4(ks, CS_PAD_LEN, k, iv, CS_PAD_LEN / 16);
        memcpy(out + CS_PAD_LEN * i, ks, CS_PAD_LEN * lanes);
    }
    cs_wipe(k, sizeof k);
    cs_wipe(ks, sizeof ks);
}

void cs_aes_leaves_portable(uint8_t out[16 * 80], const uint8_t leaf[16 * 16], const uint8_t hiv[32])
{
    uint8_t k[64], h[64], iv[64];
    for (int l = 0; l < 4; l++) {
        memcpy(h + 16 * l, hiv, 16);
        memcpy(iv + 16 * l, hiv + 16, 16);
    }
    for (int y = 0; y < 16; y += 4) {
        ctr4(k, 16, leaf + 16 * y, h, 1);
        for (int i = 0; i < 64; i++) {
            k[i] ^= h[i];
        }
        ctr4(out + 80 * y, 80, k, iv, 5);
    }
    cs_wipe(k, sizeof k);
}
