#include "core/tee/cache.h"

#include <stdlib.h>
#include <string.h>

#define CHAINS 4096u

/* In the arena. Two orders: of use (evicted from the end) and of age (all live equally long). */
typedef struct entry {
    struct entry *chain;
    struct entry *newer, *older;  /* by use */
    struct entry *after, *before; /* by age */
    uint64_t until_ms;
    uint8_t name[32];
    cs_secret32 key;
} entry;

struct cs_key_cache {
    uint64_t lifetime_ms;
    size_t max, num;
    entry *newest, *oldest; /* by use */
    entry *first, *last;    /* by age */
    entry *chain[CHAINS];
};

cs_err cs_key_cache_new(cs_key_cache **out, uint64_t lifetime_ms, size_t max)
{
    cs_key_cache *c = calloc(1, sizeof *c);

    if (c == NULL) {
        return CS_E_NO_MEMORY;
    }
    c->lifetime_ms = lifetime_ms;
    c->max = max;
    *out = c;
    return CS_OK;
}

static entry **chain_of(cs_key_cache *c, const uint8_t name32[32])
{
    return &c->chain[((size_t)name32[0] << 8 | name32[1]) % CHAINS];
}

static void unuse(cs_key_cache *c, entry *e)
{
    *(e->newer == NULL ? &c->newest : &e->newer->older) = e->older;
    *(e->older == NULL ? &c->oldest : &e->older->newer) = e->newer;
}

static void use(cs_key_cache *c, entry *e)
{
    e->newer = NULL;
    e->older = c->newest;
    *(c->newest == NULL ? &c->oldest : &c->newest->newer) = e;
    c->newest = e;
}

static void drop(cs_key_cache *c, entry *e)
{
    entry **at = chain_of(c, e->name);

    while (*at != e) {
        at = &(*at)->chain;
    }
    *at = e->chain;
    unuse(c, e);
    *(e->before == NULL ? &c->first : &e->before->after) = e->after;
    *(e->after == NULL ? &c->last : &e->after->before) = e->before;
    cs_secret_free(e);
    c->num--;
}

void cs_key_cache_free(cs_key_cache *c)
{
    while (c != NULL && c->first != NULL) {
        drop(c, c->first);
    }
    free(c);
}

bool cs_key_cache_get(cs_key_cache *c, cs_secret32 *out, const uint8_t name32[32], uint64_t now_ms)
{
    entry *e = NULL;

    cs_key_cache_tick(c, now_ms);
    e = *chain_of(c, name32);
    while (e != NULL && !cs_ct_eq(e->name, name32, sizeof e->name)) {
        e = e->chain;
    }
    if (e == NULL) {
        return false;
    }
    unuse(c, e);
    use(c, e);
    *out = e->key;
    return true;
}

void cs_key_cache_put(cs_key_cache *c, const uint8_t name32[32], const cs_secret32 *key, uint64_t now_ms)
{
    CS_SECRET(cs_secret32) there = {{0}};
    entry **at = chain_of(c, name32), *e = NULL;

    if (c->lifetime_ms == 0 || cs_key_cache_get(c, &there, name32, now_ms)) {
        return;
    }
    if (c->num == c->max) {
        drop(c, c->oldest);
    }
    e = cs_secret_alloc(sizeof *e);
    if (e == NULL) {
        return;
    }
    e->until_ms = now_ms + c->lifetime_ms;
    memcpy(e->name, name32, sizeof e->name);
    e->key = *key;
    e->chain = *at;
    *at = e;
    use(c, e);
    e->before = c->last;
    *(c->last == NULL ? &c->first : &c->last->after) = e;
    c->last = e;
    c->num++;
}

void cs_key_cache_tick(cs_key_cache *c, uint64_t now_ms)
{
    while (c->first != NULL && now_ms >= c->first->until_ms) {
        drop(c, c->first);
    }
}

uint64_t cs_key_cache_deadline(const cs_key_cache *c)
{
    return c->first == NULL ? UINT64_MAX : c->first->until_ms;
}

size_t cs_key_cache_count(const cs_key_cache *c)
{
    return c->num;
}
