/* Operations of the store that change something, and GET: each inside the transaction of store_sql.c. See store.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "store/store_sql.h"

#define NUM_ROW 7 /* values of a row that cs_store_row_values sets */

/* ---- columns and parameters */

cs_err cs_store_now(cs_store_mem *m, cs_slice *out, uint64_t ms)
{
    uint8_t *p = cs_store_mem_get(m, 32);

    if (p == NULL) {
        return CS_E_NO_MEMORY;
    }
    cs_buf b = cs_buf_wrap(p, 32);
    CS_TRY(cs_put_rfc3339(&b, ms));
    *out = cs_buf_slice(&b);
    return CS_OK;
}

/* Times come as they were stored, or as PostgreSQL writes them in UTC: "2026-01-02 03:04:05.678+00". */
cs_err cs_store_time_of(uint64_t *out_ms, cs_slice text)
{
    char full[48];

    *out_ms = 0;
    if (text.p == NULL) {
        return CS_OK;
    }
    bool hours = text.len > 3 && text.p[text.len - 3] == '+';
    int n = snprintf(full, sizeof full, "%.*s%s", (int)(text.len < 40 ? text.len : 40), (const char *)text.p,
                     hours ? ":00" : "");
    return cs_parse_rfc3339(cs_slice_of(full, (size_t)n), out_ms) == CS_OK ? CS_OK : CS_E_STORE;
}

cs_err cs_store_row_values(cs_store_mem *m, cs_sql_value v[NUM_ROW], const cs_tee_row *row)
{
    const char *alg = cs_tee_alg_name(row->alg);
    cs_slice blob, data_key, public_key = CS_SLICE_NULL;

    if (alg == NULL) {
        return CS_E_ALGORITHM;
    }
    CS_TRY(cs_store_mem_b64(m, &blob, row->blob));
    CS_TRY(cs_store_mem_b64(m, &data_key, row->data_key));
    if (row->public_key.len > 0) {
        CS_TRY(cs_store_mem_hex(m, &public_key, row->public_key));
    }
    v[0] = CS_SQL_S(row->record);
    v[1] = CS_SQL_S(blob);
    v[2] = CS_SQL_S(data_key);
    v[3] = CS_SQL_S(row->kms_key);
    v[4] = CS_SQL_I(row->version);
    v[5] = CS_SQL_S(cs_slice_str(alg));
    v[6] = CS_SQL_S(public_key);
    return CS_OK;
}

/* A row of CS_STORE_COLS. What is not as it was stored is CS_E_STORE: it would not open anyway. */
cs_err cs_store_row_of(cs_store_mem *m, cs_store_row *out, const cs_slice *cols)
{
    cs_tee_row *r = &out->row;
    cs_tee_alg alg;

    r->record = cols[0];
    r->kms_key = cols[3];
    r->code = cs_slice_str("OK");
    if (!cs_store_mem_copy(m, &r->record) || !cs_store_mem_copy(m, &r->kms_key)) {
        return CS_E_NO_MEMORY;
    }
    CS_TRY(cs_store_mem_unb64(m, &r->blob, cols[1]));
    CS_TRY(cs_store_mem_unb64(m, &r->data_key, cols[2]));
    CS_TRY(cs_store_mem_unhex(m, &r->public_key, cols[6]));
    if (cs_parse_u64(cols[4], UINT32_MAX, &r->version) != CS_OK || cs_tee_alg_of(cols[5], &alg) != CS_OK) {
        return CS_E_STORE;
    }
    r->alg = alg;
    CS_TRY(cs_store_time_of(&out->created_ms, cols[7]));
    return cs_store_time_of(&out->updated_ms, cols[8]);
}

cs_err cs_store_rows_room(cs_store_job *job, size_t num)
{
    job->out.rows = cs_store_mem_get(&job->found, (num + 1) * sizeof *job->out.rows);
    return job->out.rows != NULL ? CS_OK : CS_E_NO_MEMORY;
}

static cs_err errs_room(cs_store_job *job)
{
    job->out.row_err = cs_store_mem_get(&job->found, (job->in.num + 1) * sizeof *job->out.row_err);
    return job->out.row_err != NULL ? CS_OK : CS_E_NO_MEMORY;
}

/* ---- GET */

static cs_err on_got(void *cookie, size_t set, const cs_slice *cols, size_t num_cols)
{
    cs_store_job *job = cookie;

    (void)num_cols;
    if (job->found.total > CS_STORE_BYTES_MAX) {
        return CS_E_TOO_LARGE;
    }
    return cs_store_row_of(&job->found, &job->out.rows[set], cols);
}

