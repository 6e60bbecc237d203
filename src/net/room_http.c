/*
 * Requests to a gateway over a few kept HTTP/1.1 connections. A request has one deadline over all; what failed on the way is
 * sent once more on a new connection, as a kept one may have been closed by the other side while the request went out. Broadcasts
 * are patient: what comes twice is dropped by the receiver, so they are sent until the deadline, with a growing pause.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "net/room_int.h"
#include "net/room_msg.h"

struct cs_gw_conn {
    cs_gateway *g;
    cs_gw_conn *next, **prev;   /* all */
    cs_gw_conn *inext, **iprev; /* idle ones; iprev NULL: not idle */
    cs_dial *dial;
    cs_stream *stream;
    cs_http1_parser *parser;
    cs_gateway_req *req;
    unsigned interim;
    bool proven; /* it has brought an answer */
};

static void pump(void *cookie);

uint64_t cs_gw_jitter(cs_gateway *g, uint64_t ms)
{
    g->random = g->random * 6364136223846793005u + 1442695040888963407u;
    return ms / 2 + (g->random >> 33) % (ms / 2 + 1);
}

uint64_t cs_gw_backoff(cs_gateway *g, unsigned failures)
{
    uint64_t ms = CS_GW_BACKOFF_MIN;

    for (unsigned i = 1; i < failures && ms < CS_GW_BACKOFF_MAX; i++) {
        ms *= 2;
    }
    return cs_gw_jitter(g, ms < CS_GW_BACKOFF_MAX ? ms : CS_GW_BACKOFF_MAX);
}

bool cs_gw_type_is(const cs_http1_msg *m, const char *type)
{
    cs_slice v = cs_http1_header_get(m, "content-type");
    size_t n = strlen(type);

    return v.p != NULL && v.len >= n && strncasecmp((const char *)v.p, type, n) == 0 &&
           (v.len == n || v.p[n] == ';' || v.p[n] == ' ');
}

/* ---- lists ---- */

static void queue_unlink(cs_gateway_req *r)
{
    cs_gw_pool *p = &r->g->pool;

    if (r->qprev == NULL) {
        return;
    }
    *r->qprev = r->qnext;
    if (r->qnext != NULL) {
        r->qnext->qprev = r->qprev;
    } else {
        p->wait_tail = r->qprev;
    }
    r->qprev = NULL;
}

/* Waits for a connection: at the end, or before all others when it has waited already. */
static void queue_put(cs_gateway_req *r, bool first)
{
    cs_gw_pool *p = &r->g->pool;

    r->qprev = first ? &p->wait : p->wait_tail;
    r->qnext = first ? p->wait : NULL;
    *r->qprev = r;
    if (r->qnext != NULL) {
        r->qnext->qprev = &r->qnext;
    } else {
        p->wait_tail = &r->qnext;
    }
    cs_defer_arm(r->g->loop, &p->pump);
}

static void idle_unlink(cs_gw_conn *c)
{
    if (c->iprev == NULL) {
        return;
    }
    *c->iprev = c->inext;
    if (c->inext != NULL) {
        c->inext->iprev = c->iprev;
    }
    c->iprev = NULL;
}

static void idle_put(cs_gw_conn *c)
{
    cs_gw_pool *p = &c->g->pool;

    c->inext = p->idle;
    c->iprev = &p->idle;
    if (p->idle != NULL) {
        p->idle->iprev = &c->inext;
    }
    p->idle = c;
}

static void conn_free(cs_gw_conn *c)
{
    cs_gw_pool *p = &c->g->pool;

    idle_unlink(c);
    *c->prev = c->next;
    if (c->next != NULL) {
        c->next->prev = c->prev;
    }
    p->num_conns--;
    if (c->req != NULL) {
        c->req->conn = NULL;
    }
    cs_dial_free(c->dial);
    cs_stream_free(c->stream);
    cs_http1_parser_free(c->parser);
    free(c);
    if (p->wait != NULL) { /* its place is free */
        cs_defer_arm(p->wait->g->loop, &p->pump);
    }
}

/* ---- requests ---- */

void cs_gw_wire_unref(void *wire)
{
    cs_gw_wire *w = wire;

    if (w != NULL && --w->refs == 0) {
        cs_buf_free(&w->bytes);
        free(w);
    }
}

