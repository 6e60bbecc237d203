/*
 * The start-up gate of the TEE service: operations of callers go on only while the enclave behind sign-service has attested itself with a
 * fresh nonce and its measurements are on tee.allowedPCRs. Asked at the start, on each new connection to the service, and again after
 * tee.gateRecheckSeconds; while it is closed, every few seconds. An answer that does not come (busy, too late) closes it after five minutes. Attest, Stats and PublicKey pass always, and so does what is in the audit
 * log: who is refused can see for himself. The verified document of each boot is kept in the store, for proofs of the log.
 */
#ifndef CS_GATEWAY_GATE_H
#define CS_GATEWAY_GATE_H

#include "attest/policy.h"
#include "gateway/tee_flow.h"

typedef struct cs_gate_check cs_gate_check;

typedef struct cs_gate_check_config {
    cs_loop *loop;
    cs_tee_flow *flow; /* of it: Attest passes while the gate is closed */
    cs_store *store;
    cs_telemetry *telemetry; /* or NULL */
    cs_tee_entries *entries; /* is told which boot has attested; or NULL */
    cs_att_policy policy;
    cs_buf root_der; /* taken; empty: AWS's */
    bool allow_debug;
    uint64_t recheck_ms;
} cs_gate_check_config;

/* cs_gate_check_new - closed; the first question goes out in the next turn of the loop. */
CS_MUST cs_err cs_gate_check_new(cs_gate_check **out, const cs_gate_check_config *config_take);
/* cs_gate_check_free - before the flow. */
void cs_gate_check_free(cs_gate_check *g);
/* cs_gate_check_again - a connection was made anew. only: there was none before it, so whoever is there now must attest first. */
void cs_gate_check_again(cs_gate_check *g, bool only);
/* cs_gate_check_down - the last connection is gone: closed until the next one is there and whoever it leads to has attested. */
void cs_gate_check_down(cs_gate_check *g);
/* cs_gate_check_may - CS_OK | CS_E_UPSTREAM (nobody is there) | CS_E_TEE_GATE with *detail (static text). */
CS_MUST cs_err cs_gate_check_may(const cs_gate_check *g, const cs_tee_op_row *op, const char **detail);
/* cs_gate_check_open - for health and metrics. */
bool cs_gate_check_open(const cs_gate_check *g);

#endif