cs_err cs_store_do_get(cs_sql *db, cs_store_job *job)
{
    CS_TRY(cs_store_rows_room(job, job->in.num));
    cs_sql_value *v = cs_store_mem_get(&job->found, (job->in.num + 1) * sizeof *v);
    if (v == NULL) {
        return CS_E_NO_MEMORY;
    }
    for (size_t i = 0; i < job->in.num; i++) {
        v[i] = CS_SQL_S(job->in.records[i]);
        job->out.rows[i].row = (cs_tee_row){.record = job->in.records[i], .code = cs_slice_str("NOT_FOUND")};
    }
    job->out.num_rows = job->in.num;
    cs_sql_run r = {
        .stmt = CS_STMT_GET, .values = v, .num_values = 1, .num_sets = job->in.num, .row = on_got, .cookie = job};
    return db->driver->run(db, &r);
}

/* ---- requests */

typedef struct known {
    cs_store_job *job;
    bool there, same;
} known;

static cs_err on_request(void *cookie, size_t set, const cs_slice *cols, size_t num_cols)
{
    known *k = cookie;
    uint8_t hash[32];

    (void)set, (void)num_cols;
    if (cs_hex_decode(hash, sizeof hash, cols[0]) != CS_OK) {
        return CS_E_STORE;
    }
    k->there = true;
    k->same = memcmp(hash, k->job->in.hash32, sizeof hash) == 0;
    k->job->out.state = CS_STORE_PENDING;
    if (k->same && cols[1].p != NULL) {
        k->job->out.state = CS_STORE_DONE;
        return cs_store_mem_unb64(&k->job->found, &k->job->out.reply, cols[1]);
    }
    return CS_OK;
}

/* caller, request id, hash, time: the first four values of NEW_REQUEST and REPLY */
static cs_err request_values(cs_store_job *job, cs_sql_value v[4])
{
    v[0] = CS_SQL_S(job->in.caller);
    v[1] = v[2] = v[3] = CS_SQL_S(CS_SLICE_NULL);
    CS_TRY(cs_store_mem_hex(&job->found, &v[1].s, cs_slice_of(job->in.id16, CS_TEE_ID_LEN)));
    CS_TRY(cs_store_mem_hex(&job->found, &v[2].s, cs_slice_of(job->in.hash32, 32)));
    return cs_store_now(&job->found, &v[3].s, cs_clock_wall_ms());
}

static cs_err get_request(cs_sql *db, cs_store_job *job, const cs_sql_value *v, bool *out_there)
{
    known k = {.job = job};

    CS_TRY(cs_sql_one(db, CS_STMT_GET_REQUEST, v, 2, on_request, &k, NULL));
    *out_there = k.there;
    return k.there && !k.same ? CS_E_REQUEST_REPLAY : CS_OK;
}

static cs_err do_begin(cs_sql *db, cs_store_job *job)
{
    cs_sql_value v[4];
    uint64_t changed = 0;
    bool there = false;

    CS_TRY(request_values(job, v));
    for (int i = 0; i < 3 && !there; i++) { /* it may expire between the two */
        CS_TRY(cs_sql_one(db, CS_STMT_NEW_REQUEST, v, 4, NULL, NULL, &changed));
        if (changed == 1) {
            job->out.state = CS_STORE_NEW;
            return CS_OK;
        }
        CS_TRY(get_request(db, job, v, &there));
    }
    return there ? CS_OK : cs_sql_failed(db, CS_SQL_AGAIN, "a request came and went");
}

/* Stores the reply. *out_late: there is one already, now in job->out. */
static cs_err put_reply(cs_sql *db, cs_store_job *job, bool *out_late)
{
    cs_sql_value v[5];
    uint64_t changed = 0;
    bool there = false;

    *out_late = false;
    if (job->in.caller.len == 0 || job->in.reply.len == 0) {
        return CS_OK;
    }
    CS_TRY(request_values(job, v));
    v[4] = CS_SQL_S(CS_SLICE_NULL);
    CS_TRY(cs_store_mem_b64(&job->found, &v[4].s, job->in.reply));
    CS_TRY(cs_sql_one(db, CS_STMT_REPLY, v, 5, NULL, NULL, &changed));
    if (changed > 0) {
        return CS_OK;
    }
    CS_TRY(get_request(db, job, v, &there));
    *out_late = there && job->out.state == CS_STORE_DONE;
    return *out_late ? CS_OK : cs_sql_failed(db, CS_SQL_AGAIN, "a request came and went");
}

