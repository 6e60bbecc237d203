#include "party/memory.h"

#include <stdlib.h>
#include <string.h>

#define BUCKETS 65536u /* the label is a hash: its first two bytes are the bucket */

struct cs_pmemory {
    cs_pmemory_entry **buckets;
    cs_pmemory_entry *newest, *oldest;
    size_t num, max;
};

cs_err cs_pmemory_new(cs_pmemory **out, size_t max)
{
    cs_pmemory *m = calloc(1, sizeof *m);
    if (m == NULL) {
        return CS_E_NO_MEMORY;
    }
    m->max = max != 0 ? max : CS_PMEMORY_MAX;
    m->buckets = calloc(BUCKETS, sizeof *m->buckets);
    if (m->buckets == NULL) {
        free(m);
        return CS_E_NO_MEMORY;
    }
    *out = m; /* transferred */
    return CS_OK;
}

static cs_pmemory_entry **bucket_of(cs_pmemory *m, const uint8_t label32[32])
{
    return &m->buckets[cs_load_u16(label32) % BUCKETS];
}

static void put_newest(cs_pmemory *m, cs_pmemory_entry *e)
{
    e->newer = NULL;
    e->older = m->newest;
    *(e->older != NULL ? &e->older->newer : &m->oldest) = e;
    m->newest = e;
}

static void take_out(cs_pmemory *m, const cs_pmemory_entry *e)
{
    *(e->newer != NULL ? &e->newer->older : &m->newest) = e->older;
    *(e->older != NULL ? &e->older->newer : &m->oldest) = e->newer;
}

/* false: all are under way */
static bool forget_oldest(cs_pmemory *m)
{
    cs_pmemory_entry *e = m->oldest;
    while (e != NULL && e->live != NULL) {
        e = e->newer;
    }
    if (e == NULL) {
        return false;
    }
    cs_pmemory_entry **at = bucket_of(m, e->label32);
    while (*at != e) {
        at = &(*at)->chain;
    }
    *at = e->chain;
    take_out(m, e);
    free(e);
    m->num--;
    return true;
}

static cs_err add(cs_pmemory_entry **out, cs_pmemory *m, const uint8_t label32[32], const uint8_t digest32[32])
{
    if (m->num >= m->max && !forget_oldest(m)) {
        return CS_E_SESSION_LIMIT;
    }
    cs_pmemory_entry *e = calloc(1, sizeof *e);
    if (e == NULL) {
        return CS_E_NO_MEMORY;
    }
    memcpy(e->label32, label32, 32);
    memcpy(e->digest32, digest32, 32);
    e->chain = *bucket_of(m, label32);
    *bucket_of(m, label32) = e;
    put_newest(m, e);
    m->num++;
    *out = e;
    return CS_OK;
}

cs_err cs_pmemory_claim(cs_pmemory_entry **out, cs_pmemory *m, const uint8_t label32[32], const uint8_t digest32[32])
{
    for (cs_pmemory_entry *e = *bucket_of(m, label32); e != NULL; e = e->chain) {
        if (memcmp(e->label32, label32, 32) == 0) {
            if (memcmp(e->digest32, digest32, 32) != 0) {
                return CS_E_EXECUTION_CONFLICT;
            }
            take_out(m, e);
            put_newest(m, e);
            *out = e;
            return CS_OK;
        }
    }
    return add(out, m, label32, digest32);
}

size_t cs_pmemory_count(const cs_pmemory *m)
{
    return m->num;
}

void cs_pmemory_free(cs_pmemory *m)
{
    if (m == NULL) {
        return;
    }
    for (cs_pmemory_entry *e = m->newest, *older; e != NULL; e = older) {
        older = e->older;
        free(e);
    }
    free(m->buckets);
    free(m);
}
