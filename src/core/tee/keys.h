/*
 * Data keys of KMS for TEE calls: asked for under attestation, several side by side, each answer opened on a worker. Who wants a key that is
 * being asked for already waits for the same answer. Without a cache a key is wiped as soon as all who waited have it.
 */
#ifndef CS_CORE_TEE_KEYS_H
#define CS_CORE_TEE_KEYS_H

#include "core/core.h"
#include "core/tee/pool.h"
#include "secret/mem.h"

#define CS_KEYS_KMS_MS 10000u     /* for an answer */
#define CS_KEYS_ASKED_MAX 64u     /* calls at sign-kms at once; others wait their turn, and the time runs */
#define CS_KEYS_CALL (1ull << 62) /* in the ids of these calls; those of a load do not have it */
#define CS_KEYS_RSA_MS 3600000u   /* age at which the RSA key that KMS encrypts to is replaced */
#define CS_KEYS_LATENCIES 12      /* histogram: up to 2^i ms, the last one all others */

typedef struct cs_keys cs_keys;

/* One key that a call needs. Lives in its job. */
typedef struct cs_key_want {
    struct cs_key_want *next; /* module's */
    void (*ready)(void *ctx, struct cs_key_want *w, void *owner);
    void *owner;
    cs_slice kms_key;  /* ARN, on the measured list */
    cs_slice data_key; /* KMS's ciphertext of it, up to CS_KMS_CIPHERTEXT_MAX; empty: a new one */
    cs_err err;        /* when it is ready */
    cs_secret32 key;   /* when err is CS_OK */
    uint8_t *fresh;    /* ciphertext of a new one, in the arena: the owner frees it */
    size_t fresh_len;
} cs_key_want;

typedef struct cs_keys_stats {
    uint64_t calls, hits, shared, errors; /* of KMS; wants answered from the cache; wants that joined a call */
    uint64_t latency[CS_KEYS_LATENCIES];  /* of answered calls */
    uint64_t latency_sum_ms;
    size_t cached, under_way;
} cs_keys_stats;

/* cs_keys_new - pool must outlive it. ctx: the argument of `ready` and of the pool's tasks. CS_E_NO_MEMORY. */
CS_MUST cs_err cs_keys_new(cs_keys **out, cs_core *c, cs_pool *pool);
/* cs_keys_free - all tasks must have come back (cs_pool_stop). Nobody hears of anything any more. NULL is fine. */
void cs_keys_free(cs_keys *k);
/*
 * cs_keys_want - w->ready is called exactly once, from here or later on the main thread: with CS_OK, or CS_E_KMS_*, CS_E_CRED_*, CS_E_CMS,
 * CS_E_NSM, CS_E_NO_MEMORY, CS_E_TIMEOUT.
 */
void cs_keys_want(cs_keys *k, cs_key_want *w);
/* cs_keys_reply - KMS_REPLY with CS_KEYS_CALL in its id; one that nobody waits for is ignored. */
void cs_keys_reply(cs_keys *k, const cs_rpc_frame *f);
/* cs_keys_link_down - nothing that was asked will be answered. cs_keys_stop - everything that waits ends with err. */
void cs_keys_link_down(cs_keys *k);
void cs_keys_stop(cs_keys *k, cs_err err);
/* cs_keys_tick - deadlines. cs_keys_deadline - the next, or UINT64_MAX. */
void cs_keys_tick(cs_keys *k, uint64_t now_ms);
uint64_t cs_keys_deadline(const cs_keys *k);
/* cs_keys_prepare - makes the RSA key ahead of the first call. */
void cs_keys_prepare(cs_keys *k);
void cs_keys_stats_of(const cs_keys *k, cs_keys_stats *out);

#endif
