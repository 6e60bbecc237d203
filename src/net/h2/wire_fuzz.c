/* Fuzz target.
 * Target: cs_frame_body
 * A body that is found is inside the message, and encodes to a Frame with the same body. */
#include <stdlib.h>
#include <string.h>

#include "net/h2/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    cs_slice body;
    cs_slice again;
    if (cs_frame_body(&body, cs_slice_of(data, len)) != CS_OK) {
        return 0;
    }
    uint8_t *p = malloc(CS_FRAME_HEAD_MAX + body.len);
    if (p == NULL || body.len > len) {
        abort();
    }
    size_t n = cs_frame_head(p, body.len);
    if (body.len > 0) {
        memcpy(p + n, body.p, body.len);
    }
    if (cs_frame_body(&again, cs_slice_of(p, n + body.len)) != CS_OK || !cs_slice_eq(again, body)) {
        abort();
    }
    free(p);
    return 0;
}
