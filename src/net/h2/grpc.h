/*
 * gRPC over nghttp2 with our own framing: server and client on one loop, unary and streaming calls, over vsock, unix, tcp, or TLS where
 * the owner puts it on (opts.on_stream). Nothing is reassembled beyond one message. A message that lies whole in
 * the receive buffer is handed on without a copy; one that is sent is copied once, or not at all (cs_grpc_send_ref).
 *
 * Answers of the server itself: wrong content-type -> HTTP 415; not POST -> 405 (both with a line of text); unknown method
 * -> UNIMPLEMENTED; compressed flag -> UNIMPLEMENTED with grpc-accept-encoding: identity; over message_max ->
 * RESOURCE_EXHAUSTED; truncated or malformed framing, or two messages to a unary method -> INTERNAL; grpc-timeout passed ->
 * DEADLINE_EXCEEDED. Every refusal carries grpc-message "CODE: cause; fix" (percent-encoded) and the trailer
 * countersign-code: CODE.
 * Source: gRPC over HTTP/2 (PROTOCOL-HTTP2.md), RFC 9113, specs/dependencies.md 1, docs/formats/party-session.md.
 */
#ifndef CS_NET_H2_GRPC_H
#define CS_NET_H2_GRPC_H

#include "net/loop.h"

struct cs_stream;

#define CS_GRPC_PREFIX 5                   /* flag, length */
#define CS_GRPC_MESSAGE_MAX (256u * 1024u) /* default of message_max */
#define CS_GRPC_WINDOW_STREAM (1u << 20)
#define CS_GRPC_WINDOW_CONN (16u << 20)
#define CS_GRPC_QUEUE (1u << 20) /* default of queue_max: bytes waiting in one call */

/*
 * One call (= HTTP/2 stream), on either side. Valid from its opening until
 *   server: cs_grpc_finish* returns, or on_gone returns;      client: on_end returns, or cs_grpc_cancel returns.
 */
typedef struct cs_grpc_call cs_grpc_call;

void cs_grpc_call_set_cookie(cs_grpc_call *c, void *cookie);
void *cs_grpc_call_cookie(const cs_grpc_call *c);
/* cs_grpc_call_left_ms - until its deadline; UINT64_MAX: none. */
uint64_t cs_grpc_call_left_ms(const cs_grpc_call *c);
/* cs_grpc_call_header - a request header (server) or response header or trailer (client) of lower-case name; p NULL: none. */
cs_slice cs_grpc_call_header(const cs_grpc_call *c, const char *name);
/* cs_grpc_call_header_next - each of them in the order that they came; *at begins at 0; false at the end. */
bool cs_grpc_call_header_next(const cs_grpc_call *c, size_t *at, cs_slice *name, cs_slice *value);

/*
 * cs_grpc_send - one message made of parts (joined, copied once). CS_E_TOO_LARGE (message_max) | CS_E_RANGE (queue_max is
 * reached: wait for on_drain; nothing was queued) | CS_E_CLOSED | CS_E_NO_MEMORY.
 */
CS_MUST cs_err cs_grpc_send(cs_grpc_call *c, const cs_slice *parts, size_t num_parts);
/* cs_grpc_send_ref - head (at most 32 bytes, copied) and body by reference; release(cookie) when it is no longer needed. */
CS_MUST cs_err cs_grpc_send_ref(cs_grpc_call *c, cs_slice head, cs_slice body, cs_loop_fn *release, void *cookie);
size_t cs_grpc_queued(const cs_grpc_call *c);
/* cs_grpc_full - half of queue_max is waiting; on_drain is called when it has gone below a quarter. */
bool cs_grpc_full(const cs_grpc_call *c);
/* cs_grpc_read - false: stop giving this call's peer window (what has arrived is still delivered); true: go on. */
void cs_grpc_read(cs_grpc_call *c, bool on);

/* ---- server ---- */

typedef struct cs_grpc_server cs_grpc_server;

