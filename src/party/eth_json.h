/* EIP-1559 transactions from JSON, strictly: unknown, missing and bad fields are named. */
#ifndef CS_PARTY_ETH_JSON_H
#define CS_PARTY_ETH_JSON_H

#include <jansson.h>

#include "party/eth.h"

/* A transaction with the memory of its lists. Zero state is fine for cleanup. */
typedef struct cs_eth_tx_file {
    cs_eth_tx tx;
    cs_eth_access *access; /* heap */
    cs_buf bytes;          /* data and access keys, heap */
    char bad[96];          /* name of the field that was refused and why */
} cs_eth_tx_file;

/*
 * cs_eth_tx_parse - chainId, nonce, maxPriorityFeePerGas, maxFeePerGas, gasLimit (integers, or strings of decimal or 0x hex),
 * to (address, or null to create a contract): required; value, data, accessList [{address, storageKeys}] and type (2): optional.
 * CS_E_FORMAT: bad names the field. CS_E_NO_MEMORY.
 */
CS_MUST cs_err cs_eth_tx_parse(cs_eth_tx_file *out, cs_slice json_text);
/* cs_eth_tx_of - the same from parsed JSON; type decides which of the price fields are read; other keys are not looked at. */
CS_MUST cs_err cs_eth_tx_of(cs_eth_tx_file *out, const json_t *object, cs_eth_type type);
void cs_eth_tx_cleanup(cs_eth_tx_file *f);

#endif
