/*
 * Accounts lie one behind the other in slabs of the arena (key, then the id's bytes); a table of pointers with open addressing
 * finds them. Nothing moves once placed, so that pointers to keys stay valid for the life of the set.
 */
#include "secret/share/share.h"

#include <sodium.h>
#include <stdatomic.h>
#include <string.h>

#include "secret/noise.h"
#include "secret/rng.h"
#include "secret/share/share_int.h"
#include "secret/th.h"

#define SLAB_BYTES (64u * 1024u)
#define FIRST_TABLE 64u

/* One account; the id follows. */
typedef struct record {
    cs_mpc_key key;
    uint32_t size; /* of the record with its id, rounded */
    uint8_t id_len;
    uint8_t id[];
} record;

struct cs_share_set {
    cs_share_party *party[CS_SHAREFILE_MAX_SETS];
    size_t num_parties, count, bytes;
    cs_share_slabs slabs; /* of records */
    cs_share_tee tee;
    atomic_uint holds;
    record **table;
    size_t table_size; /* a power of two */
    uint8_t hash_key[crypto_shorthash_KEYBYTES];
    uint64_t generation;
    bool is_signed;
    uint8_t publisher32[32];
};

/* ---- verification */

cs_err cs_share_check_header(const cs_sharefile_header *h, const cs_share_policy *policy)
{
    bool listed = false;
    for (size_t i = 0; i < policy->num_publishers; i++) {
        listed = listed || (h->is_signed && cs_ct_eq(policy->publishers[i], h->publisher32, 32));
    }
    if (!h->is_signed && !policy->allow_unsigned) {
        return CS_E_SHARES_UNSIGNED;
    }
    if (h->is_signed && !listed && !policy->allow_unsigned) {
        return CS_E_SHARES_SIGNATURE;
    }
    if (h->is_signed && cs_publisher_verify(h->publisher32, h->sig64, h->signed_part) != CS_OK) {
        return CS_E_SHARES_SIGNATURE;
    }
    return CS_OK;
}

cs_err cs_share_verify(cs_sharefile_header *out, cs_slice file, const cs_share_policy *policy)
{
    cs_sharefile_header h;
    cs_sha256 s;
    uint8_t hash[32];
    CS_TRY(cs_sharefile_header_parse(&h, file));
    CS_TRY(cs_share_check_header(&h, policy));
    cs_sha256_init(&s);
    cs_sha256_put(&s, h.body.p, h.body.len);
    cs_sha256_end(&s, hash);
    if (!cs_ct_eq(hash, h.sha256, 32)) {
        return CS_E_SHARES_SIGNATURE;
    }
    if (h.generation < policy->min_generation) {
        return CS_E_SHARES_GENERATION;
    }
    *out = h;
    return CS_OK;
}

/* ---- building */

void *cs_share_arena(cs_share_set *s, size_t len)
{
    void *p = cs_secret_alloc(len);
    s->bytes += p != NULL ? len : 0;
    return p;
}

uint64_t cs_share_hash(const cs_share_set *s, cs_slice bytes)
{
    uint64_t h = 0;
    (void)crypto_shorthash((uint8_t *)&h, bytes.p, bytes.len, s->hash_key);
    return h;
}

/* the slot of id, or the empty one where it would be */
static record **find_slot(const cs_share_set *s, cs_slice id)
{
    size_t i = (size_t)cs_share_hash(s, id) & (s->table_size - 1);
    while (s->table[i] != NULL && !cs_slice_eq(cs_slice_of(s->table[i]->id, s->table[i]->id_len), id)) {
        i = (i + 1) & (s->table_size - 1);
    }
    return &s->table[i];
}

void *cs_share_place(cs_share_set *s, cs_share_slabs *list, size_t size)
{
    size = (size + 15) / 16 * 16;
    if (list->last == NULL || list->last->used + size > SLAB_BYTES - sizeof(cs_share_slab)) {
        cs_share_slab *b = cs_share_arena(s, SLAB_BYTES);
        if (b == NULL) {
            return NULL;
        }
        if (list->last != NULL) {
            list->last->next = b;
        } else {
            list->first = b;
        }
        list->last = b;
    }
    void *at = list->last->bytes + list->last->used;
    list->last->used += size;
    return at;
}

