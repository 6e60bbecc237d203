/* A hash table of ids, and a heap of the same entries by time: the oldest is the first to go. */
#include "core/tee/window.h"

#include <stdlib.h>
#include <string.h>

#include "secret/mem.h"
#include "secret/th.h"

#define KEY 16u
#define NONE UINT32_MAX
#define FIRST_ROOM ((size_t)1024)
#define MINUTE_MS 60000u
#define SAMPLES                                                                                                        \
    31u /* of which the one in the middle counts: a late repetition, or one caller's clock, decides nothing */

typedef struct entry {
    uint8_t key[KEY]; /* of caller and id */
    uint8_t hash[32];
    uint64_t time_ms;
    uint32_t next; /* in its chain, or in the list of free ones */
} entry;

struct cs_window {
    uint64_t half_ms, floor_ms;
    int64_t drift_ms;
    int64_t sample[SAMPLES]; /* callers' times less core's, ms */
    size_t num_samples;
    uint64_t moved_ms; /* when the drift moved last: mono */
    size_t max, room, num;
    entry *at;
    uint32_t *heap, *chain; /* room each */
    uint32_t free;
};

cs_err cs_window_new(cs_window **out, uint64_t half_ms, size_t max)
{
    cs_window *w = max < 1 || max > CS_WINDOW_MAX ? NULL : calloc(1, sizeof *w);

    if (w == NULL) {
        return CS_E_NO_MEMORY;
    }
    w->half_ms = half_ms;
    w->max = max;
    w->free = NONE;
    *out = w;
    return CS_OK;
}

void cs_window_free(cs_window *w)
{
    if (w != NULL) {
        free(w->at);
        free(w->heap);
        free(w->chain);
        free(w);
    }
}

/* The key is a hash already. */
static uint32_t *chain_of(const cs_window *w, const uint8_t key[KEY])
{
    return &w->chain[cs_load_u32(key) & (w->room - 1)];
}

static void link_all(cs_window *w)
{
    for (size_t i = 0; i < w->room; i++) {
        w->chain[i] = NONE;
    }
    for (size_t i = 0; i < w->num; i++) {
        entry *e = &w->at[w->heap[i]];
        uint32_t *c = chain_of(w, e->key);

        e->next = *c;
        *c = w->heap[i];
    }
}

/* Room is a power of two. What there is stays when there is no memory. */
static bool grow(cs_window *w)
{
    const size_t room = w->room == 0 ? FIRST_ROOM : 2 * w->room;
    entry *at = calloc(room, sizeof *at);
    uint32_t *heap = calloc(room, sizeof *heap), *chain = calloc(room, sizeof *chain);

    if (at == NULL || heap == NULL || chain == NULL) {
        free(at);
        free(heap);
        free(chain);
        return false;
    }
    if (w->room > 0) {
        memcpy(at, w->at, w->room * sizeof *at);
        memcpy(heap, w->heap, w->room * sizeof *heap);
    }
    free(w->at);
    free(w->heap);
    free(w->chain);
    w->at = at;       /* transferred */
    w->heap = heap;   /* transferred */
    w->chain = chain; /* transferred */
    for (size_t i = room; i > w->room; i--) {
        w->at[i - 1].next = w->free;
        w->free = (uint32_t)(i - 1);
    }
    w->room = room;
    link_all(w);
    return true;
}

static uint64_t time_at(const cs_window *w, size_t i)
{
    return w->at[w->heap[i]].time_ms; /* NOLINT: there are num entries, i is one of them */
}

static void swap(cs_window *w, size_t a, size_t b)
{
    const uint32_t t = w->heap[a];

    w->heap[a] = w->heap[b];
    w->heap[b] = t;
}

static void sink(cs_window *w)
{
    for (size_t i = 0, child = 1; child < w->num; child = 2 * i + 1) {
        child += child + 1 < w->num && time_at(w, child + 1) < time_at(w, child);
        if (time_at(w, i) <= time_at(w, child)) {
            return;
        }
        swap(w, i, child);
        i = child;
    }
}

static void rise(cs_window *w)
{
    for (size_t i = w->num - 1; i > 0 && time_at(w, i) < time_at(w, (i - 1) / 2); i = (i - 1) / 2) {
        swap(w, i, (i - 1) / 2);
    }
}

/* The oldest goes, and no time as old as its is taken any more. */
static void forget_oldest(cs_window *w)
{
    const uint32_t n = w->heap[0];
    uint32_t *c = chain_of(w, w->at[n].key);

    while (*c != n) {
        c = &w->at[*c].next;
    }
    *c = w->at[n].next;
    w->floor_ms = w->at[n].time_ms + 1 > w->floor_ms ? w->at[n].time_ms + 1 : w->floor_ms;
    w->at[n].next = w->free;
    w->free = n;
    w->heap[0] = w->heap[--w->num];
    sink(w);
}

