/* Fuzz target.
 * Target: cs_endpoint_parse
 * What parses must format to text that parses to the same text. */
#include <stdlib.h>

#include "net/endpoint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    cs_endpoint ep;
    if (cs_endpoint_parse(&ep, cs_slice_of(data, len)) != CS_OK) {
        return 0;
    }
    uint8_t mem[2][CS_EP_TEXT_MAX + 1];
    cs_buf a = cs_buf_wrap(mem[0], sizeof mem[0]);
    cs_buf b = cs_buf_wrap(mem[1], sizeof mem[1]);
    if (cs_endpoint_format(&a, &ep) != CS_OK || cs_endpoint_parse(&ep, cs_buf_slice(&a)) != CS_OK ||
        cs_endpoint_format(&b, &ep) != CS_OK || !cs_slice_eq(cs_buf_slice(&a), cs_buf_slice(&b))) {
        abort();
    }
    return 0;
}
