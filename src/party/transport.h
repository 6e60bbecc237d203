/*
 * How the client's party reaches the enclave's: a stream of frames (docs/formats/party-session.md) for each channel set-up and each
 * signing session, and the attestation of the enclave. Two ways: gRPC streams of sign-service (transport_grpc.c), and rooms of the
 * gateway (transport_room.c, docs/formats/rooms.md). One loop, one thread.
 */
#ifndef CS_PARTY_TRANSPORT_H
#define CS_PARTY_TRANSPORT_H

#include "codec/roomframe.h"
#include "net/loop.h"

typedef struct cs_ptransport cs_ptransport;
typedef struct cs_pstream cs_pstream;

typedef struct cs_pstream_events {
    /* a frame; valid during the call, which may end the stream */
    void (*on_frame)(void *cookie, cs_slice frame);
    /* rooms only: an END frame. Anybody may have written it */
    void (*on_hint)(void *cookie, const cs_room_end *end);
    /* the stream is over and gone, CS_OK: ended by the other side without an error. Once; not after _done or _cancel */
    void (*on_end)(void *cookie, cs_err err);
} cs_pstream_events;

typedef struct cs_pstream_args {
    cs_slice account_id; /* the request that the stream serves; copied */
    cs_slice execution_id;
    int64_t tx_id;
    uint32_t timeout_ms; /* of the stream */
    const cs_pstream_events *events;
    void *cookie;
} cs_pstream_args;

typedef struct cs_pattest cs_pattest;
/* called once unless cancelled, not from within start; document is valid during the call */
typedef void cs_pattest_fn(void *cookie, cs_err err, cs_slice document);
typedef struct cs_pattest_args {
    cs_slice account_id; /* 1..128 bytes */
    cs_slice nonce;
    uint32_t timeout_ms;
    cs_pattest_fn *fn;
    void *cookie;
} cs_pattest_args;

typedef struct cs_ptransport_ops {
    bool room; /* anybody may write: what does not fit is dropped, and silence ends a stream */
    cs_err (*open)(cs_pstream **out, cs_ptransport *t, const cs_pstream_args *args);
    cs_err (*send)(cs_pstream *s, cs_slice frame);
    void (*sent_all)(cs_pstream *s);
    void (*done)(cs_pstream *s);
    void (*cancel)(cs_pstream *s);
    cs_err (*attest)(cs_pattest **out, cs_ptransport *t, const cs_pattest_args *args);
    void (*attest_cancel)(cs_pattest *a);
    void (*free)(cs_ptransport *t);
} cs_ptransport_ops;

/* The first member of what each way makes of them. */
struct cs_ptransport {
    const cs_ptransport_ops *ops;
};
struct cs_pstream {
    const cs_ptransport_ops *ops;
    const cs_pstream_events *events;
    void *cookie;
};
struct cs_pattest {
    const cs_ptransport_ops *ops;
    cs_pattest_fn *fn;
    void *cookie;
};

/* cs_ptransport_grpc - errors of cs_grpc_client_new. */
CS_MUST cs_err cs_ptransport_grpc(cs_ptransport **out, cs_loop *loop, const cs_endpoint *service);
/* cs_ptransport_rooms - url: http://HOST[:PORT][/PREFIX]; silence_ms: how long a frame may stay without an answer. Errors of cs_url_parse, cs_endpoint_parse and cs_gateway_new. */
CS_MUST cs_err cs_ptransport_rooms(cs_ptransport **out, cs_loop *loop, const char *url, uint32_t silence_ms);
/* cs_ptransport_free - its streams were ended and its attestations have answered or were cancelled. NULL is fine. */
static inline void cs_ptransport_free(cs_ptransport *t)
{
    if (t != NULL) {
        t->ops->free(t);
    }
}

/* cs_pstream_open - errors of cs_grpc_call_new or cs_room_join; CS_E_RANGE (rooms: tx_id does not fit in 32 bits). */
CS_MUST static inline cs_err cs_pstream_open(cs_pstream **out, cs_ptransport *t, const cs_pstream_args *args)
{
    return t->ops->open(out, t, args);
}
/* cs_pstream_send - the frame is copied. After an error the caller cancels. */
CS_MUST static inline cs_err cs_pstream_send(cs_pstream *s, cs_slice frame)
{
    return s->ops->send(s, frame);
}
/* cs_pstream_sent_all - nothing more is sent (half-close). */
static inline void cs_pstream_sent_all(cs_pstream *s)
{
    s->ops->sent_all(s);
}
/* cs_pstream_done - all is well and nothing more is awaited: ends by itself. cs_pstream_cancel - breaks off. s is gone. */
static inline void cs_pstream_done(cs_pstream *s)
{
    s->ops->done(s);
}
static inline void cs_pstream_cancel(cs_pstream *s)
{
    s->ops->cancel(s);
}

/* cs_pattest_start - ask for an attestation document. cs_pattest_cancel - fn is not called any more; a is gone. */
CS_MUST static inline cs_err cs_pattest_start(cs_pattest **out, cs_ptransport *t, const cs_pattest_args *args)
{
    return t->ops->attest(out, t, args);
}
static inline void cs_pattest_cancel(cs_pattest *a)
{
    a->ops->attest_cancel(a);
}

#endif
