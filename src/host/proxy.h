/*
 * A proxy: every connection of one listener goes on to one destination. The destination is fixed: what may be one is decided before
 * (allowlist.h, the command line). A connection too many is refused at once. Plain bytes: TLS runs end to end through it.
 * Logs one line for each connection that ended or failed, at most 10 a second (then the next line says how many were left out).
 * Source: specs/nitro-kms.md 8.2, seeds 000 to 003.
 */
#ifndef CS_HOST_PROXY_H
#define CS_HOST_PROXY_H

#include <stdatomic.h>

#include "host/dest.h"

#define CS_PROXY_CONNECT_MS 3000u
#define CS_PROXY_IDLE_MS 60000u
#define CS_PROXY_CONNS_MAX 16384u

typedef struct cs_proxy cs_proxy;
/* What proxies of one destination in several threads share. */
typedef struct cs_proxy_shared {
    atomic_uint open; /* of all of them: conns_max is for this */
    cs_dest_shared dest;
} cs_proxy_shared;
#define CS_PROXY_SHARED_INIT ((cs_proxy_shared){.dest.lock = PTHREAD_MUTEX_INITIALIZER})

typedef struct cs_proxy_opts {
    const char *name;   /* in log and metrics; borrowed */
    unsigned conns_max; /* at once, those that are being connected included */
    uint32_t
        idle_ms; /* silence in both directions ends a connection; 0: never (then TCP keep-alive finds dead peers) */
    uint32_t connect_ms; /* lookup and all addresses; 0: CS_PROXY_CONNECT_MS */
    uint32_t peer_cid;   /* vsock peers: 0: enclaves (4 and above); CS_EP_CID_ANY: all; else this one alone */
    bool (*admit)(void *cookie, const cs_ep_peer *peer); /* instead of peer_cid; NULL: none */
    void *cookie;                                        /* of admit */
    int family;                                          /* of addresses: 0: both, 4, 6 */
    cs_lookup_fn *lookup;                                /* NULL: the system's resolver */
    const cs_addrs *only;                                /* NULL or the addresses that a name may lead to; copied */
    atomic_uint *together;   /* NULL, or open connections of several proxies: conns_max is for all of them; borrowed */
    cs_proxy_shared *shared; /* NULL, or with proxies of other threads for the same destination; borrowed */
} cs_proxy_opts;

/* How connections ended. */
#define CS_PROXY_RESULTS(X)                                                                                            \
    X(DONE, "done")       /* both directions in order */                                                               \
    X(RESET, "reset")     /* a side reset it or went away */                                                           \
    X(IDLE, "idle")       /* silence */                                                                                \
    X(CUT, "cut")         /* the proxy ended first */                                                                  \
    X(FULL, "full")       /* refused: too many */                                                                      \
    X(PEER, "peer")       /* refused: the peer's CID */                                                                \
    X(DNS, "dns")         /* no address */                                                                             \
    X(CONNECT, "connect") /* refused by the destination, or no route */                                                \
    X(TIMEOUT, "timeout") /* the destination did not answer */                                                         \
    X(ERROR, "error")     /* memory, descriptors */
typedef enum cs_proxy_result {
#define CS_PROXY_ROW(id, name) CS_PROXY_##id,
    CS_PROXY_RESULTS(CS_PROXY_ROW)
#undef CS_PROXY_ROW
        CS_PROXY_NUM_RESULTS
} cs_proxy_result;
const char *cs_proxy_result_name(cs_proxy_result r);

typedef struct cs_proxy_stats {
    uint64_t ended[CS_PROXY_NUM_RESULTS];
    uint64_t open, conns_max;
    uint64_t bytes_out, bytes_in; /* to the destination; from it */
    uint64_t lookups, lookups_failed;
} cs_proxy_stats;

/* cs_proxy_fitting - how many connections (at most conns_max) each of num_pairs proxies may have open so that the process never runs out of
 * descriptors for anything else; raises the soft limit as far as needed. At least 1. */
unsigned cs_proxy_fitting(unsigned conns_max, size_t num_pairs);
/* cs_proxy_new - takes the listener on CS_OK. CS_E_NO_MEMORY | CS_E_IO. */
CS_MUST cs_err cs_proxy_new(cs_proxy **out, cs_loop *l, int listen_fd_take, const cs_endpoint *to,
                            const cs_proxy_opts *o);
/* cs_proxy_count - the figures since it began; also from other threads than the loop's. */
void cs_proxy_count(cs_proxy_stats *out, const cs_proxy *p);
const char *cs_proxy_name(const cs_proxy *p);
/* cs_proxy_trouble - why the last connection found no way to the destination (CS_E_DNS, CS_E_CONNECT, ..); CS_OK: it did, or
 * there was none. p may be NULL. */
cs_err cs_proxy_trouble(const cs_proxy *p);
/* cs_proxy_close - accepts no more; what is open goes on. cs_proxy_open - connections open now. cs_proxy_total - taken so far,
 * those that ended and were refused included. p may be NULL (0). */
void cs_proxy_close(cs_proxy *p);
unsigned cs_proxy_open(const cs_proxy *p);
uint64_t cs_proxy_total(const cs_proxy *p);
/* cs_proxy_free - cuts what is open. */
void cs_proxy_free(cs_proxy *p);

#endif
