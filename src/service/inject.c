/*
 * The injectors 7101 (KMS-encrypted age identity) and 7102 (age-encrypted shares): raw bytes until end of file, one connection
 * at a time, one JSON line {code, cause, fix, detail} as the answer. Ciphertext only; nothing is kept after it was passed on.
 */
#include <stdlib.h>
#include <unistd.h>

#include "base/json_out.h"
#include "base/limits.h"
#include "net/stream.h"
#include "service/service.h"

#define IDLE_MS 30000u
/* a pair may take 60 s to be complete, unsealing 30 s more: core answers before this */
#define REPLY_MS 120000u
#define ANSWER_MAX 1024
#define LINGER_MS 5000u

/* One connection; at most one per injector. */
struct inject {
    cs_injector *owner;
    cs_stream *stream;
    cs_timer *idle;
    cs_buf chunk; /* what is collected for the next frame */
    uint64_t id;  /* of the transfer (shares) */
    uint64_t total;
    bool begun, ended; /* SHARES_BEGIN sent; end of file seen */
};

struct cs_injector {
    cs_service *service;
    cs_inject_kind kind;
    cs_listener *listener;
    struct inject *current;
};

static void put_answer(cs_buf *out, cs_err err, cs_slice detail)
{
    cs_jw w = cs_jw_begin(out);

    cs_jw_object(&w, NULL);
    cs_jw_cstr(&w, "code", cs_err_code(err));
    cs_jw_cstr(&w, "cause", cs_err_cause(err));
    cs_jw_cstr(&w, "fix", cs_err_fix(err));
    if (detail.len > 0) {
        cs_jw_str(&w, "detail", detail);
    }
    cs_jw_close_object(&w);
    if (cs_jw_end(&w) != CS_OK || cs_put_u8(out, '\n') != CS_OK) {
        out->len = 0;
    }
}

static void say(cs_stream *stream, cs_err err, cs_slice detail)
{
    uint8_t mem[ANSWER_MAX];
    cs_buf line = cs_buf_wrap(mem, sizeof mem);

    put_answer(&line, err, detail);
    (void)!cs_stream_write(stream, cs_buf_slice(&line)); /* a peer that is gone has no use for it */
    cs_stream_shutdown(stream);
    cs_stream_free_when_sent(stream, LINGER_MS);
}

/* The stream is taken by the caller or freed before. */
static void inject_free(struct inject *c)
{
    cs_service_forget(c->owner->service, c);
    cs_timer_free(c->idle);
    cs_buf_free(&c->chunk);
    c->owner->current = NULL;
    free(c);
}

static const char *port_name(const struct inject *c)
{
    return c->owner->kind == CS_INJECT_AGE ? "7101" : "7102";
}

static void cancel_shares(struct inject *c)
{
    if (c->owner->kind == CS_INJECT_SHARES && c->begun && !c->ended) {
        cs_service_send_end(c->owner->service, CS_RPC_SHARES_CANCEL, c->id);
    }
}

/* Answers and ends the connection. */
static void inject_end(struct inject *c, cs_err err, cs_slice detail)
{
    cs_stream *stream = c->stream;

    cs_log_err(err == CS_OK ? CS_LOG_INFO : CS_LOG_WARN, "inject", err, CS_LC("port", port_name(c)),
               CS_LU("bytes", c->total), CS_LSTR("detail", detail));
    if (err != CS_OK) {
        cancel_shares(c);
    }
    inject_free(c);
    say(stream, err, detail);
}

static void on_reply(void *cookie, const cs_rpc_frame *reply)
{
    struct inject *c = cookie;
    char code[48] = {0};

    if (reply == NULL || reply->type != CS_RPC_REPLY || reply->f[0].s.len >= sizeof code) {
        inject_end(c, reply == NULL ? CS_E_TIMEOUT : CS_E_INTERNAL, CS_SLICE_NULL);
        return;
    }
    for (size_t i = 0; i < reply->f[0].s.len; i++) {
        code[i] = (char)reply->f[0].s.p[i];
    }
    inject_end(c, cs_err_from_code(code), reply->f[1].s);
}

static cs_err send_chunk(struct inject *c)
{
    cs_service *s = c->owner->service;

    if (!c->begun) {
        cs_rpc_frame begin = {.type = CS_RPC_SHARES_BEGIN, .id = c->id};
        CS_TRY(cs_service_send(s, &begin));
        c->begun = true;
    }
    cs_rpc_frame f = {.type = CS_RPC_SHARES_CHUNK, .id = c->id};
    f.f[0].s = cs_buf_slice(&c->chunk);
    CS_TRY(cs_service_send(s, &f));
    c->chunk.len = 0;
    if (cs_link_full(s->core)) {
        cs_stream_read(c->stream, false);
    }
    return CS_OK;
}

/* Appends; whole chunks of shares go on to core. */
static cs_err take(struct inject *c, cs_slice data)
{
    c->total += data.len;
    if (c->owner->kind == CS_INJECT_AGE) {
        return c->total > CS_AGE_KEY_MAX ? CS_E_TOO_LARGE : cs_put_slice(&c->chunk, data);
    }
    if (c->total > c->owner->service->config.shares_max) {
        return CS_E_TOO_LARGE;
    }
    while (data.len > 0) {
        size_t n = CS_RPC_CHUNK - c->chunk.len < data.len ? CS_RPC_CHUNK - c->chunk.len : data.len;
        CS_TRY(cs_put(&c->chunk, data.p, n));
        data = cs_slice_of(data.p + n, data.len - n);
        if (c->chunk.len == CS_RPC_CHUNK) {
            CS_TRY(send_chunk(c));
        }
    }
    return CS_OK;
}

