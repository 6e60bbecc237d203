/*
 * Target: cs_init_settings_read
 * What is given out lies in the input; on an error nothing is.
 */
#include <stdlib.h>

#include "init/settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void inside(cs_slice s, const uint8_t *data, size_t size)
{
    if (s.p < data || s.len > size || (size_t)(s.p - data) > size - s.len) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cs_init_settings s = {0};
    const char *bad = NULL;

    if (cs_init_settings_read(&s, &bad, cs_slice_of(data, size)) != CS_OK) {
        if (bad == NULL || s.num_clock_sources != 0 || s.parent_cid != 0) {
            abort();
        }
        return 0;
    }
    if (s.num_clock_sources < 1 || s.num_clock_sources > CS_INIT_CLOCKS_MAX || s.parent_cid == 0) {
        abort();
    }
    for (size_t i = 0; i < s.num_clock_sources; i++) {
        inside(s.clock_sources[i], data, size);
    }
    for (size_t i = 0; i < CS_LAUNCH_NUM_PROGRAMS; i++) {
        inside(s.section[i], data, size);
    }
    return 0;
}
