#include "core/tee/work.h"

static cs_seal_purpose purpose_of(uint64_t alg)
{
    return alg == CS_TEE_DATA ? CS_SEAL_DATA : CS_SEAL_PRIVATE_KEY;
}

cs_err cs_tee_open_row(const cs_tee_work *w, cs_buf *out, const cs_tee_row *row, const cs_key_want *key)
{
    const cs_seal_roots roots = cs_share_roots(w->job->set);
    const cs_seal_about about = {.kms_key = key->kms_key,
                                 .record = row->record,
                                 .purpose = purpose_of(row->alg),
                                 .version = (uint32_t)row->version};
    cs_seal_head head;
    cs_err err;

    CS_TRY(key->err);
    if (row->version == 0) { /* would be any */
        return CS_E_SEAL_OPEN;
    }
    err = cs_seal_open(out, &head, &roots, &key->key, &about, row->blob);
    if (err == CS_OK && head.algorithm != row->alg) {
        err = CS_E_SEAL_OPEN; /* the row says another one than the envelope */
    }
    /* a length or head that no blob has, or more than there is room for */
    return err == CS_E_FORMAT || err == CS_E_RANGE ? CS_E_SEAL_OPEN : err;
}

cs_err cs_tee_open_key(const cs_tee_work *w, cs_secret32 *out, const cs_scheme **scheme, const cs_tee_row *row,
                       const cs_key_want *key)
{
    cs_buf plain = cs_buf_wrap(out->b, sizeof out->b);

    *scheme = cs_scheme_of(row->alg);
    if (*scheme == NULL) {
        return CS_E_ALGORITHM;
    }
    CS_TRY(cs_tee_open_row(w, &plain, row, key));
    return plain.len == sizeof out->b ? CS_OK : CS_E_SEAL_OPEN;
}

cs_err cs_tee_seal_row(const cs_tee_work *w, cs_tee_row *row, const cs_key_want *key, cs_slice plain)
{
    const cs_seal_roots roots = cs_share_roots(w->job->set);
    const cs_seal_about about = {.kms_key = key->kms_key,
                                 .record = row->record,
                                 .purpose = purpose_of(row->alg),
                                 .algorithm = (uint8_t)row->alg,
                                 .version = (uint32_t)row->version};
    cs_buf *out = &w->job->out;
    const size_t before = out->len;

    CS_TRY(key->err);
    CS_TRY(cs_seal_put(out, &roots, &key->key, &about, plain));
    row->blob = cs_slice_of(out->p + before, out->len - before);
    row->kms_key = key->kms_key;
    row->data_key = key->fresh != NULL ? cs_slice_of(key->fresh, key->fresh_len) : key->data_key;
    row->code = cs_slice_str(cs_err_code(CS_OK));
    return CS_OK;
}
