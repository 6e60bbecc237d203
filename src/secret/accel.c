/* Portable entries of the table (SHA-256, GF(2^128), bit transpose) and the choice at run time. AES is in accel_aes.c. */
#include "secret/accel.h"

#include <pthread.h>
#include <string.h>

#include "base/bytes.h"
#include "secret/accel_int.h"
#include "secret/mem.h"

const uint32_t cs_sha256_k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t ror(uint32_t x, int n)
{
    return (x >> n) | (x << (32 - n));
}

static void sha256_block(uint32_t h[8], const uint8_t *p)
{
    uint32_t w[64], s[8];
    for (int i = 0; i < 16; i++) {
        w[i] = cs_load_u32(p + 4 * i);
    }
    for (int i = 16; i < 64; i++) {
        uint32_t a = w[i - 15], b = w[i - 2];
        w[i] = w[i - 16] + (ror(a, 7) ^ ror(a, 18) ^ (a >> 3)) + w[i - 7] + (ror(b, 17) ^ ror(b, 19) ^ (b >> 10));
    }
    memcpy(s, h, sizeof s);
    for (int i = 0; i < 64; i++) {
        uint32_t e = s[4], a = s[0];
        uint32_t t1 = s[7] + (ror(e, 6) ^ ror(e, 11) ^ ror(e, 25)) + ((e & s[5]) ^ (~e & s[6])) + cs_sha256_k[i] + w[i];
        uint32_t t2 = (ror(a, 2) ^ ror(a, 13) ^ ror(a, 22)) + ((a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]));
        memmove(s + 1, s, 7 * sizeof s[0]);
        s[4] += t1;
        s[0] = t1 + t2;
    }
    for (int i = 0; i < 8; i++) {
        h[i] += s[i];
    }
    cs_wipe(w, sizeof w);
    cs_wipe(s, sizeof s);
}

static void sha256(uint32_t h[8], const uint8_t *p, size_t n)
{
    for (; n > 0; n--, p += 64) {
        sha256_block(h, p);
    }
}

static void sha256_many(uint8_t *out, const uint32_t mid[8], const uint8_t *blocks, size_t n)
{
    for (; n > 0; n--, blocks += 64, out += 32) {
        uint32_t h[8];
        memcpy(h, mid, sizeof h);
        sha256_block(h, blocks);
        for (int i = 0; i < 8; i++) {
            cs_store_u32(out + 4 * i, h[i]);
        }
    }
}

/* Field element as two little-endian limbs. r += a * b by masked shift and add: 128 steps, no branch on either. */
static void gf_mac(uint64_t r[2], const uint64_t a[2], const uint64_t b[2])
{
    uint64_t x = a[0], y = a[1];
    for (int i = 0; i < 128; i++) {
        uint64_t m = cs_ct_mask((unsigned)(b[i >> 6] >> (i & 63)) & 1);
        r[0] ^= x & m;
        r[1] ^= y & m;
        uint64_t over = cs_ct_mask((unsigned)(y >> 63));
        y = (y << 1) | (x >> 63);
        x = (x << 1) ^ (0x87 & over);
    }
}

static void load_gf(uint64_t e[2], const uint8_t *p)
{
    for (int k = 0; k < 2; k++) {
        e[k] = 0;
        for (int i = 7; i >= 0; i--) {
            e[k] = e[k] << 8 | p[8 * k + i];
        }
    }
}

static void folds(uint8_t *out, const uint8_t chi[64], const uint8_t *rows, size_t n)
{
    uint64_t c[4][2];
    for (int m = 0; m < 4; m++) {
        load_gf(c[m], chi + 16 * m);
    }
    for (; n > 0; n--, out += 16, rows += CS_EXT_ROW) {
        uint64_t r[2], b[2];
        load_gf(r, rows + 64);
        for (int m = 0; m < 4; m++) {
            load_gf(b, rows + 16 * m);
            gf_mac(r, c[m], b);
        }
        for (int i = 0; i < 16; i++) {
            out[i] = (uint8_t)(r[i >> 3] >> (8 * (i & 7)));
        }
    }
}

/* 8x8 bit matrix, byte k = row k, transposed in place by three swaps */
uint64_t cs_bits_transpose8(uint64_t x)
{
    uint64_t t = (x ^ (x >> 7)) & 0x00AA00AA00AA00AAull;
    x ^= t ^ (t << 7);
    t = (x ^ (x >> 14)) & 0x0000CCCC0000CCCCull;
    x ^= t ^ (t << 14);
    t = (x ^ (x >> 28)) & 0x00000000F0F0F0F0ull;
    return x ^ t ^ (t << 28);
}

static void transpose(uint8_t *cols, const uint8_t *rows)
{
    for (unsigned rb = 0; rb < CS_EXT_ROWS / 8; rb++) {
        for (unsigned cb = 0; cb < CS_EXT_COLS / 8; cb++) {
            uint64_t x = 0;
            for (unsigned i = 0; i < 8; i++) {
                x |= (uint64_t)rows[(8 * rb + i) * CS_EXT_ROW + cb] << (8 * i);
            }
            x = cs_bits_transpose8(x);
            for (unsigned i = 0; i < 8; i++) {
                cols[(8 * cb + i) * 16 + rb] = (uint8_t)(x >> (8 * i));
            }
        }
    }
}

static const cs_accel portable = {
    .sha256 = sha256,
    .sha256_many = sha256_many,
    .aes_ctr = cs_aes_ctr_portable,
    .pads = cs_aes_pads_portable,
    .leaves = cs_aes_leaves_portable,
    .folds = folds,
    .transpose = transpose,
};

static cs_accel best;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool force_portable;

static void choose(void)
{
    best = portable;
#if defined(__x86_64__)
    cs_accel_x86(&best);
#endif
}

const cs_accel *cs_accel_portable(void)
{
    return &portable;
}

const cs_accel *cs_accel_get(void)
{
    (void)pthread_once(&once, choose);
    return force_portable ? &portable : &best;
}

void cs_accel_force_portable_for_tests(bool on)
{
    force_portable = on;
}
