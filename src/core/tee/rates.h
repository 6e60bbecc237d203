/* Token buckets, one for each caller that has a limit. Public data on the heap. */
#ifndef CS_CORE_TEE_RATES_H
#define CS_CORE_TEE_RATES_H

#include "base/bytes.h"

#define CS_RATES_MAX 8192u /* callers; a share file has 4,096, and a reload may bring others */

typedef struct cs_rates cs_rates;

/* What a caller may: per_s requests a second, burst of them at once. per_s 0: no limit. */
typedef struct cs_rate {
    uint64_t per_s, burst;
} cs_rate;

/* cs_rates_new - CS_E_NO_MEMORY. */
CS_MUST cs_err cs_rates_new(cs_rates **out);
void cs_rates_free(cs_rates *r);
/*
 * cs_rates_take - one request of that caller, at that time of the monotonic clock. A bucket is full when the caller is first seen and keeps its
 * level over a reload. CS_OK | CS_E_CALLER_RATE | CS_E_NO_MEMORY (no new bucket: as many as may be are in use).
 */
CS_MUST cs_err cs_rates_take(cs_rates *r, cs_slice caller, const cs_rate *rate, uint64_t mono_ms);

#endif
