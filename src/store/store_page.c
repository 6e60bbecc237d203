/* Operations of the store that read pages, the sealing of rows in place, and import. See store.h. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "store/store_sql.h"

#define FOREVER "9999-12-31T23:59:59.999Z"

/* `after` of the next page is the id of the last row of a full one. */
static void set_next(cs_store_job *job, size_t num, cs_slice last)
{
    if (num > 0 && num == job->in.limit) {
        job->out.next = last;
    }
}

static cs_slice not_null(cs_slice s)
{
    return s.p != NULL ? s : cs_slice_of("", 0);
}

/* ---- rows */

static cs_err on_row(void *cookie, size_t set, const cs_slice *cols, size_t num_cols)
{
    cs_store_job *job = cookie;

    (void)set, (void)num_cols;
    if (job->out.num_rows >= job->in.limit) {
        return CS_E_STORE;
    }
    if (job->found.total > CS_STORE_BYTES_MAX) {
        return CS_E_TOO_LARGE;
    }
    CS_TRY(cs_store_row_of(&job->found, &job->out.rows[job->out.num_rows], cols));
    job->out.num_rows++;
    return CS_OK;
}

cs_err cs_store_do_list(cs_sql *db, cs_store_job *job)
{
    const cs_store_filter *f = &job->in.filter;
    cs_slice not_key = CS_SLICE_NULL, key = CS_SLICE_NULL, before = cs_slice_str(FOREVER);

    CS_TRY(cs_store_rows_room(job, job->in.limit));
    CS_TRY(cs_store_mem_b64(&job->found, &not_key, f->not_data_key));
    CS_TRY(cs_store_mem_b64(&job->found, &key, f->data_key));
    if (f->older_than_ms > 0) {
        CS_TRY(cs_store_now(&job->found, &before, f->older_than_ms));
    }
    cs_sql_value v[7] = {CS_SQL_S(not_null(job->in.after)),
                         CS_SQL_S(not_null(f->kms_key)),
                         CS_SQL_S(not_null(f->not_kms_key)),
                         CS_SQL_S(not_key),
                         CS_SQL_S(before),
                         CS_SQL_I(job->in.limit),
                         CS_SQL_S(key)};
    bool one_key = f->data_key.len > 0;
    CS_TRY(cs_sql_one(db, one_key ? CS_STMT_LIST_KEY : CS_STMT_LIST, v, one_key ? 7 : 6, on_row, job, NULL));
    set_next(job, job->out.num_rows,
             job->out.num_rows > 0 ? job->out.rows[job->out.num_rows - 1].row.record : CS_SLICE_NULL);
    return CS_OK;
}

/* ---- heads of rows, those of one data key together */

#define NUM_MATCH 5

static cs_err match_values(cs_store_job *job, cs_sql_value v[NUM_MATCH])
{
    const cs_store_filter *f = &job->in.filter;
    cs_slice key = CS_SLICE_NULL, not_key = CS_SLICE_NULL, before = cs_slice_str(FOREVER);

    CS_TRY(cs_store_mem_b64(&job->found, &key, f->data_key));
    CS_TRY(cs_store_mem_b64(&job->found, &not_key, f->not_data_key));
    if (f->older_than_ms > 0) {
        CS_TRY(cs_store_now(&job->found, &before, f->older_than_ms));
    }
    v[0] = CS_SQL_S(not_null(f->kms_key));
    v[1] = CS_SQL_S(not_null(f->not_kms_key));
    v[2] = CS_SQL_S(key);
    v[3] = CS_SQL_S(before);
    v[4] = CS_SQL_S(not_key);
    return CS_OK;
}

/* The place behind a row: its data key as it is stored, a space, its id. */
static cs_err head_next(cs_store_job *job, cs_slice data_key, cs_slice id)
{
    uint8_t *p = cs_store_mem_get(&job->found, data_key.len + 1 + id.len);

    if (p == NULL) {
        return CS_E_NO_MEMORY;
    }
    cs_buf b = cs_buf_wrap(p, data_key.len + 1 + id.len);
    CS_TRY(cs_put_slice(&b, data_key));
    CS_TRY(cs_put_u8(&b, ' '));
    CS_TRY(cs_put_slice(&b, id));
    job->out.next = cs_buf_slice(&b);
    return CS_OK;
}

