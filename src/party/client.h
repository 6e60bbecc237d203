/*
 * The client participant, over gRPC streams of sign-service or rooms of a gateway (party/transport.h): attestation, channels and OT set-up on demand, signing sessions side by side, retries.
 * Runs on one loop and its thread. Before the first session of each channel the enclave's attestation document is verified:
 * root, time, nonce, debug, PCR policy, and that public_key is the static key the shares name.
 * Retries: a channel that the enclave does not know is made again (once per request); a session that was aborted, lost or
 * silent is repeated up to `retries` times. That is safe: the same triple with the same digest joins or gets the stored answer.
 * In rooms the set-up of a channel runs in the room of the request that needed it; other requests wait for it.
 */
#ifndef CS_PARTY_CLIENT_H
#define CS_PARTY_CLIENT_H

#include "attest/verify.h"
#include "net/loop.h"
#include "party/session.h"

typedef struct cs_pclient cs_pclient;

typedef struct cs_pclient_config {
    cs_loop *loop;              /* borrowed, outlives the client */
    const cs_endpoint *service; /* its gRPC; not read with gateway_url */
    const char *gateway_url;    /* "http://HOST[:PORT][/PREFIX]": over rooms; NULL: over gRPC */
    const cs_share_set *shares; /* borrowed, outlives the client */
    const cs_att_options *att;  /* root_der, policy or any_pcrs, allow_debug; borrowed. Nonce and key are set here */
    uint32_t timeout_ms;        /* of one attempt; 0: 15 s */
    uint32_t silence_ms;        /* rooms: how long frames may stay without an answer, in all attempts; 0: 10 s */
    unsigned retries;           /* further attempts after an abort */
} cs_pclient_config;

typedef struct cs_presult {
    cs_err err;
    cs_mpc_signature sig; /* CS_OK only */
    unsigned attempts;
    cs_err first_err;   /* of the first attempt that failed, CS_OK: none */
    cs_mpc_check check; /* what this side's protocol code found, or NONE */
    cs_err hint;        /* rooms: what the other side is said to have ended with, not authenticated; CS_OK: nothing */
} cs_presult;
typedef void cs_pclient_fn(void *cookie, const cs_presult *result);

/* cs_pclient_new - CS_E_NO_MEMORY | errors of cs_ptransport_grpc or cs_ptransport_rooms. Connects in the background. */
CS_MUST cs_err cs_pclient_new(cs_pclient **out, const cs_pclient_config *config);
/*
 * cs_pclient_sign - r->key NULL: looked up. Strings of r are copied. fn is called once, never from within this call. *out_job (may be
 * NULL) is for giving up, until fn is called. CS_E_ACCOUNT_UNKNOWN | CS_E_RANGE (also, in rooms, a path or a tx_id beyond 32 bits) |
 * CS_E_NO_MEMORY.
 */
typedef struct cs_pjob cs_pjob;
CS_MUST cs_err cs_pclient_sign(cs_pjob **out_job, cs_pclient *p, const cs_psign_request *r, cs_pclient_fn *fn,
                               void *cookie);
/* cs_pclient_cancel - fn is not called any more; the job is gone. Also from within the fn of another request. */
void cs_pclient_cancel(cs_pjob *j);
/* cs_pclient_busy - requests under way. cs_pclient_channels - channels made so far. */
size_t cs_pclient_busy(const cs_pclient *p);
uint64_t cs_pclient_channels(const cs_pclient *p);
/* cs_pclient_free - gives up what is under way, without callbacks; not from within fn. NULL is fine. */
void cs_pclient_free(cs_pclient *p);

#endif