static void on_data(void *cookie, cs_slice data)
{
    struct inject *c = cookie;
    cs_err err = take(c, data);

    if (err != CS_OK) {
        inject_end(c, err, CS_SLICE_NULL);
        return;
    }
    cs_timer_start(c->idle, IDLE_MS, 0);
}

/* All is there: the last frame, and the wait for core's answer. */
static cs_err finish(struct inject *c)
{
    cs_service *s = c->owner->service;

    if (c->total == 0) {
        return CS_E_INJECT_EMPTY;
    }
    if (c->owner->kind == CS_INJECT_AGE) {
        cs_rpc_frame f = {.type = CS_RPC_INJECT_AGE};
        f.f[0].s = cs_buf_slice(&c->chunk);
        return cs_service_call(s, &f, REPLY_MS, on_reply, c);
    }
    if (c->chunk.len > 0 || !c->begun) {
        CS_TRY(send_chunk(c));
    }
    if (cs_service_expect(s, c->id, REPLY_MS, on_reply, c) == NULL) {
        return CS_E_NO_MEMORY;
    }
    cs_rpc_frame end = {.type = CS_RPC_SHARES_END, .id = c->id};
    CS_TRY(cs_service_send(s, &end));
    c->ended = true;
    return CS_OK;
}

static void on_eof(void *cookie)
{
    struct inject *c = cookie;

    cs_timer_stop(c->idle);
    cs_err err = finish(c);
    if (err != CS_OK) {
        inject_end(c, err, CS_SLICE_NULL);
    }
}

static void on_close(void *cookie, cs_err err)
{
    struct inject *c = cookie;

    /* reset by the peer: before the end of file nothing may be used of what came; after it core's work goes on unheard */
    cs_log_err(CS_LOG_WARN, "inject_broken_off", err, CS_LC("port", port_name(c)), CS_LU("bytes", c->total));
    cancel_shares(c);
    cs_stream_free(c->stream);
    inject_free(c);
}

static void on_idle(void *cookie)
{
    inject_end(cookie, CS_E_TIMEOUT, CS_SLICE_NULL);
}

static const cs_stream_events inject_events = {.on_data = on_data, .on_eof = on_eof, .on_close = on_close};

/* A refused connection: the answer, and nothing is read. say() gives the stream away, so no callback ever comes. */
static void never_called(void *cookie, cs_err err)
{
    (void)cookie;
    (void)err;
}

static void refuse(cs_service *s, int fd, cs_err err)
{
    static const cs_stream_events nothing = {.on_close = never_called};
    cs_stream *stream = NULL;

    if (cs_stream_new(&stream, s->loop, fd, NULL, &nothing, NULL) != CS_OK) {
        (void)close(fd);
        return;
    }
    say(stream, err, CS_SLICE_NULL);
}

static void on_accept(void *cookie, int fd, const cs_ep_peer *peer)
{
    cs_injector *i = cookie;
    struct inject *c = NULL;

    (void)peer;
    if (i->current != NULL) {
        cs_log_err(CS_LOG_WARN, "inject", CS_E_INJECT_BUSY, CS_LC("port", port_name(i->current)));
        refuse(i->service, fd, CS_E_INJECT_BUSY);
        return;
    }
    c = calloc(1, sizeof *c);
    if (c == NULL || cs_timer_new(&c->idle, i->service->loop, on_idle, c) != CS_OK) {
        free(c);
        refuse(i->service, fd, CS_E_NO_MEMORY);
        return;
    }
    c->owner = i;
    c->id = ++i->service->next_id;
    c->chunk = cs_buf_heap(i->kind == CS_INJECT_AGE ? CS_AGE_KEY_MAX : CS_RPC_CHUNK);
    if (cs_stream_new(&c->stream, i->service->loop, fd, NULL, &inject_events, c) != CS_OK) {
        cs_timer_free(c->idle);
        free(c);
        refuse(i->service, fd, CS_E_NO_MEMORY);
        return;
    }
    i->current = c;
    cs_stream_read(c->stream, !cs_link_full(i->service->core)); /* else cs_injector_resume */
    cs_timer_start(c->idle, IDLE_MS, 0);
}

cs_err cs_injector_new(cs_injector **out, cs_service *s, cs_inject_kind kind, int listen_fd_take)
{
    cs_injector *i = calloc(1, sizeof *i);

    if (i == NULL) {
        return CS_E_NO_MEMORY;
    }
    i->service = s;
    i->kind = kind;
    cs_err err = cs_listener_new(&i->listener, s->loop, listen_fd_take, (uint32_t)s->config.parent_cid, on_accept, i);
    if (err != CS_OK) {
        free(i);
        return err;
    }
    *out = i;
    return CS_OK;
}

void cs_injector_resume(cs_injector *i)
{
    if (i != NULL && i->current != NULL && !i->current->ended) {
        cs_stream_read(i->current->stream, true);
    }
}

void cs_injector_free(cs_injector *i)
{
    if (i == NULL) {
        return;
    }
    if (i->current != NULL) {
        cs_stream_free(i->current->stream);
        inject_free(i->current);
    }
    cs_listener_free(i->listener);
    free(i);
}
