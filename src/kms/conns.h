/*
 * Connections to KMS through the parent's proxy, TLS ended here: kept while KMS keeps them, dialled anew when broken. For several
 * threads; a connection belongs to the one that took it until it gives it back or drops it.
 * Source: architecture 2, specs/nitro-kms.md 1.3.
 */
#ifndef CS_KMS_CONNS_H
#define CS_KMS_CONNS_H

#include "kms/config.h"
#include "net/tls.h"

#define CS_KMS_CONNS 8u             /* in use and kept: the parent's proxy counts them */
#define CS_KMS_KEEP_MS 10000u       /* unused for so long: closed, before KMS or the proxy does */
#define CS_KMS_CONN_LIFE_MS 300000u /* older: closed, so that a new one finds where KMS is now */

typedef struct cs_kms_conns cs_kms_conns;

typedef struct cs_kms_conn {
    cs_io io;
    uint64_t born_ms, used_ms; /* monotonic */
    bool kept;                 /* an answer came over it before */
} cs_kms_conn;

/* cs_kms_conns_new - config and tls must outlive it. CS_E_NO_MEMORY. */
CS_MUST cs_err cs_kms_conns_new(cs_kms_conns **out, const cs_kms_config *config, cs_tls_ctx *tls);
/*
 * cs_kms_conns_take - the kept connection that was used last and seems alive; dialled when there is none, or when fresh.
 * CS_E_CONNECT | CS_E_TIMEOUT | CS_E_TLS | CS_E_CLOSED (also after stop) | CS_E_IO | CS_E_NO_MEMORY.
 */
CS_MUST cs_err cs_kms_conns_take(cs_kms_conn *out, cs_kms_conns *c, bool fresh);
/* cs_kms_conns_give - back, after a whole answer that does not end the connection. cs_kms_conns_drop - closed. */
void cs_kms_conns_give(cs_kms_conns *c, cs_kms_conn *conn_take);
void cs_kms_conns_drop(cs_kms_conns *c, cs_kms_conn *conn_take);
/* cs_kms_conns_tidy - close what was unused for too long; ms until the next has its time, UINT64_MAX when none is kept. */
uint64_t cs_kms_conns_tidy(cs_kms_conns *c, uint64_t now_ms);
/* cs_kms_conns_pause - ms, or until stop. */
void cs_kms_conns_pause(cs_kms_conns *c, uint32_t ms);
/* cs_kms_conns_stop - for good: nothing is dialled any more, and reading and writing in other threads end at once. */
void cs_kms_conns_stop(cs_kms_conns *c);
/* cs_kms_conns_free - when no thread uses it. */
void cs_kms_conns_free(cs_kms_conns *c);

#endif
