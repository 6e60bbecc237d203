/* HTTP/1.1 server on the loop: one request at a time per connection, pipelined ones wait. See http1.h. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/http1_server_int.h"

#define LINGER_MS 2000
#define PENDING_MAX (256u * 1024u)
#define STALL_MS 30000
#define HEAD_MAX (64u * 1024u)
#define HELD_WORTH (32u * 1024u) /* less is not worth a connection */

/* Not busy: in the list of those that may give way, at its end. */
static void set_busy(cs_http1_conn *c, bool busy)
{
    cs_http1_server *s = c->server;
    if (c->busy == busy) {
        return;
    }
    c->busy = busy;
    if (!busy) {
        c->older = s->newest;
        c->newer = NULL;
        *(s->newest != NULL ? &s->newest->newer : &s->oldest) = c;
        s->newest = c;
        return;
    }
    *(c->older != NULL ? &c->older->newer : &s->oldest) = c->newer;
    *(c->newer != NULL ? &c->newer->older : &s->newest) = c->older;
    c->older = NULL;
    c->newer = NULL;
}

static void tell_gone(cs_http1_conn *c)
{
    if (c->streaming) {
        c->streaming = false;
        c->events->on_gone(c->events_cookie);
    } else if (c->busy && c->gone != NULL) {
        c->gone(c->gone_cookie);
    }
}

static void conn_free(cs_http1_conn *c, bool sent_first)
{
    cs_http1_server *s = c->server;
    *c->prev = c->next;
    if (c->next != NULL) {
        c->next->prev = c->prev;
    }
    s->num_conns--;
    s->held -= c->held;
    tell_gone(c);
    set_busy(c, true);
    if (sent_first) {
        cs_stream_free_when_sent(c->stream, LINGER_MS);
    } else {
        cs_stream_free(c->stream);
    }
    cs_defer_cancel(&c->again);
    cs_timer_free(c->timer);
    cs_http1_parser_free(c->parser);
    cs_buf_free(&c->pending);
    free(c);
}

static void refuse(cs_http1_conn *c, cs_err err)
{
    unsigned status = 400;
    if (err == CS_E_TOO_LARGE) {
        status = cs_http1_head_done(c->parser) ? 413 : 431;
    } else if (err == CS_E_TIMEOUT) {
        status = 408;
    } else if (err == CS_E_NO_MEMORY) {
        status = 503;
    }
    c->close_after = true;
    set_busy(c, true);
    if (c->server->opts.refuse != NULL) {
        c->server->opts.refuse(c, status, err);
    } else {
        cs_http1_respond(c, status, NULL, 0, CS_SLICE_NULL);
    }
}

/* Others that hold much and wait longest give way: first those in the middle of a request, then those that keep what one took. */
static void shed(cs_http1_server *s, const cs_http1_conn *keep)
{
    for (int idle = 0; idle < 2; idle++) {
        for (cs_http1_conn *o = s->oldest, *newer; o != NULL && s->held > s->opts.held_max; o = newer) {
            newer = o->newer;
            if (o != keep && o->held >= HELD_WORTH && (idle != 0 || cs_http1_started(o->parser))) {
                conn_free(o, false);
            }
        }
    }
}

/* Counts the memory that c's requests take. */
static void account(cs_http1_conn *c)
{
    cs_http1_server *s = c->server;
    size_t held = cs_http1_held(c->parser) + c->pending.cap;
    s->held = s->held - c->held + held;
    c->held = held;
    if (s->opts.held_max != 0 && s->held > s->opts.held_max) {
        shed(s, c);
    }
}

/* ---- what came behind a request: taken from the front without moving the rest, as there may be many small ones ---- */

static size_t pending_len(const cs_http1_conn *c)
{
    return c->pending.len - c->pending_at;
}

static void pending_drop(cs_http1_conn *c)
{
    cs_buf_free(&c->pending);
    c->pending = cs_buf_heap(2 * PENDING_MAX); /* half of it may have been taken already */
    c->pending_at = 0;
}

static cs_err pending_put(cs_http1_conn *c, cs_slice data)
{
    if (c->pending_at > 0 && c->pending_at >= c->pending.len / 2) {
        cs_buf_consume(&c->pending, c->pending_at);
        c->pending_at = 0;
    }
    return cs_put_slice(&c->pending, data);
}

