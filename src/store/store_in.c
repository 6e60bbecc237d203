/* What an operation of the store reads: checked, and copied for the thread that does it. See store.h. */
#include <string.h>

#include "store/store_sql.h"

static bool keep_bytes(cs_store_mem *m, const uint8_t **io, size_t len)
{
    cs_slice s = cs_slice_of(*io, len);

    if (*io == NULL) {
        return true;
    }
    bool ok = cs_store_mem_copy(m, &s);
    *io = s.p;
    return ok;
}

static bool keep_slices(cs_store_mem *m, const cs_slice **io, size_t num)
{
    cs_slice *to;

    if (*io == NULL) {
        return true;
    }
    if ((to = cs_store_mem_get(m, (num + 1) * sizeof *to)) == NULL) {
        return false;
    }
    bool ok = true;
    for (size_t i = 0; i < num; i++) {
        to[i] = (*io)[i];
        ok = ok && cs_store_mem_copy(m, &to[i]);
    }
    *io = to;
    return ok;
}

static bool keep_rows(cs_store_mem *m, const cs_tee_row **io, size_t num)
{
    cs_tee_row *to;

    if (*io == NULL) {
        return true;
    }
    if ((to = cs_store_mem_get(m, (num + 1) * sizeof *to)) == NULL) {
        return false;
    }
    bool ok = true;
    for (size_t i = 0; i < num; i++) {
        to[i] = (*io)[i];
        cs_slice *const all[] = {&to[i].record,   &to[i].code, &to[i].kms_key,
                                 &to[i].data_key, &to[i].blob, &to[i].public_key};
        for (size_t f = 0; f < sizeof all / sizeof *all; f++) {
            ok = ok && cs_store_mem_copy(m, all[f]);
        }
    }
    *io = to;
    return ok;
}

/* Everything that `in` points to becomes the job's own. */
bool cs_store_keep(cs_store_job *job)
{
    cs_store_in *in = &job->in;
    cs_store_mem *m = &job->mem;
    cs_slice *const all[] = {&in->caller,
                             &in->reply,
                             &in->entry,
                             &in->entry_sig,
                             &in->after,
                             &in->filter.kms_key,
                             &in->filter.not_kms_key,
                             &in->filter.data_key,
                             &in->filter.not_data_key};
    const uint8_t *column = (const uint8_t *)in->column, *created = (const uint8_t *)in->created_ms;
    bool ok = keep_slices(m, &in->records, in->num) && keep_slices(m, &in->plain, in->num) &&
              keep_rows(m, &in->rows, in->num) && keep_bytes(m, &in->id16, CS_TEE_ID_LEN) &&
              keep_bytes(m, &in->hash32, 32) && keep_bytes(m, &in->boot16, 16) &&
              keep_bytes(m, &column, in->column != NULL ? strlen(in->column) + 1 : 0) &&
              keep_bytes(m, &created, in->num * sizeof *in->created_ms);

    for (size_t i = 0; ok && i < sizeof all / sizeof *all; i++) {
        ok = cs_store_mem_copy(m, all[i]);
    }
    in->column = (const char *)column;
    in->created_ms = (const uint64_t *)(const void *)created;
    return ok;
}

bool cs_store_is_column(const char *name)
{
    static const char first[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
    static const char rest[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";
    size_t len = name != NULL ? strlen(name) : 0;

    return len > 0 && len <= 63 && strchr(first, name[0]) != NULL && strspn(name, rest) == len;
}

/* An ARN or alias: printable, and nothing that a line of an export file would have to escape. */
static bool kms_key_valid(cs_slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] <= ' ' || s.p[i] >= 0x7f || s.p[i] == '"' || s.p[i] == '\\') {
            return false;
        }
    }
    return s.len > 0 && s.len <= CS_STORE_KMS_KEY_MAX;
}

static bool rows_valid(const cs_store_in *in)
{
    for (size_t i = 0; i < in->num; i++) {
        const cs_tee_row *r = &in->rows[i];
        if (!cs_tee_record_valid(r->record) || r->version == 0 || r->version > UINT32_MAX || r->blob.len == 0 ||
            r->data_key.len == 0 || !kms_key_valid(r->kms_key) || cs_tee_alg_name(r->alg) == NULL) {
            return false;
        }
    }
    return true;
}

/* What each operation needs of `in`. */
bool cs_store_in_valid(cs_store_op op, const cs_store_in *in)
{
    bool request = in->id16 != NULL && in->hash32 != NULL && in->caller.len > 0 && in->caller.len <= CS_TEE_CALLER_MAX;
    bool entry = in->entry.len == 0 || (in->boot16 != NULL && in->entry_sig.len > 0 && in->counter <= INT64_MAX);
    bool rows =
        in->num <= CS_TEE_ROWS_MAX && (in->num == 0 || in->rows != NULL) && (in->rows == NULL || rows_valid(in));
    bool page = in->limit >= 1 && in->limit <= CS_STORE_PAGE_MAX;

    switch (op) {
    case CS_STORE_GET:
        return in->num <= CS_TEE_ROWS_MAX && (in->num == 0 || in->records != NULL);
    case CS_STORE_BEGIN:
    case CS_STORE_DROP:
        return request;
    case CS_STORE_APPLY:
        return rows && entry && (request || in->caller.len == 0) && in->reply.len <= CS_STORE_REPLY_MAX;
    case CS_STORE_ADOPT:
        return rows && entry && cs_store_is_column(in->column);
    case CS_STORE_IMPORT:
        return rows;
    case CS_STORE_PLAIN:
        return page && cs_store_is_column(in->column);
    case CS_STORE_HEADS:
    case CS_STORE_LIST:
    case CS_STORE_DATA_KEYS:
    case CS_STORE_BOOTS:
        return page;
    case CS_STORE_AUDIT:
        return page && in->counter <= INT64_MAX;
    case CS_STORE_BOOT:
        return in->boot16 != NULL && in->reply.len > 0;
    default:
        return op < CS_STORE_NUM_OPS;
    }
}
