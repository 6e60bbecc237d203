/*
 * Target: cs_bech32_decode
 * A string that decodes to whole bytes encodes back to itself; cs_segwit_script takes anything.
 */
#include <stdlib.h>
#include <string.h>

#include "codec/bech32.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cs_slice in = cs_slice_of(data, size);
    uint8_t bytes[CS_BECH32_MAX_LEN], text[2 * CS_BECH32_MAX_LEN], script[64];
    cs_buf raw = cs_buf_wrap(bytes, sizeof bytes), back = cs_buf_wrap(text, sizeof text);
    cs_buf out = cs_buf_wrap(script, sizeof script);
    char hrp[CS_BECH32_MAX_HRP + 1] = {0};
    cs_bech32 b;
    bool upper = true;

    (void)!cs_segwit_script(&out, "bc", in, CS_SEGWIT_BIP173);
    if (cs_bech32_decode(&b, in, CS_BECH32_MAX_LEN, CS_BECH32) != CS_OK ||
        cs_bech32_bytes(&raw, b.value, b.num_values) != CS_OK || raw.len > 120) {
        return 0;
    }
    for (size_t i = 0; i < size; i++) {
        upper = upper && (data[i] < 'a' || data[i] > 'z');
    }
    memcpy(hrp, b.hrp.p, b.hrp.len);
    if (cs_bech32_put(&back, hrp, cs_buf_slice(&raw), CS_BECH32, upper) != CS_OK ||
        !cs_slice_eq(cs_buf_slice(&back), in)) {
        abort();
    }
    return 0;
}
