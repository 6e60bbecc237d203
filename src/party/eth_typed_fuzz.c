/* Target: cs_eth_typed_parse */
#include <stdlib.h>
#include <string.h>

#include "party/eth_typed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint8_t digest[32], again[32];
    cs_eth_typed_fault fault;
    cs_err err = cs_eth_typed_parse(digest, &fault, cs_slice_of(data, len));
    if ((err == CS_E_FORMAT) != (fault.text[0] != '\0') && err != CS_E_TOO_LARGE) {
        abort(); /* a refusal says what */
    }
    if (err == CS_OK &&
        (cs_eth_typed_parse(again, &fault, cs_slice_of(data, len)) != CS_OK || memcmp(digest, again, 32) != 0)) {
        abort();
    }
    return 0;
}
