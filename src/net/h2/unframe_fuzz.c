/* Fuzz target.
 * Target: cs_unframe
 * First byte: how the rest is cut. The messages must not depend on the cut. */
#include <stdlib.h>

#include "net/h2/unframe.h"

static cs_err run(uint64_t *sum, cs_slice data, size_t step)
{
    cs_unframer u = {.max = 5000};
    cs_err err = CS_OK;
    *sum = 0;
    for (size_t at = 0; at < data.len && err == CS_OK; at += step) {
        cs_slice in = cs_slice_of(data.p + at, data.len - at < step ? data.len - at : step);
        bool have = true;
        while (have && in.len > 0 && err == CS_OK) {
            cs_slice m;
            err = cs_unframe(&u, &m, &have, &in);
            for (size_t i = 0; err == CS_OK && have && i < m.len; i++) {
                *sum = *sum * 31 + m.p[i] + 1;
            }
        }
    }
    cs_unframe_cleanup(&u);
    return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint64_t a;
    uint64_t b;
    if (len < 2) {
        return 0;
    }
    cs_slice rest = cs_slice_of(data + 1, len - 1);
    if (run(&a, rest, rest.len) != run(&b, rest, 1 + data[0] % 32) || a != b) {
        abort();
    }
    return 0;
}
