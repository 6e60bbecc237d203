#include "core/provision/staging.h"

#include <string.h>
#include <sys/mman.h>

static void release(cs_staging *s)
{
    if (s->map != NULL) {
        (void)munmap(s->map, s->map_len);
    }
    s->map = NULL;
    s->map_len = s->len = 0;
}

void cs_staging_drop(cs_staging *s)
{
    release(s);
    *s = (cs_staging){0};
}

void cs_staging_begin(cs_staging *s, uint64_t id, size_t max)
{
    void *map = NULL;

    cs_staging_drop(s);
    s->id = id;
    s->open = true;
    map = mmap(NULL, max, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED) {
        s->refused = CS_E_NO_MEMORY;
        return;
    }
    s->map = map;
    s->map_len = max;
}

bool cs_staging_chunk(cs_staging *s, uint64_t id, cs_slice bytes)
{
    if (!s->open || s->id != id || s->refused != CS_OK) {
        return false;
    }
    if (bytes.len > s->map_len - s->len) {
        s->refused = CS_E_TOO_LARGE;
        release(s);
        return false;
    }
    if (bytes.len > 0) {
        memcpy(s->map + s->len, bytes.p, bytes.len);
        s->len += bytes.len;
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
