/* gRPC server. See grpc.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/h2/conn.h"
#include "net/h2/text.h"

#define SLOW_READER_MS 30000 /* a finished call whose client does not take the rest */
#define DETAIL_MAX 1024

struct cs_grpc_server {
    cs_loop *loop;
    cs_listener *listener;
    cs_grpc_opts opts;
    cs_grpc_method *methods; /* a copy */
    void *cookie;
    cs_h2_conn *conns;
    size_t num_conns;
    cs_grpc_stats stats;
    cs_loop_fn *drained;
    void *drained_cookie;
    cs_defer drain;
};

static cs_grpc_server *server_of(const cs_grpc_call *c)
{
    return c->conn->owner;
}

void *cs_grpc_call_server_cookie(const cs_grpc_call *c)
{
    return server_of(c)->cookie;
}

/* ---- answers ---- */

static const char content_type[] = "application/grpc";

void cs_h2_server_start(cs_grpc_call *call)
{
    if (call->headers_sent) {
        return;
    }
    call->headers_sent = true;
    nghttp2_nv nv[] = {
        cs_h2_nv(":status", cs_slice_str("200"), true),
        cs_h2_nv("content-type", cs_slice_str(content_type), true),
        cs_h2_nv("grpc-accept-encoding", cs_slice_str("identity"), true),
    };
    nghttp2_data_provider source = cs_h2_call_source(call);
    (void)nghttp2_submit_response(call->conn->session, call->id, nv, sizeof nv / sizeof *nv, &source);
}

/* grpc-status, and for errors grpc-message and countersign-code; values are copied by nghttp2. */
static size_t put_trailers(nghttp2_nv nv[3], char status[4], const cs_grpc_call *call)
{
    size_t n = 0;
    snprintf(status, 4, "%u", (unsigned)call->status & 0xffu);
    nv[n++] = cs_h2_nv("grpc-status", cs_slice_str(status), false);
    if (call->message.len > 0) {
        nv[n++] = cs_h2_nv("grpc-message", cs_buf_slice(&call->message), false);
    }
    if (call->err != CS_OK) {
        nv[n++] = cs_h2_nv("countersign-code", cs_slice_str(cs_err_code(call->err)), true);
    }
    return n;
}

void cs_h2_server_trailers(cs_grpc_call *call)
{
    nghttp2_nv nv[3];
    char status[4];
    size_t n = put_trailers(nv, status, call);
    (void)nghttp2_submit_trailer(call->conn->session, call->id, nv, n);
}

static void trailers_only(cs_grpc_call *call)
{
    nghttp2_nv nv[6] = {
        cs_h2_nv(":status", cs_slice_str("200"), true),
        cs_h2_nv("content-type", cs_slice_str(content_type), true),
        cs_h2_nv("grpc-accept-encoding", cs_slice_str("identity"), true),
    };
    char status[4];
    call->headers_sent = true;
    size_t n = put_trailers(nv + 3, status, call);
    (void)nghttp2_submit_response(call->conn->session, call->id, nv, 3 + n, NULL);
}

/* "CODE: cause; fix (detail)", percent-encoded; a detail that does not fit is cut off whole. */
static void put_message(cs_grpc_call *call, cs_err e, const char *detail)
{
    char text[512 + DETAIL_MAX];
    snprintf(text, sizeof text, "%s: %s; %s", cs_err_code(e), cs_err_cause(e), cs_err_fix(e));
    if (detail != NULL && detail[0] != '\0' && strlen(detail) <= DETAIL_MAX) {
        size_t at = strlen(text);
        snprintf(text + at, sizeof text - at, " (%s)", detail);
    }
    if (cs_percent_put(&call->message, cs_slice_str(text)) != CS_OK) {
        call->message.len = 0;
    }
}

static void send_trailers(cs_grpc_call *c, cs_grpc_status status, cs_err e)
{
    c->status = status;
    c->err = e;
    c->ended = true;
    c->detached = true;
    c->deadline = UINT64_MAX;
    c->limit = cs_loop_now(c->conn->loop) + SLOW_READER_MS;
    cs_h2_conn_deadline(c->conn, c->limit);
    if (!c->headers_sent) {
        trailers_only(c);
    } else {
        (void)nghttp2_session_resume_data(c->conn->session, c->id);
    }
    cs_grpc_read(c, true);
    cs_h2_conn_wake(c->conn);
}

static void finish(cs_grpc_call *c, cs_grpc_status status, cs_err e, const char *detail)
{
    if (c->ended) {
        return;
    }
    if (e != CS_OK) {
        put_message(c, e, detail);
    }
    send_trailers(c, status, e);
}

