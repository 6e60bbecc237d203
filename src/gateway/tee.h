/*
 * The TEE service at the gateway (docs/formats/tee.md, docs/formats/tee-http.md): gRPC countersign.v1.Tee and HTTP/JSON in front of
 * one flow (tee_flow.h). What is public is asked for here: tokens; what is secret never passes in the clear.
 */
#ifndef CS_GATEWAY_TEE_H
#define CS_GATEWAY_TEE_H

#include "gateway/gate.h"
#include "gateway/gateway.h"
#include "gateway/tee_flow.h"

typedef struct cs_tee {
    cs_gate *gate;
    cs_store *store; /* NULL: the TEE service is off */
    cs_tee_entries *entries;
    cs_tee_flow *flow;
    cs_gate_check *check;
} cs_tee;

/* cs_tee_open - store and flow, when tee.enabled; why256 says more on errors. The loop and the pool are there. */
CS_MUST cs_err cs_tee_open(cs_tee **out, cs_gate *g, char why256[256]);
void cs_tee_free(cs_tee *t);
/* cs_tee_under_way - calls that have no answer yet, or whose answer is not stored yet. */
size_t cs_tee_under_way(const cs_tee *t);
/* cs_tee_service_up - a connection to the service was made anew; t may be NULL. */
void cs_tee_service_up(cs_tee *t);
/* cs_tee_service_down - no connection serves any more. */
void cs_tee_service_down(cs_tee *t);

/*
 * cs_tee_admit - may who sent this header (p NULL: none) ask at all? CS_E_TOKEN ... with *detail.
 * cs_tee_start - the ask is taken, see cs_tee_flow_call; TEE_DISABLED when the service is off.
 */
CS_MUST cs_err cs_tee_admit(const cs_tee *t, cs_slice authorization, const char **detail);
CS_MUST cs_err cs_tee_start(cs_tee_waiter **out, cs_tee *t, const char **detail, cs_tee_ask *ask_take,
                            uint64_t timeout_ms, cs_tee_done_fn *done, void *cookie);

/* cs_tee_seen - what the call is about, and the trace that goes on to core with it; seen may be NULL. */
void cs_tee_seen(cs_tee_ask *ask, cs_tel_call *seen);

/* tee_grpc.c - the methods, a table that ends with path NULL. */
extern const cs_grpc_method cs_tee_grpc_methods[];
/* tee_records.c - Records, the gateway's own method: a message; the client left. */
void cs_tee_records(cs_grpc_call *c, cs_slice message);
void cs_tee_records_gone(cs_grpc_call *c);
/* tee_http.c - a request below /v1/tee/; name: what stands behind that; query: behind "?" (p NULL: nothing). */
void cs_tee_http(cs_gate *g, cs_http1_conn *conn, const cs_http1_msg *request, cs_slice name, cs_slice query);

#endif
