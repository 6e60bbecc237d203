/*
 * Target: cs_hello_parse
 * What is accepted is written back byte for byte.
 */
#include <stdlib.h>
#include <string.h>

#include "codec/hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    cs_hello h;
    uint8_t mem[CS_HELLO_MAX];
    cs_buf b = cs_buf_wrap(mem, sizeof mem);
    if (cs_hello_parse(&h, cs_slice_of(data, len)) == CS_OK &&
        (cs_hello_put(&b, &h) != CS_OK || !cs_slice_eq(cs_buf_slice(&b), cs_slice_of(data, len)))) {
        abort();
    }
    return 0;
}
