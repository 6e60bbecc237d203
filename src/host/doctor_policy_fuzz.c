/*
 * Target: cs_doctor_policy_parse
 * Any bytes as a key policy: what is read is in its limits, and comparing it with an image is consistent with itself.
 */
#include <stdlib.h>
#include <string.h>

#include "host/doctor_policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static cs_doctor_policy p;
    cs_doctor_pcrs image = {.known = 0x107};
    cs_doctor_match m;

    if (cs_doctor_policy_parse(&p, cs_slice_of(data, size)) != CS_OK) {
        return 0;
    }
    if (p.num_rules > CS_DOCTOR_RULES) {
        abort();
    }
    for (size_t i = 0; i < p.num_rules; i++) {
        const cs_doctor_rule *r = &p.rule[i];
        if (r->statement == 0 || r->statement > p.num_statements || r->pcr > 31) {
            abort();
        }
        if (r->readable && r->pcr < CS_DOCTOR_PCRS) {
            image.pcr[r->pcr] = r->value; /* the last one named */
        }
    }
    cs_doctor_policy_match(&m, &p, &image);
    if (m.nearest > p.num_statements || (m.differ & ~m.named) != 0 || (m.named & ~image.known) != 0 ||
        (m.allowed_by != 0 && m.differ != 0) || m.num_allow > p.num_statements ||
        (m.num_allow == 0) != (m.nearest == 0)) {
        abort();
    }
    return 0;
}
