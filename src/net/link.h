/*
 * A packet link over SOCK_SEQPACKET: frames of at most CS_LINK_PACKET bytes, read and written in batches per wake-up.
 * Knows nothing of the frames' content. End of file or an error ends the link; the owner decides what that means.
 */
#ifndef CS_NET_LINK_H
#define CS_NET_LINK_H

#include "net/loop.h"

#define CS_LINK_PACKET (256u * 1024u)
#define CS_LINK_BATCH 8

typedef struct cs_link cs_link;

typedef struct cs_link_events {
    void (*on_packet)(void *cookie, cs_slice packet); /* valid during the call; the callback may free the link */
    void (*on_drain)(void *cookie);                   /* the queue fell below half of max; may be NULL */
    void (*on_close)(void *cookie, cs_err err);       /* CS_E_CLOSED | CS_E_IO | CS_E_TOO_LARGE (packet was cut) */
} cs_link_events;

/* cs_link_new - takes the descriptor; out_max bytes may wait for the socket (0: 4 MiB). Reading starts at once. */
CS_MUST cs_err cs_link_new(cs_link **out, cs_loop *l, int fd_take, size_t out_max, const cs_link_events *events,
                           void *cookie);
/* cs_link_send - copies. CS_E_TOO_LARGE (packet) | CS_E_RANGE (queue full: wait for on_drain) | CS_E_NO_MEMORY. */
CS_MUST cs_err cs_link_send(cs_link *k, cs_slice packet);
/*
 * cs_link_begin, cs_link_commit - the same without a copy: *out is an empty buffer with room for size bytes inside the
 * queue; commit queues what was written. One at a time; a new begin drops what was not committed.
 */
CS_MUST cs_err cs_link_begin(cs_link *k, cs_buf *out, size_t size);
void cs_link_commit(cs_link *k, const cs_buf *written);
/*
 * cs_link_send_always - like cs_link_send, but not refused when the queue is full: for the few bytes that end something whose
 * beginning was queued (so that their number is bounded by what the queue took before). CS_E_TOO_LARGE | CS_E_NO_MEMORY |
 * CS_E_CLOSED.
 */
CS_MUST cs_err cs_link_send_always(cs_link *k, cs_slice packet);
size_t cs_link_queued(const cs_link *k);
/* cs_link_full - half of the maximum is waiting: stop producing until on_drain. */
bool cs_link_full(const cs_link *k);
/* cs_link_read - stop or go on reading. */
void cs_link_read(cs_link *k, bool on);
void cs_link_free(cs_link *k);

#endif