void cs_grpc_finish_raw(cs_grpc_call *c, cs_grpc_status status, cs_err code, cs_slice message)
{
    if (c->ended) {
        return;
    }
    if (message.len > 0 && cs_percent_put(&c->message, message) != CS_OK) {
        c->message.len = 0;
    }
    send_trailers(c, status, code);
}

const char *cs_grpc_call_path(const cs_grpc_call *c)
{
    return c->method->path;
}

void cs_grpc_finish_as(cs_grpc_call *c, cs_grpc_status status, cs_err e, const char *detail)
{
    finish(c, status, e, detail);
}

void cs_grpc_finish(cs_grpc_call *c, cs_err e, const char *detail)
{
    finish(c, e == CS_OK ? CS_GRPC_OK : cs_err_grpc(e), e, detail);
}

/* The server itself ends a call that the application may know of. */
static void end_by_server(cs_grpc_call *c, cs_grpc_status status, cs_err e, const char *detail)
{
    if (c->detached || c->ended) {
        return;
    }
    if (c->opened && c->method->on_gone != NULL) {
        c->detached = true;
        c->method->on_gone(c);
    }
    cs_h2_call_drop_out(c);
    finish(c, status, e, detail);
}

/* Who speaks no gRPC is told so in HTTP. */
static void http_error(cs_grpc_call *c, const char *status)
{
    nghttp2_nv nv[] = {
        cs_h2_nv(":status", cs_slice_str(status), true), cs_h2_nv("content-type", cs_slice_str("text/plain"), true),
        cs_h2_nv("allow", cs_slice_str("POST"), true), /* last: 405 only */
    };
    c->ended = true;
    c->detached = true;
    c->headers_sent = true;
    c->plain = true;
    if (!c->head) {
        cs_h2_call_text(c, "This port speaks gRPC: POST, content-type application/grpc.\n");
    }
    nghttp2_data_provider source = cs_h2_call_source(c);
    (void)nghttp2_submit_response(c->conn->session, c->id, nv, c->post ? 2 : 3, c->queued > 0 ? &source : NULL);
    cs_h2_conn_wake(c->conn);
}

/* ---- requests ---- */

static cs_grpc_call *role_begin(cs_h2_conn *conn, int32_t id)
{
    cs_grpc_call *c = NULL;
    if (cs_h2_call_new(&c, conn->opts->message_max, conn->opts->header_list_max) != CS_OK) {
        return NULL;
    }
    c->id = id;
    c->limit = cs_loop_now(conn->loop) + conn->opts->request_ms; /* for the headers, which may come byte by byte */
    cs_h2_call_link(conn, c);
    cs_h2_conn_deadline(conn, c->limit);
    cs_grpc_server *s = conn->owner;
    s->stats.calls++;
    s->stats.calls_open++;
    return c;
}

static bool is_grpc_type(cs_slice v)
{
    size_t n = sizeof content_type - 1;
    return v.len >= n && memcmp(v.p, content_type, n) == 0 &&
           (v.len == n || v.p[n] == ';' || (v.len == n + 6 && memcmp(v.p + n, "+proto", 6) == 0));
}

static void role_header(cs_grpc_call *c, cs_slice name, cs_slice value)
{
    uint64_t ms = 0;
    if (c->method != NULL || c->ended) { /* request trailers say nothing in gRPC */
        return;
    }
    if (cs_slice_eq_str(name, ":path")) {
        size_t n = value.len < sizeof c->path_text ? value.len : 0;
        memcpy(c->path_text, value.p, n);
        c->path = cs_slice_of(c->path_text, n);
    } else if (cs_slice_eq_str(name, ":method")) {
        c->post = cs_slice_eq_str(value, "POST");
        c->head = cs_slice_eq_str(value, "HEAD");
    } else if (cs_slice_eq_str(name, "content-type")) {
        c->is_grpc = is_grpc_type(value);
    } else if (cs_slice_eq_str(name, "grpc-timeout")) {
        if (cs_grpc_timeout_parse(&ms, value) != CS_OK) {
            c->refusal = CS_E_FORMAT;
        } else {
            c->deadline = cs_loop_now(c->conn->loop) + ms;
        }
    } else if (cs_slice_eq_str(name, "grpc-encoding") && !cs_slice_eq_str(value, "identity")) {
        c->refusal = CS_E_UNSUPPORTED;
    }
    if (name.len > 0 && name.p[0] != ':') {
        cs_h2_call_header(c, name, value);
    }
}

static const cs_grpc_method *find_method(const cs_grpc_server *s, cs_slice path)
{
    for (const cs_grpc_method *m = s->methods; m->path != NULL; m++) {
        if (cs_slice_eq_str(path, m->path)) {
            return m;
        }
    }
    return NULL;
}

