/* Streams of sign-service: one gRPC call each, of countersign.v1.Party/Session; attestation by countersign.v1.Enclave/Attest. */
#include <stdlib.h>
#include <string.h>

#include "net/countersign.pb-c.h"
#include "net/h2/grpc.h"
#include "net/h2/wire.h"
#include "party/transport.h"

#define SESSION_PATH "/countersign.v1.Party/Session"
#define ATTEST_PATH "/countersign.v1.Enclave/Attest"
#define ACCOUNT_MAX 128
#define NONCE_MAX 512

typedef struct transport {
    cs_ptransport base;
    cs_grpc_client *client;
} transport;

typedef struct stream {
    cs_pstream base;
    cs_grpc_call *call;
    bool detached; /* the owner awaits nothing more */
} stream;

typedef struct attest {
    cs_pattest base;
    cs_grpc_call *call;
    cs_buf document;
    unsigned answers;
    cs_err err;
} attest;

/* ---- streams */

static void end(stream *s, cs_err err)
{
    const cs_pstream_events *events = s->base.events;
    void *cookie = s->base.cookie;
    bool detached = s->detached;
    free(s);
    if (!detached) {
        events->on_end(cookie, err);
    }
}

static void stream_message(cs_grpc_call *c, void *cookie, cs_slice message)
{
    stream *s = cookie;
    cs_slice frame;
    if (s->detached) {
        return; /* behind what was awaited nothing matters any more */
    }
    cs_err err = cs_frame_body(&frame, message);
    if (err != CS_OK) {
        cs_grpc_cancel(c);
        end(s, err);
    } else {
        s->base.events->on_frame(s->base.cookie, frame);
    }
}

static void stream_end(cs_grpc_call *c, void *cookie, const cs_grpc_result *result)
{
    (void)c;
    end(cookie, result->err);
}

static const cs_grpc_call_events stream_events = {stream_message, NULL, stream_end};
static const cs_ptransport_ops grpc_ops;

static cs_err open_stream(cs_pstream **out, cs_ptransport *t, const cs_pstream_args *args)
{
    stream *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return CS_E_NO_MEMORY;
    }
    s->base = (cs_pstream){&grpc_ops, args->events, args->cookie};
    cs_err err =
        cs_grpc_call_new(&s->call, ((transport *)t)->client, SESSION_PATH, args->timeout_ms, &stream_events, s);
    if (err != CS_OK) {
        free(s);
        return err;
    }
    *out = &s->base; /* transferred */
    return CS_OK;
}

static cs_err send_frame(cs_pstream *s, cs_slice frame)
{
    uint8_t head[CS_FRAME_HEAD_MAX];
    cs_slice parts[] = {cs_slice_of(head, cs_frame_head(head, frame.len)), frame};
    return cs_grpc_send(((stream *)s)->call, parts, 2);
}

static void sent_all(cs_pstream *s)
{
    cs_grpc_end(((stream *)s)->call);
}

/* half-closed, the stream ends without a reset; its owner need not wait for that */
static void done(cs_pstream *s)
{
    ((stream *)s)->detached = true;
    cs_grpc_end(((stream *)s)->call);
}

static void cancel(cs_pstream *s)
{
    cs_grpc_cancel(((stream *)s)->call);
    free(s);
}

/* ---- attestation */

static void attest_message(cs_grpc_call *c, void *cookie, cs_slice message)
{
    attest *a = cookie;
    (void)c;
    Countersign__V1__AttestReply *reply = countersign__v1__attest_reply__unpack(NULL, message.len, message.p);
    if (reply == NULL || a->answers++ > 0 || a->err != CS_OK) {
        a->err = CS_E_ATT_FORMAT;
    } else {
        a->err = cs_put(&a->document, reply->document.data, reply->document.len);
    }
    if (reply != NULL) {
        countersign__v1__attest_reply__free_unpacked(reply, NULL);
    }
}

static void attest_end(cs_grpc_call *c, void *cookie, const cs_grpc_result *result)
{
    attest *a = cookie;
    (void)c;
    cs_err err = a->err != CS_OK        ? a->err
                 : result->err != CS_OK ? result->err
                 : a->answers != 1      ? CS_E_ATT_FORMAT
                                        : CS_OK;
    a->base.fn(a->base.cookie, err, cs_buf_slice(&a->document));
    cs_buf_free(&a->document);
    free(a);
}

static const cs_grpc_call_events attest_events = {attest_message, NULL, attest_end};

static cs_err send_attest(attest *a, transport *t, const cs_pattest_args *args)
{
    Countersign__V1__AttestRequest m = COUNTERSIGN__V1__ATTEST_REQUEST__INIT;
    char account[ACCOUNT_MAX + 1] = {0};
    uint8_t nonce[NONCE_MAX], packed[ACCOUNT_MAX + NONCE_MAX + 64];
    if (args->account_id.len > ACCOUNT_MAX || args->nonce.len > NONCE_MAX) {
        return CS_E_RANGE;
    }
    memcpy(account, args->account_id.p, args->account_id.len);
    memcpy(nonce, args->nonce.p, args->nonce.len);
    m.nonce = (ProtobufCBinaryData){args->nonce.len, nonce};
    m.account_id = account;
    cs_slice body = cs_slice_of(packed, countersign__v1__attest_request__pack(&m, packed));
    CS_TRY(cs_grpc_call_new(&a->call, t->client, ATTEST_PATH, args->timeout_ms, &attest_events, a));
    cs_err err = cs_grpc_send(a->call, &body, 1);
    if (err != CS_OK) {
        cs_grpc_cancel(a->call);
        return err;
    }
    cs_grpc_end(a->call);
    return CS_OK;
}

static cs_err start_attest(cs_pattest **out, cs_ptransport *t, const cs_pattest_args *args)
{
    attest *a = calloc(1, sizeof *a);
    if (a == NULL) {
        return CS_E_NO_MEMORY;
    }
    a->base = (cs_pattest){&grpc_ops, args->fn, args->cookie};
    a->document = cs_buf_heap(CS_GRPC_MESSAGE_MAX);
    cs_err err = send_attest(a, (transport *)t, args);
    if (err != CS_OK) {
        free(a);
        return err;
    }
    *out = &a->base; /* transferred */
    return CS_OK;
}

static void cancel_attest(cs_pattest *base)
{
    attest *a = (attest *)base;
    cs_grpc_cancel(a->call);
    cs_buf_free(&a->document);
    free(a);
}

/* ---- */

static void free_transport(cs_ptransport *t)
{
    cs_grpc_client_free(((transport *)t)->client); /* streams that are done end here */
    free(t);
}

static const cs_ptransport_ops grpc_ops = {
    .open = open_stream,
    .send = send_frame,
    .sent_all = sent_all,
    .done = done,
    .cancel = cancel,
    .attest = start_attest,
    .attest_cancel = cancel_attest,
    .free = free_transport,
};

cs_err cs_ptransport_grpc(cs_ptransport **out, cs_loop *loop, const cs_endpoint *service)
{
    transport *t = calloc(1, sizeof *t);
    if (t == NULL) {
        return CS_E_NO_MEMORY;
    }
    t->base.ops = &grpc_ops;
    cs_err err = cs_grpc_client_new(&t->client, loop, service, NULL);
    if (err != CS_OK) {
        free(t);
        return err;
    }
    *out = &t->base; /* transferred */
    return CS_OK;
}
