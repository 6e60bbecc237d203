/*
 * The client's side of the seed system as a gRPC server: mpc.Participant/SignTx over a participant, and grpc.health.v1.Health. The
 * caller sends the same message to the gateway; both answers are the same signature. The same triple (account, tx_id,
 * execution_id) with the same digest joins the request under way or gets the remembered answer of this process; with another
 * digest it is EXECUTION_CONFLICT. A request that nobody waits for any more is given up. Logs one line for each request.
 */
#ifndef CS_TOOLS_PARTICIPANT_H
#define CS_TOOLS_PARTICIPANT_H

#include "net/h2/grpc.h"
#include "party/client.h"

typedef struct cs_participant cs_participant;

typedef struct cs_participant_config {
    cs_loop *loop;              /* borrowed, as all below */
    const cs_share_set *shares; /* an account that is not in it is NOT_FOUND */
    /* signs; cs_pclient_sign and cs_pclient_cancel but in tests */
    cs_err (*sign)(cs_pjob **out_job, void *signer, const cs_psign_request *r, cs_pclient_fn *fn, void *cookie);
    void (*cancel)(cs_pjob *j);
    void *signer;
} cs_participant_config;

/* cs_participant_new - takes the listener. Errors of cs_grpc_server_new. */
CS_MUST cs_err cs_participant_new(cs_participant **out, const cs_participant_config *config, int listen_fd_take);
/* cs_participant_drain - no new requests; health says NOT_SERVING; done is called when the last request has ended. */
void cs_participant_drain(cs_participant *p, cs_loop_fn *done, void *cookie);
/* cs_participant_busy - requests under way. */
size_t cs_participant_busy(const cs_participant *p);
/* cs_participant_free - before the signer is freed. NULL is fine. */
void cs_participant_free(cs_participant *p);

#endif
