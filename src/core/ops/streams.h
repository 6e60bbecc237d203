/* The gRPC streams that are open: by number, and in order of silence. */
#ifndef CS_CORE_STREAMS_H
#define CS_CORE_STREAMS_H

#include "core/ops/channels.h"

#define CS_STREAM_BUCKETS 4096u

typedef enum cs_stream_kind {
    CS_STREAM_NEW,   /* nothing has come */
    CS_STREAM_SETUP, /* handshake done or OT set-up under way */
    CS_STREAM_SIGN,  /* a signing session */
} cs_stream_kind;

typedef struct cs_stream {
    uint64_t id;
    uint64_t active_ms; /* last frame of the client */
    cs_stream_kind kind;
    cs_chan *chan;        /* counted in chan->streams; NULL while NEW */
    cs_csession *session; /* arena; NULL before the first DATA */
    cs_mpc_setup *setup;
    cs_mpc_sign2 *sign;
    cs_pair_ref *pair; /* reference of sign */
    bool room;         /* carried over a room: what does not fit is dropped; want_* is what it may sign */
    uint8_t want_label32[32], want_data32[32];
    uint8_t label32[32], data32[32], kid32[32];
    char account[129];
    int64_t tx_id;
    uint64_t began_ns;
    struct cs_stream *bucket, *next, *prev; /* silence list: longest silent first */
} cs_stream;

typedef struct cs_streams {
    cs_stream *buckets[CS_STREAM_BUCKETS];
    cs_stream *first, *last;
    size_t num, signing;
} cs_streams;

/* cs_streams_add - CS_E_NO_MEMORY; id must not be there. cs_streams_find - NULL when there is none. */
CS_MUST cs_err cs_streams_add(cs_streams *t, cs_stream **out, uint64_t id, uint64_t now_ms);
cs_stream *cs_streams_find(cs_streams *t, uint64_t id);
/* cs_streams_touch - the client was heard. */
void cs_streams_touch(cs_streams *t, cs_stream *s, uint64_t now_ms);
/* cs_stream_leave - s is on no channel any more. cs_stream_join - s is now on ch. cs_streams_remove - wipes its session, set-up and secrets, leaves the channel; s is gone. */
void cs_stream_leave(cs_stream *s);
void cs_stream_join(cs_stream *s, cs_chan *ch);
void cs_streams_remove(cs_streams *t, cs_stream *s);

#endif
