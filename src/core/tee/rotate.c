/* Rotate: rows that were sealed under old data keys, sealed again under one new. A row that cannot be opened does not stop the others. */
#include "core/tee/work.h"

#define ROW_HEAD 64u /* CBOR around a row, numbers and the code */

/* What the row takes in the reply. */
static size_t size_of(const cs_tee_row *row)
{
    return ROW_HEAD + row->record.len + row->blob.len + CS_SCHEME_PUBLIC_MAX;
}

static cs_err again(cs_tee_work *w, cs_tee_row *out, const cs_tee_row *row, const cs_key_want *key)
{
    CS_SECRET(cs_secret32) private_key = {{0}};
    const cs_scheme *scheme = NULL;
    cs_scheme_public *pub = NULL;

    if (row->version >= UINT32_MAX) {
        return CS_E_RANGE;
    }
    out->version = row->version + 1;
    if (row->alg == CS_TEE_DATA) {
        w->data.len = 0;
        CS_TRY(cs_tee_open_row(w, &w->data, row, key));
        return cs_tee_seal_row(w, out, cs_tee_permit_key(w->permit), cs_buf_slice(&w->data));
    }
    pub = &w->job->pubs[out - w->job->row];
    CS_TRY(cs_tee_open_key(w, &private_key, &scheme, row, key));
    CS_TRY(cs_scheme_public_key(scheme, pub, &private_key)); /* ours, whatever the row said */
    out->public_key = cs_slice_of(pub->b, pub->len);
    return cs_tee_seal_row(w, out, cs_tee_permit_key(w->permit), cs_slice_of(private_key.b, sizeof private_key.b));
}

static cs_err rotate_row(cs_tee_work *w, size_t i, size_t *room)
{
    const cs_key_want *key = NULL;
    const cs_tee_row *row = NULL;
    cs_tee_row *out = &w->job->row[i];
    cs_err err = cs_tee_permit_row(w->permit, i, &row, &key);

    *out = (cs_tee_row){.record = row->record, .version = row->version, .alg = row->alg};
    if (err == CS_OK && size_of(row) > *room) {
        err = CS_E_TOO_LARGE;
    }
    if (err == CS_OK) {
        err = again(w, out, row, key);
    }
    if (err == CS_OK) {
        *room -= size_of(row);
    } else {
        *out = (cs_tee_row){.record = row->record, .version = row->version, .alg = row->alg};
        out->code = cs_slice_str(cs_err_code(err));
    }
    if (i > 0) { /* they share the key of the first */
        out->kms_key = out->data_key = CS_SLICE_NULL;
    }
    return err;
}

/* Room in the reply for rows that are done, when those that are not take what their head takes. */
static size_t room_of(const cs_tee_work *w, const cs_key_want *key)
{
    size_t taken = key->kms_key.len + key->data_key.len + key->fresh_len + ROW_HEAD;

    for (size_t i = 0; i < cs_tee_permit_rows(w->permit); i++) {
        const cs_key_want *any = NULL;
        const cs_tee_row *row = NULL;

        (void)!cs_tee_permit_row(w->permit, i, &row, &any);
        taken += ROW_HEAD + row->record.len;
    }
    return taken < CS_TEE_RESULT_MAX ? CS_TEE_RESULT_MAX - taken : 0;
}

/* The keys of no row could be had: one reason for all of them. */
static cs_err keys_error(const cs_tee_work *w)
{
    const cs_key_want *first = NULL;

    for (size_t i = 0; i < cs_tee_permit_rows(w->permit); i++) {
        const cs_key_want *key = NULL;
        const cs_tee_row *row = NULL;

        if (cs_tee_permit_row(w->permit, i, &row, &key) != CS_OK || key->err == CS_OK) {
            return CS_OK;
        }
        first = first == NULL ? key : first;
    }
    return first == NULL ? CS_OK : first->err;
}

cs_err cs_tee_rotate(cs_tee_work *w)
{
    const cs_key_want *key = cs_tee_permit_key(w->permit);
    const size_t n = cs_tee_permit_rows(w->permit);
    size_t room = 0;

    CS_TRY(key->err);
    CS_TRY(cs_share_roots(w->job->set).num == 0 ? CS_E_SEAL_ROOT : CS_OK);
    CS_TRY(keys_error(w));
    CS_TRY(cs_secret_buf(&w->data, CS_SEAL_DATA_MAX));
    w->job->pubs = cs_secret_alloc(n * sizeof *w->job->pubs);
    if (w->job->pubs == NULL) {
        return CS_E_NO_MEMORY;
    }
    room = room_of(w, key);
    for (size_t i = 0; i < n; i++) {
        w->result.f[0].u += rotate_row(w, i, &room) == CS_OK;
    }
    w->job->row[0].kms_key = key->kms_key;
    w->job->row[0].data_key = key->fresh != NULL ? cs_slice_of(key->fresh, key->fresh_len) : key->data_key;
    w->job->num_rows = n;
    return CS_OK;
}
