/* Fuzz target.
 * Target: cs_sse_feed
 * First byte: how the rest is cut. Events, ids and the verdict must not depend on the cut. */
#include <stdlib.h>
#include <string.h>

#include "net/sse.h"

struct log {
    uint64_t sum; /* of all that was told, FNV-1a */
    size_t num;
};

static void add(struct log *l, cs_slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        l->sum = (l->sum ^ s.p[i]) * 0x100000001b3u;
    }
    l->sum = (l->sum ^ 0x100u ^ s.len) * 0x100000001b3u;
}

static cs_err on_event(void *cookie, const cs_sse_event *e)
{
    struct log *l = cookie;
    add(l, e->type);
    add(l, e->data);
    add(l, e->id);
    l->num++;
    return CS_OK;
}

static cs_err feed_all(struct log *l, cs_slice data, size_t step)
{
    cs_sse *s = NULL;
    *l = (struct log){.sum = 0xcbf29ce484222325u};
    cs_err err = cs_sse_new(&s, 512, on_event, l);
    for (size_t at = 0; err == CS_OK && at < data.len; at += step) {
        /* a copy of its own size, so that a read beyond the piece is seen */
        size_t n = data.len - at < step ? data.len - at : step;
        uint8_t *piece = malloc(n);
        if (piece == NULL) {
            abort();
        }
        memcpy(piece, data.p + at, n);
        err = cs_sse_feed(s, cs_slice_of(piece, n));
        free(piece);
    }
    if (err == CS_OK) {
        add(l, cs_sse_last_id(s));
        l->sum ^= cs_sse_retry_ms(s);
    }
    cs_sse_free(s);
    return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len < 2) {
        return 0;
    }
    struct log whole, cut;
    cs_slice rest = cs_slice_of(data + 1, len - 1);
    if (feed_all(&whole, rest, rest.len) != feed_all(&cut, rest, 1 + data[0] % 32) || whole.sum != cut.sum ||
        whole.num != cut.num) {
        abort();
    }
    return 0;
}
