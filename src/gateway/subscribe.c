/*
 * Event streams of rooms: what a subscriber has not got yet is in its room's history, so nothing is queued here but what the
 * connection takes (256 KiB). The bytes of a message are the room's, by reference.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "gateway/gateway.h"

#define PING_MS 15000
#define STUCK_MS 60000 /* nothing was taken for so long */

typedef struct cs_gate_sub {
    struct cs_gate_sub *next, **prev;
    cs_gate *gate;
    cs_http1_conn *conn;
    cs_room_sub *sub;
    cs_defer pump;
    uint64_t sent;  /* when something was written last */
    uint64_t moved; /* when the connection last took something */
    size_t queued;  /* then */
} cs_gate_sub;

static void sub_free(cs_gate_sub *s)
{
    *s->prev = s->next;
    if (s->next != NULL) {
        s->next->prev = s->prev;
    }
    if (s->sub != NULL) {
        cs_rooms_unsubscribe(s->gate->rooms, s->sub, cs_loop_now(s->gate->loop));
    }
    cs_defer_cancel(&s->pump);
    free(s);
}

static void drop(cs_gate_sub *s)
{
    cs_http1_conn_close(s->conn);
    sub_free(s);
}

static void on_gone(void *cookie)
{
    sub_free(cookie);
}

/* As much as the connection takes, in one write. It leaves at once: the other party waits for it, the sender's answer can wait. */
static void pump(void *cookie)
{
    cs_gate_sub *s = cookie;
    cs_room_text *t;
    while (!cs_http1_stream_full(s->conn) && (t = cs_room_sub_next(s->sub)) != NULL) {
        if (cs_http1_stream_write_ref(s->conn, cs_slice_of(t->bytes, t->len), cs_room_text_release, t) != CS_OK) {
            cs_room_text_release(t);
            drop(s);
            return;
        }
        s->sent = cs_loop_now(s->gate->loop);
    }
    cs_http1_stream_flush(s->conn);
}

static void on_drain(void *cookie)
{
    pump(cookie);
}

static void on_more(void *cookie)
{
    cs_gate_sub *s = cookie;
    cs_defer_arm(s->gate->loop, &s->pump);
}

/* The room has ended, or this one is too slow: the client may come again. */
static void on_room_end(void *cookie)
{
    cs_gate_sub *s = cookie;
    s->sub = NULL;
    if (cs_http1_stream_full(s->conn)) {
        drop(s);
        return;
    }
    cs_http1_stream_end(s->conn);
    sub_free(s);
}

/* ---- the request ---- */

/* base64url text: what bodies may begin with */
static bool prefix_ok(cs_slice v)
{
    if (v.len == 0 || v.len > CS_ROOMS_PREFIX_MAX) {
        return false;
    }
    for (size_t i = 0; i < v.len; i++) {
        uint8_t c = v.p[i];
        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-')) {
            return false;
        }
    }
    return true;
}

/* One parameter of the query, NAME=VALUE. */
static cs_err read_parameter(cs_room_want *want, cs_slice p)
{
    const uint8_t *eq = memchr(p.p, '=', p.len);
    cs_slice name = cs_slice_of(p.p, eq != NULL ? (size_t)(eq - p.p) : 0), value;
    uint64_t v = 0;
    if (eq == NULL) {
        return CS_E_USAGE;
    }
    value = cs_slice_of(eq + 1, p.len - name.len - 1);
    if (cs_slice_eq_str(name, "not_from") && want->not_from == CS_ROOMS_ALL_SENDERS &&
        cs_parse_u64(value, UINT16_MAX, &v) == CS_OK) {
        want->not_from = (int)v;
        return CS_OK;
    }
    if (cs_slice_eq_str(name, "prefix") && want->prefix.len == 0 && prefix_ok(value)) {
        want->prefix = value;
        return CS_OK;
    }
    return CS_E_USAGE;
}

/* not_from=S and prefix=P, each at most once, and nothing else */
static cs_err read_query(cs_room_want *want, cs_slice query)
{
    want->not_from = CS_ROOMS_ALL_SENDERS;
    while (query.len > 0) {
        const uint8_t *amp = memchr(query.p, '&', query.len);
        size_t n = amp != NULL ? (size_t)(amp - query.p) : query.len;
        CS_TRY(read_parameter(want, cs_slice_of(query.p, n)));
        if (amp != NULL && n + 1 == query.len) {
            return CS_E_USAGE; /* nothing behind the last & */
        }
        n += amp != NULL;
        query = cs_slice_of(query.p + n, query.len - n);
    }
    return CS_OK;
}

