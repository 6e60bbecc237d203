/*
 * Target: cs_hd_parse
 * What is accepted is the one text of what was read.
 */
#include <stdlib.h>
#include <string.h>

#include "secret/hd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    cs_hd_key k, child;
    uint8_t mem[CS_HD_TEXT_MAX];
    cs_buf out = cs_buf_wrap(mem, sizeof mem);
    if (cs_hd_parse(&k, cs_slice_of(data, len)) == CS_OK) {
        if (cs_hd_put(&out, &k) != CS_OK || out.len != len || memcmp(mem, data, len) != 0) {
            abort();
        }
        (void)!cs_hd_child(&child, &k, 1);
    }
    return 0;
}
