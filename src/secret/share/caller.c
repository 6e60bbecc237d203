/* Sealing roots and callers of a share set: checked when they come, found by id. Roots are secret; all of a caller is public. */
#include <sodium.h>
#include <string.h>

#include "secret/noise.h"
#include "secret/share/share_int.h"

_Static_assert(CS_SHAREFILE_MAX_ROOTS == CS_SEAL_ROOTS_MAX, "a file has as many roots as envelopes may");

/* ---- sealing roots */

cs_err cs_share_on_root(void *set, const uint8_t root32[32])
{
    cs_share_tee *t = cs_share_tee_of(set);

    if (t->num_roots == CS_SHAREFILE_MAX_ROOTS) {
        return CS_E_SHARES_LIMIT;
    }
    cs_seal_root *r = &t->root[t->num_roots];
    cs_seal_root_init(r, root32);
    for (size_t i = 0; i < t->num_roots; i++) {
        if (cs_ct_eq(t->root[i].id, r->id, sizeof r->id)) {
            return CS_E_SHARES_DUPLICATE; /* also two roots of one id: no envelope could say which */
        }
    }
    t->num_roots++;
    return CS_OK;
}

cs_seal_roots cs_share_roots(const cs_share_set *s)
{
    const cs_share_tee *t = cs_share_tee_in(s);

    return (cs_seal_roots){.root = t->root, .num = t->num_roots};
}

/* ---- callers */

typedef cs_slice field_fn(const cs_caller *c);

static cs_slice id_of(const cs_caller *c)
{
    return c->id;
}

static cs_slice key_of(const cs_caller *c)
{
    return cs_slice_of(c->ed25519, sizeof c->ed25519);
}

/* the slot of the caller whose field has these bytes, or the free one where it would be */
static size_t slot_of(const cs_share_set *s, const uint16_t *table, field_fn *field, cs_slice bytes)
{
    const cs_share_index *x = cs_share_tee_in(s)->index;
    size_t i = (size_t)cs_share_hash(s, bytes) & (CS_SHARE_CALLER_TABLE - 1);

    while (table[i] != 0 && !cs_slice_eq(field(x->caller[table[i] - 1]), bytes)) {
        i = (i + 1) & (CS_SHARE_CALLER_TABLE - 1);
    }
    return i;
}

/* The verifier refuses weak keys too, but the file that brings one has a fault: it shall not be published. */
static cs_err check_keys(const cs_sharefile_caller *c)
{
    static const uint8_t any[32] = {1};
    CS_SECRET(cs_secret32) product = {0};

    if (crypto_core_ed25519_is_valid_point(c->ed25519) != 1 || cs_x25519(&product, any, c->x25519) != CS_OK) {
        return CS_E_SHARES_ACCOUNT;
    }
    return CS_OK;
}

static cs_err check_grants(const cs_share_tee *t, const cs_sharefile_caller *c, uint32_t *out)
{
    *out = 0;
    for (size_t i = 0; i < c->num_operations; i++) {
        const uint32_t bit = t->grant_of == NULL ? 0 : t->grant_of(c->operation[i]);
        if (bit == 0) {
            return CS_E_SHARES_ACCOUNT;
        }
        *out |= bit;
    }
    return t->grant_of == NULL ? CS_E_SHARES_ACCOUNT : CS_OK;
}

