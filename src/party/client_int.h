/* Shared by client.c (requests) and client_channel.c (attestation and set-up) only. */
#ifndef CS_PARTY_CLIENT_INT_H
#define CS_PARTY_CLIENT_INT_H

#include "party/client.h"

#define CS_PCLIENT_NONCE 32

typedef struct cs_pjob cs_pjob;

/* One identity of the shares and its channel. */
typedef struct cs_pident {
    cs_pclient *client;
    const cs_share_party *own;
    uint16_t peer;
    cs_mpc_peer *mpc;
    cs_pchannel *channel; /* NULL: none */
    uint64_t made_ms;
    cs_grpc_call *call; /* attestation or set-up under way */
    cs_psetup *setup;
    cs_err failed; /* what ended the call from this side */
    bool attested;
    uint8_t nonce[CS_PCLIENT_NONCE];
    cs_pjob *waiting; /* for the channel */
} cs_pident;

struct cs_pjob {
    cs_pclient *client;
    cs_pident *ident;
    cs_pjob *next, **prev; /* all jobs */
    cs_pjob *next_waiting;
    cs_pclient_fn *fn;
    void *cookie;
    cs_psign_request request;
    char account[CS_HELLO_MAX_ACCOUNT];
    uint8_t execution[CS_HELLO_MAX_EXECUTION];
    cs_grpc_call *call;
    cs_psign *sign;
    cs_pchannel *channel; /* that the session runs in; only compared */
    cs_presult result;
    bool done; /* reported; waits for the end of its call */
    bool rechannelled;
};

struct cs_pclient {
    cs_pclient_config config;
    cs_grpc_client *grpc;
    cs_pwork *work;
    cs_pident *ident;
    size_t num_idents, busy;
    uint64_t channels;
    cs_pjob *jobs;
    cs_defer turn; /* starts what was queued, outside of the caller's stack */
    cs_pjob *queued;
};

/* cs_pident_start - attestation and set-up; the end is told by cs_pident_ready. Does nothing when under way. */
void cs_pident_start(cs_pident *i);
/* cs_pident_ready - (client.c) the channel is there, or err: the waiting requests go on. */
void cs_pident_ready(cs_pident *i, cs_err err);
/* cs_pident_stop - gives up what is under way. */
void cs_pident_stop(cs_pident *i);
/* cs_pclient_send_frame - a frame body as a Frame message. */
CS_MUST cs_err cs_pclient_send_frame(cs_grpc_call *call, cs_slice body);

#endif
