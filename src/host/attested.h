/* What an enclave's security module says of it, asked over gRPC with a fresh nonce and verified. */
#ifndef CS_HOST_ATTESTED_H
#define CS_HOST_ATTESTED_H

#include "attest/verify.h"
#include "net/endpoint.h"

/*
 * cs_host_attested - any PCRs and debug enclaves are accepted: this shows what runs, it is no condition. root_pem NULL: AWS's root.
 * CS_E_CONNECT ... (no answer) | CS_E_ATT_* | CS_E_IO, CS_E_FORMAT (root_pem) | CS_E_ENTROPY.
 */
CS_MUST cs_err cs_host_attested(cs_att_result *out, const cs_endpoint *grpc, const char *root_pem, uint32_t timeout_ms);

#endif
