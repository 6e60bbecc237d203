/*
 * Target: cs_cose_sign1_parse
 * Also cs_cose_sign_parse; what was parsed lies inside the input.
 */
#include <stdlib.h>

#include "codec/cose.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cs_slice in = cs_slice_of(data, size);
    cs_cose_sign1 m;
    static cs_cose_sign s;
    cs_buf out = cs_buf_heap(2 * size + 64);

    if (cs_cose_sign1_parse(&m, in, CS_CBOR_INDEFINITE | CS_CBOR_LAX_INT) == CS_OK) {
        if (m.payload.len + m.signature.len > size || cs_cose_sign1_tbs(&out, &m, CS_SLICE_NULL) != CS_OK) {
            abort();
        }
    }
    if (cs_cose_sign_parse(&s, in, CS_CBOR_STRICT) == CS_OK && s.num_signers == 0) {
        abort();
    }
    cs_buf_free(&out);
    return 0;
}
