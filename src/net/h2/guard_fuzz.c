/* Fuzz target.
 * Target: cs_h2_guard_read
 * First byte: how the rest is cut. The verdict must not depend on the cut, nor the frame that it is about by more than a head. */
#include <stdlib.h>

#include "net/h2/guard.h"

static cs_err run(size_t *good, uint32_t *error, cs_slice data, size_t step)
{
    cs_h2_guard g = {0};
    cs_err err = CS_OK;
    *good = 0;
    *error = 0;
    for (size_t at = 0; at < data.len && err == CS_OK; at += step) {
        size_t n = data.len - at < step ? data.len - at : step;
        size_t part = 0;
        err = cs_h2_guard_read(&g, &part, error, cs_slice_of(data.p + at, n));
        if (part > n || (err == CS_OK && part != n) || (err == CS_OK) != (*error == 0)) {
            abort();
        }
        *good += part;
    }
    return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    size_t a;
    size_t b;
    uint32_t error_a;
    uint32_t error_b;
    if (len < 2) {
        return 0;
    }
    cs_slice rest = cs_slice_of(data + 1, len - 1);
    cs_err err_a = run(&a, &error_a, rest, rest.len);
    cs_err err_b = run(&b, &error_b, rest, 1 + data[0] % 32);
    if (err_a != err_b || error_a != error_b || b < a || b - a >= 9) {
        abort();
    }
    return 0;
}
