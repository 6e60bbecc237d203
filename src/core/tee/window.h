/*
 * Which requests have been seen: ids within a window of time around core's clock, and what core has learnt of the callers' clocks. Public
 * data on the heap. Source: docs/formats/tee.md, Order of checks.
 */
#ifndef CS_CORE_TEE_WINDOW_H
#define CS_CORE_TEE_WINDOW_H

#include "base/bytes.h"

#define CS_WINDOW_MAX ((size_t)1 << 18) /* ids that are remembered */
#define CS_WINDOW_DRIFT_MAX_MS 30000
#define CS_WINDOW_DRIFT_STEP_MS 1000 /* in a minute, at most */

typedef struct cs_window cs_window;

typedef enum cs_window_seen { CS_WINDOW_NEW, CS_WINDOW_AGAIN } cs_window_seen;

/* One request, authenticated. Times in ms. */
typedef struct cs_window_ask {
    cs_slice caller;
    const uint8_t *id16;
    const uint8_t *hash32;     /* SHA-256 of its body */
    uint64_t time_ms;          /* the caller says */
    uint64_t wall_ms, mono_ms; /* core's clocks */
} cs_window_ask;

/* cs_window_new - half_ms: how far a time may be from core's. max: 1..CS_WINDOW_MAX ids. CS_E_NO_MEMORY. */
CS_MUST cs_err cs_window_new(cs_window **out, uint64_t half_ms, size_t max);
void cs_window_free(cs_window *w);
/* cs_window_time - is that time within the window and above the floor? CS_OK | CS_E_REQUEST_TIME. */
CS_MUST cs_err cs_window_time(cs_window *w, uint64_t time_ms, uint64_t wall_ms);
/*
 * cs_window_take - the time, then the id: remembered from now on. *seen tells whether this very request came before. The drift moves
 * towards the caller's clock. CS_E_REQUEST_TIME | CS_E_REQUEST_REPLAY (the id of another request) | CS_E_NO_MEMORY.
 */
CS_MUST cs_err cs_window_take(cs_window *w, cs_window_seen *seen, const cs_window_ask *a);
/* cs_window_drift_ms - signed. cs_window_count - ids. cs_window_floor_ms - older times are refused; 0: none. */
int64_t cs_window_drift_ms(const cs_window *w);
size_t cs_window_count(const cs_window *w);
uint64_t cs_window_floor_ms(const cs_window *w);

#endif
