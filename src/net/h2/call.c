/* Calls: their memory, headers, and the queue of messages on the way out. See conn.h and grpc.h. */
#include <stdlib.h>
#include <string.h>

#include "net/h2/conn.h"

#define COPY_BELOW 2048    /* pieces smaller than this are copied into the stream's queue: a reference costs more */
#define HEADER_OVERHEAD 32 /* RFC 9113 6.5.2 */

cs_err cs_h2_call_new(cs_grpc_call **out, size_t message_max, size_t header_max)
{
    cs_grpc_call *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return CS_E_NO_MEMORY;
    }
    c->id = -1;
    c->out_tail = &c->out;
    c->in.max = message_max;
    c->headers = cs_buf_heap(header_max);
    c->unary = cs_buf_heap(message_max);
    c->message = cs_buf_heap(8192);
    c->deadline = UINT64_MAX;
    c->limit = UINT64_MAX;
    *out = c;
    return CS_OK;
}

void cs_h2_call_link(cs_h2_conn *c, cs_grpc_call *call)
{
    call->conn = c;
    call->next = c->calls;
    call->prev = &c->calls;
    if (c->calls != NULL) {
        c->calls->prev = &call->next;
    }
    c->calls = call;
    c->num_calls++;
}

void cs_h2_call_unlink(cs_grpc_call *call)
{
    if (call->prev == NULL) {
        return;
    }
    *call->prev = call->next;
    if (call->next != NULL) {
        call->next->prev = call->prev;
    }
    call->prev = NULL;
    call->next = NULL;
    if (call->conn != NULL) {
        call->conn->num_calls--;
        if (call->conn->stats != NULL) {
            call->conn->stats->held -= call->held;
            call->held = 0;
        }
    }
}

static void unref(void *cookie)
{
    cs_h2_msg *m = cookie;
    if (--m->refs == 0) {
        if (m->release != NULL) {
            m->release(m->cookie);
        }
        free(m);
    }
}

void cs_h2_call_drop_out(cs_grpc_call *call)
{
    while (call->out != NULL) {
        cs_h2_msg *m = call->out;
        call->out = m->next;
        unref(m);
    }
    call->out_tail = &call->out;
    call->queued = 0;
}

void cs_h2_call_free(cs_grpc_call *call)
{
    cs_h2_call_drop_out(call);
    cs_unframe_cleanup(&call->in);
    cs_buf_free(&call->headers);
    cs_buf_free(&call->unary);
    cs_buf_free(&call->message);
    free(call);
}

/* Over the limit the header is dropped and header_bytes tells. */
void cs_h2_call_header(cs_grpc_call *call, cs_slice name, cs_slice value)
{
    cs_buf *b = &call->headers;
    size_t before = b->len;
    call->header_bytes += name.len + value.len + HEADER_OVERHEAD;
    if (name.len > UINT16_MAX || call->header_bytes > b->max || cs_put_u16(b, (uint16_t)name.len) != CS_OK ||
        cs_put_u32(b, (uint32_t)value.len) != CS_OK || cs_put_slice(b, name) != CS_OK ||
        cs_put_slice(b, value) != CS_OK) {
        b->len = before;
    }
}

bool cs_grpc_call_header_next(const cs_grpc_call *c, size_t *at, cs_slice *name, cs_slice *value)
{
    cs_slice all = cs_buf_slice(&c->headers);
    uint16_t name_len = 0;
    uint32_t value_len = 0;
    if (*at >= all.len) {
        return false;
    }
    cs_reader r = cs_reader_of(cs_slice_of(all.p + *at, all.len - *at));
    if (cs_read_u16(&r, &name_len) != CS_OK || cs_read_u32(&r, &value_len) != CS_OK ||
        cs_read_slice(&r, name, name_len) != CS_OK || cs_read_slice(&r, value, value_len) != CS_OK) {
        return false;
    }
    *at = all.len - r.left;
    return true;
}

cs_slice cs_grpc_call_header(const cs_grpc_call *c, const char *name)
{
    size_t at = 0;
    cs_slice n;
    cs_slice v;
    while (cs_grpc_call_header_next(c, &at, &n, &v)) {
        if (cs_slice_eq_str(n, name)) {
            return v;
        }
    }
    return CS_SLICE_NULL;
}

void cs_h2_call_reset(cs_grpc_call *call, uint32_t h2_error)
{
    cs_h2_call_drop_out(call);
    if (call->conn != NULL && call->id > 0) {
        (void)nghttp2_submit_rst_stream(call->conn->session, NGHTTP2_FLAG_NONE, call->id, h2_error);
        cs_h2_conn_wake(call->conn);
    }
}

static cs_err pull_body(cs_grpc_call *call, cs_h2_msg *m, size_t n)
{
    cs_slice piece = cs_slice_of(m->body.p + m->body_off, n);
    if (n < COPY_BELOW) {
        return cs_stream_write(call->conn->stream, piece);
    }
    m->refs++;
    cs_err err = cs_stream_write_ref(call->conn->stream, piece, unref, m);
    if (err != CS_OK) {
        m->refs--;
    }
    return err;
}

cs_err cs_h2_call_pull(cs_grpc_call *call, size_t len)
{
    while (len > 0 && call->out != NULL) {
        cs_h2_msg *m = call->out;
        size_t n = m->head_len - m->head_off;
        if (n > 0) {
            n = n < len ? n : len;
            CS_TRY(cs_stream_write(call->conn->stream, cs_slice_of(m->head + m->head_off, n)));
            m->head_off += n;
        } else {
            n = m->body.len - m->body_off;
            n = n < len ? n : len;
            CS_TRY(pull_body(call, m, n));
            m->body_off += n;
        }
        len -= n;
        call->queued -= n;
        if (m->head_off == m->head_len && m->body_off == m->body.len) {
            call->out = m->next;
            call->out_tail = call->out == NULL ? &call->out : call->out_tail;
            unref(m);
        }
    }
    if (call->drain_due && call->queued <= call->conn->opts->queue_max / 4) {
        call->conn->drain_pending = true;
    }
    return len == 0 ? CS_OK : CS_E_INTERNAL;
}

