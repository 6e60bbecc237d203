/*
 * The relay: moves bytes between pairs of connected stream sockets of any family, many pairs in one thread.
 * Half-close passes through both ways; a side that does not read stops the other (at most CS_RELAY_CHUNK bytes are held for each
 * direction); what a peer sent before it reset is delivered before the reset is passed on (TCP: RST); silence in both
 * directions ends a pair. A silent pair holds no buffer and no pipe. Bytes are never looked at.
 * Must not: log, resolve, connect, or block. Source: specs/nitro-kms.md 8.2.
 */
#ifndef CS_HOST_RELAY_H
#define CS_HOST_RELAY_H

#include "net/loop.h"

#define CS_RELAY_CHUNK (256u * 1024u)
#define CS_RELAY_HELD_MAX (32u * 1024u * 1024u) /* of all pairs; above, a direction holds 4 KiB at most */
#define CS_RELAY_PIPES_MAX 64u                  /* of one relay; above, bytes go through memory */
#define CS_RELAY_LINGER_MS 2000u                /* how long the bytes before a reset may take to reach the other side */

typedef struct cs_relay cs_relay;
typedef struct cs_relay_pair cs_relay_pair;

typedef struct cs_relay_end {
    cs_err why; /* CS_OK: both directions ended in order; CS_E_TIMEOUT: silence; CS_E_CLOSED: a side reset or went away;
                          CS_E_NO_MEMORY */
    int side;   /* CS_E_CLOSED: 0 or 1, the first that did; else -1 */
    uint64_t bytes[2]; /* taken from fds[0], from fds[1] */
} cs_relay_end;
/* Called once when a pair has ended by itself; both descriptors are closed and the pair is gone. May add and cut pairs. */
typedef void cs_relay_done_fn(void *cookie, const cs_relay_end *end);

/* cs_relay_new - idle_ms: silence in both directions that ends a pair; 0: never. CS_E_NO_MEMORY | CS_E_IO. */
CS_MUST cs_err cs_relay_new(cs_relay **out, cs_loop *l, uint32_t idle_ms);
/* cs_relay_add - takes both descriptors (connected, non-blocking) on CS_OK. done is never called from within.
 * CS_E_NO_MEMORY | CS_E_IO. */
CS_MUST cs_err cs_relay_add(cs_relay_pair **out, cs_relay *r, const int fds_take[2], cs_relay_done_fn *done,
                            void *cookie);
/* cs_relay_cut - end a pair at once by a reset of both sides, without done; *out_bytes (may be NULL) as in cs_relay_end. */
void cs_relay_cut(cs_relay_pair *p, uint64_t out_bytes[2]);
/* cs_relay_pairs - pairs that are open. */
size_t cs_relay_pairs(const cs_relay *r);
/* cs_relay_bytes - moved so far, of all pairs, ended ones included: from first to second descriptors, and back; from any thread. */
void cs_relay_bytes(const cs_relay *r, uint64_t out_bytes[2]);
/* cs_relay_free - cuts what is open. */
void cs_relay_free(cs_relay *r);
/* cs_relay_reset_close - close a socket so that a TCP peer sees a reset. */
void cs_relay_reset_close(int fd);

#endif
