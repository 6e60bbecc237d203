/*
 * Bitcoin: the digests that the inputs of an unsigned transaction sign. Public data only. Source: BIP-143 (version 0 witness programs),
 * BIP-341 (Taproot, key path).
 */
#ifndef CS_PARTY_BTC_H
#define CS_PARTY_BTC_H

#include "base/bytes.h"

#define CS_BTC_TX_MAX 400000u /* bytes */

/* A parsed transaction; slices point into the text that was parsed. */
typedef struct cs_btc_tx {
    uint8_t version[4], lock_time[4]; /* as on the wire */
    cs_slice inputs, outputs;         /* encoded, one behind the other */
    uint32_t num_inputs, num_outputs;
} cs_btc_tx;

/* What an input spends. */
typedef struct cs_btc_spent {
    uint64_t sats;
    cs_slice script; /* scriptPubKey */
} cs_btc_spent;

/* cs_btc_parse - one unsigned transaction without witnesses, whole. CS_E_FORMAT | CS_E_TOO_LARGE. */
CS_MUST cs_err cs_btc_parse(cs_btc_tx *out, cs_slice raw);
/* cs_btc_input - outpoint (36 bytes) and sequence (4 bytes, as on the wire) of an input. CS_E_RANGE. */
CS_MUST cs_err cs_btc_input(cs_slice *out_outpoint, cs_slice *out_sequence, const cs_btc_tx *tx, uint32_t input);

/* Which parts are signed: CS_BTC_ALL and so on, with or without CS_BTC_ANYONE. */
#define CS_BTC_DEFAULT 0u /* Taproot only: as ALL */
#define CS_BTC_ALL 1u
#define CS_BTC_NONE 2u
#define CS_BTC_SINGLE 3u
#define CS_BTC_ANYONE 0x80u

/*
 * cs_btc_digest_v0 - BIP-143: script_code without its length. CS_E_RANGE (input; hash type).
 * cs_btc_digest_key - BIP-341, key path without annex; spent: what each of tx's inputs spends. CS_E_RANGE (input; hash type; SINGLE
 * without an output of that number).
 */
CS_MUST cs_err cs_btc_digest_v0(uint8_t out32[32], const cs_btc_tx *tx, uint32_t input, const cs_btc_spent *script_code,
                                uint8_t hash_type);
CS_MUST cs_err cs_btc_digest_key(uint8_t out32[32], const cs_btc_tx *tx, uint32_t input, const cs_btc_spent *spent,
                                 uint8_t hash_type);

#endif
