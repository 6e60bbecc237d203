/* Inside of keys.c: what is asked, in which stage, and by which RSA key. */
#ifndef CS_CORE_TEE_KEYS_INT_H
#define CS_CORE_TEE_KEYS_INT_H

#include "core/tee/cache.h"
#include "core/tee/keys.h"
#include "secret/cms.h"

#define CHAINS 1024u

typedef enum call_stage { CALL_TURN, CALL_ASKED, CALL_OPENING } call_stage;

/* One question to KMS. In the arena. */
typedef struct call {
    cs_task task; /* opening the answer */
    cs_keys *keys;
    struct call *next, *prev; /* of its stage */
    struct call *chain;       /* of those that others may join */
    call_stage stage;
    uint64_t id, deadline_ms, asked_ms;
    uint8_t name[32]; /* SHA-256 of KMS key and ciphertext */
    cs_key_want *first;
    EVP_PKEY *rsa; /* a reference of its own: the key may be replaced meanwhile */
    uint8_t *envelope, *blob;
    size_t envelope_len, blob_len;
    cs_err err;
    bool confirming; /* a new key: KMS is asked for what it gave, before anything is sealed with it */
    cs_secret32 key, promised;
} call;

typedef struct list {
    call *first, *last;
} list;

typedef struct rsa_task {
    cs_task task;
    cs_keys *keys;
    cs_rsa made;
    cs_err err;
    bool busy;
} rsa_task;

struct cs_keys {
    cs_core *core;
    cs_pool *pool;
    cs_key_cache *cache;
    list turn, asked, opening;
    size_t num_asked;
    call *chain[CHAINS];
    uint64_t last_id;
    cs_rsa rsa;
    uint64_t rsa_ms; /* when it was made */
    rsa_task making;
    bool stopped;
    cs_keys_stats stats;
};

#endif
