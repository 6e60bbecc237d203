#include "core/ops/channels.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "secret/rng.h"

const uint8_t *cs_chan_enclave32(const cs_chan *ch)
{
    return ch->secret->enclave32;
}

const uint8_t *cs_chan_client32(const cs_chan *ch)
{
    return ch->secret->client32;
}

static void unlink_chan(cs_channels *t, cs_chan *ch)
{
    *(ch->prev == NULL ? &t->first : &ch->prev->next) = ch->next;
    *(ch->next == NULL ? &t->last : &ch->next->prev) = ch->prev;
    ch->next = ch->prev = NULL;
}

static void push_front(cs_channels *t, cs_chan *ch)
{
    ch->prev = NULL;
    ch->next = t->first;
    *(t->first == NULL ? &t->last : &t->first->prev) = ch;
    t->first = ch;
}

cs_chan *cs_channels_find(cs_channels *t, const cs_channel_id *id)
{
    cs_chan *ch = t->first;

    while (ch != NULL && !cs_ct_eq(&ch->secret->id, id, sizeof *id)) {
        ch = ch->next;
    }
    if (ch != NULL && ch != t->first) {
        unlink_chan(t, ch);
        push_front(t, ch);
    }
    return ch;
}

/* Which channels a limit counts. */
typedef struct kind {
    const cs_peer *peer; /* NULL: of all */
    bool half_open;      /* only those */
    size_t max;
} kind;

static bool is_of(const cs_chan *ch, const kind *k)
{
    return (k->peer == NULL || ch->peer == k->peer) && (!k->half_open || ch->pair == NULL);
}

/* When there are too many of a kind, the least recently used one of it that nobody is using goes. */
static cs_err make_room(cs_channels *t, const kind *k)
{
    cs_chan *victim = NULL;
    size_t num = 0;

    for (cs_chan *ch = t->first; ch != NULL; ch = ch->next) {
        if (is_of(ch, k)) {
            num++;
            victim = ch->streams == 0 ? ch : victim;
        }
    }
    if (num < k->max) {
        return CS_OK;
    }
    if (victim == NULL) {
        return CS_E_SESSION_LIMIT;
    }
    cs_channels_remove(t, victim);
    t->evicted++;
    return CS_OK;
}

cs_err cs_channels_add(cs_channels *t, cs_chan **out, cs_peer *peer, cs_channel *secret, uint64_t now_ms)
{
    const kind limits[] = {{peer, true, CS_CHANNELS_HALF_OPEN_PEER},
                           {peer, false, CS_CHANNELS_PEER},
                           {NULL, true, CS_CHANNELS_HALF_OPEN},
                           {NULL, false, CS_CHANNELS_MAX}};
    cs_chan *ch = NULL;
    uint8_t key[CS_NAMES_KEY];

    CS_TRY(cs_random(key, sizeof key));
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        CS_TRY(make_room(t, &limits[i]));
    }
    ch = calloc(1, sizeof *ch);
    if (ch == NULL) {
        return CS_E_NO_MEMORY;
    }
    memcpy(ch->names.key, key, sizeof key);
    ch->secret = secret;
    ch->peer = peer;
    ch->opened_ms = now_ms;
    push_front(t, ch);
    t->num++;
    t->half_open++;
    *out = ch;
    return CS_OK;
}

void cs_channels_remove(cs_channels *t, cs_chan *ch)
{
    if (ch->streams != 0) {
        abort();
    }
    unlink_chan(t, ch);
    t->num--;
    t->half_open -= ch->pair == NULL;
    cs_pair_drop(ch->pair);
    cs_channel_wipe(ch->secret);
    cs_secret_free(ch->secret);
    free(ch->names.slots);
    free(ch->names.used);
    free(ch);
}

cs_err cs_chan_complete(cs_channels *t, cs_chan *ch, cs_mpc_pair *pair)
{
    cs_pair_ref *r = calloc(1, sizeof *r);

    if (r == NULL) {
        cs_mpc_pair_free(pair);
        return CS_E_NO_MEMORY;
    }
    *r = (cs_pair_ref){.pair = pair, .refs = 1};
    t->half_open -= ch->pair == NULL;
    t->renewals += ch->pair != NULL;
    cs_pair_drop(ch->pair);
    ch->pair = r;
    return CS_OK;
}

cs_pair_ref *cs_pair_take(cs_pair_ref *r)
{
    r->refs++;
    return r;
}

void cs_pair_drop(cs_pair_ref *r)
{
    if (r != NULL && --r->refs == 0) {
        cs_mpc_pair_free(r->pair);
        free(r);
    }
}

/* The client chooses the names: their places hang on a key, so that it cannot make the table slow for all who share core. */
static size_t slot_of(const cs_names *n, const cs_channel_id *name)
{
    uint8_t hash[crypto_shorthash_BYTES];
    size_t i;

    (void)crypto_shorthash(hash, name->b, sizeof name->b, n->key);
    i = (size_t)cs_load_u64(hash) & (n->cap - 1);
    while (n->used[i] && !cs_ct_eq(&n->slots[i], name, sizeof *name)) {
        i = (i + 1) & (n->cap - 1);
    }
    return i;
}

bool cs_chan_name_used(const cs_chan *ch, const cs_channel_id *name)
{
    return ch->names.cap != 0 && ch->names.used[slot_of(&ch->names, name)];
}

static cs_err grow(cs_names *n)
{
    cs_names bigger = {.cap = n->cap == 0 ? 64 : 2 * n->cap, .num = n->num};

    memcpy(bigger.key, n->key, sizeof bigger.key);
    bigger.slots = calloc(bigger.cap, sizeof *bigger.slots);
    bigger.used = calloc(bigger.cap, 1);
    if (bigger.slots == NULL || bigger.used == NULL) {
        free(bigger.slots);
        free(bigger.used);
        return CS_E_NO_MEMORY;
    }
    for (size_t i = 0; i < n->cap; i++) {
        if (n->used[i]) {
            size_t at = slot_of(&bigger, &n->slots[i]);

            bigger.slots[at] = n->slots[i];
            bigger.used[at] = 1;
        }
    }
    free(n->slots);
    free(n->used);
    *n = bigger;
    return CS_OK;
}

cs_err cs_chan_name_add(cs_chan *ch, const cs_channel_id *name)
{
    size_t at;

    if (ch->names.num >= CS_CHANNEL_NAMES_MAX) {
        return CS_E_CHANNEL_UNKNOWN;
    }
    if (2 * (ch->names.num + 1) > ch->names.cap) {
        CS_TRY(grow(&ch->names));
    }
    at = slot_of(&ch->names, name);
    ch->names.slots[at] = *name;
    ch->names.used[at] = 1;
    ch->names.num++;
    return CS_OK;
}

bool cs_chan_expired(const cs_chan *ch, uint64_t now_ms)
{
    return now_ms - ch->opened_ms >= CS_CHANNEL_LIFE_MS;
}