static cs_err on_head(void *cookie, size_t set, const cs_slice *cols, size_t num_cols)
{
    cs_store_job *job = cookie;
    cs_store_row *out = &job->out.rows[job->out.num_rows];
    cs_tee_row *r = &out->row;
    cs_tee_alg alg;

    (void)set, (void)num_cols;
    if (job->out.num_rows >= job->in.limit) {
        return CS_E_STORE;
    }
    *r = (cs_tee_row){.record = cols[0], .kms_key = cols[2], .code = cs_slice_str("OK")};
    if (!cs_store_mem_copy(&job->found, &r->record) || !cs_store_mem_copy(&job->found, &r->kms_key)) {
        return CS_E_NO_MEMORY;
    }
    CS_TRY(cs_store_mem_unb64(&job->found, &r->data_key, cols[1]));
    CS_TRY(cs_store_mem_unhex(&job->found, &r->public_key, cols[5]));
    if (cs_parse_u64(cols[3], UINT32_MAX, &r->version) != CS_OK || cs_tee_alg_of(cols[4], &alg) != CS_OK) {
        return CS_E_STORE;
    }
    r->alg = alg;
    CS_TRY(cs_store_time_of(&out->updated_ms, cols[6]));
    job->out.num_rows++;
    return job->out.num_rows == job->in.limit ? head_next(job, cols[1], cols[0]) : CS_OK;
}

cs_err cs_store_do_heads(cs_sql *db, cs_store_job *job)
{
    cs_sql_value v[NUM_MATCH + 3];
    cs_slice after = not_null(job->in.after);
    const uint8_t *space = after.len > 0 ? memchr(after.p, ' ', after.len) : NULL;
    size_t len = space != NULL ? (size_t)(space - after.p) : 0;

    if (after.len > 0 && space == NULL) {
        return CS_E_RANGE;
    }
    CS_TRY(match_values(job, v));
    v[NUM_MATCH] = CS_SQL_I(job->in.limit);
    v[NUM_MATCH + 1] = CS_SQL_S(cs_slice_of(after.p, len));
    v[NUM_MATCH + 2] = CS_SQL_S(cs_slice_of(after.p + len + (space != NULL), after.len - len - (space != NULL)));
    CS_TRY(cs_store_rows_room(job, job->in.limit));
    return cs_sql_one(db, CS_STMT_HEADS, v, NUM_MATCH + 3, on_head, job, NULL);
}

static cs_err on_match(void *cookie, size_t set, const cs_slice *cols, size_t num_cols)
{
    cs_store_job *job = cookie;

    (void)set, (void)num_cols;
    return cs_parse_u64(cols[0], INT64_MAX, &job->out.counts.rows) == CS_OK ? CS_OK : CS_E_STORE;
}

cs_err cs_store_do_match(cs_sql *db, cs_store_job *job)
{
    cs_sql_value v[NUM_MATCH];

    CS_TRY(match_values(job, v));
    return cs_sql_one(db, CS_STMT_MATCH, v, NUM_MATCH, on_match, job, NULL);
}

static cs_err on_data_key(void *cookie, size_t set, const cs_slice *cols, size_t num_cols)
{
    cs_store_job *job = cookie;
    cs_store_row *r = &job->out.rows[job->out.num_rows];

    (void)set, (void)num_cols;
    if (job->out.num_rows >= job->in.limit || cs_parse_u64(cols[2], INT64_MAX, &r->num) != CS_OK) {
        return CS_E_STORE;
    }
    CS_TRY(cs_store_mem_unb64(&job->found, &r->row.data_key, cols[0]));
    r->row.kms_key = cols[1];
    r->row.code = cs_slice_str("OK");
    job->out.next = cols[0];
    if (!cs_store_mem_copy(&job->found, &r->row.kms_key) || !cs_store_mem_copy(&job->found, &job->out.next)) {
        return CS_E_NO_MEMORY;
    }
    job->out.num_rows++;
    return CS_OK;
}

cs_err cs_store_do_data_keys(cs_sql *db, cs_store_job *job)
{
    cs_sql_value v[2] = {CS_SQL_S(not_null(job->in.after)), CS_SQL_I(job->in.limit)};

    CS_TRY(cs_store_rows_room(job, job->in.limit));
    CS_TRY(cs_sql_one(db, CS_STMT_DATA_KEYS, v, 2, on_data_key, job, NULL));
    if (job->out.num_rows < job->in.limit) {
        job->out.next = CS_SLICE_NULL;
    }
    return CS_OK;
}

static cs_err on_plain(void *cookie, size_t set, const cs_slice *cols, size_t num_cols)
{
    cs_store_job *job = cookie;
    cs_tee_row *r = &job->out.rows[job->out.num_rows].row;

    (void)set, (void)num_cols;
    if (job->out.num_rows >= job->in.limit) {
        return CS_E_STORE;
    }
    *r = (cs_tee_row){.record = cols[0], .blob = cols[1], .code = cs_slice_str("OK")};
    if (!cs_store_mem_copy(&job->found, &r->record) || !cs_store_mem_copy(&job->found, &r->blob)) {
        return CS_E_NO_MEMORY;
    }
    job->out.num_rows++;
    return job->found.total > CS_STORE_BYTES_MAX ? CS_E_TOO_LARGE : CS_OK;
}

