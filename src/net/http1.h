/*
 * HTTP/1.1, strict, over llhttp: a message parser (requests and responses), the writer of heads, and a server on the loop.
 * Refused: Content-Length together with Transfer-Encoding, a second Content-Length, codings but chunked, line folding, bare
 * CR or LF, HTTP/1.0 with chunks or keep-alive games, upgrades, chunk extensions of requests, heads or bodies over the limits,
 * more than CS_HTTP1_HEADERS headers.
 * Source: RFC 9110, RFC 9112, specs/dependencies.md 6.
 */
#ifndef CS_NET_HTTP1_H
#define CS_NET_HTTP1_H

#include "net/stream.h"

#define CS_HTTP1_HEADERS 64

typedef struct cs_http1_header {
    cs_slice name, value;
} cs_http1_header;

/* A message. Slices point into the parser and stay valid until it is reset or freed. */
typedef struct cs_http1_msg {
    cs_slice method; /* request: "GET" */
    cs_slice target; /* request: as sent, path and query, not decoded */
    unsigned status; /* response: 100..599 */
    cs_http1_header headers[CS_HTTP1_HEADERS];
    size_t num_headers;
    cs_slice body; /* complete, chunks joined */
    bool keep_alive;
    bool http10; /* the sender speaks HTTP/1.0: it knows no chunks */
} cs_http1_msg;

/* cs_http1_header_get - value of the first header of that name (any case) without outer white space; p NULL: none. */
cs_slice cs_http1_header_get(const cs_http1_msg *m, const char *name);

typedef struct cs_http1_limits {
    size_t head_max;          /* start line and headers, names and values; 0: 16 KiB */
    size_t body_max;          /* 0: no body is taken */
    uint32_t head_timeout_ms; /* server: from the first byte; 0: 10 s */
    uint32_t body_timeout_ms; /* server: whole message; 0: 30 s */
    uint32_t idle_timeout_ms; /* server: between requests; 0: 60 s */
    unsigned conns_max;       /* server; 0: 256. Above, the connection longest without an answer to come gives way */
} cs_http1_limits;

typedef enum cs_http1_kind { CS_HTTP1_REQUEST, CS_HTTP1_RESPONSE } cs_http1_kind;
typedef struct cs_http1_parser cs_http1_parser;

CS_MUST cs_err cs_http1_parser_new(cs_http1_parser **out, cs_http1_kind kind, const cs_http1_limits *limits);
/*
 * cs_http1_feed - consume bytes up to the end of one message. *out_used tells how many (the rest belongs to the next
 * message); *out_done that the message is complete. CS_E_FORMAT | CS_E_TOO_LARGE | CS_E_UNSUPPORTED (coding, upgrade,
 * version) | CS_E_NO_MEMORY; after an error only reset or free.
 */
CS_MUST cs_err cs_http1_feed(cs_http1_parser *p, size_t *out_used, bool *out_done, cs_slice data);
/* cs_http1_eof - the peer has closed: CS_OK and done for a response that ends by close, CS_E_CLOSED in the middle. */
CS_MUST cs_err cs_http1_eof(cs_http1_parser *p, bool *out_done);
/* cs_http1_message - after done. */
const cs_http1_msg *cs_http1_message(const cs_http1_parser *p);
/* cs_http1_started - bytes of a message have been seen since the last reset; cs_http1_head_done - its head is complete. */
bool cs_http1_started(const cs_http1_parser *p);
bool cs_http1_head_done(const cs_http1_parser *p);
/* cs_http1_wants_continue - the head asked for 100 (Continue) [RFC 9110 10.1.1] and nothing of its body has come. */
bool cs_http1_wants_continue(const cs_http1_parser *p);
/* cs_http1_held - bytes of memory that head and body take. */
size_t cs_http1_held(const cs_http1_parser *p);
/* cs_http1_expects_no_body - the response to come answers HEAD: no body whatever its head says. */
void cs_http1_expects_no_body(cs_http1_parser *p);
/*
 * cs_http1_stream_body - from the next message on the body is not kept: fn gets it in pieces, as they come, of any total length
 * (body_max does not count), and the error that it returns ends the parsing. cs_http1_message has the head then, from within
 * fn too, and an empty body. fn must not reset or free the parser.
 */
typedef cs_err cs_http1_body_fn(void *cookie, cs_slice piece);
void cs_http1_stream_body(cs_http1_parser *p, cs_http1_body_fn *fn, void *cookie);
/* cs_http1_reset - ready for the next message; the old one's bytes are wiped (they may hold credentials). */
void cs_http1_reset(cs_http1_parser *p);
void cs_http1_parser_free(cs_http1_parser *p);

/*
 * cs_http1_put_request, cs_http1_put_response - append the head, with Content-Length: body_len (CS_HTTP1_CHUNKED: with
 * Transfer-Encoding: chunked). Names and values with control bytes (CR, LF) are CS_E_FORMAT. The caller adds the body.
 */
#define CS_HTTP1_CHUNKED SIZE_MAX
CS_MUST cs_err cs_http1_put_request(cs_buf *out, cs_slice method, cs_slice target, const cs_http1_header *headers,
                                    size_t num_headers, size_t body_len);