/* ---- audit entries */

typedef struct same_entry {
    const cs_sql_value *entry;
    bool there, same;
} same_entry;

static cs_err on_entry(void *cookie, size_t set, const cs_slice *cols, size_t num_cols)
{
    same_entry *e = cookie;

    (void)set, (void)num_cols;
    e->there = true;
    e->same = cs_slice_eq(cols[0], e->entry[0].s) && cs_slice_eq(cols[1], e->entry[1].s);
    return CS_OK;
}

cs_err cs_store_put_entry(cs_sql *db, cs_store_job *job)
{
    cs_sql_value v[5] = {{.number = false}};
    uint64_t changed = 0;

    if (job->in.entry.len == 0) {
        return CS_OK;
    }
    CS_TRY(cs_store_mem_hex(&job->found, &v[0].s, cs_slice_of(job->in.boot16, 16)));
    v[1] = CS_SQL_I(job->in.counter);
    CS_TRY(cs_store_mem_b64(&job->found, &v[2].s, job->in.entry));
    CS_TRY(cs_store_mem_b64(&job->found, &v[3].s, job->in.entry_sig));
    CS_TRY(cs_store_now(&job->found, &v[4].s, cs_clock_wall_ms()));
    if (!db->has_boot || memcmp(db->boot, job->in.boot16, sizeof db->boot) != 0) {
        cs_sql_value seen[2] = {v[0], v[4]};
        CS_TRY(cs_sql_one(db, CS_STMT_BOOT_SEEN, seen, 2, NULL, NULL, NULL));
        memcpy(db->boot, job->in.boot16, sizeof db->boot);
        db->has_boot = true;
    }
    CS_TRY(cs_sql_one(db, CS_STMT_ENTRY, v, 5, NULL, NULL, &changed));
    if (changed == 1) {
        return CS_OK;
    }
    same_entry e = {.entry = v + 2};
    CS_TRY(cs_sql_one(db, CS_STMT_GET_ENTRY, v, 2, on_entry, &e, NULL));
    return e.there && e.same ? CS_OK : CS_E_AUDIT_CHAIN;
}

static cs_err do_boot(cs_sql *db, cs_store_job *job)
{
    cs_sql_value v[3] = {{.number = false}};

    CS_TRY(cs_store_mem_hex(&job->found, &v[0].s, cs_slice_of(job->in.boot16, 16)));
    CS_TRY(cs_store_mem_b64(&job->found, &v[1].s, job->in.reply));
    CS_TRY(cs_store_now(&job->found, &v[2].s, cs_clock_wall_ms()));
    return cs_sql_one(db, CS_STMT_BOOT, v, 3, NULL, NULL, NULL);
}

/* ---- APPLY */

typedef struct place {
    cs_slice record;
    size_t at;
} place;

static int by_record(const void *a, const void *b)
{
    const cs_slice x = ((const place *)a)->record, y = ((const place *)b)->record;
    int c = memcmp(x.p, y.p, x.len < y.len ? x.len : y.len);

    return c != 0 ? c : (x.len > y.len) - (x.len < y.len);
}

/* All writers take their rows in the order of their ids: they wait for each other, they do not lock each other out. */
static place *in_order(cs_store_job *job)
{
    place *p = cs_store_mem_get(&job->found, (job->in.num + 1) * sizeof *p);

    for (size_t i = 0; p != NULL && i < job->in.num; i++) {
        p[i] = (place){.record = job->in.rows[i].record, .at = i};
    }
    if (p != NULL) {
        qsort(p, job->in.num, sizeof *p, by_record);
    }
    return p;
}

