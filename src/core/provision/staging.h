/*
 * The sealed share file while it arrives. Ciphertext: not secret, so outside the arena; one mapping of the largest size, of which
 * only what has come takes memory.
 */
#ifndef CS_CORE_STAGING_H
#define CS_CORE_STAGING_H

#include "base/bytes.h"

typedef struct cs_staging {
    uint8_t *map;
    size_t map_len, len;
    uint64_t id;    /* of the injection */
    bool open;      /* chunks are coming */
    bool whole;     /* the file is here */
    cs_err refused; /* why it will be refused at its end */
} cs_staging;

/* cs_staging_begin - drops what was there. A failure (no memory) is remembered and told at the end. */
void cs_staging_begin(cs_staging *s, uint64_t id, size_t max);
/*
 * cs_staging_chunk - appends; what is too much is remembered as TOO_LARGE and the memory given back. False when nothing was
 * taken: no such injection, or one that will be refused.
 */
bool cs_staging_chunk(cs_staging *s, uint64_t id, cs_slice bytes);
/* cs_staging_end - CS_OK and whole | CS_E_INJECT_PHASE (no such injection) | CS_E_INJECT_EMPTY | CS_E_TOO_LARGE | CS_E_NO_MEMORY. */
CS_MUST cs_err cs_staging_end(cs_staging *s, uint64_t id);
/* cs_staging_drop - forget it; the zero state is fine. */
void cs_staging_drop(cs_staging *s);

#endif
