#include "base/clock.h"

#include <stddef.h>
#include <time.h>

static const cs_clock_source *source;

static uint64_t read_ns(clockid_t id)
{
    struct timespec t = {0};
    (void)clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t cs_clock_wall_ms(void)
{
    return source != NULL ? source->wall_ms() : read_ns(CLOCK_REALTIME) / 1000000u;
}

uint64_t cs_clock_mono_ns(void)
{
    return source != NULL ? source->mono_ns() : read_ns(CLOCK_MONOTONIC);
}

uint64_t cs_clock_mono_ms(void)
{
    return cs_clock_mono_ns() / 1000000u;
}

uint64_t cs_clock_thread_cpu_ns(void)
{
    return read_ns(CLOCK_THREAD_CPUTIME_ID);
}

void cs_clock_set_for_tests(const cs_clock_source *s)
{
    source = s;
}
