/*
 * Ethereum transactions: Keccak-256, RLP, addresses (EIP-55), serialisation of legacy (with and without EIP-155), EIP-2930,
 * EIP-1559 and EIP-4844 transactions. Public data only. Source: Ethereum Yellow Paper appendices B and F; EIP-55, 155, 2718, 2930, 1559, 4844.
 */
#ifndef CS_PARTY_ETH_H
#define CS_PARTY_ETH_H

#include "base/bytes.h"

/* A number of 256 bits, big endian. */
typedef struct cs_u256 {
    uint8_t b[32];
} cs_u256;
typedef struct cs_eth_addr {
    uint8_t b[20];
} cs_eth_addr;

/* cs_u256_parse - decimal digits, or 0x and 1..64 hex digits (leading zeros allowed in hex). CS_E_FORMAT | CS_E_RANGE. */
CS_MUST cs_err cs_u256_parse(cs_u256 *out, cs_slice text);
void cs_u256_from_u64(cs_u256 *out, uint64_t v);
/* cs_u256_u64 - CS_E_RANGE when it does not fit. */
CS_MUST cs_err cs_u256_u64(uint64_t *out, const cs_u256 *v);
bool cs_u256_is_zero(const cs_u256 *v);

/* cs_keccak256 - Keccak with the padding of 2011 (not SHA3-256), over parts. */
void cs_keccak256(uint8_t out32[32], const cs_slice *parts, size_t num_parts);

#define CS_ETH_ADDR_TEXT 43 /* "0x", 40 digits, NUL */
/* cs_eth_address - of a compressed public key. CS_E_FORMAT: not a point. */
CS_MUST cs_err cs_eth_address(cs_eth_addr *out, const uint8_t pk33[33]);
/* cs_eth_address_text - with the checksum of EIP-55. */
void cs_eth_address_text(char out[CS_ETH_ADDR_TEXT], const cs_eth_addr *a);
/* cs_eth_address_parse - 0x and 40 digits; a text of both cases must carry the right EIP-55 checksum. CS_E_FORMAT. */
CS_MUST cs_err cs_eth_address_parse(cs_eth_addr *out, cs_slice text);

/* RLP: a string; a number without leading zeros; everything from out->p + at made the payload of a list. CS_E_RANGE | CS_E_NO_MEMORY. */
CS_MUST cs_err cs_rlp_put(cs_buf *out, cs_slice bytes);
CS_MUST cs_err cs_rlp_put_u256(cs_buf *out, const cs_u256 *v);
CS_MUST cs_err cs_rlp_wrap(cs_buf *out, size_t at);

typedef enum cs_eth_type { CS_ETH_LEGACY = 0, CS_ETH_2930 = 1, CS_ETH_1559 = 2, CS_ETH_4844 = 3 } cs_eth_type;

typedef struct cs_eth_access {
    cs_eth_addr address;
    cs_slice keys; /* 32 bytes each */
} cs_eth_access;

typedef struct cs_eth_tx {
    cs_eth_type type;
    bool replay_protected; /* legacy: EIP-155 */
    cs_u256 chain_id, nonce, gas_price, max_priority_fee, max_fee, gas_limit, value;
    bool has_to; /* false: creates a contract */
    cs_eth_addr to;
    cs_slice data;
    const cs_eth_access *access;
    size_t num_access;
    cs_u256 max_blob_fee; /* EIP-4844 */
    cs_slice blob_hashes; /* EIP-4844: 32 bytes each */
} cs_eth_tx;

typedef struct cs_eth_sig {
    uint8_t r[32], s[32];
    uint8_t parity; /* 0 or 1 */
} cs_eth_sig;

/*
 * cs_eth_tx_put - append the transaction: sig NULL: what is hashed for signing; else the raw signed transaction.
 * An EIP-4844 transaction has a receiver; its blobs are not part of what is signed and not put. CS_E_RANGE | CS_E_NO_MEMORY |
 * CS_E_UNSUPPORTED (EIP-4844 without a receiver).
 */
CS_MUST cs_err cs_eth_tx_put(cs_buf *out, const cs_eth_tx *tx, const cs_eth_sig *sig);
/* cs_eth_tx_digest - Keccak-256 of the unsigned form (what both parties sign). */
CS_MUST cs_err cs_eth_tx_digest(uint8_t out32[32], const cs_eth_tx *tx);
/* cs_eth_recover - the signer of a digest. CS_E_AUTH. */
CS_MUST cs_err cs_eth_recover(cs_eth_addr *out, const uint8_t digest32[32], const cs_eth_sig *sig);

#define CS_ETH_TX_MAX (256u * 1024u)

#endif
