/* gRPC client. See grpc.h. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/h2/conn.h"
#include "net/h2/text.h"

#define DIAL_MS 3000
#define BACKOFF_FIRST_MS 50
#define BACKOFF_MAX_MS 2000

struct cs_grpc_client {
    cs_loop *loop;
    cs_endpoint ep;
    bool can_dial, dead;
    int busy;
    cs_grpc_opts opts;
    cs_h2_conn *conn;
    cs_dial *dial;
    cs_timer *retry;
    cs_timer *tick; /* deadlines of calls that wait for a connection */
    uint32_t backoff_ms;
    cs_grpc_call *waiting, **waiting_tail;
};

static void dial(cs_grpc_client *c);
static void retry_later(cs_grpc_client *c, cs_err err);
static void fail_waiting(cs_grpc_client *c, cs_grpc_status status, cs_err err, uint64_t due_before);
static void submit_waiting(cs_grpc_client *c);

const cs_grpc_opts *cs_h2_client_opts(const cs_grpc_client *client)
{
    return &client->opts;
}

/*
 * Whoever calls back holds a count of its own, so the last leave() is the only one that frees. Not inlined: gcc cannot see the
 * counts across two leave() in one function and takes the outer one for a use after free.
 */
static __attribute__((noinline)) void client_destroy(cs_grpc_client *c)
{
    free(c);
}

static void leave(cs_grpc_client *c)
{
    if (--c->busy == 0 && c->dead) {
        client_destroy(c);
    }
}

/* ---- results ---- */

static cs_err err_of_status(cs_grpc_status s)
{
    switch (s) {
    case CS_GRPC_OK:
        return CS_OK;
    case CS_GRPC_INVALID_ARGUMENT:
        return CS_E_FORMAT;
    case CS_GRPC_DEADLINE_EXCEEDED:
        return CS_E_TIMEOUT;
    case CS_GRPC_NOT_FOUND:
        return CS_E_NOT_FOUND;
    case CS_GRPC_RESOURCE_EXHAUSTED:
        return CS_E_TOO_LARGE;
    case CS_GRPC_UNIMPLEMENTED:
        return CS_E_NOT_IMPLEMENTED;
    case CS_GRPC_UNAVAILABLE:
        return CS_E_CLOSED;
    default:
        return CS_E_INTERNAL;
    }
}

static void end_call(cs_grpc_call *call, cs_grpc_status status, cs_err err, cs_slice message)
{
    if (call->detached) {
        return;
    }
    cs_grpc_result r = {status, err, message};
    cs_grpc_client *c = call->client;
    call->detached = true;
    call->ended = true;
    c->busy++;
    call->events->on_end(call, call->cookie, &r);
    leave(c);
}

/* The answer of the server: grpc-status decides; its absence is a broken server. */
static void end_by_headers(cs_grpc_call *call)
{
    cs_slice status = cs_grpc_call_header(call, "grpc-status");
    cs_slice code = cs_grpc_call_header(call, "countersign-code");
    cs_slice text = cs_grpc_call_header(call, "grpc-message");
    uint64_t n = CS_GRPC_UNKNOWN;
    char name[64] = "";
    for (size_t i = 0; i < status.len; i++) {
        n = (i == 0 ? 0 : n * 10) + (uint64_t)(status.p[i] - '0');
        if (status.p[i] < '0' || status.p[i] > '9' || n > CS_GRPC_UNAUTHENTICATED) {
            n = CS_GRPC_UNKNOWN;
            break;
        }
    }
    cs_err err = err_of_status((cs_grpc_status)n);
    if (n != CS_GRPC_OK && code.len > 0 && code.len < sizeof name) {
        memcpy(name, code.p, code.len);
        err = cs_err_from_code(name);
        err = err == CS_OK ? CS_E_INTERNAL : err;
    }
    call->message.len = 0;
    if (cs_percent_get(&call->message, text) != CS_OK) {
        call->message.len = 0;
    }
    end_call(call, (cs_grpc_status)n, err, cs_buf_slice(&call->message));
}

