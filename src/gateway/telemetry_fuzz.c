/* Fuzz target.
 * Target: cs_tel_core_read
 * A status document of core. What is read can be shown: all of /metrics that comes from it is text within its maximum. */
#include <stdlib.h>
#include <string.h>

#include "gateway/telemetry_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cs_tel_core_figures f = {.queue = 77};
    if (cs_tel_core_read(&f, cs_slice_of(data, size)) != CS_OK) {
        if (f.queue != 77) {
            abort();
        }
        return 0;
    }
    if (!f.up || f.latency.num > CS_PROM_BUCKETS || f.kms_latency.num > CS_PROM_BUCKETS ||
        memchr(f.phase, 0, sizeof f.phase) == NULL || memchr(f.credentials, 0, sizeof f.credentials) == NULL) {
        abort();
    }
    for (size_t i = 1; i < f.latency.num; i++) {
        if (f.latency.bounds[i] <= f.latency.bounds[i - 1]) {
            abort();
        }
    }
    return 0;
}
