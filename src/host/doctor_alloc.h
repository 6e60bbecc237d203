/*
 * What the parent reserves for enclaves, as text: /etc/nitro_enclaves/allocator.yaml and lists of CPUs. Pure, for sign-host doctor.
 * The allocator service reads its file with grep and sed; here it is read strictly, so that a line which the service would pass over
 * is named. Source: specs/nitro-kms.md 8.3 (allocator).
 */
#ifndef CS_HOST_DOCTOR_ALLOC_H
#define CS_HOST_DOCTOR_ALLOC_H

#include "base/bytes.h"

#define CS_DOCTOR_ALLOC_MAX 65536u /* bytes of allocator.yaml */
#define CS_DOCTOR_CPUS 1024u       /* numbers of CPUs are below this */

typedef struct cs_doctor_cpus {
    uint64_t bit[CS_DOCTOR_CPUS / 64];
} cs_doctor_cpus;

/*
 * cs_doctor_alloc_cpus - a list such as "2,3,6-9": at least one CPU, none twice, ranges ascending, no blanks; one LF may end it.
 * CS_E_FORMAT | CS_E_RANGE (a number that is CS_DOCTOR_CPUS or more). *out is as before on errors.
 */
CS_MUST cs_err cs_doctor_alloc_cpus(cs_doctor_cpus *out, cs_slice text);
/* cs_doctor_alloc_count - how many. */
unsigned cs_doctor_alloc_count(const cs_doctor_cpus *c);

typedef struct cs_doctor_alloc {
    uint64_t memory_mib; /* 1..2^32-1 */
    uint64_t cpu_count;  /* of cpu_count, or the number of CPUs in cpu_pool */
    bool has_pool;
    cs_doctor_cpus pool; /* has_pool */
} cs_doctor_alloc;

/*
 * cs_doctor_alloc_parse - the whole file: "---" in the first line that is neither blank nor a comment, then `key: value` lines with the keys
 * memory_mib, and either cpu_count or cpu_pool; each once; # comments. *line: where it is refused, 0 for the whole file.
 * CS_E_TOO_LARGE | CS_E_FORMAT (no "---", a line of another form, a key twice, memory_mib absent, neither or both of cpu_count and
 * cpu_pool) | CS_E_CONFIG_KEY (another key) | CS_E_RANGE (a number). *out is as before on errors.
 */
CS_MUST cs_err cs_doctor_alloc_parse(cs_doctor_alloc *out, unsigned *line, cs_slice text);

#endif
