/* Fuzz target.
 * Target: cs_grpc_timeout_parse, cs_percent_get */
#include <stdlib.h>

#include "net/h2/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint64_t ms;
    cs_slice in = cs_slice_of(data, len);
    if (cs_grpc_timeout_parse(&ms, in) == CS_OK && len > 9) {
        abort();
    }
    cs_buf a = cs_buf_heap(1u << 20);
    cs_buf b = cs_buf_heap(1u << 20);
    cs_buf c = cs_buf_heap(1u << 20);
    if (cs_percent_get(&a, in) == CS_OK && cs_percent_put(&b, in) == CS_OK &&
        cs_percent_get(&c, cs_buf_slice(&b)) == CS_OK && !cs_slice_eq(cs_buf_slice(&c), in)) {
        abort();
    }
    cs_buf_free(&a);
    cs_buf_free(&b);
    cs_buf_free(&c);
    return 0;
}
