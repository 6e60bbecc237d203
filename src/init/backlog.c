#include "init/backlog.h"

#include <string.h>

#define HEAD 10u /* number, length */

typedef struct cs_backlog_ring ring;

static void copy_in(ring *r, const void *p, size_t len)
{
    size_t at = (r->first + r->used) % CS_BACKLOG_BYTES, part = CS_BACKLOG_BYTES - at;

    part = part < len ? part : len;
    memcpy(r->bytes + at, p, part);
    memcpy(r->bytes, (const uint8_t *)p + part, len - part);
    r->used += len;
}

static void copy_out(const ring *r, void *p, size_t skip, size_t len)
{
    size_t at = (r->first + skip) % CS_BACKLOG_BYTES, part = CS_BACKLOG_BYTES - at;

    part = part < len ? part : len;
    memcpy(p, r->bytes + at, part);
    memcpy((uint8_t *)p + part, r->bytes, len - part);
}

static void head_of(const ring *r, uint64_t *out_number, size_t *out_len)
{
    uint8_t head[HEAD];

    copy_out(r, head, 0, sizeof head);
    *out_number = cs_load_u64(head);
    *out_len = cs_load_u16(head + 8);
}

static void forget_first(ring *r, size_t len)
{
    r->first = (r->first + HEAD + len) % CS_BACKLOG_BYTES;
    r->used -= HEAD + len;
}

void cs_backlog_put(cs_backlog *b, unsigned source, cs_slice line)
{
    ring *r = &b->ring[source < CS_BACKLOG_SOURCES ? source : CS_BACKLOG_INIT];
    uint8_t head[HEAD];

    if (line.len == 0 || line.len > CS_LINE_MAX + 1) {
        return;
    }
    while (CS_BACKLOG_BYTES - r->used < HEAD + line.len) {
        uint64_t number;
        size_t len;

        head_of(r, &number, &len);
        forget_first(r, len);
        r->dropped++;
    }
    cs_store_u64(head, b->next++);
    cs_store_u16(head + 8, (uint16_t)line.len);
    copy_in(r, head, sizeof head);
    copy_in(r, line.p, line.len);
}

bool cs_backlog_take(cs_backlog *b, cs_backlog_line *out)
{
    unsigned source = CS_BACKLOG_SOURCES;
    uint64_t lowest = UINT64_MAX;

    for (unsigned i = 0; i < CS_BACKLOG_SOURCES; i++) {
        uint64_t number;
        size_t len;

        if (b->ring[i].used > 0) {
            head_of(&b->ring[i], &number, &len);
            if (number < lowest) {
                lowest = number;
                source = i;
                out->len = len;
            }
        }
    }
    if (source == CS_BACKLOG_SOURCES) {
        return false;
    }
    copy_out(&b->ring[source], out->bytes, HEAD, out->len);
    forget_first(&b->ring[source], out->len);
    out->source = source;
    out->dropped = b->ring[source].dropped;
    b->ring[source].dropped = 0;
    return true;
}
