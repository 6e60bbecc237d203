#include "service/idmap.h"

#include <stdlib.h>

/* ids are consecutive numbers of ours, so a multiplicative hash is enough (Fibonacci hashing) */
static size_t home_of(const cs_idmap *m, uint64_t id)
{
    return (size_t)(id * 0x9e3779b97f4a7c15u >> 32) & (m->size - 1);
}

static void insert(cs_idmap *m, uint64_t id, void *value)
{
    size_t i = home_of(m, id);
    while (m->slots[i].id != 0) {
        i = (i + 1) & (m->size - 1);
    }
    m->slots[i] = (cs_idmap_slot){id, value};
    m->used++;
}

static cs_err grow(cs_idmap *m)
{
    cs_idmap bigger = {.size = m->size == 0 ? 64 : m->size * 2};
    bigger.slots = calloc(bigger.size, sizeof *bigger.slots);
    if (bigger.slots == NULL) {
        return CS_E_NO_MEMORY;
    }
    for (size_t i = 0; i < m->size; i++) {
        if (m->slots[i].id != 0) {
            insert(&bigger, m->slots[i].id, m->slots[i].value);
        }
    }
    free(m->slots);
    *m = bigger;
    return CS_OK;
}

cs_err cs_idmap_put(cs_idmap *m, uint64_t id, void *value)
{
    if (m->used * 2 >= m->size) {
        CS_TRY(grow(m));
    }
    insert(m, id, value);
    return CS_OK;
}

static cs_idmap_slot *find(const cs_idmap *m, uint64_t id)
{
    if (m->size == 0 || id == 0) {
        return NULL;
    }
    for (size_t i = home_of(m, id); m->slots[i].id != 0; i = (i + 1) & (m->size - 1)) {
        if (m->slots[i].id == id) {
            return &m->slots[i];
        }
    }
    return NULL;
}

void *cs_idmap_get(const cs_idmap *m, uint64_t id)
{
    const cs_idmap_slot *s = find(m, id);
    return s != NULL ? s->value : NULL;
}

void *cs_idmap_take(cs_idmap *m, uint64_t id)
{
    cs_idmap_slot *s = find(m, id);
    if (s == NULL) {
        return NULL;
    }
    void *value = s->value;
    *s = (cs_idmap_slot){0};
    m->used--;
    /* close the gap: move up what would no longer be found (backward-shift deletion) */
    size_t gap = (size_t)(s - m->slots);
    for (size_t i = (gap + 1) & (m->size - 1); m->slots[i].id != 0; i = (i + 1) & (m->size - 1)) {
        size_t from_home = (i - home_of(m, m->slots[i].id)) & (m->size - 1);
        size_t from_gap = (i - gap) & (m->size - 1);
        if (from_home >= from_gap) {
            m->slots[gap] = m->slots[i];
            m->slots[i] = (cs_idmap_slot){0};
            gap = i;
        }
    }
    return value;
}

void cs_idmap_each(const cs_idmap *m, void (*fn)(void *value, void *cookie), void *cookie)
{
    for (size_t i = 0; i < m->size; i++) {
        if (m->slots[i].id != 0) {
            fn(m->slots[i].value, cookie);
        }
    }
}

void cs_idmap_free(cs_idmap *m)
{
    free(m->slots);
    *m = (cs_idmap){0};
}
