/*
 * EIP-712: the digest of typed structured data from JSON, strictly: every field that a type names must be there and fit, every field
 * that is there must be named. Public data only. Source: EIP-712.
 */
#ifndef CS_PARTY_ETH_TYPED_H
#define CS_PARTY_ETH_TYPED_H

#include <jansson.h>

#include "party/eth.h"

#define CS_ETH_TYPED_MAX (128u * 1024u) /* bytes of the JSON text */
#define CS_ETH_TYPED_DEPTH 16u          /* structures and arrays inside each other */
#define CS_ETH_TYPED_TYPES 64u          /* structures that one structure refers to */

/* What was refused, for the user: name of the field or type, and why. */
typedef struct cs_eth_typed_fault {
    char text[128];
} cs_eth_typed_fault;

/*
 * cs_eth_typed_digest - of {types, primaryType, domain, message}: keccak(0x1901 || domain || message). Without types.EIP712Domain the
 * domain's type follows from its fields. encoded (may be NULL): encodeData of the message is appended. CS_E_FORMAT (fault says what) |
 * CS_E_TOO_LARGE (CS_ETH_TYPED_DEPTH, CS_ETH_TYPED_TYPES) | CS_E_NO_MEMORY.
 * cs_eth_typed_parse - the same from text; also CS_E_TOO_LARGE (CS_ETH_TYPED_MAX).
 */
CS_MUST cs_err cs_eth_typed_digest(uint8_t out32[32], cs_buf *encoded, cs_eth_typed_fault *fault, const json_t *object);
CS_MUST cs_err cs_eth_typed_parse(uint8_t out32[32], cs_eth_typed_fault *fault, cs_slice text);

#endif