/* One statement for all rows of a kind: new ones, then changed ones. */
static cs_err put_kind(cs_sql *db, cs_store_job *job, const place *order, bool fresh, cs_slice now)
{
    size_t num = 0, width = 9;
    cs_sql_value *v = cs_store_mem_get(&job->found, (job->in.num + 1) * width * sizeof *v);
    uint64_t *changed = cs_store_mem_get(&job->found, (job->in.num + 1) * sizeof *changed);

    if (v == NULL || changed == NULL) {
        return CS_E_NO_MEMORY;
    }
    for (size_t i = 0; i < job->in.num; i++) {
        const cs_tee_row *row = &job->in.rows[order[i].at];
        cs_sql_value *set = v + num * width;
        if ((row->version == 1) != fresh) {
            continue;
        }
        CS_TRY(cs_store_row_values(&job->found, set, row));
        set[7] = CS_SQL_S(now);
        set[8] = fresh ? CS_SQL_S(now) : CS_SQL_I(row->version - 1);
        num++;
    }
    if (num == 0) {
        return CS_OK;
    }
    cs_sql_run r = {.stmt = fresh ? CS_STMT_INSERT : CS_STMT_UPDATE,
                    .values = v,
                    .num_values = width,
                    .num_sets = num,
                    .changed = changed};
    CS_TRY(db->driver->run(db, &r));
    for (size_t i = 0, n = 0; i < job->in.num; i++) {
        if ((job->in.rows[order[i].at].version == 1) == fresh) {
            job->out.row_err[order[i].at] = changed[n++] == 1 ? CS_OK : fresh ? CS_E_EXISTS : CS_E_SEAL_VERSION;
        }
    }
    return CS_OK;
}

/* The first row that did not fit; counts those that did. */
static cs_err judge(cs_store_job *job)
{
    cs_err first = CS_OK;

    job->out.num_stored = 0;
    for (size_t i = 0; i < job->in.num; i++) {
        job->out.num_stored += job->out.row_err[i] == CS_OK;
        first = first == CS_OK ? job->out.row_err[i] : first;
    }
    return first;
}

static cs_err do_apply(cs_sql *db, cs_store_job *job)
{
    bool late = false;
    cs_slice now;

    if (!job->in.partial && job->in.num > 0) {
        CS_TRY(db->driver->script(db, "SAVEPOINT call"));
    }
    CS_TRY(put_reply(db, job, &late));
    if (late || job->in.num == 0) {
        return cs_store_put_entry(db, job);
    }
    CS_TRY(errs_room(job));
    CS_TRY(cs_store_now(&job->found, &now, cs_clock_wall_ms()));
    const place *order = in_order(job);
    if (order == NULL) {
        return CS_E_NO_MEMORY;
    }
    CS_TRY(put_kind(db, job, order, true, now));
    CS_TRY(put_kind(db, job, order, false, now));
    cs_err misfit = judge(job);
    if (misfit == CS_OK || job->in.partial) {
        return cs_store_put_entry(db, job);
    }
    CS_TRY(db->driver->script(db, "ROLLBACK TO call"));
    CS_TRY(cs_store_put_entry(db, job));
    job->out.num_stored = 0;
    job->finished = true; /* the entry stays */
    return misfit;
}

static cs_err do_drop(cs_sql *db, cs_store_job *job)
{
    cs_sql_value v[4];

    CS_TRY(request_values(job, v));
    return cs_sql_one(db, CS_STMT_DROP, v, 3, NULL, NULL, NULL);
}

static cs_err do_expire(cs_sql *db, cs_store_job *job)
{
    cs_sql_value v = {.number = false};

    CS_TRY(cs_store_now(&job->found, &v.s, job->in.before_ms));
    return cs_sql_one(db, CS_STMT_EXPIRE, &v, 1, NULL, NULL, &job->out.counts.requests);
}

const cs_store_op_row cs_store_ops[CS_STORE_NUM_OPS] = {
    [CS_STORE_GET] = {cs_store_do_get, false, false},
    [CS_STORE_BEGIN] = {do_begin, true, true},
    [CS_STORE_DROP] = {do_drop, true, true},
    [CS_STORE_APPLY] = {do_apply, true, false},
    [CS_STORE_LIST] = {cs_store_do_list, false, false},
    [CS_STORE_HEADS] = {cs_store_do_heads, false, false},
    [CS_STORE_MATCH] = {cs_store_do_match, false, false},
    [CS_STORE_DATA_KEYS] = {cs_store_do_data_keys, false, false},
    [CS_STORE_PLAIN] = {cs_store_do_plain, false, false},
    [CS_STORE_ADOPT] = {cs_store_do_adopt, true, false},
    [CS_STORE_AUDIT] = {cs_store_do_audit, false, false},
    [CS_STORE_BOOT] = {do_boot, true, true},
    [CS_STORE_BOOTS] = {cs_store_do_boots, false, false},
    [CS_STORE_COUNTS] = {cs_store_do_counts, false, false},
    [CS_STORE_EXPIRE] = {do_expire, true, true},
    [CS_STORE_IMPORT] = {cs_store_do_import, true, false},
};