cs_err cs_gw_wire_new(cs_gw_wire **out, const cs_gateway *g, const char *path, size_t body_len)
{
    char target[CS_GW_HEAD_MAX / 2];
    cs_buf t = cs_buf_wrap(target, sizeof target);
    const cs_http1_header headers[] = {
        {cs_slice_str("Host"), cs_slice_str(g->url.host)},
        {cs_slice_str("Content-Type"), cs_slice_str("application/json")},
        {cs_slice_str("Accept"), cs_slice_str("application/json")},
    };
    uint8_t *space = NULL;

    CS_TRY(cs_put_str(&t, g->url.prefix));
    CS_TRY(cs_put_str(&t, path));
    cs_gw_wire *w = calloc(1, sizeof *w);
    if (w == NULL) {
        return CS_E_NO_MEMORY;
    }
    w->refs = 1;
    w->bytes = cs_buf_heap(CS_GW_HEAD_MAX + body_len);
    cs_err err = cs_put_space(&w->bytes, &space, CS_GW_HEAD_MAX + body_len); /* all at once: it does not grow later */
    w->bytes.len = 0;
    if (err == CS_OK) {
        err = cs_http1_put_request(&w->bytes, cs_slice_str("POST"), cs_buf_slice(&t), headers,
                                   sizeof headers / sizeof *headers, body_len);
    }
    if (err != CS_OK) {
        cs_gw_wire_unref(w);
        return err;
    }
    *out = w;
    return CS_OK;
}

static void req_free(cs_gateway_req *r)
{
    cs_gw_pool *p = &r->g->pool;

    queue_unlink(r);
    *r->prev = r->next;
    if (r->next != NULL) {
        r->next->prev = r->prev;
    } else {
        p->all_tail = r->prev;
    }
    p->num_reqs--;
    if (r->conn != NULL) {
        r->conn->req = NULL;
    }
    cs_gw_wire_unref(r->wire);
    free(r);
}

static void req_end(cs_gateway_req *r, cs_err err, unsigned status, cs_slice body)
{
    cs_gateway_fn *fn = r->fn;
    void *cookie = r->cookie;

    req_free(r);
    if (fn != NULL) {
        fn(cookie, err, status, body);
    }
}

/* Ready for the earliest thing that time brings. */
static void set_tick(cs_gateway *g)
{
    cs_gw_pool *p = &g->pool;
    uint64_t now = cs_loop_now(g->loop), at = UINT64_MAX;

    if (p->all != NULL) {
        at = p->all->deadline;
    }
    if (p->wait != NULL && p->hold > now && p->hold < at) {
        at = p->hold;
    }
    if (at == UINT64_MAX) {
        cs_timer_stop(p->tick);
    } else {
        cs_timer_start(p->tick, at > now ? at - now : 0, 0);
    }
}

static void on_tick(void *cookie)
{
    cs_gateway *g = cookie;
    uint64_t now = cs_loop_now(g->loop);

    while (g->pool.all != NULL && g->pool.all->deadline <= now) {
        cs_gateway_req *r = g->pool.all;
        bool dialling = r->conn != NULL ? r->conn->stream == NULL : g->pool.failures > 0;
        if (r->conn != NULL) {
            conn_free(r->conn); /* its answer may still come */
        }
        req_end(r, dialling ? CS_E_CONNECT : CS_E_TIMEOUT, 0, CS_SLICE_NULL);
    }
    pump(g);
}

/* The connection is over; what it carried goes out once more, or has failed. */
static void conn_failed(cs_gw_conn *c, cs_err err)
{
    cs_gateway *g = c->g;
    cs_gateway_req *r = c->req;
    bool proven = c->proven;
    bool again = err == CS_E_CLOSED || err == CS_E_IO || err == CS_E_CONNECT || err == CS_E_TIMEOUT;

    conn_free(c);
    if (!proven) { /* also one that was taken and closed: by a bridge whose other side is away */
        g->pool.failures++;
        g->pool.hold = cs_loop_now(g->loop) + cs_gw_backoff(g, g->pool.failures);
    }
    if (r == NULL) {
        return;
    }
    r->tries++;
    if (again && (r->patient || r->tries < 2)) {
        while (proven && g->pool.idle != NULL) {
            conn_free(g->pool.idle); /* as old as that one, or older: not to be relied on */
        }
        queue_put(r, true);
        return;
    }
    req_end(r, err, 0, CS_SLICE_NULL);
}

