/*
 * Target: cs_att_doc_parse
 * Also the whole verification behind it: nothing accepted is without PCRs.
 */
#include <stdlib.h>

#include "attest/verify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const cs_att_options options = {.time = CS_ATT_TIME_DOCUMENT, .any_pcrs = true, .allow_debug = true};
    static cs_att_result result;

    if (cs_att_verify(&result, cs_slice_of(data, size), &options) == CS_OK && result.claims.pcr_mask == 0) {
        abort();
    }
    return 0;
}