/* A method; the table ends with path NULL. Callbacks may send and finish at once or later. */
typedef struct cs_grpc_method {
    const char *path; /* "/countersign.v1.Party/Session" */
    bool client_streams, server_streams;
    void (*on_open)(cs_grpc_call *c, void *server_cookie); /* headers are there; NULL: none (unary) */
    void (*on_message)(cs_grpc_call *c,
                       cs_slice message);   /* unary requests: called once, after the request has ended */
    void (*on_half_close)(cs_grpc_call *c); /* the client sends no more; streaming only */
    void (*on_drain)(cs_grpc_call *c);
    void (*on_gone)(cs_grpc_call *c); /* the client left or the deadline passed; do not finish */
} cs_grpc_method;

typedef struct cs_grpc_opts {
    size_t message_max;     /* 0: CS_GRPC_MESSAGE_MAX */
    size_t queue_max;       /* 0: CS_GRPC_QUEUE */
    unsigned streams_max;   /* per connection, server; 0: 1024 */
    unsigned calls_max;     /* server: calls at once on all connections, above: RESOURCE_EXHAUSTED; 0: 8192 */
    unsigned conns_max;     /* server; 0: 256; above, the one longest without a call is closed, else the new one */
    size_t header_list_max; /* 0: 16 KiB */
    uint32_t keepalive_ms;  /* PING after this silence; 0: 60 s */
    uint32_t keepalive_timeout_ms; /* 0: 20 s */
    uint32_t
        request_ms;  /* server: a unary request, and a message that has begun, must be complete in this time; 0: 30 s */
    size_t held_max; /* server: memory for messages that came in part, of all calls; 0: 128 MiB */
    uint32_t cid;    /* server: vsock peers allowed (CS_EP_CID_ANY: all); 0: all */
    /* called on each new connection before its first byte, e.g. to put TLS on it (cs_tls_accept, cs_tls_connect); NULL: none. An
     * error ends the connection. */
    cs_err (*on_stream)(struct cs_stream *s, void *cookie);
    void *stream_cookie;
    const char *authorization; /* client: header of each call, e.g. "Bearer ..."; secret; borrowed; NULL: none */
} cs_grpc_opts;

/* cs_grpc_server_new - takes the listener; methods and opts (may be NULL) are copied. */
CS_MUST cs_err cs_grpc_server_new(cs_grpc_server **out, cs_loop *l, int listen_fd_take, const cs_grpc_method *methods,
                                  const cs_grpc_opts *opts, void *server_cookie);
void *cs_grpc_call_server_cookie(const cs_grpc_call *c);
/* cs_grpc_finish - trailers; e CS_OK or an error of the table, with its cause and fix; detail (may be NULL) is put behind. */
void cs_grpc_finish(cs_grpc_call *c, cs_err e, const char *detail);
/* cs_grpc_finish_as - the status is given (e.g. INTERNAL for malformed protobuf, where the table says INVALID_ARGUMENT). */
void cs_grpc_finish_as(cs_grpc_call *c, cs_grpc_status status, cs_err e, const char *detail);
/*
 * cs_grpc_finish_raw - trailers of another server, passed on: message as it is (not "CODE: cause; fix"); code CS_OK: no
 * countersign-code.
 */
void cs_grpc_finish_raw(cs_grpc_call *c, cs_grpc_status status, cs_err code, cs_slice message);
/* cs_grpc_call_path - server: the path of the call's method, as it stands in the table. */
const char *cs_grpc_call_path(const cs_grpc_call *c);
/* cs_grpc_server_drain - GOAWAY to all, no new connection; done is called when the last call has ended. */
void cs_grpc_server_drain(cs_grpc_server *s, cs_loop_fn *done, void *cookie);
typedef struct cs_grpc_stats {
    uint64_t conns, conns_refused, conns_evicted, calls, calls_open, messages_in, messages_out, protocol_errors;
    uint64_t held; /* bytes of messages that came in part */
} cs_grpc_stats;
void cs_grpc_server_stats(const cs_grpc_server *s, cs_grpc_stats *out);
/* cs_grpc_server_free - closes all connections; on_gone is called for open calls. Not from within its own callbacks. */
void cs_grpc_server_free(cs_grpc_server *s);

