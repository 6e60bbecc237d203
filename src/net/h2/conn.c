/* One HTTP/2 connection: nghttp2 between a stream and its calls. See conn.h. */
#include "net/h2/conn.h"

#include <stdlib.h>
#include <string.h>

#define STREAM_HIGH (1u << 20)
#define STREAM_MAX (16u << 20)
#define RESET_BURST 1000
#define RESET_RATE 100
#define TICK_MIN_MS 5
#define PLAIN_MS 1000

static void set_default(size_t *v, size_t def)
{
    *v = *v != 0 ? *v : def;
}

static void set_default32(uint32_t *v, uint32_t def)
{
    *v = *v != 0 ? *v : def;
}

void cs_h2_defaults(cs_grpc_opts *out, const cs_grpc_opts *opts_in)
{
    static const cs_grpc_opts none = {0};
    *out = opts_in != NULL ? *opts_in : none;
    set_default(&out->message_max, CS_GRPC_MESSAGE_MAX);
    set_default(&out->queue_max, CS_GRPC_QUEUE);
    set_default32(&out->streams_max, 1024);
    set_default32(&out->calls_max, 8192);
    set_default32(&out->conns_max, 256);
    set_default(&out->header_list_max, 16u * 1024u);
    set_default32(&out->keepalive_ms, 60000);
    set_default32(&out->keepalive_timeout_ms, 20000);
    set_default32(&out->request_ms, 30000);
    set_default(&out->held_max, 128u << 20);
    set_default32(&out->cid, CS_EP_CID_ANY);
}

nghttp2_nv cs_h2_nv(const char *name, cs_slice value, bool nocopy)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value.p, strlen(name), value.len,
                        (uint8_t)(NGHTTP2_NV_FLAG_NO_COPY_NAME | (nocopy ? NGHTTP2_NV_FLAG_NO_COPY_VALUE : 0))};
}

static cs_grpc_call *call_of(nghttp2_session *session, int32_t id)
{
    return nghttp2_session_get_stream_user_data(session, id);
}

/* ---- nghttp2's callbacks ---- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    cs_h2_conn *c = user;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
        return 0;
    }
    cs_grpc_call *call = c->role->begin(c, frame->hd.stream_id);
    if (call == NULL) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    (void)nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, call);
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
                     const uint8_t *value, size_t value_len, uint8_t flags, void *user)
{
    cs_h2_conn *c = user;
    cs_grpc_call *call = call_of(session, frame->hd.stream_id);
    if (call != NULL) {
        c->role->header(call, cs_slice_of(name, name_len), cs_slice_of(value, value_len));
    }
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    cs_h2_conn *c = user;
    if (frame->hd.type == NGHTTP2_GOAWAY) {
        c->goaway_seen = true;
        return 0;
    }
    if (frame->hd.type == NGHTTP2_SETTINGS && !c->ready) {
        c->ready = true;
        c->role->ready(c);
    }
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) {
        return 0;
    }
    cs_grpc_call *call = call_of(session, frame->hd.stream_id);
    bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (call == NULL) {
        return 0;
    }
    if (frame->hd.type == NGHTTP2_HEADERS) {
        c->role->headers_done(call, end);
    }
    if (end && !call->peer_ended) {
        call->peer_ended = true;
        c->role->peer_ended(call);
    }
    return c->dead ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t h2_error, void *user)
{
    cs_h2_conn *c = user;
    cs_grpc_call *call = call_of(session, id);
    if (call != NULL) {
        (void)nghttp2_session_set_stream_user_data(session, id, NULL);
        cs_h2_call_unlink(call);
        c->role->closed(call, h2_error);
        cs_h2_call_free(call);
    }
    return c->dead ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

/* The server has said all: a client that still sends is told that no one listens. One that does not speak gRPC is heard out
 * for PLAIN_MS, so that its errors are answered as such. */
static int on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    cs_h2_conn *c = user;
    if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0 && nghttp2_session_check_server_session(session) != 0 &&
        nghttp2_session_get_stream_remote_close(session, frame->hd.stream_id) == 0) {
        cs_grpc_call *call = call_of(session, frame->hd.stream_id);
        if (call != NULL && call->plain) {
            call->limit = cs_loop_now(c->loop) + PLAIN_MS;
            cs_h2_conn_deadline(c, call->limit);
        } else {
            (void)nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
        }
    }
    return 0;
}