cs_err cs_store_do_plain(cs_sql *db, cs_store_job *job)
{
    char sql[384];
    cs_sql_value v[2] = {CS_SQL_S(not_null(job->in.after)), CS_SQL_I(job->in.limit)};
    const char *c = job->in.column;

    (void)snprintf(sql, sizeof sql,
                   "SELECT id, CAST(%s AS TEXT) FROM keys WHERE id > $1 AND ciphertext_blob IS NULL AND %s IS NOT NULL "
                   "ORDER BY id LIMIT $2",
                   c, c);
    CS_TRY(cs_store_rows_room(job, job->in.limit));
    CS_TRY(cs_sql_text(db, sql, v, 2, on_plain, job, NULL));
    set_next(job, job->out.num_rows,
             job->out.num_rows > 0 ? job->out.rows[job->out.num_rows - 1].row.record : CS_SLICE_NULL);
    return CS_OK;
}

/* ---- rows of an application become sealed ones */

static cs_err on_any(void *cookie, size_t set, const cs_slice *cols, size_t num_cols)
{
    bool *sealed = cookie;

    (void)set, (void)num_cols;
    sealed[0] = true;
    sealed[1] = cols[0].p != NULL;
    return CS_OK;
}

static cs_err adopt_row(cs_sql *db, cs_store_job *job, const char *sql, size_t i)
{
    cs_sql_value v[9] = {{.number = false}};
    uint64_t changed = 0;
    bool found[2] = {false, false}; /* there, sealed */

    CS_TRY(cs_store_row_values(&job->found, v, &job->in.rows[i]));
    CS_TRY(cs_store_now(&job->found, &v[7].s, cs_clock_wall_ms()));
    size_t num = 8;
    if (job->in.plain != NULL) {
        v[num++] = CS_SQL_S(job->in.plain[i]);
    }
    CS_TRY(cs_sql_text(db, sql, v, num, NULL, NULL, &changed));
    job->out.row_err[i] = CS_OK;
    if (changed != 1) {
        CS_TRY(cs_sql_text(db, "SELECT ciphertext_blob FROM keys WHERE id = $1", v, 1, on_any, found, NULL));
        job->out.row_err[i] = !found[0] ? CS_E_NOT_FOUND : found[1] ? CS_E_EXISTS : CS_E_SEAL_VERSION;
    }
    job->out.num_stored += changed == 1;
    return CS_OK;
}

cs_err cs_store_do_adopt(cs_sql *db, cs_store_job *job)
{
    char sql[640];
    const char *c = job->in.column;
    cs_err first = CS_OK;

    (void)snprintf(sql, sizeof sql,
                   "UPDATE keys SET ciphertext_blob = $2, data_key_ciphertext = $3, kms_key_id = $4, version = $5, "
                   "algorithm = $6, public_key = $7, created_at = COALESCE(created_at, $8), updated_at = $8, %s = NULL "
                   "WHERE id = $1 AND ciphertext_blob IS NULL AND %s IS NOT NULL%s%s%s",
                   c, c, job->in.plain != NULL ? " AND CAST(" : "", job->in.plain != NULL ? c : "",
                   job->in.plain != NULL ? " AS TEXT) = $9" : "");
    job->out.row_err = cs_store_mem_get(&job->found, (job->in.num + 1) * sizeof *job->out.row_err);
    if (job->out.row_err == NULL) {
        return CS_E_NO_MEMORY;
    }
    for (size_t i = 0; i < job->in.num; i++) {
        CS_TRY(adopt_row(db, job, sql, i));
        first = first == CS_OK ? job->out.row_err[i] : first;
    }
    if (first != CS_OK && !job->in.partial) {
        job->out.num_stored = 0;
        return first; /* all of it is taken back */
    }
    return cs_store_put_entry(db, job);
}

/* ---- import */

static cs_err import_row(cs_sql *db, cs_store_job *job, size_t i, cs_slice now)
{
    const cs_tee_row *row = &job->in.rows[i];
    cs_store_row *have = &job->out.rows[0];
    cs_sql_value v[9] = {{.number = false}};
    uint64_t changed = 0;

    CS_TRY(cs_store_row_values(&job->found, v, row));
    v[7] = v[8] = CS_SQL_S(now);
    if (job->in.created_ms != NULL && job->in.created_ms[i] > 0) {
        CS_TRY(cs_store_now(&job->found, &v[7].s, job->in.created_ms[i]));
    }
    CS_TRY(cs_sql_one(db, CS_STMT_INSERT, v, 9, NULL, NULL, &changed));
    if (changed == 0) {
        job->out.num_rows = 0;
        CS_TRY(cs_sql_one(db, CS_STMT_GET, v, 1, on_row, job, NULL));
        bool there = job->out.num_rows == 1;
        bool same = there && have->row.version == row->version && cs_slice_eq(have->row.blob, row->blob) &&
                    cs_slice_eq(have->row.data_key, row->data_key) && cs_slice_eq(have->row.kms_key, row->kms_key);
        if (!same && job->in.replace && there) {
            CS_TRY(cs_sql_one(db, CS_STMT_REPLACE, v, 9, NULL, NULL, &changed));
        } else if (!same) {
            job->out.row_err[i] = there ? CS_E_SEAL_VERSION : CS_E_EXISTS; /* a row of the application, in the clear */
        }
    }
    job->out.num_stored += changed == 1;
    return CS_OK;
}