static void end_by_reset(cs_grpc_call *call, uint32_t h2_error)
{
    cs_grpc_status status = CS_GRPC_UNAVAILABLE;
    cs_err err = CS_E_CLOSED;
    if (call->http_status == 415 || call->http_status == 404) {
        status = CS_GRPC_UNIMPLEMENTED;
        err = CS_E_UNSUPPORTED;
    } else if (h2_error == NGHTTP2_ENHANCE_YOUR_CALM) {
        status = CS_GRPC_RESOURCE_EXHAUSTED;
        err = CS_E_TOO_LARGE;
    } else if (h2_error == NGHTTP2_CANCEL) {
        status = CS_GRPC_CANCELLED;
    } else if (h2_error == NGHTTP2_PROTOCOL_ERROR || (h2_error == NGHTTP2_NO_ERROR && call->http_status != 0)) {
        status = CS_GRPC_INTERNAL;
        err = CS_E_FORMAT;
    }
    end_call(call, status, err, CS_SLICE_NULL);
}

/* ---- role ---- */

static cs_grpc_call *role_begin(cs_h2_conn *conn, int32_t id)
{
    return NULL; /* servers open no streams */
}

static void role_header(cs_grpc_call *c, cs_slice name, cs_slice value)
{
    if (cs_slice_eq_str(name, ":status") && value.len == 3) {
        c->http_status =
            (unsigned)(value.p[0] - '0') * 100 + (unsigned)(value.p[1] - '0') * 10 + (unsigned)(value.p[2] - '0');
        c->http_ok = c->http_status == 200;
    } else if (cs_slice_eq_str(name, "content-type")) {
        c->content_ok = value.len >= 16 && memcmp(value.p, "application/grpc", 16) == 0;
    } else {
        cs_h2_call_header(c, name, value);
    }
}

static void role_headers_done(cs_grpc_call *c, bool end)
{
    if (!c->got_headers && c->http_status / 100 != 1) {
        c->got_headers = true;
        if (!c->http_ok || !c->content_ok) {
            end_by_reset(c, NGHTTP2_NO_ERROR);
            cs_h2_call_reset(c, NGHTTP2_CANCEL);
        }
    }
}

static void role_message(cs_grpc_call *c, cs_slice message)
{
    if (c->events->on_message != NULL) {
        c->events->on_message(c, c->cookie, message);
    }
}

static void role_bad_data(cs_grpc_call *c, cs_err err)
{
    cs_h2_call_reset(c, NGHTTP2_CANCEL);
    cs_grpc_status status =
        err == CS_E_TOO_LARGE || err == CS_E_NO_MEMORY ? CS_GRPC_RESOURCE_EXHAUSTED : CS_GRPC_INTERNAL;
    end_call(c, status, err, CS_SLICE_NULL);
}

static void role_peer_ended(cs_grpc_call *c)
{
    if (c->detached) {
        return;
    }
    if (cs_grpc_call_header(c, "grpc-status").p == NULL) {
        end_call(c, CS_GRPC_INTERNAL, CS_E_FORMAT, CS_SLICE_NULL);
    } else if (!cs_unframe_idle(&c->in)) {
        end_call(c, CS_GRPC_INTERNAL, CS_E_FORMAT, CS_SLICE_NULL);
    } else {
        end_by_headers(c);
    }
    cs_h2_call_drop_out(c);
    if (c->conn != NULL && nghttp2_session_get_stream_local_close(c->conn->session, c->id) == 0) {
        cs_h2_call_reset(c, NGHTTP2_NO_ERROR);
    }
}

static void role_closed(cs_grpc_call *c, uint32_t h2_error)
{
    end_by_reset(c, h2_error);
}

static void role_late(cs_grpc_call *c)
{
    c->deadline = UINT64_MAX;
    cs_h2_call_reset(c, NGHTTP2_CANCEL);
    end_call(c, CS_GRPC_DEADLINE_EXCEEDED, CS_E_TIMEOUT, CS_SLICE_NULL);
}

static void role_drained(cs_grpc_call *c)
{
    if (c->events->on_drain != NULL) {
        c->events->on_drain(c, c->cookie);
    }
}

