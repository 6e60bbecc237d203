/*
 * Target: cs_lines_feed
 * However the bytes are cut into pieces, the lines are the same; none is longer than it may be, and nothing is lost.
 */
#include <stdlib.h>

#include "init/lines.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct tally {
    uint64_t hash;
    size_t bytes;
} tally;

static void on_line(void *cookie, cs_slice line)
{
    tally *t = cookie;

    if (line.len == 0 || line.len > CS_LINE_MAX + 1 || line.p[line.len - 1] != '\n') {
        abort();
    }
    for (size_t i = 0; i < line.len; i++) {
        t->hash = (t->hash ^ line.p[i]) * 0x100000001b3u;
    }
    t->bytes += line.len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static cs_lines whole, pieces;
    tally a = {0}, b = {0};
    size_t step = size > 0 ? data[0] + 1u : 1u;

    whole.len = pieces.len = 0;
    cs_lines_feed(&whole, cs_slice_of(data, size), on_line, &a);
    for (size_t at = 0; at < size; at += step) {
        cs_lines_feed(&pieces, cs_slice_of(data + at, size - at < step ? size - at : step), on_line, &b);
    }
    cs_lines_end(&whole, on_line, &a);
    cs_lines_end(&pieces, on_line, &b);
    if (a.hash != b.hash || a.bytes != b.bytes || a.bytes < size) {
        abort();
    }
    return 0;
}
