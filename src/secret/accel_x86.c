/*
 * x86-64 entries of the table: AES-NI, SHA-NI, PCLMULQDQ, SSE4.1. Chosen by CPUID one by one; compiled with target
 * attributes, so that the program runs on any x86-64.
 */
#include "secret/accel.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>
#include <string.h>

#include "secret/accel_int.h"
#include "secret/sc_int.h"

#define SHA_TARGET __attribute__((target("sha,sse4.1,ssse3")))
#define AES_TARGET __attribute__((target("aes,sse4.1,ssse3")))
#define GF_TARGET __attribute__((target("pclmul,sse4.1")))
#define INLINE static inline __attribute__((always_inline))

/* ---------------------------------------------------------------- SHA-256 */

typedef struct sha_state {
    __m128i abef, cdgh;
} sha_state;

INLINE SHA_TARGET sha_state sha_load(const uint32_t h[8])
{
    __m128i t = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i_u *)h), 0xB1);
    __m128i u = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i_u *)(h + 4)), 0x1B);
    return (sha_state){_mm_alignr_epi8(t, u, 8), _mm_blend_epi16(u, t, 0xF0)};
}

/* the state in the order a..d, e..h */
INLINE SHA_TARGET void sha_split(__m128i *lo, __m128i *hi, sha_state s)
{
    __m128i t = _mm_shuffle_epi32(s.abef, 0x1B), u = _mm_shuffle_epi32(s.cdgh, 0xB1);
    *lo = _mm_blend_epi16(t, u, 0xF0);
    *hi = _mm_alignr_epi8(u, t, 8);
}

INLINE SHA_TARGET __m128i sha_swap(void)
{
    return _mm_set_epi64x(0x0c0d0e0f08090a0bll, 0x0405060700010203ll);
}

INLINE SHA_TARGET void sha_words(__m128i w[4], const uint8_t *p)
{
    for (int i = 0; i < 4; i++) {
        w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i_u *)(p + 16 * i)), sha_swap());
    }
}

INLINE SHA_TARGET void sha_rounds4(sha_state *s, __m128i w, int i)
{
    __m128i m = _mm_add_epi32(w, _mm_loadu_si128((const __m128i_u *)(cs_sha256_k + 4 * i)));
    s->cdgh = _mm_sha256rnds2_epu32(s->cdgh, s->abef, m);
    s->abef = _mm_sha256rnds2_epu32(s->abef, s->cdgh, _mm_shuffle_epi32(m, 0x0E));
}

/* words 4i..4i+3 from the sixteen before; w is a ring of four vectors, a the oldest */
INLINE SHA_TARGET __m128i sha_next(__m128i a, __m128i b, __m128i c, __m128i d)
{
    return _mm_sha256msg2_epu32(_mm_add_epi32(_mm_sha256msg1_epu32(a, b), _mm_alignr_epi8(d, c, 4)), d);
}

#define SHA_STEP(s, w, i)                                                                                              \
    do {                                                                                                               \
        if ((i) >= 4) {                                                                                                \
            w[(i)&3] = sha_next(w[(i)&3], w[((i) + 1) & 3], w[((i) + 2) & 3], w[((i) + 3) & 3]);                       \
        }                                                                                                              \
        sha_rounds4(&(s), w[(i)&3], (i));                                                                              \
    } while (0)
#define SHA_ALL(STEP)                                                                                                  \
    STEP(0)                                                                                                            \
    STEP(1)                                                                                                            \
    STEP(2)                                                                                                            \
    STEP(3) STEP(4) STEP(5) STEP(6) STEP(7) STEP(8) STEP(9) STEP(10) STEP(11) STEP(12) STEP(13) STEP(14) STEP(15)

static SHA_TARGET void sha256_ni(uint32_t h[8], const uint8_t *p, size_t n)
{
    sha_state s = sha_load(h);
    for (; n > 0; n--, p += 64) {
        sha_state old = s;
        __m128i w[4];
        sha_words(w, p);
#define STEP(i) SHA_STEP(s, w, i);
        SHA_ALL(STEP)
#undef STEP
        s.abef = _mm_add_epi32(s.abef, old.abef);
        s.cdgh = _mm_add_epi32(s.cdgh, old.cdgh);
    }
    __m128i lo, hi;
    sha_split(&lo, &hi, s);
    _mm_storeu_si128((__m128i_u *)h, lo);
    _mm_storeu_si128((__m128i_u *)(h + 4), hi);
}