/* Only now the server's limit of streams is known: earlier calls could be refused. */
static void role_ready(cs_h2_conn *conn)
{
    cs_grpc_client *c = conn->owner;
    c->backoff_ms = BACKOFF_FIRST_MS;
    submit_waiting(c);
}

static void role_conn_closed(cs_h2_conn *conn, cs_err err)
{
    cs_grpc_client *c = conn->owner;
    bool was_ready = conn->ready;
    c->conn = NULL;
    if (err == CS_E_TLS) { /* the next handshake would end the same way */
        fail_waiting(c, CS_GRPC_UNAVAILABLE, err, UINT64_MAX);
    } else if (c->waiting != NULL && was_ready) {
        dial(c);
    } else {
        retry_later(c, err);
    }
}

static const cs_h2_role client_role = {role_begin,    role_header,     role_headers_done, role_message,
                                       role_bad_data, role_peer_ended, role_closed,       role_late,
                                       role_drained,  role_ready,      role_conn_closed};

/* ---- connection ---- */

static void fail_waiting(cs_grpc_client *c, cs_grpc_status status, cs_err err, uint64_t due_before)
{
    c->busy++;
    for (cs_grpc_call **at = &c->waiting; *at != NULL;) {
        cs_grpc_call *call = *at;
        if (call->deadline > due_before) {
            at = &call->next;
            continue;
        }
        *at = call->next;
        c->waiting_tail = c->waiting_tail == &call->next ? at : c->waiting_tail;
        call->next = NULL;
        end_call(call, status, err, CS_SLICE_NULL);
        cs_h2_call_free(call);
        at = &c->waiting; /* the callback may have changed the list */
    }
    leave(c);
}

static void on_retry(void *cookie)
{
    dial(cookie);
}

static void retry_later(cs_grpc_client *c, cs_err err)
{
    if (!c->can_dial) {
        fail_waiting(c, CS_GRPC_UNAVAILABLE, err, UINT64_MAX);
        return;
    }
    if (c->waiting != NULL) {
        cs_timer_start(c->retry, c->backoff_ms, 0);
        c->backoff_ms = c->backoff_ms * 2 < BACKOFF_MAX_MS ? c->backoff_ms * 2 : BACKOFF_MAX_MS;
    }
}

static void on_dialled(void *cookie, cs_err err, int fd)
{
    cs_grpc_client *c = cookie;
    c->dial = NULL;
    if (err == CS_OK && (err = cs_h2_conn_new(&c->conn, c->loop, fd, false, &client_role, &c->opts, c)) != CS_OK) {
        close(fd);
    }
    if (err != CS_OK) {
        retry_later(c, err);
    }
}

static void dial(cs_grpc_client *c)
{
    if (c->dead || c->conn != NULL || c->dial != NULL) {
        return;
    }
    cs_err err = c->can_dial ? cs_dial_new(&c->dial, c->loop, &c->ep, DIAL_MS, on_dialled, c) : CS_E_CLOSED;
    if (err != CS_OK) {
        retry_later(c, err);
    }
}

static void on_tick(void *cookie)
{
    cs_grpc_client *c = cookie;
    uint64_t next = UINT64_MAX;
    c->busy++;
    fail_waiting(c, CS_GRPC_DEADLINE_EXCEEDED, CS_E_TIMEOUT, cs_loop_now(c->loop));
    for (cs_grpc_call *call = c->waiting; call != NULL && !c->dead; call = call->next) {
        next = call->deadline < next ? call->deadline : next;
    }
    if (next != UINT64_MAX && !c->dead) {
        uint64_t now = cs_loop_now(c->loop);
        cs_timer_start(c->tick, next > now ? next - now : 1, 0);
    }
    leave(c);
}

static cs_err client_new(cs_grpc_client **out, cs_loop *l, const cs_grpc_opts *opts)
{
    cs_grpc_client *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return CS_E_NO_MEMORY;
    }
    c->loop = l;
    c->waiting_tail = &c->waiting;
    c->backoff_ms = BACKOFF_FIRST_MS;
    cs_h2_defaults(&c->opts, opts);
    if (cs_timer_new(&c->retry, l, on_retry, c) != CS_OK || cs_timer_new(&c->tick, l, on_tick, c) != CS_OK) {
        cs_timer_free(c->retry);
        free(c);
        return CS_E_NO_MEMORY;
    }
    *out = c;
    return CS_OK;
}