static ssize_t on_send(nghttp2_session *session, const uint8_t *data, size_t len, int flags, void *user)
{
    cs_h2_conn *c = user;
    if (c->dead) {
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    if (cs_stream_full(c->stream)) {
        return NGHTTP2_ERR_WOULDBLOCK;
    }
    return cs_stream_write(c->stream, cs_slice_of(data, len)) == CS_OK ? (ssize_t)len : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static ssize_t read_length(nghttp2_session *session, uint8_t type, int32_t id, int32_t session_window,
                           int32_t stream_window, uint32_t remote_frame_max, void *user)
{
    ssize_t n = CS_H2_FRAME_MAX;
    n = n < session_window ? n : session_window;
    n = n < stream_window ? n : stream_window;
    return n < (ssize_t)remote_frame_max ? n : (ssize_t)remote_frame_max;
}

static ssize_t on_read_source(nghttp2_session *session, int32_t id, uint8_t *buf, size_t len, uint32_t *flags,
                              nghttp2_data_source *source, void *user)
{
    cs_grpc_call *call = source->ptr;
    size_t n = call->queued < len ? call->queued : len;
    if (n == 0 && !call->ended) {
        return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (call->ended && n == call->queued) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (nghttp2_session_check_server_session(session) != 0 && !call->plain) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            cs_h2_server_trailers(call);
        }
    }
    return (ssize_t)n;
}

static int on_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head, size_t len,
                        nghttp2_data_source *source, void *user)
{
    cs_h2_conn *c = user;
    if (cs_stream_full(c->stream)) {
        return NGHTTP2_ERR_WOULDBLOCK;
    }
    if (cs_stream_write(c->stream, cs_slice_of(head, 9)) != CS_OK || cs_h2_call_pull(source->ptr, len) != CS_OK) {
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    return 0;
}

nghttp2_data_provider cs_h2_call_source(cs_grpc_call *call)
{
    return (nghttp2_data_provider){.source = {.ptr = call}, .read_callback = on_read_source};
}

/* ---- the connection ---- */

/* Only by the last leave(): each caller holds a count of its own, which gcc cannot see across inlined calls. */
static __attribute__((noinline)) void conn_destroy(cs_h2_conn *c)
{
    nghttp2_session_del(c->session);
    while (c->buried != NULL) {
        cs_grpc_call *call = c->buried;
        c->buried = call->next;
        cs_h2_call_free(call);
    }
    free(c);
}

static void leave(cs_h2_conn *c)
{
    if (--c->busy == 0 && c->dead) {
        conn_destroy(c);
    }
}

void cs_h2_conn_close(cs_h2_conn *c)
{
    if (c == NULL || c->dead) {
        return;
    }
    c->dead = true;
    c->busy++;
    cs_defer_cancel(&c->pump);
    cs_timer_free(c->tick);
    cs_timer_free(c->keepalive);
    while (c->calls != NULL) {
        cs_grpc_call *call = c->calls;
        if (call->id > 0) {
            (void)nghttp2_session_set_stream_user_data(c->session, call->id, NULL);
        }
        cs_h2_call_unlink(call);
        c->role->closed(call, NGHTTP2_CONNECT_ERROR);
        call->next = c->buried;
        c->buried = call;
    }
    if (c->goaway_sent) {
        cs_stream_free_when_sent(c->stream, 1000); /* lets the GOAWAY out */
    } else {
        cs_stream_free(c->stream);
    }
    leave(c);
}

static void conn_fail(cs_h2_conn *c, cs_err err)
{
    if (!c->dead) {
        c->busy++;
        cs_h2_conn_close(c);
        c->role->conn_closed(c, err);
        leave(c);
    }
}

static void tell_drained(cs_h2_conn *c)
{
    c->drain_pending = false;
    for (cs_grpc_call *call = c->calls, *next; call != NULL && !c->dead; call = next) {
        next = call->next;
        if (call->drain_due && call->queued <= c->opts->queue_max / 4) {
            call->drain_due = false;
            if (!call->detached && !call->ended) {
                c->role->drained(call);
            }
        }
    }
}

static void on_pump(void *cookie)
{
    cs_h2_conn *c = cookie;
    if (c->unfit != CS_OK) {
        conn_fail(c, c->unfit);
        return;
    }
    c->busy++;
    int rc = nghttp2_session_send(c->session);
    if (c->drain_pending && !c->dead) {
        tell_drained(c);
    }
    if (rc != 0) {
        conn_fail(c, CS_E_IO);
    } else if (!c->dead && nghttp2_session_want_read(c->session) == 0 && nghttp2_session_want_write(c->session) == 0) {
        c->goaway_sent = true;
        conn_fail(c, CS_E_CLOSED);
    }
    leave(c);
}

void cs_h2_conn_wake(cs_h2_conn *c)
{
    if (!c->dead) {
        cs_defer_arm(c->loop, &c->pump);
    }
}

static void on_bytes(void *cookie, cs_slice data)
{
    cs_h2_conn *c = cookie;
    if (!c->refused) { /* what it still sends does not keep a refused client */
        c->heard = cs_loop_now(c->loop);
        c->pinged = false;
    }
    c->busy++;
    size_t good = data.len;
    uint32_t h2_error = 0;
    bool server = nghttp2_session_check_server_session(c->session) != 0;
    cs_err guarded = server && !c->refused ? cs_h2_guard_read(&c->guard, &good, &h2_error, data) : CS_OK;
    ssize_t rc = c->refused ? 0 : nghttp2_session_mem_recv(c->session, data.p, good);
    if (!c->dead && rc >= 0 && guarded != CS_OK) {
        c->refused = true;
        rc = nghttp2_session_terminate_session(c->session, h2_error);
        if (c->stats != NULL) {
            c->stats->protocol_errors++;
        }
    }
    if (!c->dead && rc < 0) {
        if (c->stats != NULL) {
            c->stats->protocol_errors++;
        }
        conn_fail(c, CS_E_FORMAT);
    }
    cs_h2_conn_wake(c);
    leave(c);
}

static void on_drain(void *cookie)
{
    cs_h2_conn_wake(cookie);
}

static void on_close(void *cookie, cs_err err)
{
    conn_fail(cookie, err);
}

/* After silence a PING; after more silence the peer is gone. */
static void on_keepalive(void *cookie)
{
    cs_h2_conn *c = cookie;
    uint64_t silent = cs_loop_now(c->loop) - c->heard;
    if (c->pinged && silent >= (uint64_t)c->opts->keepalive_ms + c->opts->keepalive_timeout_ms) {
        conn_fail(c, CS_E_TIMEOUT);
        return;
    }
    if (!c->pinged && silent >= c->opts->keepalive_ms) {
        c->pinged = true;
        (void)nghttp2_submit_ping(c->session, NGHTTP2_FLAG_NONE, NULL);
        cs_h2_conn_wake(c);
    }
    uint64_t due = (uint64_t)c->opts->keepalive_ms + (c->pinged ? c->opts->keepalive_timeout_ms : 0);
    cs_timer_start(c->keepalive, due > silent ? due - silent : 1, 0);
}

static uint64_t call_due(const cs_grpc_call *call)
{
    return call->deadline < call->limit ? call->deadline : call->limit;
}

static void on_tick(void *cookie)
{
    cs_h2_conn *c = cookie;
    uint64_t now = cs_loop_now(c->loop);
    uint64_t next_due = UINT64_MAX;
    c->busy++;
    c->tick_at = UINT64_MAX;
    for (cs_grpc_call *call = c->calls, *next; call != NULL && !c->dead; call = next) {
        next = call->next;
        if (call_due(call) <= now) {
            c->role->late(call);
        } else if (call_due(call) < next_due) {
            next_due = call_due(call);
        }
    }
    if (!c->dead && next_due != UINT64_MAX) {
        cs_h2_conn_deadline(c, next_due);
    }
    leave(c);
}

/* Scans are at least TICK_MIN_MS apart, so that many calls with close deadlines cost little. */
void cs_h2_conn_deadline(cs_h2_conn *c, uint64_t at)
{
    uint64_t now = cs_loop_now(c->loop);
    if (at >= c->tick_at || c->dead) {
        return;
    }
    at = at < now + TICK_MIN_MS ? now + TICK_MIN_MS : at;
    c->tick_at = at;
    cs_timer_start(c->tick, at - now, 0);
}

void cs_h2_conn_goaway(cs_h2_conn *c)
{
    if (!c->dead && !c->goaway_sent) {
        c->goaway_sent = true;
        (void)nghttp2_submit_goaway(c->session, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(c->session),
                                    NGHTTP2_NO_ERROR, NULL, 0);
        cs_h2_conn_wake(c);
    }
}

static cs_err make_session(cs_h2_conn *c, bool server)
{
    nghttp2_session_callbacks *cb = NULL;
    nghttp2_option *option = NULL;
    if (nghttp2_session_callbacks_new(&cb) != 0 || nghttp2_option_new(&option) != 0) {
        nghttp2_session_callbacks_del(cb);
        return CS_E_NO_MEMORY;
    }
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, cs_h2_conn_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_sent);
    nghttp2_session_callbacks_set_send_callback(cb, on_send);
    nghttp2_session_callbacks_set_send_data_callback(cb, on_send_data);
    nghttp2_session_callbacks_set_data_source_read_length_callback(cb, read_length);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_option_set_stream_reset_rate_limit(option, RESET_BURST, RESET_RATE);
    int rc = server ? nghttp2_session_server_new2(&c->session, cb, c, option)
                    : nghttp2_session_client_new2(&c->session, cb, c, option);
    nghttp2_session_callbacks_del(cb);
    nghttp2_option_del(option);
    return rc == 0 ? CS_OK : CS_E_NO_MEMORY;
}

