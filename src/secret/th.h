/*
 * Tagged SHA-256 of suite DKLS23-S256-v1, incremental, and the labelled randomness built on it.
 * TH(tag, data) = SHA256(SHA256(T) || SHA256(T) || data), T = "DKLS23-S256-v1/" || tag; the state behind the first block is
 * computed once per tag. Source: mpc-wire.md 2, 3.
 */
#ifndef CS_SECRET_TH_H
#define CS_SECRET_TH_H

#include "base/bytes.h"
#include "secret/mem.h"
#include "secret/sc.h"

/* Incremental SHA-256. len counts all bytes so far, those of a tag included. */
typedef struct cs_sha256 {
    uint32_t h[8];
    uint64_t len;
    uint8_t buf[64];
} cs_sha256;
CS_SECRET_DECLARE(cs_sha256)

void cs_sha256_init(cs_sha256 *s);
void cs_sha256_put(cs_sha256 *s, const void *data, size_t len);
/* cs_sha256_end - the digest; s is wiped. */
void cs_sha256_end(cs_sha256 *s, uint8_t out[32]);

#define CS_TAGS(X)                                                                                                     \
    X(SEED, "seed")                                                                                                    \
    X(KID, "kid")                                                                                                      \
    X(PSID, "psid")                                                                                                    \
    X(OSID, "osid")                                                                                                    \
    X(POK_OT_A, "pok/ot-a")                                                                                            \
    X(OT_H0, "ot-h0")                                                                                                  \
    X(OT_H1, "ot-h1")                                                                                                  \
    X(OT_OTHER, "ot-other")                                                                                            \
    X(OT_KEY, "ot-key")                                                                                                \
    X(PPRF, "pprf")                                                                                                    \
    X(PPRF_PROOF, "pprf-proof")                                                                                        \
    X(PPRF_HASH, "pprf-hash")                                                                                          \
    X(GADGET, "gadget")                                                                                                \
    X(RID, "rid")                                                                                                      \
    X(XID, "xid")                                                                                                      \
    X(SSID, "ssid")                                                                                                    \
    X(RVOLE, "rvole")                                                                                                  \
    X(COM_R, "com/R")                                                                                                  \
    X(EXT, "ext")                                                                                                      \
    X(U, "U")                                                                                                          \
    X(CHI, "chi")                                                                                                      \
    X(T, "t")                                                                                                          \
    X(PAD, "pad")                                                                                                      \
    X(AT, "at")                                                                                                        \
    X(THETA, "theta")                                                                                                  \
    X(MU, "mu")                                                                                                        \
    X(ZERO, "zero")

typedef enum cs_tag {
#define CS_TAG_ROW(name, text) CS_TAG_##name,
    CS_TAGS(CS_TAG_ROW)
#undef CS_TAG_ROW
        CS_NUM_TAGS
} cs_tag;

/* cs_tag_text - without the prefix. cs_tag_from_text - CS_NUM_TAGS when there is none. */
const char *cs_tag_text(cs_tag t);
cs_tag cs_tag_from_text(const char *text);
/* cs_th_mid - the eight words behind the tag's block; cs_th_mids - all tags, 8 words each. */
const uint32_t *cs_th_mid(cs_tag t);
/* cs_th_begin, then cs_th_put..., then cs_th_end. cs_th_begin_mid starts from given words (a tag chosen by a mask). */
void cs_th_begin(cs_sha256 *s, cs_tag t);
void cs_th_begin_mid(cs_sha256 *s, const uint32_t mid[8]);
#define cs_th_put cs_sha256_put
#define cs_th_end cs_sha256_end
void cs_th_put_u8(cs_sha256 *s, uint8_t v);
void cs_th_put_u16(cs_sha256 *s, uint16_t v);
void cs_th_put_u32(cs_sha256 *s, uint32_t v);
void cs_th_put_u64(cs_sha256 *s, uint64_t v);
/* cs_th_end_sc - H2S: the digest mod q. */
void cs_th_end_sc(cs_sha256 *s, cs_sc *out);
/* cs_th - all in one call. */
void cs_th(uint8_t out[32], cs_tag t, const void *data, size_t len);

/* Labelled draws of one step: HMAC-SHA256(seed, ...) with both key blocks already compressed. Secret. */
typedef struct cs_drbg {
    uint32_t inner[8], outer[8];
} cs_drbg;
CS_SECRET_DECLARE(cs_drbg)

/* cs_drbg_seed - from a given seed: tests, and inside cs_drbg_fresh. */
void cs_drbg_seed(cs_drbg *d, const uint8_t seed32[32]);
/*
 * cs_drbg_fresh - seed = TH("seed", os random || secret || context): a weak or repeated generator alone repeats no draw of
 * another context. CS_E_ENTROPY (d wiped).
 */
CS_MUST cs_err cs_drbg_fresh(cs_drbg *d, const uint8_t secret32[32], const uint8_t context32[32]);
/*
 * cs_drbg_draw - len <= 8160 bytes for a label; the same label gives the same bytes. The label is `name`, followed by "/i"
 * when i >= 0. cs_drbg_scalar - 1..q-1 (further attempts use label#1, label#2 ...).
 */
void cs_drbg_draw(const cs_drbg *d, void *out, size_t len, const char *name, int i);
void cs_drbg_scalar(const cs_drbg *d, cs_sc *out, const char *name, int i);

#endif