cs_err cs_grpc_client_new(cs_grpc_client **out, cs_loop *l, const cs_endpoint *ep, const cs_grpc_opts *opts)
{
    cs_grpc_client *c = NULL;
    CS_TRY(client_new(&c, l, opts));
    c->ep = *ep;
    c->can_dial = true;
    dial(c);
    *out = c;
    return CS_OK;
}

cs_err cs_grpc_client_over(cs_grpc_client **out, cs_loop *l, int fd_take, const cs_grpc_opts *opts)
{
    cs_grpc_client *c = NULL;
    CS_TRY(client_new(&c, l, opts));
    cs_err err = cs_h2_conn_new(&c->conn, l, fd_take, false, &client_role, &c->opts, c);
    if (err != CS_OK) {
        cs_grpc_client_free(c);
        return err;
    }
    *out = c;
    return CS_OK;
}

bool cs_grpc_client_up(const cs_grpc_client *c)
{
    return c->conn != NULL && !c->conn->goaway_seen;
}

void cs_grpc_client_free(cs_grpc_client *c)
{
    if (c == NULL || c->dead) {
        return;
    }
    c->dead = true;
    c->busy++;
    cs_dial_free(c->dial);
    cs_timer_free(c->retry);
    cs_timer_free(c->tick);
    cs_h2_conn_close(c->conn);
    c->conn = NULL;
    fail_waiting(c, CS_GRPC_UNAVAILABLE, CS_E_CLOSED, UINT64_MAX);
    leave(c);
}

/* ---- calls ---- */

/* Headers of this call: until it is submitted they stand where those of the answer will be. */
static size_t own_headers(nghttp2_nv *nv, cs_grpc_call *call)
{
    size_t num = 0, at = 0;
    cs_slice name, value;
    while (num < CS_GRPC_HEADERS_MAX && cs_grpc_call_header_next(call, &at, &name, &value)) {
        nv[num++] = (nghttp2_nv){(uint8_t *)(uintptr_t)name.p, (uint8_t *)(uintptr_t)value.p, name.len, value.len,
                                 NGHTTP2_NV_FLAG_NONE};
    }
    return num;
}

static cs_err submit(cs_grpc_client *c, cs_grpc_call *call)
{
    uint8_t mem[32];
    cs_buf timeout = cs_buf_wrap(mem, sizeof mem);
    uint64_t now = cs_loop_now(c->loop);
    nghttp2_nv nv[8 + CS_GRPC_HEADERS_MAX] = {
        cs_h2_nv(":method", cs_slice_str("POST"), true),
        cs_h2_nv(":scheme", cs_slice_str("http"), true),
        cs_h2_nv(":path", cs_slice_str(call->want_path), true),
        cs_h2_nv(":authority", cs_slice_str("countersign"), true),
        cs_h2_nv("content-type", cs_slice_str("application/grpc"), true),
        cs_h2_nv("te", cs_slice_str("trailers"), true),
    };
    size_t num = 6;
    if (call->deadline != UINT64_MAX) {
        CS_TRY(cs_grpc_timeout_put(&timeout, call->deadline > now ? call->deadline - now : 1));
        nv[num++] = cs_h2_nv("grpc-timeout", cs_buf_slice(&timeout), false);
    }
    if (c->opts.authorization != NULL) {
        nv[num] = cs_h2_nv("authorization", cs_slice_str(c->opts.authorization), true);
        nv[num++].flags |= NGHTTP2_NV_FLAG_NO_INDEX; /* a secret: in no table of the compression [RFC7541 7.1.3] */
    }
    num += own_headers(nv + num, call);
    nghttp2_data_provider source = cs_h2_call_source(call);
    int32_t id = nghttp2_submit_request(c->conn->session, NULL, nv, num, &source, call);
    if (id <= 0) {
        return id == NGHTTP2_ERR_NOMEM ? CS_E_NO_MEMORY : CS_E_CLOSED;
    }
    call->id = id;
    call->headers.len = 0; /* nghttp2 has copied them */
    call->header_bytes = 0;
    cs_h2_call_link(c->conn, call);
    cs_h2_conn_deadline(c->conn, call->deadline);
    cs_h2_conn_wake(c->conn);
    return CS_OK;
}

