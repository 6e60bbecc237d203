/*
 * Target: cs_cbor_check
 * Whatever passes the strict check passes the lax ones, is skipped as one item, and a definite string is what the copy
 * gives.
 */
#include <stdlib.h>

#include "codec/cbor.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cs_slice in = cs_slice_of(data, size), whole;
    static uint8_t mem[65536];
    bool strict = cs_cbor_check(in, CS_CBOR_STRICT) == CS_OK;
    bool lax = cs_cbor_check(in, CS_CBOR_INDEFINITE | CS_CBOR_LAX_INT) == CS_OK;
    cs_cbor c = cs_cbor_of(in, CS_CBOR_STRICT);
    cs_buf out = cs_buf_wrap(mem, sizeof mem);
    cs_slice s;

    if (strict && (!lax || cs_cbor_skip(&c, &whole) != CS_OK || whole.len != size)) {
        abort();
    }
    c = cs_cbor_of(in, CS_CBOR_INDEFINITE);
    if (cs_cbor_bytes(&c, &s) == CS_OK && s.len <= sizeof mem) {
        c = cs_cbor_of(in, CS_CBOR_INDEFINITE);
        if (cs_cbor_bytes_copy(&c, &out) != CS_OK || !cs_slice_eq(s, cs_buf_slice(&out))) {
            abort();
        }
    }
    return 0;
}
