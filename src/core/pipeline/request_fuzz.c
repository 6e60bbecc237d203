/*
 * Target: cs_request_decode
 * A request that is accepted belongs to the link that it came from.
 */
#include <stdlib.h>

#include "core/pipeline/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const cs_core_link links[] = {CS_LINK_SERVICE, CS_LINK_KMS};
    for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
        cs_request r;
        if (cs_request_decode(&r, links[i], cs_slice_of(data, size)) == CS_OK &&
            ((unsigned)r.op >= CS_NUM_OPS || cs_op_table[r.op].link != links[i])) {
            abort();
        }
    }
    return 0;
}
