#include "core/tee/admit.h"

#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "core/tee/tee_int.h"

#define NO_KEY UINT16_MAX

typedef struct attached_row {
    cs_tee_row row;
    cs_err err;   /* it cannot be opened, the others can */
    uint16_t key; /* among the wants */
} attached_row;

struct cs_tee_permit {
    cs_tee_job *job;
    uint16_t key; /* of the operation, besides those of rows */
    size_t num_rows;
    attached_row row[];
};

/* ---------------------------------------------------------------- the caller's rights */

static cs_err check_time(cs_tee_job *j)
{
    const cs_window_ask ask = {.caller = j->r.caller,
                               .id16 = j->r.id16,
                               .hash32 = j->hash32,
                               .time_ms = j->r.time_ms,
                               .wall_ms = cs_clock_wall_ms(),
                               .mono_ms = cs_clock_mono_ms()};
    cs_window_seen seen = CS_WINDOW_NEW;

    if (j->caller == NULL) { /* strangers neither fill the table nor set the clock */
        return cs_window_time(j->tee->window, ask.time_ms, ask.wall_ms);
    }
    CS_TRY(cs_window_take(j->tee->window, &seen, &ask));
    j->tee->counters.repeated += seen == CS_WINDOW_AGAIN;
    return CS_OK;
}

static cs_err check_records(const cs_tee_job *j)
{
    cs_tee_iter it = cs_tee_iter_of(j->r.records);
    cs_slice record;

    if (j->r.row->in[0] == 't') {
        return cs_caller_record(j->caller, j->r.f[0].s) ? CS_OK : CS_E_CALLER_RECORD;
    }
    while (cs_tee_records_next(&it, &record)) {
        if (!cs_caller_record(j->caller, record)) {
            return CS_E_CALLER_RECORD;
        }
    }
    return CS_OK;
}

/* What nobody needs a right for, a caller needs none for. */
static cs_err check_rights(const cs_tee_job *j)
{
    cs_rate rate;

    if (j->caller == NULL) {
        return CS_OK;
    }
    if ((j->r.row->flags & CS_TEE_CALLER) != 0) {
        CS_TRY(cs_caller_may(j->caller, (unsigned)j->r.row->op) ? CS_OK : CS_E_CALLER_OPERATION);
        CS_TRY(check_records(j));
    }
    rate = (cs_rate){.per_s = j->caller->rate, .burst = j->caller->burst};
    return cs_rates_take(j->tee->rates, j->r.caller, &rate, cs_clock_mono_ms());
}

static cs_err check_call(cs_tee_job *j)
{
    CS_TRY(check_time(j));
    CS_TRY(check_rights(j));
    if (j->approvals < j->tee->core->config->tee_approvals[j->r.row->op]) {
        return CS_E_APPROVALS;
    }
    if ((j->r.row->flags & CS_TEE_SECRET_IN) != 0 && !j->sealed) {
        return CS_E_REQUEST_CLEAR;
    }
    return j->attached_err;
}

/* ---------------------------------------------------------------- attachments and keys */

static cs_err check_key(const cs_core_config *c, cs_slice kms_key, cs_slice data_key)
{
    if (!cs_tee_key_allowed(c, kms_key)) {
        return CS_E_KMS_KEY_LIST;
    }
    return data_key.len <= CS_KMS_CIPHERTEXT_MAX ? CS_OK : CS_E_KMS_CIPHERTEXT;
}

/* One want for each different key. There is room for all. */
static uint16_t want_of(cs_tee_job *j, cs_slice kms_key, cs_slice data_key)
{
    for (size_t i = j->num_wants; i > 0 && data_key.len > 0; i--) {
        const cs_key_want *w = &j->want[i - 1];

        if (cs_slice_eq(w->data_key, data_key) && cs_slice_eq(w->kms_key, kms_key)) {
            return (uint16_t)(i - 1);
        }
    }
    j->want[j->num_wants] = (cs_key_want){.owner = j, .kms_key = kms_key, .data_key = data_key};
    return (uint16_t)j->num_wants++;
}

/* Row i and what it inherits from the one before, which is in row[i - 1] whole. */
static void inherit(const cs_tee_job *j, attached_row *rows, size_t i)
{
    cs_tee_row *r = &rows[i].row;

    if (r->data_key.len == 0) {
        r->kms_key = i == 0 ? j->attached.kms_key : rows[i - 1].row.kms_key;
        r->data_key = i == 0 ? j->attached.data_key : rows[i - 1].row.data_key;
    }
}

