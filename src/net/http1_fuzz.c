/* Fuzz target.
 * Target: cs_http1_feed
 * First byte: request or response, and how the rest is cut. The verdict must not depend on the cut. */
#include <stdlib.h>

#include "net/http1.h"

static cs_err feed_all(bool *done, cs_http1_kind kind, cs_slice data, size_t step)
{
    static const cs_http1_limits limits = {.head_max = 4096, .body_max = 4096};
    cs_http1_parser *p = NULL;
    cs_err err = cs_http1_parser_new(&p, kind, &limits);
    size_t at = 0;
    *done = false;
    while (err == CS_OK && at < data.len && !*done) {
        size_t used = 0;
        size_t n = data.len - at < step ? data.len - at : step;
        err = cs_http1_feed(p, &used, done, cs_slice_of(data.p + at, n));
        at += used;
        if (err == CS_OK && !*done && used != n) {
            abort();
        }
    }
    cs_http1_parser_free(p);
    return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len < 1) {
        return 0;
    }
    bool whole_done;
    bool cut_done;
    cs_http1_kind kind = (data[0] & 1) != 0 ? CS_HTTP1_RESPONSE : CS_HTTP1_REQUEST;
    cs_slice rest = cs_slice_of(data + 1, len - 1);
    cs_err whole = feed_all(&whole_done, kind, rest, len);
    cs_err cut = feed_all(&cut_done, kind, rest, 1 + (data[0] >> 1) % 16);
    if ((whole == CS_OK) != (cut == CS_OK) || whole_done != cut_done) {
        abort();
    }
    return 0;
}
