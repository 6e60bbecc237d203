/*
 * Target: cs_btc_parse
 * What was parsed can be walked and hashed with every type.
 */
#include <stdlib.h>

#include "party/btc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    cs_btc_tx tx;
    cs_slice outpoint, sequence;
    uint8_t digest[32];
    const cs_btc_spent code = {7, cs_slice_str("script")};
    if (cs_btc_parse(&tx, cs_slice_of(data, len)) != CS_OK) {
        return 0;
    }
    if (cs_btc_input(&outpoint, &sequence, &tx, tx.num_inputs - 1) != CS_OK || outpoint.len != 36 ||
        cs_btc_input(&outpoint, &sequence, &tx, tx.num_inputs) != CS_E_RANGE) {
        abort();
    }
    for (unsigned type = 0; type < 256; type++) {
        bool known = (type & 0x7f) >= 1 && (type & 0x7f) <= 3;
        if ((cs_btc_digest_v0(digest, &tx, tx.num_inputs - 1, &code, (uint8_t)type) == CS_OK) != known) {
            abort();
        }
    }
    return 0;
}
