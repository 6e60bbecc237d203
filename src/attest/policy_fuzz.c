/*
 * Target: cs_att_tuple_parse
 * What is accepted has PCR0 and no register of zeros; what is refused changes nothing.
 */
#include <stdlib.h>

#include "attest/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cs_att_tuple t = {0};

    if (cs_att_tuple_parse(&t, cs_slice_of(data, size)) != CS_OK) {
        return t.mask == 0 ? 0 : (abort(), 0);
    }
    for (unsigned i = 0; i < CS_ATT_NUM_PCRS; i++) {
        if (((t.mask >> i & 1) != 0) == cs_pcr_is_zero(&t.pcr[i]) || (t.mask & 1) == 0) {
            abort();
        }
    }
    return 0;
}
