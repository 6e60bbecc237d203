/*
 * Target: cs_ecdsa_der_parse
 * What is accepted is the one encoding of what was read.
 */
#include <stdlib.h>
#include <string.h>

#include "codec/ecdsa_der.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const size_t widths[] = {32, 48, 66};
    for (size_t i = 0; i < 3; i++) {
        uint8_t rs[2 * CS_ECDSA_WIDTH_MAX], mem[CS_ECDSA_DER_MAX];
        cs_buf out = cs_buf_wrap(mem, sizeof mem);
        if (cs_ecdsa_der_parse(rs, widths[i], cs_slice_of(data, len)) == CS_OK &&
            (cs_ecdsa_der_put(&out, rs, widths[i]) != CS_OK || out.len != len || memcmp(mem, data, len) != 0)) {
            abort();
        }
    }
    return 0;
}
