/*
 * What the two ways of loading share: a whole file in memory (share.c) and a file in pieces (loader.c); and what share.c and
 * caller.c know of each other. Not for others.
 */
#ifndef CS_SECRET_SHARE_INT_H
#define CS_SECRET_SHARE_INT_H

#include "secret/share/share.h"

/* cs_share_check_header - publisher and signature. CS_E_SHARES_UNSIGNED | CS_E_SHARES_SIGNATURE. */
CS_MUST cs_err cs_share_check_header(const cs_sharefile_header *h, const cs_share_policy *policy);
/*
 * cs_share_begin - an empty set for a body of body_len bytes whose header was verified. cs_share_events fill it: their cookie is
 * the set. CS_E_SHARES_LIMIT | CS_E_ENTROPY.
 */
CS_MUST cs_err cs_share_begin(cs_share_set **out, const cs_sharefile_header *h, size_t body_len,
                              const cs_share_policy *policy);
extern const cs_sharefile_events cs_share_events;
/*
 * cs_share_check_whole - what only the whole set shows: a file without accounts and sealing roots is refused, as a slip of the provisioner must not
 * empty an enclave that serves. CS_E_SHARES_FORMAT. fault may be NULL.
 */
CS_MUST cs_err cs_share_check_whole(const cs_share_set *s, cs_sharefile_fault *fault);

/* Records one behind the other in blocks of the arena; nothing moves once placed. */
typedef struct cs_share_slab {
    struct cs_share_slab *next;
    size_t used;
    _Alignas(16) uint8_t bytes[];
} cs_share_slab;
typedef struct cs_share_slabs {
    cs_share_slab *first, *last;
} cs_share_slabs;
/* cs_share_arena - zeroed bytes, counted to the set. cs_share_place - size bytes of a slab, at most 60 kB. NULL: the arena is full. */
void *cs_share_arena(cs_share_set *s, size_t len);
void *cs_share_place(cs_share_set *s, cs_share_slabs *list, size_t size);

#define CS_SHARE_CALLER_TABLE (2 * CS_SHAREFILE_MAX_CALLERS) /* a power of two, half full at most */

/* Made when the first caller comes: the callers by index, and two tables with open addressing of index + 1, 0 being free. */
typedef struct cs_share_index {
    cs_caller *caller[CS_SHAREFILE_MAX_CALLERS];
    uint16_t by_id[CS_SHARE_CALLER_TABLE], by_key[CS_SHARE_CALLER_TABLE];
} cs_share_index;

/* The part of a set that is for the TEE service. */
typedef struct cs_share_tee {
    cs_seal_root root[CS_SHAREFILE_MAX_ROOTS];
    size_t num_roots, num_callers;
    cs_share_index *index;
    cs_share_slabs slabs;
    uint32_t (*grant_of)(cs_slice operation);
} cs_share_tee;
cs_share_tee *cs_share_tee_of(cs_share_set *s);
const cs_share_tee *cs_share_tee_in(const cs_share_set *s);
/* cs_share_hash - of public bytes, keyed for each set. */
uint64_t cs_share_hash(const cs_share_set *s, cs_slice bytes);
/* The receivers of cs_share_events. cs_share_tee_free - what hangs at it. */
cs_err cs_share_on_root(void *set, const uint8_t root32[32]);
cs_err cs_share_on_caller(void *set, const cs_sharefile_caller *c);
void cs_share_tee_free(cs_share_tee *t);

#endif
