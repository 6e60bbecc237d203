/*
 * Target: cs_doctor_alloc_parse, cs_doctor_alloc_cpus
 * Any bytes as allocator.yaml and as a CPU list: what is taken is in range and consistent, a refusal names a line of the file.
 */
#include <stdlib.h>

#include "host/doctor_alloc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cs_doctor_alloc a = {0};
    cs_doctor_cpus c;
    unsigned line;

    if (cs_doctor_alloc_parse(&a, &line, cs_slice_of(data, size)) == CS_OK) {
        if (line != 0 || a.memory_mib == 0 || a.memory_mib > UINT32_MAX || a.cpu_count == 0 ||
            (a.has_pool && a.cpu_count != cs_doctor_alloc_count(&a.pool))) {
            abort();
        }
    } else if (line > size + 1 || a.memory_mib != 0) {
        abort();
    }
    if (cs_doctor_alloc_cpus(&c, cs_slice_of(data, size)) == CS_OK &&
        (cs_doctor_alloc_count(&c) == 0 || cs_doctor_alloc_count(&c) > CS_DOCTOR_CPUS)) {
        abort();
    }
    return 0;
}
