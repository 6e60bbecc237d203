/*
 * The sealed share file while it arrives. Ciphertext: not secret, so outside the arena; in segments, so that memory and address
 * space are only what has come, and what was read for the last time can be given back.
 */
#ifndef CS_CORE_STAGING_H
#define CS_CORE_STAGING_H

#include "base/bytes.h"
#include "core/config.h"

#define CS_STAGING_SEGMENT ((size_t)1 << 20)
#define CS_STAGING_SEGMENTS (CS_SHARES_MAX / CS_STAGING_SEGMENT)

typedef struct cs_staging {
    uint8_t *
        segment[CS_STAGING_SEGMENTS]; /* each a mapping of its own; NULL behind the end, and before what was released */
    size_t max, len;
    uint64_t id;    /* of the injection */
    bool open;      /* chunks are coming */
    bool whole;     /* the file is here */
    cs_err refused; /* why it will be refused at its end */
} cs_staging;

/* cs_staging_begin - drops what was there. max: at most CS_SHARES_MAX. */
void cs_staging_begin(cs_staging *s, uint64_t id, size_t max);
/*
 * cs_staging_chunk - appends; what is too much, or has no memory, is remembered, told at the end, and the memory given back.
 * False when nothing was taken: no such injection, or one that will be refused.
 */
bool cs_staging_chunk(cs_staging *s, uint64_t id, cs_slice bytes);
/* cs_staging_end - CS_OK and whole | CS_E_INJECT_PHASE (no such injection) | CS_E_INJECT_EMPTY | CS_E_TOO_LARGE | CS_E_NO_MEMORY. */
CS_MUST cs_err cs_staging_end(cs_staging *s, uint64_t id);
/* cs_staging_at - the bytes from `from` on, as many as lie together, at most max. Empty at the end. */
cs_slice cs_staging_at(const cs_staging *s, size_t from, size_t max);
/* cs_staging_release - the bytes before `until` will not be read again: gives whole segments back. */
void cs_staging_release(cs_staging *s, size_t until);
/* cs_staging_drop - forget it; the zero state is fine. */
void cs_staging_drop(cs_staging *s);

#endif
