/* Shared by client.c (requests) and client_channel.c (attestation and set-up) only. */
#ifndef CS_PARTY_CLIENT_INT_H
#define CS_PARTY_CLIENT_INT_H

#include "party/client.h"
#include "party/transport.h"

#define CS_PCLIENT_NONCE 32

/* One identity of the shares and its channel. */
typedef struct cs_pident {
    cs_pclient *client;
    const cs_share_party *own;
    uint16_t peer;
    cs_mpc_peer *mpc;
    cs_pchannel *channel; /* NULL: none */
    uint64_t made_ms;
    cs_pattest *attest; /* under way */
    cs_pstream *stream; /* of the set-up that is under way */
    cs_psetup *setup;
    cs_pjob *trigger; /* the request whose need, and room, it is; NULL: it was given up meanwhile */
    char account[CS_HELLO_MAX_ACCOUNT];
    uint8_t execution[CS_HELLO_MAX_EXECUTION];
    cs_pstream_args room; /* the trigger's, copied */
    cs_err hint;
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
    cs_pstream *stream;
    cs_psign *sign;
    cs_pchannel *channel; /* that the session runs in; only compared */
    cs_presult result;
    bool rechannelled;
};

/* Requests that are being gone through; the end of one may give up any other. */
typedef struct cs_pwalk {
    cs_pjob *list; /* still to come, by next_waiting */
    struct cs_pwalk *outer;
} cs_pwalk;

struct cs_pclient {
    cs_pclient_config config;
    cs_ptransport *transport;
    cs_pwork *work;
    cs_pident *ident;
    size_t num_idents, busy;
    uint64_t channels;
    cs_pjob *jobs;
    cs_defer turn; /* starts what was queued, outside of the caller's stack */
    cs_pjob *queued;
    cs_pwalk *walks; /* under way, innermost first */
};

/* cs_pclient_code - (client.c) the error of an END's code; CS_OK for "OK", CS_E_INTERNAL for an unknown one. */
cs_err cs_pclient_code(cs_slice code);
/* cs_pident_busy - attestation or set-up is under way. */
static inline bool cs_pident_busy(const cs_pident *i)
{
    return i->attest != NULL || i->stream != NULL;
}
/* cs_pident_start - attestation and set-up for j's sake; the end is told by cs_pident_ready. Does nothing when busy. */
void cs_pident_start(cs_pident *i, cs_pjob *j);
/* cs_pident_ready - (client.c) the channel is there, or err: the waiting requests go on. */
void cs_pident_ready(cs_pident *i, cs_err err);
/* cs_pident_stop - gives up what is under way. */
void cs_pident_stop(cs_pident *i);

#endif
