#include "core/provision/staging.h"

#include <string.h>
#include <sys/mman.h>

static void unmap(cs_staging *s, size_t i)
{
    if (s->segment[i] != NULL) {
        (void)munmap(s->segment[i], CS_STAGING_SEGMENT);
        s->segment[i] = NULL;
    }
}

static void refuse(cs_staging *s, cs_err why)
{
    cs_staging_release(s, CS_SHARES_MAX);
    s->len = 0;
    s->refused = why;
}

void cs_staging_drop(cs_staging *s)
{
    cs_staging_release(s, CS_SHARES_MAX);
    *s = (cs_staging){0};
}

void cs_staging_begin(cs_staging *s, uint64_t id, size_t max)
{
    cs_staging_drop(s);
    s->id = id;
    s->open = true;
    s->max = max < CS_SHARES_MAX ? max : CS_SHARES_MAX;
}

/* where the next byte goes, NULL when there is no memory; s->len < s->max */
static uint8_t *next_byte(cs_staging *s)
{
    const size_t i = s->len / CS_STAGING_SEGMENT;

    if (s->segment[i] == NULL) {
        void *map = mmap(NULL, CS_STAGING_SEGMENT, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (map == MAP_FAILED) {
            return NULL;
        }
        s->segment[i] = map;
    }
    return s->segment[i] + s->len % CS_STAGING_SEGMENT;
}

bool cs_staging_chunk(cs_staging *s, uint64_t id, cs_slice bytes)
{
    if (!s->open || s->id != id || s->refused != CS_OK) {
        return false;
    }
    if (bytes.len > s->max - s->len) {
        refuse(s, CS_E_TOO_LARGE);
        return false;
    }
    while (bytes.len > 0) {
        const size_t room = CS_STAGING_SEGMENT - s->len % CS_STAGING_SEGMENT;
        const size_t n = bytes.len < room ? bytes.len : room;
        uint8_t *at = next_byte(s);

        if (at == NULL) {
            refuse(s, CS_E_NO_MEMORY);
            return false;
        }
        memcpy(at, bytes.p, n);
        s->len += n;
        bytes = cs_slice_of(bytes.p + n, bytes.len - n);
    }
    return true;
}

cs_err cs_staging_end(cs_staging *s, uint64_t id)
{
    cs_err err = CS_OK;

    if (!s->open || s->id != id) {
        return CS_E_INJECT_PHASE;
    }
    err = s->refused != CS_OK ? s->refused : s->len == 0 ? CS_E_INJECT_EMPTY : CS_OK;
    if (err != CS_OK) {
        cs_staging_drop(s);
        return err;
    }
    s->open = false;
    s->whole = true;
    return CS_OK;
}

cs_slice cs_staging_at(const cs_staging *s, size_t from, size_t max)
{
    const size_t left = from < s->len ? s->len - from : 0, room = CS_STAGING_SEGMENT - from % CS_STAGING_SEGMENT;
    const size_t most = left < room ? left : room, n = most < max ? most : max;

    return n == 0 ? CS_SLICE_NULL : cs_slice_of(s->segment[from / CS_STAGING_SEGMENT] + from % CS_STAGING_SEGMENT, n);
}

void cs_staging_release(cs_staging *s, size_t until)
{
    for (size_t i = 0; i < until / CS_STAGING_SEGMENT && i < CS_STAGING_SEGMENTS; i++) {
        unmap(s, i);
    }
}
