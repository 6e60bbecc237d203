#include "init/lines.h"

#include <string.h>

static void give(cs_lines *l, cs_lines_fn *fn, void *cookie)
{
    l->bytes[l->len++] = '\n';
    fn(cookie, cs_slice_of(l->bytes, l->len));
    l->len = 0;
}

void cs_lines_feed(cs_lines *l, cs_slice in, cs_lines_fn *fn, void *cookie)
{
    while (in.len > 0) {
        const uint8_t *lf = memchr(in.p, '\n', in.len);
        size_t part = lf != NULL ? (size_t)(lf - in.p) : in.len, room = CS_LINE_MAX - l->len;
        bool cut = part > room;

        part = cut ? room : part;
        memcpy(l->bytes + l->len, in.p, part);
        l->len += part;
        if (cut || lf != NULL) {
            give(l, fn, cookie);
        }
        part += !cut && lf != NULL ? 1 : 0;
        in = cs_slice_of(in.p + part, in.len - part);
    }
}

void cs_lines_end(cs_lines *l, cs_lines_fn *fn, void *cookie)
{
    if (l->len > 0) {
        give(l, fn, cookie);
    }
}