/* Between requests the idle time runs; from the first byte the head's; then the body's. */
static void set_timer(cs_http1_conn *c)
{
    const cs_http1_limits *l = &c->server->opts.limits;
    uint64_t now = cs_loop_now(c->server->loop);
    if (c->stalled) {
        cs_timer_start(c->timer, STALL_MS, 0);
    } else if (c->busy) {
        cs_timer_stop(c->timer);
    } else if (!cs_http1_started(c->parser)) {
        cs_timer_start(c->timer, l->idle_timeout_ms, 0);
        c->body_deadline = 0;
    } else {
        if (c->body_deadline == 0) {
            c->body_deadline = now + l->body_timeout_ms;
            cs_timer_start(c->timer, l->head_timeout_ms, 0);
        }
        if (cs_http1_head_done(c->parser)) { /* also when it came in one piece with the first byte */
            cs_timer_start(c->timer, c->body_deadline > now ? c->body_deadline - now : 1, 0);
        }
    }
}

/* data: what came now (pending is empty then), or what is pending. */
static void serve(cs_http1_conn *c, cs_slice data, bool is_pending)
{
    size_t used = 0;
    bool done = false;
    cs_err err = cs_http1_feed(c->parser, &used, &done, data);
    if (err == CS_OK && done && cs_http1_message(c->parser)->target.p[0] != '/') {
        err = CS_E_FORMAT; /* absolute, authority and asterisk forms: nothing here is a proxy */
    }
    if (err != CS_OK) {
        refuse(c, err);
        return;
    }
    if (!done && c->eof) { /* the rest will never come */
        conn_free(c, true);
        return;
    }
    if (!done) {
        if (is_pending) {
            pending_drop(c);
        }
        account(c);
        if (!c->continued && cs_http1_wants_continue(c->parser)) {
            c->continued = true;
            if (cs_stream_write(c->stream, cs_slice_str("HTTP/1.1 100 Continue\r\n\r\n")) != CS_OK) {
                conn_free(c, false);
                return;
            }
        }
        set_timer(c);
        return;
    }
    c->continued = false;
    set_busy(c, true);
    c->body_deadline = 0;
    cs_timer_stop(c->timer);
    if (is_pending) {
        c->pending_at += used;
    } else if (used < data.len && pending_put(c, cs_slice_of(data.p + used, data.len - used)) != CS_OK) {
        conn_free(c, false);
        return;
    }
    if (pending_len(c) == 0) {
        pending_drop(c);
    }
    account(c);
    cs_stream_read(c->stream, pending_len(c) < PENDING_MAX / 2);
    c->server->handler(c->server->cookie, c, cs_http1_message(c->parser));
}

static void on_data(void *cookie, cs_slice data)
{
    cs_http1_conn *c = cookie;
    if (c->streaming) {
        return;
    }
    if (!c->busy) {
        serve(c, data, false);
        return;
    }
    if (pending_put(c, data) != CS_OK) {
        conn_free(c, false);
    } else {
        account(c);
        cs_stream_read(c->stream, pending_len(c) < PENDING_MAX / 2);
    }
}

static void on_eof(void *cookie)
{
    cs_http1_conn *c = cookie;
    c->eof = true;
    if (c->streaming || !c->busy) {
        conn_free(c, !c->streaming);
    }
}

static void on_stream_close(void *cookie, cs_err err)
{
    conn_free(cookie, false);
}

static void on_timeout(void *cookie)
{
    cs_http1_conn *c = cookie;
    if (c->stalled) {
        size_t queued = cs_stream_queued(c->stream);
        if (queued >= c->stalled_at) {
            conn_free(c, false);
            return;
        }
        c->stalled_at = queued;
        set_timer(c);
    } else if (cs_http1_started(c->parser)) {
        refuse(c, CS_E_TIMEOUT);
    } else {
        conn_free(c, true);
    }
}

/* After an answer: the request that already lies in pending. */
static void on_again(void *cookie)
{
    cs_http1_conn *c = cookie;
    set_busy(c, false);
    serve(c, cs_slice_of(c->pending.p + c->pending_at, pending_len(c)), true); /* may free c */
}