/* A decimal number, once. One that no room reaches is of a room that was forgotten, as is every other beyond the last. */
static cs_err read_last_id(uint64_t *after, const cs_http1_msg *request)
{
    cs_slice v = cs_http1_header_get(request, "last-event-id");
    *after = CS_ROOMS_FROM_START;
    for (size_t i = 0; v.p != NULL && i < request->num_headers; i++) {
        const cs_http1_header *h = &request->headers[i];
        if (h->name.len == 13 && h->value.p != v.p && strncasecmp((const char *)h->name.p, "last-event-id", 13) == 0) {
            return CS_E_USAGE;
        }
    }
    if (v.p == NULL) {
        return CS_OK;
    }
    for (size_t i = 0; i < v.len; i++) {
        if (v.p[i] < '0' || v.p[i] > '9') {
            return CS_E_USAGE;
        }
    }
    if (v.len == 0 || (v.len > 1 && v.p[0] == '0')) {
        return CS_E_USAGE;
    }
    if (cs_parse_u64(v, CS_ROOMS_FROM_START - 1, after) != CS_OK) { /* too large for any room */
        *after = CS_ROOMS_FROM_START;
    }
    return CS_OK;
}

static cs_err stream_begin(cs_gate_sub *s, const cs_http1_msg *request)
{
    static const cs_http1_stream_events events = {on_drain, on_gone};
    cs_gate_headers h;
    cs_slice retry = cs_slice_str("retry: 5000\n\n");
    cs_gate_headers_init(&h, s->gate, request, "text/event-stream");
    cs_gate_headers_add(&h, "X-Accel-Buffering", "no");
    CS_TRY(cs_http1_stream_begin(s->conn, 200, h.h, h.num, &events, s));
    if (cs_http1_stream_write(s->conn, &retry, 1) != CS_OK) {
        cs_http1_conn_close(s->conn);
        return CS_E_CLOSED;
    }
    return CS_OK;
}

static void link_sub(cs_gate *g, cs_gate_sub *s)
{
    s->next = g->subs;
    s->prev = &g->subs;
    if (g->subs != NULL) {
        g->subs->prev = &s->next;
    }
    g->subs = s;
}

void cs_gate_subscribe(cs_gate *g, cs_http1_conn *conn, const cs_http1_msg *request, cs_slice room, cs_slice query)
{
    static const cs_room_sub_events events = {on_more, on_room_end};
    cs_room_want want = {.events = &events};
    uint64_t now = cs_loop_now(g->loop);
    cs_err err = read_query(&want, query);
    if (err == CS_OK) {
        err = read_last_id(&want.after_id, request);
    }
    cs_gate_sub *s = err == CS_OK ? calloc(1, sizeof *s) : NULL;
    if (s == NULL) {
        cs_gate_refuse(g, conn, request, 0, err != CS_OK ? err : CS_E_NO_MEMORY);
        return;
    }
    *s = (cs_gate_sub){.gate = g, .conn = conn, .sent = now, .moved = now, .pump = {.fn = pump, .cookie = s}};
    want.cookie = s;
    link_sub(g, s);
    err = cs_rooms_subscribe(g->rooms, &s->sub, room, now, &want);
    if (err != CS_OK) {
        sub_free(s);
        cs_gate_refuse(g, conn, request, 0, err);
        return;
    }
    err = stream_begin(s, request);
    if (err != CS_OK) {
        sub_free(s);
        if (err == CS_E_UNSUPPORTED) {
            cs_gate_refuse(g, conn, request, 505, err);
        }
        return;
    }
    pump(s);
}

/* ---- time ---- */

static void sub_tick(cs_gate_sub *s, uint64_t now)
{
    static const char ping[] = ":\n\n";
    size_t queued = cs_http1_stream_queued(s->conn);
    if (queued < s->queued || queued == 0) {
        s->moved = now;
    }
    s->queued = queued;
    if (now - s->moved >= STUCK_MS) {
        drop(s);
    } else if (now - s->sent >= PING_MS && queued == 0) {
        cs_slice text = cs_slice_str(ping);
        s->sent = now;
        if (cs_http1_stream_write(s->conn, &text, 1) != CS_OK) {
            drop(s);
        }
    }
}

void cs_gate_sub_tick(cs_gate *g)
{
    for (cs_gate_sub *s = g->subs, *next; s != NULL; s = next) {
        next = s->next;
        sub_tick(s, cs_loop_now(g->loop));
    }
}

void cs_gate_subs_end(cs_gate *g)
{
    while (g->subs != NULL) {
        cs_gate_sub *s = g->subs;
        cs_http1_stream_end(s->conn);
        sub_free(s);
    }
}
