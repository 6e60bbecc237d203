/*
 * A byte stream over a connected socket of the loop: reading with a switch, writing through a bounded queue.
 *
 * Writes are queued and leave with one writev before the loop next waits, so that the pieces of one turn travel together.
 * Backpressure: when cs_stream_queued rises to the high mark the writer stops (the stream does not: it refuses at max);
 * on_drain is called when the queue has fallen below half of the high mark again.
 */
#ifndef CS_NET_STREAM_H
#define CS_NET_STREAM_H

#include "net/loop.h"

typedef struct cs_stream cs_stream;

/* Callbacks; each may free the stream. NULL: not wanted (on_close is required). */
typedef struct cs_stream_events {
    /* bytes arrived; valid during the call only */
    void (*on_data)(void *cookie, cs_slice data);
    /* the peer will send nothing more; writing goes on. Without this callback end of file is on_close(CS_E_CLOSED). */
    void (*on_eof)(void *cookie);
    void (*on_drain)(void *cookie);
    /* the stream is dead (CS_E_CLOSED, CS_E_IO, CS_E_TLS): free it. Called once. */
    void (*on_close)(void *cookie, cs_err err);
} cs_stream_events;

typedef struct cs_stream_opts {
    size_t read_size; /* bytes per read; 0: 64 KiB */
    size_t out_high;  /* 0: 256 KiB */
    size_t out_max;   /* 0: 4 MiB; a write that would go above is CS_E_TOO_LARGE */
} cs_stream_opts;

/* cs_stream_new - takes the descriptor on CS_OK. Reading is off until cs_stream_read. opts may be NULL. */
CS_MUST cs_err cs_stream_new(cs_stream **out, cs_loop *l, int fd_take, const cs_stream_opts *opts,
                             const cs_stream_events *events, void *cookie);
/* cs_stream_set_events - change the receiver, e.g. after a protocol switch. events is borrowed for the stream's life. */
void cs_stream_set_events(cs_stream *s, const cs_stream_events *events, void *cookie);
void cs_stream_read(cs_stream *s, bool on);
/* cs_stream_write - copies into the queue. CS_E_TOO_LARGE (as before) | CS_E_NO_MEMORY | CS_E_CLOSED. */
CS_MUST cs_err cs_stream_write(cs_stream *s, cs_slice data);
/* cs_stream_write_ref - without a copy: release(cookie) is called once when the bytes are no longer needed, also when the
 * stream is freed; not when this fails. */
CS_MUST cs_err cs_stream_write_ref(cs_stream *s, cs_slice data, cs_loop_fn *release, void *cookie);
size_t cs_stream_queued(const cs_stream *s);
/* cs_stream_full - the queue is at or above the high mark. */
bool cs_stream_full(const cs_stream *s);
/* cs_stream_flush - try to write now instead of at the end of the turn. */
void cs_stream_flush(cs_stream *s);
/* cs_stream_shutdown - end of file to the peer after the queue is out (TLS: close_notify first). */
void cs_stream_shutdown(cs_stream *s);
/* cs_stream_free_when_sent - no more callbacks; frees and closes after the queue is out, or after timeout_ms. */
void cs_stream_free_when_sent(cs_stream *s, uint32_t timeout_ms);
/* cs_stream_free - closes at once; queued bytes are lost. */
void cs_stream_free(cs_stream *s);
int cs_stream_fd(const cs_stream *s);

/*
 * A filter between socket and receiver (TLS: net/tls.h). Set once before the first read.
 * from_socket turns bytes of the socket into calls of cs_stream_filter_deliver; from_app turns written bytes into
 * cs_stream_filter_send; both return CS_OK or the error that kills the stream. at_shutdown may send a farewell.
 */
typedef struct cs_stream_filter {
    cs_err (*from_socket)(void *filter, cs_slice data);
    cs_err (*from_app)(void *filter, cs_slice data);
    cs_err (*at_eof)(void *filter); /* CS_OK: passes as end of file; else an error (truncation) */
    void (*at_shutdown)(void *filter);
    void (*free)(void *filter);
} cs_stream_filter;
void cs_stream_set_filter(cs_stream *s, const cs_stream_filter *ops, void *filter_take);
/* cs_stream_filter_deliver - false when the stream was freed or its reading was switched off by the receiver's callback
 * (then the filter stops and is called again through from_socket with an empty slice). */
bool cs_stream_filter_deliver(cs_stream *s, cs_slice plain);
void cs_stream_filter_eof(cs_stream *s);
CS_MUST cs_err cs_stream_filter_send(cs_stream *s, cs_slice cipher);

#endif
