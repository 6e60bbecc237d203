/*
 * The threads of sign-kms that ask KMS, and the queue before them: KMS_CALL frames in, KMS_REPLY frames out, in any order. The
 * threads are made before the system call filter; it forbids to make any.
 */
#ifndef CS_KMS_POOL_H
#define CS_KMS_POOL_H

#include "kms/call.h"

#define CS_KMS_WORKERS CS_KMS_CONNS
#define CS_KMS_QUEUE 1024u             /* calls that wait */
#define CS_KMS_QUEUE_BYTES (16u << 20) /* of their frames */

typedef struct cs_kms_pool cs_kms_pool;
/* The reply of one call; called in a thread of the pool, by several at once. */
typedef void cs_kms_pool_fn(void *cookie, cs_slice frame);

/* cs_kms_pool_new - starts CS_KMS_WORKERS threads; link is copied, what it names must outlive the pool. CS_E_NO_MEMORY. */
CS_MUST cs_err cs_kms_pool_new(cs_kms_pool **out, const cs_kms_link *link, cs_kms_pool_fn *fn, void *cookie);
/*
 * cs_kms_pool_put - queue a KMS_CALL frame that decodes; copied. fn is called once for it, unless the pool is freed before.
 * CS_E_TEE_BUSY (the queue is full; fn is not called) | CS_E_NO_MEMORY.
 */
CS_MUST cs_err cs_kms_pool_put(cs_kms_pool *p, cs_slice frame);
/* cs_kms_pool_free - calls under way are broken off, waits for the threads (at most as long as one takes to connect). */
void cs_kms_pool_free(cs_kms_pool *p);

#endif
