/* Tagged SHA-256 and labelled draws [mpc-wire.md 2, 3]. */
#include "secret/th.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "secret/accel.h"
#include "secret/rng.h"

static const uint32_t initial[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

void cs_sha256_init(cs_sha256 *s)
{
    memcpy(s->h, initial, sizeof s->h);
    s->len = 0;
}

void cs_sha256_put(cs_sha256 *s, const void *data, size_t len)
{
    const uint8_t *p = data;
    size_t have = s->len & 63;
    s->len += len;
    if (have > 0) {
        size_t n = len < 64 - have ? len : 64 - have;
        memcpy(s->buf + have, p, n);
        p += n;
        len -= n;
        if (have + n < 64) {
            return;
        }
        cs_accel_get()->sha256(s->h, s->buf, 1);
    }
    if (len >= 64) {
        cs_accel_get()->sha256(s->h, p, len / 64);
        p += len / 64 * 64;
        len &= 63;
    }
    if (len > 0) {
        memcpy(s->buf, p, len);
    }
}

void cs_sha256_end(cs_sha256 *s, uint8_t out[32])
{
    uint64_t bits = s->len * 8;
    size_t have = s->len & 63;
    s->buf[have++] = 0x80;
    if (have > 56) {
        memset(s->buf + have, 0, 64 - have);
        cs_accel_get()->sha256(s->h, s->buf, 1);
        have = 0;
    }
    memset(s->buf + have, 0, 56 - have);
    cs_store_u64(s->buf + 56, bits);
    cs_accel_get()->sha256(s->h, s->buf, 1);
    for (int i = 0; i < 8; i++) {
        cs_store_u32(out + 4 * i, s->h[i]);
    }
    cs_wipe(s, sizeof *s);
}

/* ---------------------------------------------------------------- tags */

#define PREFIX "DKLS23-S256-v1/"

static const char *const tag_text[CS_NUM_TAGS] = {
#define ROW(name, text) text,
    CS_TAGS(ROW)
#undef ROW
};

static uint32_t mids[CS_NUM_TAGS][8];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_mids(void)
{
    for (unsigned i = 0; i < CS_NUM_TAGS; i++) {
        cs_sha256 s;
        uint8_t d[32];
        cs_sha256_init(&s);
        cs_sha256_put(&s, PREFIX, strlen(PREFIX));
        cs_sha256_put(&s, tag_text[i], strlen(tag_text[i]));
        cs_sha256_end(&s, d);
        cs_sha256_init(&s);
        cs_sha256_put(&s, d, sizeof d);
        cs_sha256_put(&s, d, sizeof d);
        memcpy(mids[i], s.h, sizeof mids[i]);
    }
}

const char *cs_tag_text(cs_tag t)
{
    return tag_text[t];
}

cs_tag cs_tag_from_text(const char *text)
{
    unsigned i = 0;
    while (i < CS_NUM_TAGS && strcmp(tag_text[i], text) != 0) {
        i++;
    }
    return (cs_tag)i;
}

const uint32_t *cs_th_mid(cs_tag t)
{
    (void)pthread_once(&once, make_mids);
    return mids[t];
}

void cs_th_begin_mid(cs_sha256 *s, const uint32_t mid[8])
{
    memcpy(s->h, mid, sizeof s->h);
    s->len = 64;
}

void cs_th_begin(cs_sha256 *s, cs_tag t)
{
    cs_th_begin_mid(s, cs_th_mid(t));
}

void cs_th_put_u8(cs_sha256 *s, uint8_t v)
{
    cs_th_put(s, &v, 1);
}

void cs_th_put_u16(cs_sha256 *s, uint16_t v)
{
    uint8_t b[2];
    cs_store_u16(b, v);
    cs_th_put(s, b, sizeof b);
}

void cs_th_put_u32(cs_sha256 *s, uint32_t v)
{
    uint8_t b[4];
    cs_store_u32(b, v);
    cs_th_put(s, b, sizeof b);
}

void cs_th_put_u64(cs_sha256 *s, uint64_t v)
{
    uint8_t b[8];
    cs_store_u64(b, v);
    cs_th_put(s, b, sizeof b);
}

void cs_th_end_sc(cs_sha256 *s, cs_sc *out)
{
    CS_SECRET(cs_secret32) d = {{0}};
    cs_th_end(s, d.b);
    cs_sc_from_be_mod(out, d.b);
}

void cs_th(uint8_t out[32], cs_tag t, const void *data, size_t len)
{
    cs_sha256 s;
    cs_th_begin(&s, t);
    cs_th_put(&s, data, len);
    cs_th_end(&s, out);
}

/* ---------------------------------------------------------------- labelled draws */

static void hmac_half(uint32_t h[8], const uint8_t key[32], uint8_t pad)
{
    CS_SECRET(cs_secret64) block;
    memset(block.b, pad, 64);
    for (int i = 0; i < 32; i++) {
        block.b[i] ^= key[i];
    }
    memcpy(h, initial, sizeof initial);
    cs_accel_get()->sha256(h, block.b, 1);
}

void cs_drbg_seed(cs_drbg *d, const uint8_t seed32[32])
{
    hmac_half(d->inner, seed32, 0x36);
    hmac_half(d->outer, seed32, 0x5c);
}

cs_err cs_drbg_fresh(cs_drbg *d, const uint8_t secret32[32], const uint8_t context32[32])
{
    CS_SECRET(cs_secret32) os = {{0}}, seed = {{0}};
    CS_SECRET(cs_sha256) s = {{0}, 0, {0}};
    cs_err err = cs_random(os.b, sizeof os.b);
    if (err != CS_OK) {
        cs_wipe(d, sizeof *d);
        return err;
    }
    cs_th_begin(&s, CS_TAG_SEED);
    cs_th_put(&s, os.b, sizeof os.b);
    cs_th_put(&s, secret32, 32);
    cs_th_put(&s, context32, 32);
    cs_th_end(&s, seed.b);
    cs_drbg_seed(d, seed.b);
    CS_CT_SECRET(d, sizeof *d);
    return CS_OK;
}

static void draw_block(const cs_drbg *d, uint8_t out[32], const char *label, size_t label_len, uint32_t i)
{
    CS_SECRET(cs_sha256) s = {{0}, 0, {0}};
    CS_SECRET(cs_secret32) inner;
    cs_th_begin_mid(&s, d->inner);
    cs_sha256_put(&s, PREFIX "draw", strlen(PREFIX "draw"));
    cs_th_put_u8(&s, (uint8_t)label_len);
    cs_sha256_put(&s, label, label_len);
    cs_th_put_u32(&s, i);
    cs_sha256_end(&s, inner.b);
    cs_th_begin_mid(&s, d->outer);
    cs_sha256_put(&s, inner.b, sizeof inner.b);
    cs_sha256_end(&s, out);
}

static void draw(const cs_drbg *d, uint8_t *out, size_t len, const char *label)
{
    CS_SECRET(cs_secret32) last;
    size_t label_len = strlen(label);
    uint32_t i = 0;
    for (; len >= 32; len -= 32, out += 32) {
        draw_block(d, out, label, label_len, i++);
    }
    if (len > 0) {
        draw_block(d, last.b, label, label_len, i);
        memcpy(out, last.b, len);
    }
}

#define LABEL_MAX 64

static void label_text(char out[LABEL_MAX], const char *name, int i, unsigned attempt)
{
    int n = i >= 0 ? snprintf(out, LABEL_MAX, "%s/%d", name, i) : snprintf(out, LABEL_MAX, "%s", name);
    if (attempt > 0) {
        (void)snprintf(out + n, LABEL_MAX - (size_t)n, "#%u", attempt);
    }
}

void cs_drbg_draw(const cs_drbg *d, void *out, size_t len, const char *name, int i)
{
    char label[LABEL_MAX];
    label_text(label, name, i, 0);
    draw(d, out, len, label);
}

void cs_drbg_scalar(const cs_drbg *d, cs_sc *out, const char *name, int i)
{
    CS_SECRET(cs_secret32) b;
    char label[LABEL_MAX];
    unsigned ok = 0;
    for (unsigned attempt = 0; !ok; attempt++) {
        label_text(label, name, i, attempt);
        draw(d, b.b, sizeof b.b, label);
        ok = cs_sc_from_be_check(out, b.b) & (cs_sc_is_zero(out) ^ 1);
        CS_CT_PUBLIC(&ok, sizeof ok,
                     "a rejected draw (2^-127) is thrown away and says nothing about the one that is used");
    }
}