INLINE SHA_TARGET void sha_out(uint8_t *out, sha_state s, sha_state mid)
{
    __m128i lo, hi;
    s.abef = _mm_add_epi32(s.abef, mid.abef);
    s.cdgh = _mm_add_epi32(s.cdgh, mid.cdgh);
    sha_split(&lo, &hi, s);
    _mm_storeu_si128((__m128i_u *)out, _mm_shuffle_epi8(lo, sha_swap()));
    _mm_storeu_si128((__m128i_u *)(out + 16), _mm_shuffle_epi8(hi, sha_swap()));
}

/* two streams side by side hide the latency of the round instruction */
static SHA_TARGET void sha256_many_ni(uint8_t *out, const uint32_t mid[8], const uint8_t *blocks, size_t n)
{
    const sha_state m = sha_load(mid);
    for (; n > 1; n -= 2, blocks += 128, out += 64) {
        sha_state s = m, t = m;
        __m128i w[4], x[4];
        sha_words(w, blocks);
        sha_words(x, blocks + 64);
#define STEP(i)                                                                                                        \
    SHA_STEP(s, w, i);                                                                                                 \
    SHA_STEP(t, x, i);
        SHA_ALL(STEP)
#undef STEP
        sha_out(out, s, m);
        sha_out(out + 32, t, m);
    }
    if (n == 1) {
        sha_state s = m;
        __m128i w[4];
        sha_words(w, blocks);
#define STEP(i) SHA_STEP(s, w, i);
        SHA_ALL(STEP)
#undef STEP
        sha_out(out, s, m);
    }
}

/* ---------------------------------------------------------------- AES-128 */

INLINE AES_TARGET __m128i next_key(__m128i k, __m128i assist)
{
    assist = _mm_shuffle_epi32(assist, 0xFF);
    k = _mm_xor_si128(k, _mm_slli_si128(k, 4));
    k = _mm_xor_si128(k, _mm_slli_si128(k, 8));
    return _mm_xor_si128(k, assist);
}

/* K keys with B blocks each, round keys made on the fly; x[b * K + k] is block b of key k */
#define AES_ROUND(K, B, rcon, ENC)                                                                                     \
    for (int k_ = 0; k_ < (K); k_++) {                                                                                 \
        key[k_] = next_key(key[k_], _mm_aeskeygenassist_si128(key[k_], (rcon)));                                       \
    }                                                                                                                  \
    for (int b_ = 0; b_ < (K) * (B); b_++) {                                                                           \
        x[b_] = ENC(x[b_], key[b_ % (K)]);                                                                             \
    }
#define AES_ALL(K, B)                                                                                                  \
    for (int b_ = 0; b_ < (K) * (B); b_++) {                                                                           \
        x[b_] = _mm_xor_si128(x[b_], key[b_ % (K)]);                                                                   \
    }                                                                                                                  \
    AES_ROUND(K, B, 0x01, _mm_aesenc_si128)                                                                            \
    AES_ROUND(K, B, 0x02, _mm_aesenc_si128)                                                                            \
    AES_ROUND(K, B, 0x04, _mm_aesenc_si128)                                                                            \
    AES_ROUND(K, B, 0x08, _mm_aesenc_si128)                                                                            \
    AES_ROUND(K, B, 0x10, _mm_aesenc_si128)                                                                            \
    AES_ROUND(K, B, 0x20, _mm_aesenc_si128)                                                                            \
    AES_ROUND(K, B, 0x40, _mm_aesenc_si128)                                                                            \
    AES_ROUND(K, B, 0x80, _mm_aesenc_si128)                                                                            \
    AES_ROUND(K, B, 0x1b, _mm_aesenc_si128)                                                                            \
    AES_ROUND(K, B, 0x36, _mm_aesenclast_si128)

INLINE AES_TARGET __m128i load(const uint8_t *p)
{
    return _mm_loadu_si128((const __m128i_u *)p);
}

