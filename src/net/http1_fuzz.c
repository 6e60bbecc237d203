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

struct pieces {
    uint64_t sum; /* of all bytes, FNV-1a: pieces are cut anywhere */
};

static cs_err on_piece(void *cookie, cs_slice piece)
{
    struct pieces *s = cookie;
    for (size_t i = 0; i < piece.len; i++) {
        s->sum = (s->sum ^ piece.p[i]) * 0x100000001b3u;
    }
    return CS_OK;
}

/* The same with a body that is handed on in pieces. */
static cs_err stream_all(struct pieces *s, cs_http1_kind kind, cs_slice data, size_t step)
{
    static const cs_http1_limits limits = {.head_max = 4096};
    cs_http1_parser *p = NULL;
    cs_err err = cs_http1_parser_new(&p, kind, &limits);
    bool done = false;
    *s = (struct pieces){0xcbf29ce484222325u};
    if (err == CS_OK) {
        cs_http1_stream_body(p, on_piece, s);
    }
    for (size_t at = 0; err == CS_OK && at < data.len && !done;) {
        size_t used = 0;
        err = cs_http1_feed(p, &used, &done, cs_slice_of(data.p + at, data.len - at < step ? data.len - at : step));
        at += used;
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
    struct pieces one, two;
    cs_err in_one = stream_all(&one, kind, rest, len);
    cs_err in_two = stream_all(&two, kind, rest, 1 + (data[0] >> 1) % 16);
    if ((in_one == CS_OK) != (in_two == CS_OK) || (in_one == CS_OK && one.sum != two.sum)) {
        abort();
    }
    if ((whole == CS_OK) != (cut == CS_OK) || whole_done != cut_done) {
        abort();
    }
    return 0;
}
