/*
 * What was asked and answered in this boot, by the label of the triple (account, transaction, execution id): the same triple
 * with the same data (key, digest, path) gets the same answer, with other data it is a conflict (architecture 2, invariant 6).
 * Bounded: the oldest of CS_ANSWERS_MAX that is not live is forgotten, and counted: a request that comes again after that is signed
 * anew. Public data, never stored.
 */
#ifndef CS_CORE_ANSWERS_H
#define CS_CORE_ANSWERS_H

#include "codec/hello.h"

#define CS_ANSWERS_MAX 65536u
#define CS_ANSWER_LEN 65u /* r 32, s 32, recid 1 */

typedef struct cs_answer_entry {
    uint8_t label[32];
    uint8_t data[32]; /* hash of key, digest and path */
    uint8_t answer[CS_ANSWER_LEN];
    uint8_t state;
    uint64_t stream;
    uint32_t next; /* chain of the bucket, index + 1 */
} cs_answer_entry;

typedef struct cs_answers {
    cs_answer_entry *entries; /* a ring: `head` is the oldest once full */
    uint32_t *buckets;
    uint32_t max, num, head;
    uint64_t forgotten;
} cs_answers;

typedef struct cs_answer_found {
    bool answered, live;
    uint8_t answer[CS_ANSWER_LEN];
    uint64_t stream; /* of the live session */
} cs_answer_found;

/* cs_answers_init - max entries, a power of two. CS_E_NO_MEMORY. */
CS_MUST cs_err cs_answers_init(cs_answers *a, uint32_t max);
void cs_answers_cleanup(cs_answers *a);
/*
 * cs_answers_claim - a request under this label: remembered as live on `stream` unless it is answered. *out says what was there.
 * data32 as cs_answers_data. CS_E_EXECUTION_CONFLICT (other data under the label; nothing changed).
 */
CS_MUST cs_err cs_answers_claim(cs_answers *a, cs_answer_found *out, const uint8_t label32[32],
                                const uint8_t data32[32], uint64_t stream);
/*
 * cs_answers_data - what is bound to a label: a hash of key, digest and path. CS_E_INTERNAL.
 * cs_answers_peek - what is there under the label, without remembering anything. CS_E_EXECUTION_CONFLICT.
 */
CS_MUST cs_err cs_answers_data(uint8_t out32[32], const uint8_t pk33[33], const cs_hello *h);
CS_MUST cs_err cs_answers_peek(const cs_answers *a, cs_answer_found *out, const uint8_t label32[32],
                               const uint8_t data32[32]);
/* cs_answers_done - the answer of a live request. cs_answers_drop - the session ended without one; the data stays bound. */
void cs_answers_done(cs_answers *a, const uint8_t label32[32], const uint8_t answer65[CS_ANSWER_LEN]);
void cs_answers_drop(cs_answers *a, const uint8_t label32[32], uint64_t stream);

#endif