INLINE AES_TARGET void store(uint8_t *p, __m128i v)
{
    _mm_storeu_si128((__m128i_u *)p, v);
}

INLINE AES_TARGET __m128i swap16(__m128i v)
{
    return _mm_shuffle_epi8(v, _mm_set_epi64x(0x0001020304050607ll, 0x08090a0b0c0d0e0fll));
}

/* iv + i for a full 128-bit counter, without a branch on its value (the counter is secret: it comes from a pad key) */
INLINE AES_TARGET __m128i counter(uint64_t lo, uint64_t hi, uint64_t i)
{
    uint64_t l = lo + i, c = (uint64_t)(((cs_u128)lo + i) >> 64);
    return swap16(_mm_set_epi64x((long long)(hi + c), (long long)l));
}

INLINE void split_iv(uint64_t *lo, uint64_t *hi, const uint8_t *iv)
{
    memcpy(hi, iv, 8);
    memcpy(lo, iv + 8, 8);
    *hi = __builtin_bswap64(*hi);
    *lo = __builtin_bswap64(*lo);
}

static AES_TARGET void aes_ctr_ni(uint8_t *out, const uint8_t key16[16], const uint8_t iv[16], size_t n)
{
    uint64_t lo, hi;
    split_iv(&lo, &hi, iv);
    for (size_t i = 0; i < n; i++) {
        __m128i key[1] = {load(key16)}, x[1] = {counter(lo, hi, i)};
        AES_ALL(1, 1)
        store(out + 16 * i, x[0]);
    }
}

static AES_TARGET void pads_ni(uint8_t *out, const uint8_t *keys, size_t n)
{
    for (size_t i = 0; i < n; i += 2) {
        size_t second = i + 1 < n ? i + 1 : i; /* an odd tail does the last one twice */
        const uint8_t *k[2] = {keys + 32 * i, keys + 32 * second};
        __m128i key[2] = {load(k[0]), load(k[1])}, x[12];
        for (int l = 0; l < 2; l++) {
            uint64_t lo, hi;
            split_iv(&lo, &hi, k[l] + 16);
            for (unsigned b = 0; b < 6; b++) {
                x[2 * b + (unsigned)l] = counter(lo, hi, b);
            }
        }
        AES_ALL(2, 6)
        for (int b = 0; b < 6; b++) {
            store(out + CS_PAD_LEN * i + 16 * b, x[2 * b]);
            store(out + CS_PAD_LEN * second + 16 * b, x[2 * b + 1]);
        }
    }
}

static AES_TARGET void leaves_ni(uint8_t out[16 * 80], const uint8_t leaf[16 * 16], const uint8_t hiv[32])
{
    __m128i h = load(hiv), session[16], c[5];
    uint64_t lo, hi;
    split_iv(&lo, &hi, hiv + 16);
    for (unsigned b = 0; b < 5; b++) {
        c[b] = counter(lo, hi, b);
    }
    for (int y = 0; y < 16; y += 4) {
        __m128i key[4], x[4];
        for (int l = 0; l < 4; l++) {
            key[l] = load(leaf + 16 * (y + l));
            x[l] = h;
        }
        AES_ALL(4, 1)
        for (int l = 0; l < 4; l++) {
            session[y + l] = _mm_xor_si128(x[l], h);
        }
    }
    for (int y = 0; y < 16; y += 2) {
        __m128i key[2] = {session[y], session[y + 1]}, x[10];
        for (int b = 0; b < 10; b++) {
            x[b] = c[b >> 1];
        }
        AES_ALL(2, 5)
        for (int b = 0; b < 10; b++) {
            store(out + 80 * (y + (b & 1)) + 16 * (b >> 1), x[b]);
        }
    }
}

/* ---------------------------------------------------------------- GF(2^128) */

/* lo, mid, hi: the product before reduction is lo + mid x^64 + hi x^128 */
INLINE GF_TARGET __m128i gf_reduce(__m128i lo, __m128i mid, __m128i hi)
{
    const __m128i poly = _mm_set_epi64x(0, 0x87);
    lo = _mm_xor_si128(lo, _mm_slli_si128(mid, 8));
    hi = _mm_xor_si128(hi, _mm_srli_si128(mid, 8));
    __m128i t0 = _mm_clmulepi64_si128(hi, poly, 0x00), t1 = _mm_clmulepi64_si128(hi, poly, 0x01);
    __m128i over = _mm_clmulepi64_si128(_mm_srli_si128(t1, 8), poly, 0x00);
    return _mm_xor_si128(_mm_xor_si128(lo, t0), _mm_xor_si128(_mm_slli_si128(t1, 8), over));
}