static void role_headers_done(cs_grpc_call *c, bool end)
{
    cs_grpc_server *s = server_of(c);
    uint64_t now = cs_loop_now(c->conn->loop);
    if (c->method != NULL || c->ended) {
        return;
    }
    if (!c->post) {
        http_error(c, "405");
    } else if (!c->is_grpc) {
        http_error(c, "415");
    } else if (c->header_bytes > s->opts.header_list_max) {
        finish(c, CS_GRPC_RESOURCE_EXHAUSTED, CS_E_TOO_LARGE, "header list");
    } else if (c->refusal != CS_OK) {
        finish(c, c->refusal == CS_E_UNSUPPORTED ? CS_GRPC_UNIMPLEMENTED : CS_GRPC_INTERNAL, c->refusal,
               c->refusal == CS_E_UNSUPPORTED ? "grpc-encoding" : "grpc-timeout");
    } else if (s->stats.calls_open > s->opts.calls_max) {
        finish(c, CS_GRPC_RESOURCE_EXHAUSTED, CS_E_SESSION_LIMIT, NULL);
    } else if ((c->method = find_method(s, c->path)) == NULL) {
        finish(c, CS_GRPC_UNIMPLEMENTED, CS_E_NOT_IMPLEMENTED, "unknown method");
    } else if (c->deadline <= now) {
        finish(c, CS_GRPC_DEADLINE_EXCEEDED, CS_E_TIMEOUT, NULL);
    } else {
        c->limit = c->method->client_streams ? UINT64_MAX : now + s->opts.request_ms;
        cs_h2_conn_deadline(c->conn, c->deadline < c->limit ? c->deadline : c->limit);
        if (c->method->client_streams) {
            c->opened = true;
            if (c->method->on_open != NULL) {
                c->method->on_open(c, s->cookie);
            }
        }
    }
}

static void role_message(cs_grpc_call *c, cs_slice message)
{
    if (c->method->client_streams) {
        c->method->on_message(c, message);
    } else if (c->has_unary) {
        end_by_server(c, CS_GRPC_INTERNAL, CS_E_FORMAT, "more than one message");
    } else {
        c->has_unary = true;
        if (cs_put_slice(&c->unary, message) != CS_OK) {
            end_by_server(c, CS_GRPC_RESOURCE_EXHAUSTED, CS_E_NO_MEMORY, NULL);
        }
    }
}

static void role_bad_data(cs_grpc_call *c, cs_err err)
{
    if (err == CS_E_UNSUPPORTED) {
        end_by_server(c, CS_GRPC_UNIMPLEMENTED, err, "compressed message");
    } else if (err == CS_E_FORMAT) {
        end_by_server(c, CS_GRPC_INTERNAL, err, "message prefix");
    } else {
        end_by_server(c, CS_GRPC_RESOURCE_EXHAUSTED, err, "message");
    }
}

static void role_peer_ended(cs_grpc_call *c)
{
    if (c->detached || c->method == NULL) {
        return;
    }
    if (!cs_unframe_idle(&c->in) || (!c->method->client_streams && !c->has_unary)) {
        end_by_server(c, CS_GRPC_INTERNAL, CS_E_FORMAT, "the request ends inside a message");
    } else if (c->method->client_streams) {
        if (c->method->on_half_close != NULL) {
            c->method->on_half_close(c);
        }
    } else {
        c->limit = UINT64_MAX;
        c->opened = true;
        if (c->method->on_open != NULL) {
            c->method->on_open(c, server_of(c)->cookie);
        }
        if (!c->detached) {
            c->method->on_message(c, cs_buf_slice(&c->unary));
        }
    }
}

static void role_closed(cs_grpc_call *c, uint32_t h2_error)
{
    cs_grpc_server *s = server_of(c);
    s->stats.calls_open--;
    c->conn->idle_since = cs_loop_now(c->conn->loop);
    if (!c->detached && c->opened && c->method->on_gone != NULL) {
        c->detached = true;
        c->method->on_gone(c);
    }
}

static void role_late(cs_grpc_call *c)
{
    if (c->ended) { /* the client does not read what is left, or does not end a request that was answered */
        c->limit = UINT64_MAX;
        cs_h2_call_reset(c, c->plain && c->queued == 0 ? NGHTTP2_NO_ERROR : NGHTTP2_CANCEL);
    } else {
        end_by_server(c, CS_GRPC_DEADLINE_EXCEEDED, CS_E_TIMEOUT, NULL);
    }
}