static int64_t now_of(const cs_window *w, uint64_t wall_ms)
{
    return (int64_t)wall_ms + w->drift_ms;
}

cs_err cs_window_time(cs_window *w, uint64_t time_ms, uint64_t wall_ms)
{
    const int64_t now = now_of(w, wall_ms), half = (int64_t)w->half_ms;

    if (time_ms > INT64_MAX / 2 || time_ms < w->floor_ms) {
        return CS_E_REQUEST_TIME;
    }
    return (int64_t)time_ms >= now - half && (int64_t)time_ms <= now + half ? CS_OK : CS_E_REQUEST_TIME;
}

static entry *find(cs_window *w, const uint8_t key[KEY])
{
    uint32_t n = w->room == 0 ? NONE : *chain_of(w, key);

    while (n != NONE && !cs_ct_eq(w->at[n].key, key, KEY)) {
        n = w->at[n].next;
    }
    return n == NONE ? NULL : &w->at[n];
}

static cs_err remember(cs_window *w, const uint8_t key[KEY], const cs_window_ask *a)
{
    uint32_t *c = NULL, n = 0;

    if (w->num > 0 && w->num == w->max) {
        forget_oldest(w);
        CS_TRY(cs_window_time(w, a->time_ms, a->wall_ms)); /* it may be the oldest itself */
    }
    if (w->free == NONE && !grow(w)) {
        return CS_E_NO_MEMORY;
    }
    n = w->free;
    w->free = w->at[n].next; /* NOLINT: a free entry is one of at */
    memcpy(w->at[n].key, key, KEY);
    memcpy(w->at[n].hash, a->hash32, sizeof w->at[n].hash);
    w->at[n].time_ms = a->time_ms;
    c = chain_of(w, key);
    w->at[n].next = *c;
    *c = n;
    w->heap[w->num++] = n;
    rise(w);
    return CS_OK;
}

static int64_t clamp(int64_t v, int64_t most)
{
    return v > most ? most : v < -most ? -most : v;
}

static int by_value(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

/* Callers' clocks are a hint: a step in a minute, and never far. */
static void learn(cs_window *w, const cs_window_ask *a)
{
    w->sample[w->num_samples % SAMPLES] = (int64_t)a->time_ms - (int64_t)a->wall_ms;
    w->num_samples++;
    if (w->num_samples < SAMPLES || a->mono_ms - w->moved_ms < MINUTE_MS) {
        return;
    }
    qsort(w->sample, SAMPLES, sizeof *w->sample, by_value);
    w->drift_ms += clamp(w->sample[SAMPLES / 2] - w->drift_ms, CS_WINDOW_DRIFT_STEP_MS);
    w->drift_ms = clamp(w->drift_ms, CS_WINDOW_DRIFT_MAX_MS);
    w->num_samples = 0;
    w->moved_ms = a->mono_ms;
}

static void forget_what_is_too_old(cs_window *w, uint64_t wall_ms)
{
    const int64_t oldest = now_of(w, wall_ms) - (int64_t)w->half_ms;

    while (w->num > 0 && (int64_t)time_at(w, 0) < oldest) {
        forget_oldest(w);
    }
}

cs_err cs_window_take(cs_window *w, cs_window_seen *seen, const cs_window_ask *a)
{
    uint8_t digest[32];
    cs_sha256 h;
    entry *e = NULL;

    CS_TRY(cs_window_time(w, a->time_ms, a->wall_ms));
    cs_sha256_init(&h);
    cs_sha256_put(&h, a->id16, 16);
    cs_sha256_put(&h, a->caller.p, a->caller.len);
    cs_sha256_end(&h, digest);
    e = find(w, digest);
    if (e != NULL) {
        *seen = CS_WINDOW_AGAIN;
        return cs_ct_eq(e->hash, a->hash32, sizeof e->hash) ? CS_OK : CS_E_REQUEST_REPLAY;
    }
    forget_what_is_too_old(w, a->wall_ms);
    CS_TRY(remember(w, digest, a));
    *seen = CS_WINDOW_NEW;
    learn(w, a);
    return CS_OK;
}

int64_t cs_window_drift_ms(const cs_window *w)
{
    return w->drift_ms;
}

size_t cs_window_count(const cs_window *w)
{
    return w->num;
}

uint64_t cs_window_floor_ms(const cs_window *w)
{
    return w->floor_ms;
}