static bool can_submit(const cs_grpc_client *c)
{
    return c->conn != NULL && c->conn->ready && !c->conn->goaway_seen &&
           nghttp2_session_check_request_allowed(c->conn->session) != 0;
}

static void submit_waiting(cs_grpc_client *c)
{
    c->busy++;
    while (c->waiting != NULL && can_submit(c)) {
        cs_grpc_call *call = c->waiting;
        c->waiting = call->next;
        c->waiting_tail = c->waiting == NULL ? &c->waiting : c->waiting_tail;
        call->next = NULL;
        cs_err err = submit(c, call);
        if (err != CS_OK) {
            end_call(call, CS_GRPC_UNAVAILABLE, err, CS_SLICE_NULL);
            cs_h2_call_free(call);
        }
    }
    leave(c);
}

cs_err cs_grpc_call_new(cs_grpc_call **out, cs_grpc_client *client, const char *path, uint32_t timeout_ms,
                        const cs_grpc_call_events *events, void *cookie)
{
    const cs_grpc_begin begin = {.path = path, .timeout_ms = timeout_ms};
    return cs_grpc_call_with(out, client, &begin, events, cookie);
}

cs_err cs_grpc_call_with(cs_grpc_call **out, cs_grpc_client *client, const cs_grpc_begin *begin,
                         const cs_grpc_call_events *events, void *cookie)
{
    cs_grpc_call *call = NULL;
    if (begin->num_headers > CS_GRPC_HEADERS_MAX) {
        return CS_E_RANGE;
    }
    if (client->dead || (client->conn == NULL && !client->can_dial)) {
        return CS_E_CLOSED;
    }
    CS_TRY(cs_h2_call_new(&call, client->opts.message_max, client->opts.header_list_max));
    call->client = client;
    call->want_path = begin->path;
    call->events = events;
    call->cookie = cookie;
    call->deadline = begin->timeout_ms != 0 ? cs_loop_now(client->loop) + begin->timeout_ms : UINT64_MAX;
    for (size_t i = 0; i < begin->num_headers; i++) {
        cs_h2_call_header(call, cs_slice_str(begin->headers[i].name), begin->headers[i].value);
    }
    if (can_submit(client)) {
        cs_err err = submit(client, call);
        if (err != CS_OK) {
            cs_h2_call_free(call);
            return err;
        }
    } else {
        *client->waiting_tail = call;
        client->waiting_tail = &call->next;
        if (begin->timeout_ms != 0) {
            cs_timer_start(client->tick, begin->timeout_ms < 50 ? begin->timeout_ms : 50, 0);
        }
        if (!cs_timer_active(client->retry)) {
            dial(client);
        }
    }
    *out = call;
    return CS_OK;
}

bool cs_grpc_call_sent(const cs_grpc_call *c)
{
    return c->id > 0;
}

void cs_grpc_end(cs_grpc_call *c)
{
    if (c->ended) {
        return;
    }
    c->ended = true;
    if (c->id > 0) {
        (void)nghttp2_session_resume_data(c->conn->session, c->id);
        cs_h2_conn_wake(c->conn);
    }
}

void cs_grpc_cancel(cs_grpc_call *c)
{
    if (c->detached) {
        return;
    }
    c->detached = true;
    c->ended = true;
    if (c->id > 0) {
        cs_h2_call_reset(c, NGHTTP2_CANCEL);
        return;
    }
    cs_grpc_client *client = c->client;
    for (cs_grpc_call **at = &client->waiting; *at != NULL; at = &(*at)->next) {
        if (*at == c) {
            *at = c->next;
            client->waiting_tail = client->waiting_tail == &c->next ? at : client->waiting_tail;
            break;
        }
    }
    cs_h2_call_free(c);
}
