/* Inside of gRPC: one HTTP/2 connection and its calls, shared by server and client. For net/h2/ only. */
#ifndef CS_NET_H2_CONN_H
#define CS_NET_H2_CONN_H

#include <nghttp2/nghttp2.h>

#include "net/h2/grpc.h"
#include "net/h2/guard.h"
#include "net/h2/unframe.h"
#include "net/stream.h"

#define CS_H2_FRAME_MAX (128u * 1024u)
#define CS_H2_SERVER_FRAME_MAX (16u * 1024u) /* the protocol's own: header blocks must not be larger */
#define CS_H2_HEAD_MAX 40                    /* prefix and the head of cs_grpc_send_ref */

typedef struct cs_h2_conn cs_h2_conn;

/* One message on its way out. refs: the queue's, and one for each piece that the stream still holds. */
typedef struct cs_h2_msg {
    struct cs_h2_msg *next;
    cs_slice body;
    size_t head_len, head_off, body_off;
    unsigned refs;
    cs_loop_fn *release;
    void *cookie;
    uint8_t head[CS_H2_HEAD_MAX];
    uint8_t mem[];
} cs_h2_msg;

struct cs_grpc_call {
    cs_h2_conn *conn; /* NULL: waits for a connection (client) */
    struct cs_grpc_call *next, **prev;
    int32_t id; /* of the stream; -1 before */
    void *cookie;
    cs_buf headers; /* u16 name length, u32 value length, name, value; each */
    size_t header_bytes;
    cs_unframer in;
    size_t held;       /* memory of a message that came in part, counted in stats */
    size_t unconsumed; /* received while reading was off */
    cs_h2_msg *out, **out_tail;
    size_t queued;
    uint64_t deadline, limit; /* ms of the loop; UINT64_MAX: none. limit is ours (slow requests, slow readers) */
    bool paused, drain_due;
    bool ended;    /* the application sends no more: finished (server), half-closed (client) */
    bool detached; /* the application must not hear of it any more */
    bool peer_ended;
    bool headers_sent; /* server */
    bool plain; /* server: the answer is HTTP without gRPC; the request is read on for a moment, and thrown away */
    cs_grpc_status status;
    cs_err err;
    cs_buf message;
    /* server */
    const cs_grpc_method *method;
    bool opened; /* on_open has been called */
    bool post, head, is_grpc, has_unary;
    cs_slice path;
    char path_text[128];
    cs_buf unary;
    cs_err refusal;
    /* client */
    cs_grpc_client *client;
    const char *want_path;
    const cs_grpc_call_events *events;
    bool got_headers, http_ok, content_ok;
    unsigned http_status;
};

/* What differs between server and client. All may be called inside nghttp2's callbacks. */
typedef struct cs_h2_role {
    cs_grpc_call *(*begin)(cs_h2_conn *c, int32_t id); /* server: a request starts; NULL refuses */
    void (*header)(cs_grpc_call *call, cs_slice name, cs_slice value);
    void (*headers_done)(cs_grpc_call *call, bool end);
    void (*message)(cs_grpc_call *call, cs_slice message);
    void (*bad_data)(cs_grpc_call *call, cs_err err); /* of the framing */
    void (*peer_ended)(cs_grpc_call *call);
    void (*closed)(cs_grpc_call *call, uint32_t h2_error); /* the stream is gone; frees nothing */
    void (*late)(cs_grpc_call *call);                      /* deadline or limit has passed */
    void (*drained)(cs_grpc_call *call);
    void (*ready)(cs_h2_conn *c);                   /* the peer's first SETTINGS came */
    void (*conn_closed)(cs_h2_conn *c, cs_err err); /* after all calls have heard; owner drops it */
} cs_h2_role;

struct cs_h2_conn {
    cs_loop *loop;
    cs_stream *stream;
    nghttp2_session *session;
    const cs_h2_role *role;
    const cs_grpc_opts *opts; /* with all defaults filled in */
    void *owner;
    cs_h2_conn *next, **prev;
    cs_grpc_call *calls;
    cs_grpc_call *buried; /* ended by cs_h2_conn_close; freed with the connection, as callbacks may still hold them */
    size_t num_calls;
    cs_defer pump;
    cs_timer *tick; /* deadlines */
    uint64_t tick_at;
    cs_timer *keepalive;
    uint64_t heard;      /* last byte received */
    uint64_t idle_since; /* server: when the last call ended, or the connection came */
    bool pinged, drain_pending, dead, refused, goaway_sent, goaway_seen, ready;
    cs_err unfit; /* of opts->on_stream: the connection ends in its first turn */
    int busy;
    cs_h2_guard guard; /* server */
    cs_grpc_stats *stats;
};

/* opts_in may be NULL. */
void cs_h2_defaults(cs_grpc_opts *out, const cs_grpc_opts *opts_in);
/* cs_h2_conn_new - takes fd on CS_OK. */
CS_MUST cs_err cs_h2_conn_new(cs_h2_conn **out, cs_loop *l, int fd_take, bool server, const cs_h2_role *role,
                              const cs_grpc_opts *opts, void *owner);
/* cs_h2_conn_close - calls hear `closed`, then the connection is freed; conn_closed is not called. */
void cs_h2_conn_close(cs_h2_conn *c);
/* cs_h2_conn_data - nghttp2's callback for DATA; user is the connection. */
int cs_h2_conn_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t len, void *user);
/* cs_h2_conn_wake - something may be sent. */
void cs_h2_conn_wake(cs_h2_conn *c);
void cs_h2_conn_goaway(cs_h2_conn *c);
/* cs_h2_conn_deadline - a call's deadline was set or changed. */
void cs_h2_conn_deadline(cs_h2_conn *c, uint64_t at);

/* calls: list and memory */
CS_MUST cs_err cs_h2_call_new(cs_grpc_call **out, size_t message_max, size_t header_max);
void cs_h2_call_link(cs_h2_conn *c, cs_grpc_call *call);
void cs_h2_call_unlink(cs_grpc_call *call);
void cs_h2_call_free(cs_grpc_call *call);
void cs_h2_call_header(cs_grpc_call *call, cs_slice name, cs_slice value);
/* cs_h2_call_reset - RST_STREAM. */
void cs_h2_call_reset(cs_grpc_call *call, uint32_t h2_error);
/* cs_h2_call_drop_out - forget what is queued. */
void cs_h2_call_drop_out(cs_grpc_call *call);
/* cs_h2_call_text - an HTTP body instead of messages; text is static. Without memory: none. */
void cs_h2_call_text(cs_grpc_call *call, const char *text);
/* cs_h2_call_pull - write `len` queued bytes of call to the stream. */
CS_MUST cs_err cs_h2_call_pull(cs_grpc_call *call, size_t len);
/* cs_h2_server_trailers - inside the read callback, when the last byte is out. */
void cs_h2_server_trailers(cs_grpc_call *call);
/* cs_h2_server_start - submit the response headers if that has not been done. */
void cs_h2_server_start(cs_grpc_call *call);
/* cs_h2_client_opts - of a call that has no connection yet. */
const cs_grpc_opts *cs_h2_client_opts(const cs_grpc_client *client);
nghttp2_data_provider cs_h2_call_source(cs_grpc_call *call);
/* cs_h2_nv - a header whose bytes live long enough when nocopy. */
nghttp2_nv cs_h2_nv(const char *name, cs_slice value, bool nocopy);

#endif