/* What comes after an answer, when the connection stays: the next request, which may be here already. */
static void go_on(cs_http1_conn *c)
{
    set_busy(c, pending_len(c) > 0); /* nothing new may overtake what is pending */
    set_timer(c);
    if (c->stalled) {
        cs_stream_read(c->stream, false);
        return;
    }
    if (!c->eof) {
        cs_stream_read(c->stream, true);
    }
    if (pending_len(c) > 0) {
        cs_defer_arm(c->server->loop, &c->again);
    } else if (c->eof) {
        conn_free(c, true);
    }
}

static void on_drain(void *cookie)
{
    cs_http1_conn *c = cookie;
    if (c->streaming) {
        c->events->on_drain(c->events_cookie);
    } else if (c->stalled) {
        c->stalled = false;
        go_on(c);
    }
}

static cs_err send_head(cs_http1_conn *c, unsigned status, const cs_http1_header *headers, size_t num_headers,
                        size_t body_len, bool keep)
{
    cs_http1_header all[CS_HTTP1_HEADERS + 1];
    uint8_t mem[4096];
    cs_buf head = cs_buf_wrap(mem, sizeof mem); /* nearly all heads fit */
    size_t num = num_headers < CS_HTTP1_HEADERS ? num_headers : CS_HTTP1_HEADERS;
    for (size_t i = 0; i < num; i++) {
        all[i] = headers[i];
    }
    if (!keep) {
        all[num++] = (cs_http1_header){cs_slice_str("Connection"), cs_slice_str("close")};
    }
    cs_err err = cs_http1_put_response(&head, status, all, num, body_len);
    if (err == CS_E_RANGE) {
        head = cs_buf_heap(HEAD_MAX);
        err = cs_http1_put_response(&head, status, all, num, body_len);
    }
    if (err == CS_OK) {
        err = cs_stream_write(c->stream, cs_buf_slice(&head));
    }
    cs_buf_free(&head);
    return err;
}

void cs_http1_respond(cs_http1_conn *c, unsigned status, const cs_http1_header *headers, size_t num_headers,
                      cs_slice body)
{
    const cs_http1_msg *req = cs_http1_message(c->parser);
    bool is_head = cs_slice_eq_str(req->method, "HEAD");
    bool keep = !c->close_after && req->keep_alive && !c->server->draining;
    cs_err err = send_head(c, status, headers, num_headers, body.len, keep);
    if (err == CS_OK && !is_head) {
        err = cs_stream_write(c->stream, body);
    }
    c->gone = NULL;
    if (err != CS_OK || !keep) {
        conn_free(c, err == CS_OK);
        return;
    }
    cs_http1_reset(c->parser);
    c->stalled = cs_stream_full(c->stream);
    c->stalled_at = cs_stream_queued(c->stream);
    go_on(c);
}

/* ---- streamed answers ---- */

cs_err cs_http1_stream_begin(cs_http1_conn *c, unsigned status, const cs_http1_header *headers, size_t num_headers,
                             const cs_http1_stream_events *events, void *cookie)
{
    const cs_http1_msg *req = cs_http1_message(c->parser);
    if (req->http10) {
        return CS_E_UNSUPPORTED;
    }
    bool is_head = cs_slice_eq_str(req->method, "HEAD");
    cs_err err = send_head(c, status, headers, num_headers, CS_HTTP1_CHUNKED, false);
    c->gone = NULL;
    if (err != CS_OK || is_head || c->eof) {
        conn_free(c, err == CS_OK);
        return CS_E_CLOSED;
    }
    c->streaming = true;
    c->events = events;
    c->events_cookie = cookie;
    pending_drop(c);
    account(c); /* or what is held no more would count as long as the stream lasts */
    cs_stream_read(c->stream, true);
    return CS_OK;
}

void cs_http1_stream_end(cs_http1_conn *c)
{
    cs_err err = cs_stream_write(c->stream, cs_slice_str("0\r\n\r\n"));
    c->streaming = false;
    conn_free(c, err == CS_OK);
}