/* the caller with its texts behind it */
static cs_caller *copy(cs_share_set *s, const cs_sharefile_caller *c)
{
    size_t len = c->id.len;

    for (size_t i = 0; i < c->num_records; i++) {
        len += 1 + c->record[i].len;
    }
    cs_caller *out = cs_share_place(s, &cs_share_tee_of(s)->slabs, sizeof *out + len);
    if (out == NULL) {
        return NULL;
    }
    cs_buf text = cs_buf_wrap((uint8_t *)(out + 1), len);
    cs_err err = cs_put_slice(&text, c->id);
    for (size_t i = 0; i < c->num_records && err == CS_OK; i++) {
        err = cs_put_u8(&text, (uint8_t)c->record[i].len);
        err = err == CS_OK ? cs_put_slice(&text, c->record[i]) : err;
    }
    *out = (cs_caller){.rate = c->rate,
                       .burst = c->burst,
                       .id = cs_slice_of(text.p, c->id.len),
                       .records = cs_slice_of(text.p + c->id.len, text.len - c->id.len)};
    memcpy(out->ed25519, c->ed25519, 32);
    memcpy(out->x25519, c->x25519, 32);
    return err == CS_OK ? out : NULL;
}

cs_err cs_share_on_caller(void *set, const cs_sharefile_caller *c)
{
    cs_share_tee *t = cs_share_tee_of(set);
    uint32_t grants = 0;

    if (t->num_callers == CS_SHAREFILE_MAX_CALLERS) {
        return CS_E_SHARES_LIMIT;
    }
    if (t->index == NULL && (t->index = cs_share_arena(set, sizeof *t->index)) == NULL) {
        return CS_E_SHARES_LIMIT;
    }
    CS_TRY(check_grants(t, c, &grants));
    CS_TRY(check_keys(c));
    const size_t id = slot_of(set, t->index->by_id, id_of, c->id);
    const size_t key = slot_of(set, t->index->by_key, key_of, cs_slice_of(c->ed25519, 32));
    if (t->index->by_id[id] != 0 || t->index->by_key[key] != 0) {
        return CS_E_SHARES_DUPLICATE; /* a key under two names could approve its own request */
    }
    cs_caller *own = copy(set, c);
    if (own == NULL) {
        return CS_E_SHARES_LIMIT;
    }
    own->index = (uint32_t)t->num_callers;
    own->grants = grants;
    t->index->caller[t->num_callers++] = own;
    t->index->by_id[id] = t->index->by_key[key] = (uint16_t)t->num_callers;
    return CS_OK;
}

void cs_share_tee_free(cs_share_tee *t)
{
    for (cs_share_slab *b = t->slabs.first; b != NULL;) {
        cs_share_slab *next = b->next;
        cs_secret_free(b);
        b = next;
    }
    cs_secret_free(t->index);
}

const cs_caller *cs_share_caller(const cs_share_set *s, cs_slice id)
{
    const cs_share_index *x = cs_share_tee_in(s)->index;

    if (x == NULL || id.len == 0 || id.len > CS_SHAREFILE_MAX_CALLER_ID) {
        return NULL;
    }
    const uint16_t found = x->by_id[slot_of(s, x->by_id, id_of, id)];
    return found == 0 ? NULL : x->caller[found - 1];
}

const cs_caller *cs_share_caller_at(const cs_share_set *s, size_t index)
{
    const cs_share_tee *t = cs_share_tee_in(s);

    return index < t->num_callers ? t->index->caller[index] : NULL;
}

size_t cs_share_num_callers(const cs_share_set *s)
{
    return cs_share_tee_in(s)->num_callers;
}

bool cs_caller_may(const cs_caller *c, unsigned op)
{
    return op < 32 && (c->grants >> op & 1) != 0;
}

bool cs_caller_record(const cs_caller *c, cs_slice record)
{
    cs_reader r = cs_reader_of(c->records);

    while (r.left > 0) {
        uint8_t len = 0;
        cs_slice pattern;
        if (cs_read_u8(&r, &len) != CS_OK || cs_read_slice(&r, &pattern, len) != CS_OK) {
            return false;
        }
        const bool open = len > 0 && pattern.p[len - 1] == '*';
        if (cs_slice_eq(pattern, record)) {
            return true;
        }
        if (open && record.len >= len - 1u &&
            cs_slice_eq(cs_slice_of(record.p, len - 1u), cs_slice_of(pattern.p, len - 1u))) {
            return true;
        }
    }
    return false;
}
