/*
 * Connections to a gateway: a few HTTP/2 connections, plain or TLS, kept by one thread with a loop of its own; any thread may call.
 * A connection that is lost is made again when a call needs it. Nothing here knows what a call means.
 */
#ifndef CS_TEE_LINK_H
#define CS_TEE_LINK_H

#include "net/endpoint.h"
#include "net/trace.h"

#define CS_TEE_CONNECTIONS_MAX 16u
#define CS_TEE_MESSAGE_MAX (512u * 1024u)

typedef struct cs_tee_link cs_tee_link;

typedef struct cs_tee_link_config {
    cs_endpoint gateway;
    cs_slice roots_pem;         /* TLS with these roots; empty: plain */
    cs_slice cert_pem, key_pem; /* the client's own certificate (leaf first) and key (secret); both empty: none */
    const char *server_name;    /* that the gateway's certificate must have; NULL: the endpoint's host */
    const char *authorization; /* header of each call, "Bearer ..."; secret; borrowed for the link's life; NULL: none */
    unsigned connections;      /* 1..CS_TEE_CONNECTIONS_MAX */
} cs_tee_link_config;

/*
 * cs_tee_link_new - starts the thread and dials. CS_E_RANGE (connections) | CS_E_FORMAT (PEM, or key and certificate do not fit) | CS_E_USAGE
 * (a certificate without roots; authorization over plain tcp to another host than a loopback address) | CS_E_NO_MEMORY.
 * cs_tee_link_free - calls that are under way end with CS_E_CLOSED; no thread may begin one meanwhile. NULL is fine.
 */
CS_MUST cs_err cs_tee_link_new(cs_tee_link **out, const cs_tee_link_config *config);
void cs_tee_link_free(cs_tee_link *l);

/* One request. trace: the span that it belongs to, sent as traceparent and tracestate; NULL: none. Borrowed until it is answered. */
typedef struct cs_tee_post {
    const char *path;
    cs_slice request;
    uint32_t timeout_ms;
    const cs_trace *trace;
} cs_tee_post;

/*
 * cs_tee_link_call - one unary call, one attempt; blocks until it is answered or timeout_ms (> 0) have passed. The message is appended to
 * answer. Any thread. Errors: of the answer (trailer countersign-code, else by gRPC status) | CS_E_TIMEOUT | CS_E_CLOSED | CS_E_TLS |
 * CS_E_FORMAT (no or several messages) | CS_E_TOO_LARGE, CS_E_NO_MEMORY.
 */
CS_MUST cs_err cs_tee_link_call(cs_tee_link *l, cs_buf *answer, const cs_tee_post *post);
/* cs_tee_link_reconnects - how often a connection was made beyond the first of each; any thread. */
uint64_t cs_tee_link_reconnects(const cs_tee_link *l);

#endif