cs_err cs_store_do_import(cs_sql *db, cs_store_job *job)
{
    cs_slice now;
    cs_err first = CS_OK;

    job->in.limit = 1; /* of the row that is read */
    CS_TRY(cs_store_rows_room(job, 1));
    CS_TRY(cs_store_now(&job->found, &now, cs_clock_wall_ms()));
    job->out.row_err = cs_store_mem_get(&job->found, (job->in.num + 1) * sizeof *job->out.row_err);
    if (job->out.row_err == NULL) {
        return CS_E_NO_MEMORY;
    }
    for (size_t i = 0; i < job->in.num; i++) {
        CS_TRY(import_row(db, job, i, now));
        first = first == CS_OK ? job->out.row_err[i] : first;
    }
    job->out.num_rows = 0;
    job->out.num_stored = first == CS_OK ? job->out.num_stored : 0;
    return first;
}

/* ---- audit */

static cs_err on_audit(void *cookie, size_t set, const cs_slice *cols, size_t num_cols)
{
    cs_store_job *job = cookie;
    cs_store_entry *e = &job->out.entries[job->out.num_entries];
    bool boots = num_cols == 5 && job->op == CS_STORE_BOOTS;

    (void)set;
    if (job->out.num_entries >= job->in.limit || cs_hex_decode(e->boot, sizeof e->boot, cols[0]) != CS_OK ||
        (cols[1].p != NULL && cs_parse_u64(cols[1], INT64_MAX, &e->counter) != CS_OK) ||
        (boots && cs_parse_u64(cols[4], INT64_MAX, &e->num) != CS_OK)) {
        return CS_E_STORE;
    }
    CS_TRY(cs_store_mem_unb64(&job->found, &e->entry, cols[2]));
    if (!boots) {
        CS_TRY(cs_store_mem_unb64(&job->found, &e->entry_sig, cols[3]));
    }
    CS_TRY(cs_store_time_of(&e->created_ms, boots ? cols[3] : cols[4]));
    job->out.num_entries++;
    return CS_OK;
}

static cs_err audit_page(cs_sql *db, cs_store_job *job, cs_store_stmt stmt)
{
    static const uint8_t more[1] = {1};
    cs_slice boot = cs_slice_of("", 0);
    bool boots = stmt == CS_STMT_BOOTS;

    job->out.entries = cs_store_mem_get(&job->found, (job->in.limit + 1) * sizeof *job->out.entries);
    if (job->out.entries == NULL) {
        return CS_E_NO_MEMORY;
    }
    if (job->in.boot16 != NULL) {
        CS_TRY(cs_store_mem_hex(&job->found, &boot, cs_slice_of(job->in.boot16, 16)));
    }
    cs_sql_value v[3] = {CS_SQL_S(boot), CS_SQL_I(job->in.counter), CS_SQL_I(job->in.limit)};
    if (boots) {
        v[1] = v[2];
    }
    CS_TRY(cs_sql_one(db, stmt, v, boots ? 2 : 3, on_audit, job, NULL));
    set_next(job, job->out.num_entries, cs_slice_of(more, sizeof more));
    return CS_OK;
}

cs_err cs_store_do_audit(cs_sql *db, cs_store_job *job)
{
    return audit_page(db, job, CS_STMT_AUDIT);
}

cs_err cs_store_do_boots(cs_sql *db, cs_store_job *job)
{
    return audit_page(db, job, CS_STMT_BOOTS);
}

/* ---- counts */

static cs_err on_counts(void *cookie, size_t set, const cs_slice *cols, size_t num_cols)
{
    cs_store_counts *c = cookie;
    uint64_t *const to[] = {&c->rows, &c->plain_rows, &c->requests, &c->pending, &c->entries, &c->boots};

    (void)set;
    for (size_t i = 0; i < num_cols && i < sizeof to / sizeof *to; i++) {
        if (cs_parse_u64(cols[i], INT64_MAX, to[i]) != CS_OK) {
            return CS_E_STORE;
        }
    }
    return CS_OK;
}

cs_err cs_store_do_counts(cs_sql *db, cs_store_job *job)
{
    return cs_sql_one(db, CS_STMT_COUNTS, NULL, 0, on_counts, &job->out.counts, NULL);
}
