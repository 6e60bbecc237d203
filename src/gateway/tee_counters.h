/* Which counters of a boot the store has: all up to `low`, and some above it, in whatever order replies are stored. Pure. */
#ifndef CS_GATEWAY_TEE_COUNTERS_H
#define CS_GATEWAY_TEE_COUNTERS_H

#include <stdbool.h>
#include <stdint.h>

#define CS_TEE_COUNTERS_WINDOW 4096u

/* The zero state has none. */
typedef struct cs_tee_counters {
    uint64_t low, top; /* top: the highest one seen; low < top: one is missing, or still under way */
    uint8_t seen[CS_TEE_COUNTERS_WINDOW / 8u]; /* above low, by counter modulo the window */
} cs_tee_counters;

/* cs_tee_counters_begin - from `low` on; the top stays. */
void cs_tee_counters_begin(cs_tee_counters *c, uint64_t low);
/* cs_tee_counters_have - this one is stored. One beyond the window counts as the top only: it is met again when the store is read. */
void cs_tee_counters_have(cs_tee_counters *c, uint64_t counter);
/* cs_tee_counters_skip - what is missing up to `low` is not waited for any more. */
void cs_tee_counters_skip(cs_tee_counters *c, uint64_t low);

#endif