void cs_h2_call_text(cs_grpc_call *call, const char *text)
{
    cs_h2_msg *m = malloc(sizeof *m);
    if (m == NULL) {
        return;
    }
    *m = (cs_h2_msg){.refs = 1, .body = cs_slice_str(text)};
    *call->out_tail = m;
    call->out_tail = &m->next;
    call->queued += m->body.len;
}

static const cs_grpc_opts *opts_of(const cs_grpc_call *c);

/* CS_OK when a message of len bytes may be queued now. */
static cs_err check_send(cs_grpc_call *c, size_t len)
{
    const cs_grpc_opts *o = opts_of(c);
    if (c->ended || c->detached) {
        return CS_E_CLOSED;
    }
    if (len > o->message_max) {
        return CS_E_TOO_LARGE;
    }
    if (c->queued > 0 && c->queued + len + CS_GRPC_PREFIX > o->queue_max) {
        c->drain_due = true;
        return CS_E_RANGE;
    }
    return CS_OK;
}

static void queue_msg(cs_grpc_call *c, cs_h2_msg *m)
{
    size_t body_len = m->head_len - CS_GRPC_PREFIX + m->body.len;
    m->head[0] = 0;
    cs_store_u32(m->head + 1, (uint32_t)body_len);
    m->refs = 1;
    m->next = NULL;
    *c->out_tail = m;
    c->out_tail = &m->next;
    c->queued += CS_GRPC_PREFIX + body_len;
    c->drain_due = c->drain_due || cs_grpc_full(c);
    if (c->conn == NULL) {
        return;
    }
    if (c->conn->stats != NULL) {
        c->conn->stats->messages_out++;
    }
    if (c->client == NULL) {
        cs_h2_server_start(c);
    }
    if (c->id > 0) {
        (void)nghttp2_session_resume_data(c->conn->session, c->id);
    }
    cs_h2_conn_wake(c->conn);
}

cs_err cs_grpc_send(cs_grpc_call *c, const cs_slice *parts, size_t num_parts)
{
    size_t len = 0;
    for (size_t i = 0; i < num_parts; i++) {
        if (parts[i].len > UINT32_MAX || len > UINT32_MAX) {
            return CS_E_TOO_LARGE;
        }
        len += parts[i].len;
    }
    CS_TRY(check_send(c, len));
    cs_h2_msg *m = malloc(sizeof *m + len);
    if (m == NULL) {
        return CS_E_NO_MEMORY;
    }
    *m = (cs_h2_msg){.head_len = CS_GRPC_PREFIX, .body = cs_slice_of(m->mem, len)};
    size_t at = 0;
    for (size_t i = 0; i < num_parts; i++) {
        if (parts[i].len > 0) {
            memcpy(m->mem + at, parts[i].p, parts[i].len);
            at += parts[i].len;
        }
    }
    queue_msg(c, m);
    return CS_OK;
}

cs_err cs_grpc_send_ref(cs_grpc_call *c, cs_slice head, cs_slice body, cs_loop_fn *release, void *cookie)
{
    if (head.len > CS_H2_HEAD_MAX - CS_GRPC_PREFIX || body.len > UINT32_MAX) {
        return CS_E_TOO_LARGE;
    }
    CS_TRY(check_send(c, head.len + body.len));
    cs_h2_msg *m = malloc(sizeof *m);
    if (m == NULL) {
        return CS_E_NO_MEMORY;
    }
    *m = (cs_h2_msg){.head_len = CS_GRPC_PREFIX + head.len, .body = body, .release = release, .cookie = cookie};
    if (head.len > 0) {
        memcpy(m->head + CS_GRPC_PREFIX, head.p, head.len);
    }
    queue_msg(c, m);
    return CS_OK;
}

size_t cs_grpc_queued(const cs_grpc_call *c)
{
    return c->queued;
}

bool cs_grpc_full(const cs_grpc_call *c)
{
    return c->queued >= opts_of(c)->queue_max / 2;
}

void cs_grpc_read(cs_grpc_call *c, bool on)
{
    c->paused = !on;
    if (!on && c->method != NULL && c->method->client_streams && !c->ended) {
        c->limit = UINT64_MAX; /* a message that came in part cannot go on */
    }
    if (on && c->unconsumed > 0 && c->conn != NULL && c->id > 0) {
        (void)nghttp2_session_consume_stream(c->conn->session, c->id, c->unconsumed);
        c->unconsumed = 0;
        cs_h2_conn_wake(c->conn);
    }
}

void cs_grpc_call_set_cookie(cs_grpc_call *c, void *cookie)
{
    c->cookie = cookie;
}

void *cs_grpc_call_cookie(const cs_grpc_call *c)
{
    return c->cookie;
}

static const cs_grpc_opts *opts_of(const cs_grpc_call *c)
{
    return c->conn != NULL ? c->conn->opts : cs_h2_client_opts(c->client);
}

uint64_t cs_grpc_call_left_ms(const cs_grpc_call *c)
{
    if (c->deadline == UINT64_MAX || c->conn == NULL) {
        return UINT64_MAX;
    }
    uint64_t now = cs_loop_now(c->conn->loop);
    return c->deadline > now ? c->deadline - now : 0;
}