static record *place(cs_share_set *s, size_t id_len)
{
    const size_t size = (sizeof(record) + id_len + 15) / 16 * 16;
    record *r = cs_share_place(s, &s->slabs, size);
    if (r != NULL) {
        r->size = (uint32_t)size;
    }
    return r;
}

static cs_err on_parties(void *cookie, uint32_t position, const cs_sharefile_parties *p)
{
    cs_share_set *s = cookie;
    cs_share_party *q = cs_share_arena(s, sizeof *q);
    if (q == NULL) {
        return CS_E_SHARES_LIMIT;
    }
    s->party[position] = q; /* the set frees it */
    s->num_parties = position + 1;
    q->parties.n = p->n;
    q->parties.t = p->t;
    q->index = p->index;
    memcpy(q->parties.idkey, p->static_keys, sizeof q->parties.idkey);
    memcpy(q->static_key.b, p->static_key32, 32);
    CS_CT_SECRET(q->static_key.b, 32);
    cs_x25519_base(q->static_pub, q->static_key.b);
    CS_CT_PUBLIC(q->static_pub, 32, "public key of the own static key");
    if (!cs_ct_eq(q->static_pub, p->static_keys[p->index - 1], 32)) {
        return CS_E_SHARES_ACCOUNT;
    }
    return cs_mpc_parties_check(&q->parties);
}

static cs_err on_account(void *cookie, const cs_sharefile_account *a)
{
    cs_share_set *s = cookie;
    if (4 * (s->count + 1) > 3 * s->table_size) {
        return CS_E_SHARES_FORMAT; /* cannot be: the table was made for as many as the body has room for */
    }
    cs_slice id = cs_slice_of(a->id, a->id_len);
    record **slot = find_slot(s, id);
    if (*slot != NULL) {
        return CS_E_SHARES_DUPLICATE;
    }
    record *r = place(s, a->id_len);
    if (r == NULL) {
        return CS_E_SHARES_LIMIT;
    }
    const cs_share_party *p = s->party[a->parties];
    cs_err err = cs_mpc_key_init(&r->key, &(cs_mpc_key_args){.parties = &p->parties,
                                                             .epoch = a->epoch,
                                                             .index = p->index,
                                                             .pk33 = a->public_key33,
                                                             .cc32 = a->chain_code32,
                                                             .s32 = a->share32,
                                                             .zero = a->zero_seeds[0]});
    if (err != CS_OK) {
        return err == CS_E_NO_MEMORY ? CS_E_SHARES_LIMIT : err;
    }
    memcpy(r->id, a->id, a->id_len);
    r->id_len = (uint8_t)a->id_len;
    *slot = r;
    s->count++;
    return CS_OK;
}

const cs_sharefile_events cs_share_events = {on_parties, on_account, cs_share_on_root, cs_share_on_caller};

cs_err cs_share_begin(cs_share_set **out, const cs_sharefile_header *h, size_t body_len, const cs_share_policy *policy)
{
    /* made once: growing would stop a serving core for the time it takes to move every account */
    const size_t most = body_len / CS_SHAREFILE_ACCOUNT_MIN + 1;
    cs_share_set *s = cs_secret_alloc(sizeof *s);
    if (s == NULL) {
        return CS_E_SHARES_LIMIT;
    }
    atomic_init(&s->holds, 1);
    s->tee.grant_of = policy->grant_of;
    s->bytes = sizeof *s;
    s->generation = h->generation;
    s->is_signed = h->is_signed;
    memcpy(s->publisher32, h->publisher32, 32);
    for (s->table_size = FIRST_TABLE; 3 * s->table_size < 4 * most;) {
        s->table_size *= 2;
    }
    s->table = cs_share_arena(s, s->table_size * sizeof(record *));
    cs_err err = s->table == NULL ? CS_E_SHARES_LIMIT : cs_random(s->hash_key, sizeof s->hash_key);
    if (err != CS_OK) {
        cs_share_free(s);
        return err;
    }
    *out = s; /* transferred */
    return CS_OK;
}

cs_err cs_share_load(cs_share_set **out, cs_slice file, const cs_share_policy *policy, cs_sharefile_fault *fault)
{
    cs_sharefile_header h;
    cs_share_set *s = NULL;
    if (fault != NULL) {
        *fault = (cs_sharefile_fault){0};
    }
    CS_TRY(cs_share_verify(&h, file, policy));
    CS_TRY(cs_share_begin(&s, &h, h.body.len, policy));
    cs_sharefile_work *work = cs_secret_alloc(sizeof *work);
    cs_err err = work == NULL ? CS_E_SHARES_LIMIT : cs_sharefile_parse(&cs_share_events, s, work, h.body, fault);
    cs_secret_free(work);
    if (err == CS_OK) {
        err = cs_share_check_whole(s, fault);
    }
    if (err != CS_OK) {
        cs_share_free(s);
        return err;
    }
    *out = s; /* transferred */
    return CS_OK;
}

