/*
 * Target: cs_core_config_read
 * What is accepted is inside the documented ranges, and its slices lie inside the input.
 */
#include <stdlib.h>

#include "core/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void inside(cs_slice s, const uint8_t *data, size_t size)
{
    if (s.len > 0 && (s.p < data || s.len > size || s.p > data + size - s.len)) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static cs_core_config c;
    const char *bad = NULL;
    if (cs_core_config_read(&c, &bad, cs_slice_of(data, size)) != CS_OK) {
        return 0;
    }
    if (c.sessions < 1 || c.sessions > 65536 || c.silence_ms < 100 || c.silence_ms > 600000 || c.arena_mib < 4 ||
        c.num_publishers > CS_CONFIG_MAX_PUBLISHERS || c.num_context > CS_CONFIG_MAX_CONTEXT) {
        abort();
    }
    inside(c.region, data, size);
    inside(c.key_arn, data, size);
    for (size_t i = 0; i < c.num_context; i++) {
        inside(c.context_key[i], data, size);
        inside(c.context_value[i], data, size);
    }
    return 0;
}
