/* Time, through one seam so that tests can set it. */
#ifndef CS_BASE_CLOCK_H
#define CS_BASE_CLOCK_H

#include <stdint.h>

/* cs_clock_wall_ms - milliseconds since 1970 UTC; not monotonic. */
uint64_t cs_clock_wall_ms(void);
/* cs_clock_mono_ms, cs_clock_mono_ns - monotonic since some start. */
uint64_t cs_clock_mono_ms(void);
uint64_t cs_clock_mono_ns(void);
/* cs_clock_thread_cpu_ns - CPU time of the calling thread. */
uint64_t cs_clock_thread_cpu_ns(void);
/* cs_clock_set_for_tests - NULL restores the system clock. */
typedef struct cs_clock_source {
    uint64_t (*wall_ms)(void);
    uint64_t (*mono_ns)(void);
} cs_clock_source;
void cs_clock_set_for_tests(const cs_clock_source *source);

#endif
