/*
 * Bech32 (BIP-173) and Bech32m (BIP-350), and segregated witness addresses. The data part is decoded and encoded without
 * branches or table indices that depend on it, so that age identities may pass through; human-readable parts are public.
 */
#ifndef CS_CODEC_BECH32_H
#define CS_CODEC_BECH32_H

#include "base/bytes.h"

typedef enum cs_bech32_kind { CS_BECH32, CS_BECH32M } cs_bech32_kind;

#define CS_BECH32_STRICT_LEN 90 /* whole string, BIP-173; age has no such limit */
#define CS_BECH32_MAX_LEN 256   /* what this decoder takes at most */
#define CS_BECH32_MAX_HRP 83

typedef struct cs_bech32 {
    cs_slice hrp;                     /* borrowed from the text, in its case */
    uint8_t value[CS_BECH32_MAX_LEN]; /* 5-bit groups without the checksum; may be secret */
    size_t num_values;
} cs_bech32;

/*
 * cs_bech32_decode - text of 8..max_len characters (max_len <= CS_BECH32_MAX_LEN): one case, HRP of 1..83 printable characters,
 * the last "1" separates, checksum of kind. CS_E_FORMAT (*out wiped).
 */
CS_MUST cs_err cs_bech32_decode(cs_bech32 *out, cs_slice text, size_t max_len, cs_bech32_kind kind);
/*
 * cs_bech32_bytes - append num_values 5-bit groups as bytes; what is left over must be less than 5 bits, all zero.
 * CS_E_FORMAT | CS_E_RANGE, out as before.
 */
CS_MUST cs_err cs_bech32_bytes(cs_buf *out, const uint8_t *values, size_t num_values);
/* cs_bech32_put - append the encoding of data (<= 120 bytes) in lower case, or in upper case throughout. CS_E_FORMAT (hrp) | CS_E_RANGE. */
CS_MUST cs_err cs_bech32_put(cs_buf *out, const char *hrp, cs_slice data, cs_bech32_kind kind, bool upper);
typedef enum cs_segwit_rules {
    CS_SEGWIT_BIP350, /* in force: version 0 with Bech32, 1..16 with Bech32m */
    CS_SEGWIT_BIP173, /* before: Bech32 for all versions */
} cs_segwit_rules;

/*
 * cs_segwit_script - append the scriptPubKey of a segwit address whose HRP is hrp ("bc", "tb"; either case in the text):
 * witness version 0 with a program of 20 or 32 bytes, 1..16 with 2..40 bytes. CS_E_FORMAT | CS_E_RANGE.
 */
CS_MUST cs_err cs_segwit_script(cs_buf *out, const char *hrp, cs_slice address, cs_segwit_rules rules);

#endif
