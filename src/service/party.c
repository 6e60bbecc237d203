/*
 * countersign.v1.Party/Session: each gRPC stream is a numbered stream of frames to core. Bodies are opaque here.
 * Backpressure: when the link to core is full no stream is read; when a client does not read, its stream ends.
 */
#include <stdlib.h>

#include "base/log.h"
#include "net/h2/wire.h"
#include "service/service.h"

/* more than core's limit, so that core decides which stream gives way; a bound on what the front itself holds */
#define STREAMS_ON_THE_WAY 64u

struct stream {
    cs_service *service;
    cs_grpc_call *call;
    uint64_t id;
};

static void stream_free(struct stream *t)
{
    (void)cs_idmap_take(&t->service->streams, t->id);
    free(t);
}

/* Ends the gRPC side; the stream is gone afterwards. */
static void stream_finish(struct stream *t, cs_err err)
{
    cs_grpc_call *call = t->call;

    stream_free(t);
    cs_grpc_finish(call, err, NULL);
}

static void pause_one(void *value, void *cookie)
{
    cs_grpc_read(((struct stream *)value)->call, *(const bool *)cookie);
}

static void set_reading(cs_service *s, bool on)
{
    if (s->reads_paused == !on) {
        return;
    }
    s->reads_paused = !on;
    cs_idmap_each(&s->streams, pause_one, &on);
}

void cs_service_party_resume(cs_service *s)
{
    set_reading(s, true);
}

static void on_open(cs_grpc_call *call, void *server_cookie)
{
    cs_service *s = server_cookie;
    struct stream *t = NULL;
    cs_err err = CS_E_SESSION_LIMIT;

    cs_grpc_call_set_cookie(call, NULL);
    /* core decides who gives way at the limit; this bound is for what is on its way to it */
    if (s->streams.used >= s->config.sessions_max + STREAMS_ON_THE_WAY) {
        goto refuse;
    }
    t = calloc(1, sizeof *t);
    err = CS_E_NO_MEMORY;
    if (t == NULL) {
        goto refuse;
    }
    *t = (struct stream){.service = s, .call = call, .id = ++s->next_id};
    err = cs_idmap_put(&s->streams, t->id, t);
    if (err != CS_OK) {
        goto refuse;
    }
    cs_rpc_frame f = {.type = CS_RPC_PARTY_OPEN, .id = t->id};
    err = cs_service_send(s, &f);
    if (err != CS_OK) {
        (void)cs_idmap_take(&s->streams, t->id);
        err = err == CS_E_RANGE ? CS_E_SESSION_LIMIT : err;
        goto refuse;
    }
    cs_grpc_call_set_cookie(call, t);
    if (s->reads_paused) {
        cs_grpc_read(call, false);
    }
    return;

refuse:
    free(t);
    cs_grpc_finish(call, err, NULL);
}

static void on_message(cs_grpc_call *call, cs_slice message)
{
    struct stream *t = cs_grpc_call_cookie(call);
    cs_rpc_frame f = {.type = CS_RPC_PARTY_DATA};

    if (t == NULL) {
        return;
    }
    cs_service *s = t->service;
    f.id = t->id;
    if (cs_frame_body(&f.f[0].s, message) != CS_OK) {
        cs_service_send_end(s, CS_RPC_PARTY_CLOSE, t->id);
        stream_free(t);
        cs_grpc_finish_as(call, CS_GRPC_INTERNAL, CS_E_FORMAT, NULL);
        return;
    }
    cs_err err = cs_service_send(s, &f);
    if (err != CS_OK) {
        cs_service_send_end(s, CS_RPC_PARTY_CLOSE, t->id);
        stream_finish(t, err == CS_E_RANGE ? CS_E_SESSION_LIMIT : err);
        return;
    }
    if (cs_link_full(s->core)) {
        set_reading(s, false);
    }
}

static void on_gone(cs_grpc_call *call)
{
    struct stream *t = cs_grpc_call_cookie(call);

    if (t != NULL) {
        cs_service_send_end(t->service, CS_RPC_PARTY_CLOSE, t->id);
        stream_free(t);
    }
}

static void on_half_close(cs_grpc_call *call)
{
    (void)call; /* the client has sent its last message; core's answer is still to come */
}

void cs_service_party_frame(cs_service *s, const cs_rpc_frame *f)
{
    struct stream *t = cs_idmap_get(&s->streams, f->id);

    if (t == NULL) {
        return; /* it ended on our side while core answered */
    }
    if (f->type == CS_RPC_PARTY_END) {
        char code[48] = {0};
        size_t n = f->f[0].s.len < sizeof code - 1 ? f->f[0].s.len : sizeof code - 1;
        for (size_t i = 0; i < n; i++) {
            code[i] = (char)f->f[0].s.p[i];
        }
        stream_finish(t, cs_err_from_code(code));
        return;
    }
    uint8_t head[CS_FRAME_HEAD_MAX];
    cs_slice body = f->f[0].s;
    cs_slice parts[] = {cs_slice_of(head, cs_frame_head(head, body.len)), body};
    cs_err err = cs_grpc_send(t->call, parts, 2);
    if (err != CS_OK) {
        /* a client that does not read cannot make us hold its messages */
        cs_service_send_end(s, CS_RPC_PARTY_CLOSE, t->id);
        stream_finish(t, err == CS_E_RANGE ? CS_E_SESSION_LIMIT : err);
    }
}

const cs_grpc_method cs_service_party_method = {
    .path = "/countersign.v1.Party/Session",
    .client_streams = true,
    .server_streams = true,
    .on_open = on_open,
    .on_message = on_message,
    .on_half_close = on_half_close,
    .on_gone = on_gone,
};