static GF_TARGET void folds_ni(uint8_t *out, const uint8_t chi[64], const uint8_t *rows, size_t n)
{
    __m128i c[4];
    for (int m = 0; m < 4; m++) {
        c[m] = _mm_loadu_si128((const __m128i_u *)(chi + 16 * m));
    }
    for (; n > 0; n--, out += 16, rows += CS_EXT_ROW) {
        __m128i lo = _mm_setzero_si128(), mid = lo, hi = lo;
        for (int m = 0; m < 4; m++) {
            __m128i b = _mm_loadu_si128((const __m128i_u *)(rows + 16 * m));
            lo = _mm_xor_si128(lo, _mm_clmulepi64_si128(c[m], b, 0x00));
            hi = _mm_xor_si128(hi, _mm_clmulepi64_si128(c[m], b, 0x11));
            mid = _mm_xor_si128(mid, _mm_clmulepi64_si128(c[m], b, 0x01));
            mid = _mm_xor_si128(mid, _mm_clmulepi64_si128(c[m], b, 0x10));
        }
        __m128i r = _mm_xor_si128(gf_reduce(lo, mid, hi), _mm_loadu_si128((const __m128i_u *)(rows + 64)));
        _mm_storeu_si128((__m128i_u *)out, r);
    }
}

/* ---------------------------------------------------------------- bit transpose (SSE2, always there) */

/* 16x16 bytes: four rounds of interleaving vector i with vector i + 8 */
INLINE void bytes16(__m128i v[16])
{
    for (int round = 0; round < 4; round++) {
        __m128i t[16];
        for (int i = 0; i < 8; i++) {
            t[2 * i] = _mm_unpacklo_epi8(v[i], v[i + 8]);
            t[2 * i + 1] = _mm_unpackhi_epi8(v[i], v[i + 8]);
        }
        memcpy(v, t, sizeof t);
    }
}

static void transpose_sse2(uint8_t *cols, const uint8_t *rows)
{
    for (unsigned rg = 0; rg < CS_EXT_ROWS / 16; rg++) {
        for (unsigned cg = 0; cg < 4; cg++) {
            __m128i v[16];
            for (unsigned i = 0; i < 16; i++) {
                v[i] = _mm_loadu_si128((const __m128i_u *)(rows + (16 * rg + i) * CS_EXT_ROW + 16 * cg));
            }
            bytes16(v);
            for (unsigned cb = 16 * cg; cb < 16 * cg + 16 && cb < CS_EXT_COLS / 8; cb++) {
                __m128i x = v[cb & 15];
                for (unsigned b = 8; b-- > 0; x = _mm_slli_epi64(x, 1)) {
                    uint16_t m = (uint16_t)_mm_movemask_epi8(x);
                    memcpy(cols + (8 * cb + b) * 16 + 2 * rg, &m, 2);
                }
            }
        }
    }
}

void cs_accel_x86(cs_accel *t)
{
    unsigned a, b, c, d, b7 = 0;
    if (__get_cpuid(1, &a, &b, &c, &d) == 0) {
        return;
    }
    unsigned a7, c7, d7;
    if (__get_cpuid_count(7, 0, &a7, &b7, &c7, &d7) == 0) {
        b7 = 0;
    }
    bool ssse3 = (c & bit_SSSE3) && (c & bit_SSE4_1);
    t->transpose = transpose_sse2;
    if (ssse3 && (c & bit_AES)) {
        t->aes_ctr = aes_ctr_ni;
        t->pads = pads_ni;
        t->leaves = leaves_ni;
    }
    if (ssse3 && (c & bit_PCLMUL)) {
        t->folds = folds_ni;
    }
    if (ssse3 && (b7 & bit_SHA)) {
        t->sha256 = sha256_ni;
        t->sha256_many = sha256_many_ni;
    }
}

#endif
