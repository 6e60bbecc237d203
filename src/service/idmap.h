/* A map from u64 ids to objects, open addressing; for the streams and requests of sign-service. Ids are never 0. */
#ifndef CS_SERVICE_IDMAP_H
#define CS_SERVICE_IDMAP_H

#include "base/bytes.h"

typedef struct cs_idmap_slot {
    uint64_t id; /* 0: empty */
    void *value;
} cs_idmap_slot;

/* Zero state: empty. */
typedef struct cs_idmap {
    cs_idmap_slot *slots;
    size_t size; /* a power of two, or 0 */
    size_t used;
} cs_idmap;

/* cs_idmap_put - id must be new and not 0. CS_E_NO_MEMORY (as before). */
CS_MUST cs_err cs_idmap_put(cs_idmap *m, uint64_t id, void *value);
/* cs_idmap_get - NULL when there is none. cs_idmap_take - the same and removed. */
void *cs_idmap_get(const cs_idmap *m, uint64_t id);
void *cs_idmap_take(cs_idmap *m, uint64_t id);
/* cs_idmap_each - fn for every value; fn must not change the map. */
void cs_idmap_each(const cs_idmap *m, void (*fn)(void *value, void *cookie), void *cookie);
void cs_idmap_free(cs_idmap *m);

#endif
