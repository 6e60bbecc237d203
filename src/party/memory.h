/*
 * What a participant was asked and has answered in this process, by the label of the triple (account, transaction, execution id): the
 * same triple with the same digest is one request, with another digest a conflict. Bounded: beyond the limit the one that was asked
 * for longest ago and is not under way is forgotten. Public data, never stored.
 */
#ifndef CS_PARTY_MEMORY_H
#define CS_PARTY_MEMORY_H

#include "base/bytes.h"

#define CS_PMEMORY_MAX 65536u

typedef struct cs_pmemory cs_pmemory;

typedef struct cs_pmemory_entry {
    uint8_t label32[32], digest32[32];
    bool answered;
    uint8_t r[32], s[32], recid; /* when answered */
    void *live;                  /* the caller's: a request under way, or NULL. It is not forgotten meanwhile */
    /* internal */
    struct cs_pmemory_entry *chain, *newer, *older;
} cs_pmemory_entry;

/* cs_pmemory_new - max entries, 0: CS_PMEMORY_MAX. CS_E_NO_MEMORY. */
CS_MUST cs_err cs_pmemory_new(cs_pmemory **out, size_t max);
/*
 * cs_pmemory_claim - the entry of a label, made when there is none. It is valid until the next claim; while it is live, until that
 * ends. CS_E_EXECUTION_CONFLICT (another digest; nothing changed) | CS_E_SESSION_LIMIT (all are under way) | CS_E_NO_MEMORY.
 */
CS_MUST cs_err cs_pmemory_claim(cs_pmemory_entry **out, cs_pmemory *m, const uint8_t label32[32],
                                const uint8_t digest32[32]);
size_t cs_pmemory_count(const cs_pmemory *m);
/* cs_pmemory_free - NULL is fine. */
void cs_pmemory_free(cs_pmemory *m);

#endif
