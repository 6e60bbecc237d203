/* mpc.SignGateway/SignTx as a client: the other half of a signature through rooms. On one loop. */
#ifndef CS_TOOLS_GATEWAY_SIGN_H
#define CS_TOOLS_GATEWAY_SIGN_H

#include "net/h2/grpc.h"
#include "party/session.h"

typedef struct cs_gateway_sign {
    cs_err err;
    uint8_t r[32], s[32]; /* CS_OK only */
    uint8_t v;
    char detail[256]; /* what the refusal said, printable */
} cs_gateway_sign;
typedef void cs_gateway_sign_fn(void *cookie, const cs_gateway_sign *result);

/*
 * cs_gateway_sign_start - sends r (account, tx_id of 32 bits, execution id, digest) as an Ethereum request; the path must be empty.
 * fn is called once, with CS_E_FORMAT for an answer that is none. CS_E_RANGE | errors of cs_grpc_call_new and cs_grpc_send.
 */
CS_MUST cs_err cs_gateway_sign_start(cs_grpc_client *gateway, const cs_psign_request *r, uint32_t timeout_ms,
                                     cs_gateway_sign_fn *fn, void *cookie);

#endif