static void role_drained(cs_grpc_call *c)
{
    if (c->method != NULL && c->method->on_drain != NULL) {
        c->method->on_drain(c);
    }
}

static void role_ready(cs_h2_conn *conn)
{
}

/* ---- connections ---- */

static void forget(cs_grpc_server *s, cs_h2_conn *conn)
{
    *conn->prev = conn->next;
    if (conn->next != NULL) {
        conn->next->prev = conn->prev;
    }
    s->num_conns--;
    if (s->drained != NULL && s->num_conns == 0) {
        cs_defer_arm(s->loop, &s->drain);
    }
}

static void role_conn_closed(cs_h2_conn *conn, cs_err err)
{
    forget(conn->owner, conn);
}

static const cs_h2_role server_role = {role_begin,    role_header,     role_headers_done, role_message,
                                       role_bad_data, role_peer_ended, role_closed,       role_late,
                                       role_drained,  role_ready,      role_conn_closed};

/* Room for a new connection: the one that has been without a call for longest goes, whatever it sends to stay. */
static bool make_room(cs_grpc_server *s)
{
    cs_h2_conn *idlest = NULL;
    if (s->num_conns < s->opts.conns_max) {
        return true;
    }
    for (cs_h2_conn *c = s->conns; c != NULL; c = c->next) {
        if (c->num_calls == 0 && (idlest == NULL || c->idle_since <= idlest->idle_since)) {
            idlest = c;
        }
    }
    if (idlest == NULL) {
        return false;
    }
    forget(s, idlest);
    cs_h2_conn_close(idlest);
    s->stats.conns_evicted++;
    return true;
}

static void on_accept(void *cookie, int fd, const cs_ep_peer *peer)
{
    cs_grpc_server *s = cookie;
    cs_h2_conn *conn = NULL;
    if (!make_room(s) || cs_h2_conn_new(&conn, s->loop, fd, true, &server_role, &s->opts, s) != CS_OK) {
        s->stats.conns_refused++;
        close(fd);
        return;
    }
    conn->stats = &s->stats;
    conn->next = s->conns;
    conn->prev = &s->conns;
    if (s->conns != NULL) {
        s->conns->prev = &conn->next;
    }
    s->conns = conn;
    s->num_conns++;
    s->stats.conns++;
}

static void on_drained(void *cookie)
{
    cs_grpc_server *s = cookie;
    cs_loop_fn *fn = s->drained;
    s->drained = NULL;
    if (fn != NULL) {
        fn(s->drained_cookie);
    }
}

cs_err cs_grpc_server_new(cs_grpc_server **out, cs_loop *l, int listen_fd_take, const cs_grpc_method *methods,
                          const cs_grpc_opts *opts, void *server_cookie)
{
    cs_grpc_server *s = calloc(1, sizeof *s);
    size_t num = 1;
    for (const cs_grpc_method *m = methods; m->path != NULL; m++) {
        num++;
    }
    cs_grpc_method *copy = calloc(num, sizeof *copy);
    if (s == NULL || copy == NULL) {
        free(s);
        free(copy);
        return CS_E_NO_MEMORY;
    }
    memcpy(copy, methods, num * sizeof *copy);
    *s =
        (cs_grpc_server){.loop = l, .methods = copy, .cookie = server_cookie, .drain = {.fn = on_drained, .cookie = s}};
    cs_h2_defaults(&s->opts, opts);
    cs_err err = cs_listener_new(&s->listener, l, listen_fd_take, s->opts.cid, on_accept, s);
    if (err != CS_OK) {
        free(copy);
        free(s);
        return err;
    }
    *out = s;
    return CS_OK;
}

void cs_grpc_server_drain(cs_grpc_server *s, cs_loop_fn *done, void *cookie)
{
    cs_listener_free(s->listener);
    s->listener = NULL;
    s->drained = done;
    s->drained_cookie = cookie;
    for (cs_h2_conn *c = s->conns; c != NULL; c = c->next) {
        cs_h2_conn_goaway(c);
    }
    if (s->num_conns == 0) {
        cs_defer_arm(s->loop, &s->drain);
    }
}

void cs_grpc_server_stats(const cs_grpc_server *s, cs_grpc_stats *out)
{
    *out = s->stats;
}

void cs_grpc_server_free(cs_grpc_server *s)
{
    if (s == NULL) {
        return;
    }
    cs_listener_free(s->listener);
    s->drained = NULL;
    while (s->conns != NULL) {
        cs_h2_conn *c = s->conns;
        forget(s, c);
        cs_h2_conn_close(c);
    }
    cs_defer_cancel(&s->drain);
    free(s->methods);
    free(s);
}