/* ---- answers ---- */

static void answered(cs_gw_conn *c, bool more)
{
    const cs_http1_msg *m = cs_http1_message(c->parser);
    cs_gateway *g = c->g;
    cs_gateway_req *r = c->req;
    unsigned status = m->status;
    cs_err err = CS_OK;

    if (status != 200) {
        err = cs_room_refusal(status, m->body);
    } else if (!cs_gw_type_is(m, "application/json")) {
        err = CS_E_FORMAT;
    }
    bool keep = m->keep_alive && !more && cs_stream_queued(c->stream) == 0;
    c->req = NULL;
    r->conn = NULL;
    /* the answer lies in the parser: the connection is used again, or freed, after it was told */
    cs_gateway_fn *fn = r->fn;
    void *cookie = r->cookie;
    req_free(r);
    c->interim = 0;
    c->proven = true;
    g->pool.failures = 0;
    if (fn != NULL) {
        fn(cookie, err, status, m->body);
    }
    if (!keep) {
        conn_free(c);
        return;
    }
    cs_http1_reset(c->parser);
    idle_put(c);
    if (g->pool.wait != NULL) {
        cs_defer_arm(g->loop, &g->pool.pump);
    }
}

static void on_data(void *cookie, cs_slice data)
{
    cs_gw_conn *c = cookie;

    for (;;) {
        size_t used = 0;
        bool done = false;

        if (c->req == NULL) { /* nobody has asked */
            conn_free(c);
            return;
        }
        cs_err err = cs_http1_feed(c->parser, &used, &done, data);
        data = cs_slice_of(data.p + used, data.len - used);
        if (err != CS_OK) {
            conn_failed(c, err);
            return;
        }
        if (!done) {
            return;
        }
        if (cs_http1_message(c->parser)->status >= 200) {
            answered(c, data.len > 0);
            return;
        }
        if (++c->interim > CS_GW_INTERIM_MAX) {
            conn_failed(c, CS_E_FORMAT);
            return;
        }
        cs_http1_reset(c->parser);
        if (data.len == 0) {
            return;
        }
    }
}

static void on_eof(void *cookie)
{
    cs_gw_conn *c = cookie;
    bool done = false;

    if (c->req == NULL) {
        conn_free(c);
    } else if (cs_http1_eof(c->parser, &done) == CS_OK && done) {
        answered(c, false);
    } else {
        conn_failed(c, CS_E_CLOSED);
    }
}

static void on_close(void *cookie, cs_err err)
{
    conn_failed(cookie, err);
}

static const cs_stream_events conn_events = {.on_data = on_data, .on_eof = on_eof, .on_close = on_close};

/* ---- connections ---- */

static void conn_send(cs_gw_conn *c)
{
    cs_gw_wire *w = c->req->wire;

    w->refs++;
    if (cs_stream_write_ref(c->stream, cs_buf_slice(&w->bytes), cs_gw_wire_unref, w) != CS_OK) {
        cs_gw_wire_unref(w);
        conn_failed(c, CS_E_CLOSED);
    }
}

static void on_dialled(void *cookie, cs_err err, int fd)
{
    static const cs_http1_limits limits = {.body_max = CS_GW_ANSWER_MAX};
    static const cs_stream_opts opts = {.out_max = CS_GW_HEAD_MAX + 2 * CS_ROOM_BODY_MAX};
    cs_gw_conn *c = cookie;

    c->dial = NULL;
    if (err != CS_OK) {
        conn_failed(c, err == CS_E_TIMEOUT ? CS_E_TIMEOUT : CS_E_CONNECT);
        return;
    }
    err = cs_stream_new(&c->stream, c->g->loop, fd, &opts, &conn_events, c);
    if (err != CS_OK) {
        close(fd);
        conn_failed(c, err);
        return;
    }
    err = cs_http1_parser_new(&c->parser, CS_HTTP1_RESPONSE, &limits);
    if (err != CS_OK) {
        conn_failed(c, err);
        return;
    }
    cs_stream_read(c->stream, true);
    if (c->req != NULL) {
        conn_send(c);
    } else { /* its request was given up */
        idle_put(c);
    }
}