cs_err cs_share_check_whole(const cs_share_set *s, cs_sharefile_fault *fault)
{
    if (cs_share_count(s) > 0 || s->tee.num_roots > 0) {
        return CS_OK;
    }
    if (fault != NULL) {
        fault->what = "no account and no sealing root";
    }
    return CS_E_SHARES_FORMAT;
}

cs_share_set *cs_share_hold(cs_share_set *s)
{
    (void)atomic_fetch_add(&s->holds, 1);
    return s;
}

cs_share_tee *cs_share_tee_of(cs_share_set *s)
{
    return &s->tee;
}

const cs_share_tee *cs_share_tee_in(const cs_share_set *s)
{
    return &s->tee;
}

void cs_share_free(cs_share_set *s)
{
    if (s == NULL || atomic_fetch_sub(&s->holds, 1) > 1) {
        return;
    }
    for (cs_share_slab *b = s->slabs.first; b != NULL;) {
        cs_share_slab *next = b->next;
        for (size_t at = 0; at < b->used;) {
            record *r = (record *)(void *)(b->bytes + at);
            at += r->size;
            if (r->key.zero_more != NULL) {
                cs_mpc_key_wipe(&r->key); /* it owns memory; all others are wiped with their slab */
            }
        }
        cs_secret_free(b);
        b = next;
    }
    cs_share_tee_free(&s->tee);
    for (size_t i = 0; i < s->num_parties; i++) {
        cs_secret_free(s->party[i]);
    }
    cs_secret_free(s->table);
    cs_secret_free(s);
}

/* ---- reading */

const cs_mpc_key *cs_share_find(const cs_share_set *s, cs_slice account_id)
{
    record *r = account_id.len == 0 || account_id.len > CS_HELLO_MAX_ACCOUNT ? NULL : *find_slot(s, account_id);
    return r != NULL ? &r->key : NULL;
}

const cs_share_party *cs_share_party_of(const cs_share_set *s, const cs_mpc_key *k)
{
    for (size_t i = 0; i < s->num_parties; i++) {
        if (&s->party[i]->parties == k->parties) {
            return s->party[i];
        }
    }
    return NULL;
}

const cs_share_party *cs_share_party_at(const cs_share_set *s, size_t i)
{
    return i < s->num_parties ? s->party[i] : NULL;
}

const cs_share_party *cs_share_party_by_keys(const cs_share_set *s, const uint8_t own32[32], const uint8_t peer32[32],
                                             uint16_t *out_peer)
{
    for (size_t i = 0; i < s->num_parties; i++) {
        const cs_share_party *p = s->party[i];
        if (!cs_ct_eq(p->static_pub, own32, 32)) {
            continue;
        }
        for (uint16_t k = 1; k <= p->parties.n; k++) {
            if (k != p->index && cs_ct_eq(p->parties.idkey[k - 1], peer32, 32)) {
                if (out_peer != NULL) {
                    *out_peer = k;
                }
                return p;
            }
        }
    }
    return NULL;
}

size_t cs_share_count(const cs_share_set *s)
{
    return s->count;
}

size_t cs_share_num_parties(const cs_share_set *s)
{
    return s->num_parties;
}

uint64_t cs_share_generation(const cs_share_set *s)
{
    return s->generation;
}

const uint8_t *cs_share_publisher(const cs_share_set *s)
{
    return s->is_signed ? s->publisher32 : NULL;
}

size_t cs_share_bytes(const cs_share_set *s)
{
    return s->bytes;
}

void cs_share_each(const cs_share_set *s, cs_share_each_fn *fn, void *cookie)
{
    for (const cs_share_slab *b = s->slabs.first; b != NULL; b = b->next) {
        for (size_t at = 0; at < b->used;) {
            const record *r = (const record *)(const void *)(b->bytes + at);
            at += r->size;
            if (!fn(cookie, cs_slice_of(r->id, r->id_len), &r->key)) {
                return;
            }
        }
    }
}
