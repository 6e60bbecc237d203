#include "core/tee/rates.h"

#include <stdlib.h>
#include <string.h>

#define CHAINS 1024u
#define NAME_MAX 64u
#define TOKEN 1000u /* parts of a token: one comes in a millisecond at a rate of 1 */

typedef struct bucket {
    struct bucket *next;
    uint64_t level; /* in parts */
    uint64_t at_ms;
    cs_rate rate;
    size_t len;
    uint8_t name[NAME_MAX];
} bucket;

struct cs_rates {
    size_t num;
    bucket *chain[CHAINS];
};

cs_err cs_rates_new(cs_rates **out)
{
    *out = calloc(1, sizeof **out);
    return *out == NULL ? CS_E_NO_MEMORY : CS_OK;
}

static void drop(cs_rates *r, bucket **at)
{
    bucket *b = *at;

    *at = b->next;
    free(b);
    r->num--;
}

void cs_rates_free(cs_rates *r)
{
    for (size_t i = 0; r != NULL && i < CHAINS; i++) {
        while (r->chain[i] != NULL) {
            drop(r, &r->chain[i]);
        }
    }
    free(r);
}

/* Names come from a signed file: nobody chooses them to collide [FNV-1a]. */
static bucket **chain_of(cs_rates *r, cs_slice name)
{
    uint32_t h = 2166136261u;

    for (size_t i = 0; i < name.len; i++) {
        h = (h ^ name.p[i]) * 16777619u;
    }
    return &r->chain[h % CHAINS];
}

static void fill(bucket *b, uint64_t now_ms)
{
    const uint64_t full = b->rate.burst * TOKEN, passed = now_ms - b->at_ms;
    /* rate and burst are at most 10^6: no overflow below a year */
    const uint64_t more = passed > UINT32_MAX ? full : passed * b->rate.per_s;

    b->level = b->level + more < full ? b->level + more : full;
    b->at_ms = now_ms;
}

/* A bucket that has filled up says nothing that a new one would not. */
static void sweep(cs_rates *r, uint64_t now_ms)
{
    for (size_t i = 0; i < CHAINS; i++) {
        for (bucket **at = &r->chain[i]; *at != NULL;) {
            fill(*at, now_ms);
            if ((*at)->level == (*at)->rate.burst * TOKEN) {
                drop(r, at);
            } else {
                at = &(*at)->next;
            }
        }
    }
}

static bucket *make(cs_rates *r, cs_slice name, const cs_rate *rate, uint64_t now_ms)
{
    bucket *b = NULL, **at = chain_of(r, name);

    if (r->num == CS_RATES_MAX) {
        sweep(r, now_ms);
    }
    b = r->num == CS_RATES_MAX || name.len > NAME_MAX ? NULL : calloc(1, sizeof *b);
    if (b != NULL) {
        memcpy(b->name, name.p, name.len);
        b->len = name.len;
        b->level = rate->burst * TOKEN;
        b->at_ms = now_ms;
        b->next = *at;
        *at = b;
        r->num++;
    }
    return b;
}

cs_err cs_rates_take(cs_rates *r, cs_slice caller, const cs_rate *rate, uint64_t mono_ms)
{
    bucket *b = NULL;

    if (rate->per_s == 0) {
        return CS_OK;
    }
    b = *chain_of(r, caller);
    while (b != NULL && !cs_slice_eq(cs_slice_of(b->name, b->len), caller)) {
        b = b->next;
    }
    b = b == NULL ? make(r, caller, rate, mono_ms) : b;
    if (b == NULL) {
        return CS_E_NO_MEMORY;
    }
    b->rate = *rate; /* of the set in service */
    fill(b, mono_ms);
    if (b->level < TOKEN) {
        return CS_E_CALLER_RATE;
    }
    b->level -= TOKEN;
    return CS_OK;
}
