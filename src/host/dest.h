/*
 * A destination: where a proxy connects to. Names are looked up in the background, first at once and then every 30 s; while a
 * lookup fails the last addresses are used, and without any each connection waits for the next lookup (at most the connect
 * timeout), so that the first connection after the resolver has come back succeeds. All addresses are tried: the next one 250 ms
 * after the one before or when that has failed, first the one that worked last [RFC8305 5].
 */
#ifndef CS_HOST_DEST_H
#define CS_HOST_DEST_H

#include <pthread.h>

#include "host/resolve.h"

typedef struct cs_dest cs_dest;
typedef struct cs_dest_dial cs_dest_dial;

/* What destinations of one name in several threads tell each other: the addresses of the last lookup that worked. */
typedef struct cs_dest_shared {
    pthread_mutex_t lock; /* PTHREAD_MUTEX_INITIALIZER */
    cs_addrs addrs;
} cs_dest_shared;

typedef struct cs_dest_opts {
    int family;             /* 0: both, 4, 6 */
    uint32_t connect_ms;    /* all of a connection: lookup and every address */
    cs_lookup_fn *lookup;   /* NULL: the system's */
    cs_dest_shared *shared; /* NULL or with other threads; borrowed */
    cs_addrs only;          /* num > 0: other addresses are never used, whatever the name leads to */
} cs_dest_opts;

/* cs_dest_new - CS_E_NO_MEMORY | CS_E_IO. */
CS_MUST cs_err cs_dest_new(cs_dest **out, cs_loop *l, const cs_endpoint *to, const cs_dest_opts *o);

/* Called once, not from within cs_dest_dial_new; the object is gone. fd is the callee's on CS_OK, else -1. */
typedef void cs_dest_fn(void *cookie, cs_err err, int fd);
/*
 * cs_dest_dial_new - a connection (non-blocking). Either connected at once: *out_fd is it and *out NULL; or on its way: *out, and fn
 * later. CS_E_CONNECT | CS_E_TIMEOUT | CS_E_DNS | CS_E_PROXY_DENIED (no address is in `only`) | CS_E_NO_MEMORY, here or to fn.
 */
CS_MUST cs_err cs_dest_dial_new(cs_dest_dial **out, int *out_fd, cs_dest *t, cs_dest_fn *fn, void *cookie);
/* cs_dest_dial_free - give up, without fn. */
void cs_dest_dial_free(cs_dest_dial *d);
/* cs_dest_lookups - lookups that have ended, and how many of them failed; from any thread. */
void cs_dest_lookups(const cs_dest *t, uint64_t *out_all, uint64_t *out_failed);
/* cs_dest_free - every dial must have ended or been freed. */
void cs_dest_free(cs_dest *t);

#endif