static void conn_new(cs_gateway *g, cs_gateway_req *r)
{
    cs_gw_pool *p = &g->pool;
    cs_gw_conn *c = calloc(1, sizeof *c);

    if (c == NULL) {
        req_end(r, CS_E_NO_MEMORY, 0, CS_SLICE_NULL);
        return;
    }
    c->g = g;
    c->next = p->conns;
    c->prev = &p->conns;
    if (p->conns != NULL) {
        p->conns->prev = &c->next;
    }
    p->conns = c;
    p->num_conns++;
    c->req = r;
    r->conn = c;
    cs_err err = cs_dial_new(&c->dial, g->loop, &g->endpoint, g->timeout_ms, on_dialled, c);
    if (err != CS_OK) {
        conn_failed(c, err);
    }
}

/* Hands waiting requests to connections; from the loop only, so that no caller is called back from within its own call. */
static void pump(void *cookie)
{
    cs_gateway *g = cookie;
    cs_gw_pool *p = &g->pool;

    while (p->wait != NULL) {
        cs_gateway_req *r = p->wait;
        cs_gw_conn *c = p->idle;

        if (c == NULL && (p->num_conns >= p->conns_max || p->hold > cs_loop_now(g->loop))) {
            break;
        }
        queue_unlink(r);
        if (c == NULL) {
            conn_new(g, r);
            continue;
        }
        idle_unlink(c);
        c->req = r;
        r->conn = c;
        conn_send(c);
    }
    set_tick(g);
}

cs_err cs_gw_submit(cs_gateway_req **out, cs_gateway *g, cs_gw_wire *wire_take, bool patient, cs_gateway_fn *fn,
                    void *cookie)
{
    cs_gw_pool *p = &g->pool;

    if (p->num_reqs >= p->reqs_max) {
        return CS_E_SESSION_LIMIT;
    }
    cs_gateway_req *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return CS_E_NO_MEMORY;
    }
    *r = (cs_gateway_req){.g = g,
                          .wire = wire_take,
                          .deadline = cs_loop_now(g->loop) + g->timeout_ms,
                          .patient = patient,
                          .fn = fn,
                          .cookie = cookie};
    r->prev = p->all_tail;
    *p->all_tail = r;
    p->all_tail = &r->next;
    p->num_reqs++;
    queue_put(r, false);
    if (out != NULL) {
        *out = r;
    }
    return CS_OK;
}

cs_err cs_gateway_post(cs_gateway_req **out, cs_gateway *g, const char *path, cs_slice json, cs_gateway_fn *fn,
                       void *cookie)
{
    cs_gw_wire *w = NULL;

    if (json.len > CS_GW_ANSWER_MAX) {
        return CS_E_TOO_LARGE;
    }
    CS_TRY(cs_gw_wire_new(&w, g, path, json.len));
    cs_err err = cs_put_slice(&w->bytes, json);
    if (err == CS_OK) {
        err = cs_gw_submit(out, g, w, false, fn, cookie);
    }
    if (err != CS_OK) {
        cs_gw_wire_unref(w);
    }
    return err;
}

void cs_gateway_cancel(cs_gateway_req *r)
{
    if (r != NULL) {
        r->fn = NULL; /* the answer of what is under way is read, so that the connection stays usable */
    }
}

cs_err cs_gw_pool_init(cs_gateway *g, unsigned conns_max, size_t reqs_max)
{
    cs_gw_pool *p = &g->pool;

    p->conns_max = conns_max;
    p->reqs_max = reqs_max;
    p->all_tail = &p->all;
    p->wait_tail = &p->wait;
    p->pump = (cs_defer){.fn = pump, .cookie = g};
    return cs_timer_new(&p->tick, g->loop, on_tick, g);
}

void cs_gw_pool_cleanup(cs_gateway *g)
{
    cs_gw_pool *p = &g->pool;

    while (p->all != NULL) {
        req_free(p->all);
    }
    while (p->conns != NULL) {
        conn_free(p->conns);
    }
    cs_defer_cancel(&p->pump);
    cs_timer_free(p->tick);
}
