/*
 * Target: cs_rpc_decode
 * Whatever decodes encodes to the same bytes: there is one encoding of each frame.
 */
#include <stdlib.h>

#include "rpc/core_rpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t mem[CS_RPC_MAX];
    static cs_rpc_frame f;
    cs_slice in = cs_slice_of(data, size);
    cs_buf out = cs_buf_wrap(mem, sizeof mem);

    if (cs_rpc_decode(&f, in) != CS_OK) {
        return 0;
    }
    if (cs_rpc_name(f.type) == NULL || cs_rpc_encode(&out, &f) != CS_OK || !cs_slice_eq(cs_buf_slice(&out), in)) {
        abort();
    }
    return 0;
}