CS_MUST cs_err cs_http1_put_response(cs_buf *out, unsigned status, const cs_http1_header *headers, size_t num_headers,
                                     size_t body_len);
/* cs_http1_put_chunk - append parts as one chunk of a chunked body; no bytes at all: CS_E_RANGE (that would be the end). */
CS_MUST cs_err cs_http1_put_chunk(cs_buf *out, const cs_slice *parts, size_t num_parts);
/* cs_http1_reason - "Not Found"; "Status" for numbers without one. */
const char *cs_http1_reason(unsigned status);

/*
 * The server. handler answers each request with exactly one cs_http1_respond or one streamed answer, at once or later. Targets
 * that do not begin with "/" are refused. A client that does not read its answers is read no further, and closed after 30 s
 * without progress.
 */
typedef struct cs_http1_server cs_http1_server;
typedef struct cs_http1_conn cs_http1_conn;
typedef void cs_http1_handler(void *cookie, cs_http1_conn *conn, const cs_http1_msg *request);
struct cs_tls_ctx;

typedef struct cs_http1_server_opts {
    cs_http1_limits limits;
    uint32_t cid;           /* vsock peers allowed: a CID or CS_EP_CID_ANY */
    struct cs_tls_ctx *tls; /* server context, or NULL: plain; borrowed */
    /* puts TLS on a stream: cs_tls_accept (net/tls.h), so that plain servers do not link OpenSSL */
    cs_err (*tls_wrap)(cs_stream *s, struct cs_tls_ctx *ctx);
    /* answers what the server itself refuses (malformed: 400, late: 408, too large: 413, 431) by one cs_http1_respond; the
     * connection ends. NULL: no body */
    void (*refuse)(cs_http1_conn *conn, unsigned status, cs_err err);
    size_t held_max; /* memory for requests of all connections; above, one that waits longest gives way. 0: no limit */
    int send_buffer; /* bytes of the system's buffer of a connection (it takes the double); 0: the system grows it */
} cs_http1_server_opts;

/* cs_http1_server_new - takes the listener. */
CS_MUST cs_err cs_http1_server_new(cs_http1_server **out, cs_loop *l, int listen_fd_take,
                                   const cs_http1_server_opts *opts, cs_http1_handler *handler, void *cookie);
/*
 * cs_http1_respond - head and body (copied). HEAD requests get the head only. A status of 400 or more with close == true
 * ends the connection afterwards. conn stays the server's; it must not be used after this call.
 */
void cs_http1_respond(cs_http1_conn *conn, unsigned status, const cs_http1_header *headers, size_t num_headers,
                      cs_slice body);
/*
 * A streamed answer: chunked, and the connection ends with it. What the client sends behind its request is dropped, and its
 * end of file counts as leaving.
 * cs_http1_stream_begin - sends the head. CS_E_UNSUPPORTED: HTTP/1.0, nothing was sent, answer with cs_http1_respond.
 * CS_E_CLOSED: the answer is complete (HEAD), or could not be sent; conn must not be used any more, events are not called.
 */
typedef struct cs_http1_stream_events {
    void (*on_drain)(void *cookie); /* cs_http1_stream_full was true, and half of that has been sent */
    void (*on_gone)(void *cookie);  /* the client left; conn must not be used after this */
} cs_http1_stream_events;
CS_MUST cs_err cs_http1_stream_begin(cs_http1_conn *conn, unsigned status, const cs_http1_header *headers,
                                     size_t num_headers, const cs_http1_stream_events *events, void *cookie);
/* cs_http1_stream_write - parts as one chunk, copied. CS_E_NO_MEMORY | CS_E_CLOSED | CS_E_RANGE (no bytes). */
CS_MUST cs_err cs_http1_stream_write(cs_http1_conn *conn, const cs_slice *parts, size_t num_parts);
/* cs_http1_stream_write_ref - bytes made by cs_http1_put_chunk, by reference; release(cookie) once, unless this fails. */
CS_MUST cs_err cs_http1_stream_write_ref(cs_http1_conn *conn, cs_slice chunk, cs_loop_fn *release, void *cookie);
/* cs_http1_stream_queued - bytes not sent yet; _full - 256 KiB or more: write no further until on_drain. */
size_t cs_http1_stream_queued(const cs_http1_conn *conn);
bool cs_http1_stream_full(const cs_http1_conn *conn);
/* cs_http1_stream_flush - now instead of at the end of the turn. */
void cs_http1_stream_flush(cs_http1_conn *conn);
/* cs_http1_stream_end - the last chunk; the connection is closed when it is out. conn must not be used after this. */
void cs_http1_stream_end(cs_http1_conn *conn);
/* cs_http1_conn_close - drop the connection without (the rest of) an answer; no callback. */
void cs_http1_conn_close(cs_http1_conn *conn);
/* cs_http1_conn_on_gone - fn when the client goes away before the answer: then respond must not be called. */
void cs_http1_conn_on_gone(cs_http1_conn *conn, cs_loop_fn *fn, void *cookie);
/* cs_http1_server_conns - connections open now. */
size_t cs_http1_server_conns(const cs_http1_server *s);
/* cs_http1_server_drain - no new connections; those that wait for no answer are closed, the others after their answer. */
void cs_http1_server_drain(cs_http1_server *s);
void cs_http1_server_free(cs_http1_server *s);

#endif
