/*
 * Audit entries whose reply did not arrive (docs/formats/tee.md, "Between the programs"): a reply that was lost, a gateway that was killed before the
 * store had its entry. Core gives its last 4,096 again (TeeCore/Entries); those that the store has not are verified against the attested audit key
 * and stored. Looked for whenever the enclave has attested (at the start, on each new connection), after a call without an answer, and when a
 * counter stays missing. Nothing here blocks: one entry is verified in a turn of the loop, one stored at a time; one pass has limits of its own.
 */
#ifndef CS_GATEWAY_TEE_ENTRIES_H
#define CS_GATEWAY_TEE_ENTRIES_H

#include "gateway/pool.h"
#include "store/store.h"

typedef struct cs_tee_entries cs_tee_entries;

/* cs_tee_entries_new - idle until the first cs_tee_entries_boot. Loop, pool and store outlive it. CS_E_NO_MEMORY. */
CS_MUST cs_err cs_tee_entries_new(cs_tee_entries **out, cs_loop *loop, cs_pool *pool, cs_store *store);
/* cs_tee_entries_free - before the store is closed and the pool is freed. NULL is fine. */
void cs_tee_entries_free(cs_tee_entries *e);
/* cs_tee_entries_boot - this boot has attested itself; the vouch is from its verified document and is copied. */
void cs_tee_entries_boot(cs_tee_entries *e, const cs_tee_vouch *v);
/* cs_tee_entries_stored - the store has this entry. NULL is fine, of boots that have not attested too. */
void cs_tee_entries_stored(cs_tee_entries *e, const uint8_t boot16[16], uint64_t counter);
/* cs_tee_entries_lost - a call may have been done whose entry is not stored. NULL is fine. */
void cs_tee_entries_lost(cs_tee_entries *e);

#endif