/* ---- client ---- */

typedef struct cs_grpc_client cs_grpc_client;

typedef struct cs_grpc_result {
    cs_grpc_status status;
    cs_err err;       /* of the trailer countersign-code; else by status; CS_OK only with status OK */
    cs_slice message; /* grpc-message, decoded */
} cs_grpc_result;

typedef struct cs_grpc_call_events {
    void (*on_message)(cs_grpc_call *c, void *cookie, cs_slice message);
    void (*on_drain)(cs_grpc_call *c, void *cookie);
    void (*on_end)(cs_grpc_call *c, void *cookie, const cs_grpc_result *result); /* always, once, unless cancelled */
} cs_grpc_call_events;

/*
 * cs_grpc_client_new - one connection, dialled at once and again (with back-off 50 ms..2 s) after it was lost while a call
 * waits. Calls made before it is up wait, at most until their deadline. opts may be NULL.
 */
CS_MUST cs_err cs_grpc_client_new(cs_grpc_client **out, cs_loop *l, const cs_endpoint *ep, const cs_grpc_opts *opts);
/* cs_grpc_client_over - over a connected descriptor (taken); no second dial. */
CS_MUST cs_err cs_grpc_client_over(cs_grpc_client **out, cs_loop *l, int fd_take, const cs_grpc_opts *opts);
/* cs_grpc_client_up - connected now, and the server has not said that it goes away. */
bool cs_grpc_client_up(const cs_grpc_client *c);
/* cs_grpc_client_free - open calls end with UNAVAILABLE (on_end is called). */
void cs_grpc_client_free(cs_grpc_client *c);

/*
 * cs_grpc_call_new - open a call; path and events are borrowed for its life. timeout_ms 0: none. Beyond the server's
 * concurrent streams calls wait in order. CS_E_NO_MEMORY | CS_E_CLOSED.
 */
CS_MUST cs_err cs_grpc_call_new(cs_grpc_call **out, cs_grpc_client *client, const char *path, uint32_t timeout_ms,
                                const cs_grpc_call_events *events, void *cookie);
/*
 * cs_grpc_call_with - the same, with headers of its own (names in lower case, values without control bytes; copied), at most
 * CS_GRPC_HEADERS_MAX: CS_E_RANGE.
 */
#define CS_GRPC_HEADERS_MAX 4
typedef struct cs_grpc_header {
    const char *name;
    cs_slice value;
} cs_grpc_header;
typedef struct cs_grpc_begin {
    const char *path;
    uint32_t timeout_ms;
    const cs_grpc_header *headers;
    size_t num_headers;
} cs_grpc_begin;
CS_MUST cs_err cs_grpc_call_with(cs_grpc_call **out, cs_grpc_client *client, const cs_grpc_begin *begin,
                                 const cs_grpc_call_events *events, void *cookie);
/* cs_grpc_call_sent - the request is on a connection; false: it waits for one. */
bool cs_grpc_call_sent(const cs_grpc_call *c);
/* cs_grpc_end - no more messages from here (half-close). */
void cs_grpc_end(cs_grpc_call *c);
/* cs_grpc_cancel - RST_STREAM; no callback afterwards. */
void cs_grpc_cancel(cs_grpc_call *c);

/*
 * cs_grpc_unary - one blocking unary call on a connection of its own. answer gets the message. result->message is
 * "" here (its text is in text, when not NULL). Returns CS_OK, or result->err.
 */
CS_MUST cs_err cs_grpc_unary(cs_buf *answer, cs_buf *text, const cs_endpoint *ep, const char *path, cs_slice request,
                             uint32_t timeout_ms);

#endif
