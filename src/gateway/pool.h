/*
 * Connections to sign-service: calls go to the connected one with the fewest, and one Health/Watch on each tells whether the
 * service serves and has the connection made again when it is lost. While none is connected calls wait a short time, then they
 * end in UPSTREAM; so does a call whose connection breaks.
 */
#ifndef CS_GATEWAY_POOL_H
#define CS_GATEWAY_POOL_H

#include "net/h2/grpc.h"

typedef struct cs_pool cs_pool;
typedef struct cs_pool_call cs_pool_call;

typedef struct cs_pool_config {
    cs_endpoint service;
    unsigned conns;        /* 1..64 */
    uint32_t wait_ms;      /* for a connection */
    size_t queue_max;      /* of one call, see cs_grpc_opts */
    cs_loop_fn *on_change; /* cs_pool_serving has changed */
    cs_loop_fn *on_up;     /* a connection came up and its service serves; before on_change; NULL: not wanted */
    void *cookie;
} cs_pool_config;

CS_MUST cs_err cs_pool_new(cs_pool **out, cs_loop *l, const cs_pool_config *config);
/* cs_pool_free - open calls end in UPSTREAM (on_end is called). */
void cs_pool_free(cs_pool *p);
/* cs_pool_serving_before - within on_up: another connection served already. */
bool cs_pool_serving_before(const cs_pool *p);
/* cs_pool_serving - the service said SERVING on a connection that is up. cs_pool_up - how many connections are. */
bool cs_pool_serving(const cs_pool *p);
unsigned cs_pool_up(const cs_pool *p);

typedef struct cs_pool_result {
    cs_grpc_status status;
    cs_err code;      /* of the trailer countersign-code; CS_OK: there was none */
    cs_slice message; /* grpc-message, decoded */
    bool ours;        /* the answer is not the service's: code (never CS_OK) says what went wrong on the way */
} cs_pool_result;

typedef struct cs_pool_events {
    void (*on_message)(void *cookie, cs_slice message);
    void (*on_drain)(void *cookie);
    void (*on_end)(void *cookie, const cs_pool_result *result); /* once, unless cancelled; the call is gone */
} cs_pool_events;

/* cs_pool_call_new - as cs_grpc_call_new. CS_E_UPSTREAM (none has been connected for a while) | CS_E_NO_MEMORY. */
CS_MUST cs_err cs_pool_call_new(cs_pool_call **out, cs_pool *p, const char *path, uint64_t timeout_ms,
                                const cs_pool_events *events, void *cookie);
/* cs_pool_call_with - the same, with headers of its own, see cs_grpc_call_with; begin->timeout_ms is the time as there. */
CS_MUST cs_err cs_pool_call_with(cs_pool_call **out, cs_pool *p, const cs_grpc_begin *begin,
                                 const cs_pool_events *events, void *cookie);
/* cs_pool_call_grpc - for sending, reading and ending. */
cs_grpc_call *cs_pool_call_grpc(const cs_pool_call *c);
/* cs_pool_cancel - no callback afterwards; the call is gone. */
void cs_pool_cancel(cs_pool_call *c);

#endif