static cs_err take_row(cs_tee_job *j, attached_row *rows, size_t i, cs_slice record)
{
    attached_row *a = &rows[i];

    inherit(j, rows, i);
    a->key = NO_KEY;
    if (a->row.data_key.len == 0 || a->row.blob.len == 0) {
        return CS_E_FORMAT;
    }
    if (!cs_slice_eq(a->row.record, record)) {
        a->err = CS_E_SEAL_OPEN;
    } else {
        a->err = check_key(j->tee->core->config, a->row.kms_key, a->row.data_key);
    }
    if (a->err == CS_OK) {
        a->key = want_of(j, a->row.kms_key, a->row.data_key);
    }
    return CS_OK;
}

/* Exactly the rows that were asked for, in their order. */
static cs_err take_rows(cs_tee_job *j)
{
    cs_tee_iter in = cs_tee_iter_of(j->attached.rows), names = cs_tee_iter_of(j->r.records);
    attached_row *rows = j->permit->row;
    cs_slice record = j->r.f[0].s;

    for (size_t i = 0; i < j->permit->num_rows; i++) {
        if ((j->r.row->op == CS_TEE_ROTATE && !cs_tee_records_next(&names, &record)) ||
            !cs_tee_rows_next(&in, &rows[i].row)) {
            return CS_E_FORMAT;
        }
        CS_TRY(take_row(j, rows, i, record));
    }
    return j->r.row->op == CS_TEE_ROTATE && cs_tee_records_next(&names, &record) ? CS_E_FORMAT : CS_OK;
}

/* The key besides those of rows: under kms_key (empty: the first of the list); data_key empty: a new one. */
static cs_err take_key(cs_tee_job *j, cs_slice kms_key, cs_slice data_key)
{
    const cs_core_config *config = j->tee->core->config;

    if (kms_key.len == 0) {
        kms_key = cs_tee_key_first(config);
    }
    CS_TRY(check_key(config, kms_key, data_key));
    j->permit->key = want_of(j, kms_key, data_key);
    return CS_OK;
}

static cs_err take_attachments(cs_tee_job *j)
{
    const cs_tee_attached *a = &j->attached;

    switch (j->r.row->op) {
    case CS_TEE_SIGN:
    case CS_TEE_UNSEAL:
    case CS_TEE_PUBLIC_KEY:
        CS_TRY(a->num_rows == 1 ? take_rows(j) : CS_E_FORMAT);
        return j->permit->row[0].err; /* there is no other row */
    case CS_TEE_DECRYPT:
        return a->data_key.len > 0 && a->kms_key.len > 0 ? take_key(j, a->kms_key, a->data_key) : CS_E_FORMAT;
    case CS_TEE_SEAL:
    case CS_TEE_GENERATE:
    case CS_TEE_IMPORT:
        return a->data_key.len == 0 || a->kms_key.len > 0 ? take_key(j, a->kms_key, a->data_key) : CS_E_FORMAT;
    case CS_TEE_ROTATE:
        CS_TRY(take_rows(j));
        if ((j->r.f[2].u == 1) != (a->fresh.len == 0)) {
            return CS_E_FORMAT; /* a new data key is made, or it is attached: not both */
        }
        return take_key(j, j->r.f[1].s, a->fresh);
    default:
        return CS_OK;
    }
}

cs_err cs_tee_admit(cs_tee_job *j)
{
    size_t n;

    CS_TRY(check_call(j));
    n = j->attached.num_rows;
    j->permit = cs_secret_alloc(sizeof *j->permit + n * sizeof(attached_row));
    j->want = cs_secret_alloc((n + 1) * sizeof *j->want);
    if (j->permit == NULL || j->want == NULL) {
        return CS_E_NO_MEMORY;
    }
    j->permit->job = j;
    j->permit->key = NO_KEY;
    j->permit->num_rows = n;
    return take_attachments(j);
}

/* ---------------------------------------------------------------- what a permit says */

cs_tee_job *cs_tee_permit_job(const cs_tee_permit *p)
{
    return p->job;
}

static const cs_key_want *want_at(const cs_tee_permit *p, uint16_t key)
{
    return key == NO_KEY ? NULL : &p->job->want[key];
}

size_t cs_tee_permit_rows(const cs_tee_permit *p)
{
    return p->num_rows;
}

cs_err cs_tee_permit_row(const cs_tee_permit *p, size_t i, const cs_tee_row **row, const cs_key_want **key)
{
    *row = &p->row[i].row;
    *key = want_at(p, p->row[i].key);
    return p->row[i].err;
}

const cs_key_want *cs_tee_permit_key(const cs_tee_permit *p)
{
    return want_at(p, p->key);
}
