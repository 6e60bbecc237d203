#include "tools/shares_edit.h"

#include <string.h>

#include "party/deal.h"
#include "secret/rng.h"
#include "secret/seal.h"

/* In the arena. */
typedef struct work {
    cs_sharefile_work parse;
    const cs_shares_edit *e;
    cs_sharefile_writer w;
    uint8_t root[CS_SHAREFILE_MAX_ROOTS][32];
    size_t num_root;
    bool roots_done, callers_done, no_first;
    bool root_gone[CS_SHAREFILE_MAX_ROOTS];
    bool put[CS_SHAREFILE_MAX_CALLERS], gone[CS_SHAREFILE_MAX_CALLERS]; /* of e->caller, e->remove_caller */
    uint16_t n[CS_SHAREFILE_MAX_SETS], index[CS_SHAREFILE_MAX_SETS];
} work;

static cs_err on_parties(void *cookie, uint32_t position, const cs_sharefile_parties *p)
{
    work *k = cookie;

    k->n[position] = p->n;
    k->index[position] = p->index;
    return cs_sharefile_put_parties(&k->w, p);
}

static cs_err on_root(void *cookie, const uint8_t root32[32])
{
    work *k = cookie;
    CS_SECRET(cs_seal_root) root = {.id = {0}};

    cs_seal_root_init(&root, root32);
    for (size_t i = 0; i < k->e->num_remove_root; i++) {
        if (memcmp(root.id, k->e->remove_root[i], sizeof root.id) == 0) {
            k->root_gone[i] = true;
            return CS_OK;
        }
    }
    if (k->num_root == CS_SHAREFILE_MAX_ROOTS) {
        return CS_E_SHARES_LIMIT;
    }
    memcpy(k->root[k->num_root++], root32, 32);
    return CS_OK;
}

static cs_err fresh_root(work *k)
{
    if (k->num_root == CS_SHAREFILE_MAX_ROOTS) {
        return CS_E_SHARES_LIMIT;
    }
    return cs_random(k->root[k->num_root++], sizeof k->root[0]);
}

/* the root of that id to the front, the others behind it as they were */
static bool move_first(work *k, const uint8_t id4[4])
{
    for (size_t i = 0; i < k->num_root; i++) {
        CS_SECRET(cs_seal_root) root = {.id = {0}};
        cs_seal_root_init(&root, k->root[i]);
        if (memcmp(root.id, id4, sizeof root.id) == 0) {
            memmove(k->root[1], k->root[0], i * sizeof k->root[0]);
            memcpy(k->root[0], root.secret.b, sizeof k->root[0]);
            return true;
        }
    }
    return false;
}

static cs_err put_roots(work *k)
{
    if (k->roots_done) {
        return CS_OK;
    }
    k->roots_done = true;
    if (k->e->add_root_last) {
        CS_TRY(fresh_root(k));
    }
    k->no_first = k->e->first_root != NULL && !move_first(k, k->e->first_root);
    return k->num_root == 0 ? CS_OK : cs_sharefile_put_sealing(&k->w, (const uint8_t(*)[32])k->root, k->num_root);
}

/* the place of an id among those that are to be put, or removed; their number: none */
static size_t place_put(const cs_shares_edit *e, cs_slice id)
{
    size_t i = 0;

    while (i < e->num_caller && !cs_slice_eq(e->caller[i].id, id)) {
        i++;
    }
    return i;
}

static size_t place_removed(const cs_shares_edit *e, cs_slice id)
{
    size_t i = 0;

    while (i < e->num_remove_caller && !cs_slice_eq(e->remove_caller[i], id)) {
        i++;
    }
    return i;
}

static cs_err put_caller(work *k, const cs_sharefile_caller *c)
{
    return k->w.num_callers == CS_SHAREFILE_MAX_CALLERS ? CS_E_SHARES_LIMIT : cs_sharefile_put_caller(&k->w, c);
}

static cs_err on_caller(void *cookie, const cs_sharefile_caller *c)
{
    work *k = cookie;
    const cs_shares_edit *e = k->e;
    const size_t gone = place_removed(e, c->id), other = place_put(e, c->id);

    CS_TRY(put_roots(k));
    if (gone < e->num_remove_caller) {
        k->gone[gone] = true;
        return CS_OK;
    }
    if (other < e->num_caller) {
        k->put[other] = true;
        return put_caller(k, &e->caller[other]);
    }
    return put_caller(k, c);
}

static cs_err put_callers(work *k)
{
    CS_TRY(put_roots(k));
    for (size_t i = 0; !k->callers_done && i < k->e->num_caller; i++) {
        if (!k->put[i]) {
            CS_TRY(put_caller(k, &k->e->caller[i]));
        }
    }
    k->callers_done = true;
    return CS_OK;
}

static cs_err on_account(void *cookie, const cs_sharefile_account *a)
{
    work *k = cookie;

    CS_TRY(put_callers(k));
    return cs_sharefile_put_account(&k->w, a, k->n[a->parties], k->index[a->parties]);
}

/* what was to be removed was there */
static cs_err all_found(const work *k, cs_sharefile_fault *fault)
{
    for (size_t i = 0; i < k->e->num_remove_root || k->no_first; i++) {
        if (k->no_first || !k->root_gone[i]) {
            *fault = (cs_sharefile_fault){0, "the file has no sealing root of that id"};
            return CS_E_NOT_FOUND;
        }
    }
    for (size_t i = 0; i < k->e->num_remove_caller; i++) {
        if (!k->gone[i]) {
            *fault = (cs_sharefile_fault){0, "the file has no caller of that id"};
            return CS_E_NOT_FOUND;
        }
    }
    return CS_OK;
}

static cs_err apply(work *k, cs_sharefile_fault *fault, cs_slice body)
{
    static const cs_sharefile_events events = {on_parties, on_account, on_root, on_caller};

    if (k->e->add_root) {
        CS_TRY(fresh_root(k));
    }
    if (body.len > 0) {
        CS_TRY(cs_sharefile_parse(&events, k, &k->parse, body, fault));
    }
    CS_TRY(put_callers(k));
    CS_TRY(all_found(k, fault));
    return cs_sharefile_put_end(&k->w);
}

cs_err cs_shares_edit_apply(cs_buf *out, cs_sharefile_fault *fault, cs_slice body, const cs_shares_edit *e)
{
    cs_sharefile_fault none = {0};
    uint8_t *gap = NULL;
    cs_buf text = {0};

    if (e->num_caller > CS_SHAREFILE_MAX_CALLERS || e->num_remove_caller > CS_SHAREFILE_MAX_CALLERS ||
        e->num_remove_root > CS_SHAREFILE_MAX_ROOTS) {
        return CS_E_SHARES_LIMIT;
    }
    work *k = cs_secret_alloc(sizeof *k);
    cs_err err = k == NULL ? CS_E_NO_MEMORY
                           : cs_secret_buf(&text, CS_SHAREFILE_HEADER_MAX + body.len + body.len / 64 + 4096 +
                                                      e->num_caller * CS_DEAL_CALLER_BYTES);
    if (err == CS_OK) {
        err = cs_put_space(&text, &gap, CS_SHAREFILE_HEADER_MAX);
    }
    if (err == CS_OK) {
        k->e = e;
        k->w = cs_sharefile_write(&text);
        err = apply(k, fault != NULL ? fault : &none, body);
    }
    cs_secret_free(k);
    if (err != CS_OK) {
        cs_secret_buf_free(&text);
        return err;
    }
    *out = text; /* transferred */
    return CS_OK;
}