void cs_http1_conn_close(cs_http1_conn *c)
{
    c->streaming = false;
    c->gone = NULL;
    conn_free(c, false);
}

void cs_http1_conn_on_gone(cs_http1_conn *c, cs_loop_fn *fn, void *cookie)
{
    c->gone = fn;
    c->gone_cookie = cookie;
}

/* ---- connections ---- */

static const cs_stream_events conn_events = {on_data, on_eof, on_drain, on_stream_close};

static cs_err conn_start(cs_http1_server *s, cs_http1_conn *c, int fd)
{
    cs_stream_opts opts = {.out_max = SIZE_MAX / 2};
    if (s->opts.send_buffer > 0) { /* a failure only means more memory */
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &s->opts.send_buffer, sizeof s->opts.send_buffer);
    }
    CS_TRY(cs_timer_new(&c->timer, s->loop, on_timeout, c));
    CS_TRY(cs_http1_parser_new(&c->parser, CS_HTTP1_REQUEST, &s->opts.limits));
    CS_TRY(cs_stream_new(&c->stream, s->loop, fd, &opts, &conn_events, c));
    return s->opts.tls != NULL ? s->opts.tls_wrap(c->stream, s->opts.tls) : CS_OK;
}

/* Room for a new connection: the one that has waited longest for (the rest of) a request goes, whatever it sends to stay. */
static bool make_room(cs_http1_server *s)
{
    if (s->num_conns >= s->opts.limits.conns_max && s->oldest != NULL) {
        conn_free(s->oldest, false);
    }
    return s->num_conns < s->opts.limits.conns_max;
}

static void on_accept(void *cookie, int fd, const cs_ep_peer *peer)
{
    cs_http1_server *s = cookie;
    cs_http1_conn *c = make_room(s) ? calloc(1, sizeof *c) : NULL;
    if (c == NULL) {
        close(fd);
        return;
    }
    *c = (cs_http1_conn){.server = s,
                         .next = s->conns,
                         .prev = &s->conns,
                         .busy = true,
                         .again = {.fn = on_again, .cookie = c},
                         .pending = cs_buf_heap(2 * PENDING_MAX)};
    if (s->conns != NULL) {
        s->conns->prev = &c->next;
    }
    s->conns = c;
    s->num_conns++;
    if (conn_start(s, c, fd) != CS_OK) {
        if (c->stream == NULL) {
            close(fd);
        }
        conn_free(c, false);
        return;
    }
    set_busy(c, false);
    set_timer(c);
    cs_stream_read(c->stream, true);
}

static void set_default(uint32_t *v, uint32_t def)
{
    *v = *v != 0 ? *v : def;
}

cs_err cs_http1_server_new(cs_http1_server **out, cs_loop *l, int listen_fd_take, const cs_http1_server_opts *opts,
                           cs_http1_handler *handler, void *cookie)
{
    cs_http1_server *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return CS_E_NO_MEMORY;
    }
    *s = (cs_http1_server){.loop = l, .opts = *opts, .handler = handler, .cookie = cookie};
    set_default(&s->opts.limits.head_timeout_ms, 10000);
    set_default(&s->opts.limits.body_timeout_ms, 30000);
    set_default(&s->opts.limits.idle_timeout_ms, 60000);
    s->opts.limits.conns_max = s->opts.limits.conns_max != 0 ? s->opts.limits.conns_max : 256;
    cs_err err = cs_listener_new(&s->listener, l, listen_fd_take, opts->cid, on_accept, s);
    if (err != CS_OK) {
        free(s);
        return err;
    }
    *out = s;
    return CS_OK;
}

size_t cs_http1_server_conns(const cs_http1_server *s)
{
    return s->num_conns;
}

void cs_http1_server_drain(cs_http1_server *s)
{
    cs_listener_free(s->listener);
    s->listener = NULL;
    s->draining = true;
    while (s->oldest != NULL) {
        conn_free(s->oldest, true);
    }
}

void cs_http1_server_free(cs_http1_server *s)
{
    if (s == NULL) {
        return;
    }
    cs_listener_free(s->listener);
    while (s->conns != NULL) {
        conn_free(s->conns, false);
    }
    free(s);
}