static cs_err greet(cs_h2_conn *c, bool server)
{
    nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, CS_GRPC_WINDOW_STREAM},
        {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, server ? CS_H2_SERVER_FRAME_MAX : CS_H2_FRAME_MAX},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)c->opts->header_list_max},
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, server ? c->opts->streams_max : 0},
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
    };
    size_t num = server ? 4 : 5;
    return nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings, num) == 0 &&
                   nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0, CS_GRPC_WINDOW_CONN) == 0
               ? CS_OK
               : CS_E_NO_MEMORY;
}

cs_err cs_h2_conn_new(cs_h2_conn **out, cs_loop *l, int fd_take, bool server, const cs_h2_role *role,
                      const cs_grpc_opts *opts, void *owner)
{
    static const cs_stream_events events = {.on_data = on_bytes, .on_drain = on_drain, .on_close = on_close};
    static const cs_stream_opts stream_opts = {256u * 1024u, STREAM_HIGH, STREAM_MAX};
    cs_h2_conn *c = calloc(1, sizeof *c);
    cs_err err = CS_E_NO_MEMORY;
    if (c == NULL) {
        return err;
    }
    *c = (cs_h2_conn){.loop = l,
                      .role = role,
                      .opts = opts,
                      .owner = owner,
                      .heard = cs_loop_now(l),
                      .idle_since = cs_loop_now(l),
                      .tick_at = UINT64_MAX,
                      .pump = {.fn = on_pump, .cookie = c}};
    if ((err = make_session(c, server)) != CS_OK || (err = greet(c, server)) != CS_OK ||
        (err = cs_timer_new(&c->tick, l, on_tick, c)) != CS_OK ||
        (err = cs_timer_new(&c->keepalive, l, on_keepalive, c)) != CS_OK ||
        (err = cs_stream_new(&c->stream, l, fd_take, &stream_opts, &events, c)) != CS_OK) {
        cs_timer_free(c->tick);
        cs_timer_free(c->keepalive);
        conn_destroy(c);
        return err;
    }
    cs_timer_start(c->keepalive, opts->keepalive_ms, 0);
    c->unfit = opts->on_stream != NULL ? opts->on_stream(c->stream, opts->stream_cookie) : CS_OK;
    cs_stream_read(c->stream, c->unfit == CS_OK);
    cs_h2_conn_wake(c);
    *out = c;
    return CS_OK;
}
