/* See store_file.h. */
#include "store/store_file.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json_out.h"
#include "base/text.h"
#include "codec/json.h"

#define FORMAT "countersign-store-export-1"
#define ROWS_MAX (UINT64_C(1) << 32)
#define MARK_LEN 16 /* of a record id: no two rows have the same */

/* ---- one row */

cs_err cs_store_row_write(cs_buf *out, const cs_store_row *r)
{
    const char *alg = cs_tee_alg_name(r->row.alg);
    uint8_t time[32];
    cs_buf at = cs_buf_wrap(time, sizeof time);
    size_t before = out->len;

    if (alg == NULL) {
        return CS_E_RANGE;
    }
    CS_TRY(cs_put_rfc3339(&at, r->created_ms));
    cs_jw w = cs_jw_begin(out);
    cs_jw_object(&w, NULL);
    cs_jw_str(&w, "id", r->row.record);
    cs_jw_b64(&w, "ciphertext_blob", r->row.blob);
    cs_jw_b64(&w, "data_key_ciphertext", r->row.data_key);
    cs_jw_str(&w, "kms_key_id", r->row.kms_key);
    cs_jw_u64(&w, "version", r->row.version);
    cs_jw_cstr(&w, "algorithm", alg);
    cs_jw_hex(&w, "public_key", r->row.public_key);
    cs_jw_str(&w, "created_at", cs_buf_slice(&at));
    cs_jw_close_object(&w);
    cs_err err = cs_jw_end(&w);
    err = err == CS_OK ? cs_put_u8(out, '\n') : err;
    if (err != CS_OK) {
        out->len = before;
    }
    return err;
}

static cs_err name(cs_json *j, char before, const char *want)
{
    cs_slice key;
    bool plain = false;

    CS_TRY(cs_json_char(j, before));
    CS_TRY(cs_json_string(j, &key, &plain));
    return plain && cs_slice_eq_str(key, want) ? cs_json_char(j, ':') : CS_E_FORMAT;
}

static cs_err text(cs_json *j, char before, const char *want, cs_slice *out)
{
    bool plain = false;

    CS_TRY(name(j, before, want));
    CS_TRY(cs_json_string(j, out, &plain));
    return plain ? CS_OK : CS_E_FORMAT;
}

/* What the store says of columns is not what is said of files. */
static cs_err of_file(cs_err err)
{
    return err == CS_E_STORE ? CS_E_FORMAT : err;
}

cs_err cs_store_line_parse(cs_store_mem *m, cs_store_row *out, cs_slice line)
{
    cs_json j = cs_json_of(line);
    cs_slice blob, data_key, alg, public_key, created;
    cs_tee_row *r = &out->row;
    cs_tee_alg a;

    *out = (cs_store_row){.num = 0};
    if (line.len > CS_STORE_LINE_MAX) {
        return CS_E_RANGE;
    }
    CS_TRY(text(&j, '{', "id", &r->record));
    CS_TRY(text(&j, ',', "ciphertext_blob", &blob));
    CS_TRY(text(&j, ',', "data_key_ciphertext", &data_key));
    CS_TRY(text(&j, ',', "kms_key_id", &r->kms_key));
    CS_TRY(name(&j, ',', "version"));
    CS_TRY(cs_json_u64(&j, UINT32_MAX, &r->version));
    CS_TRY(text(&j, ',', "algorithm", &alg));
    CS_TRY(text(&j, ',', "public_key", &public_key));
    CS_TRY(text(&j, ',', "created_at", &created));
    CS_TRY(cs_json_char(&j, '}'));
    CS_TRY(cs_json_end(&j));
    CS_TRY(of_file(cs_store_mem_unb64(m, &r->blob, blob)));
    CS_TRY(of_file(cs_store_mem_unb64(m, &r->data_key, data_key)));
    CS_TRY(of_file(cs_store_mem_unhex(m, &r->public_key, public_key)));
    CS_TRY(cs_parse_rfc3339(created, &out->created_ms));
    if (cs_tee_alg_of(alg, &a) != CS_OK || !cs_store_mem_copy(m, &r->record) || !cs_store_mem_copy(m, &r->kms_key)) {
        return CS_E_FORMAT;
    }
    r->alg = a;
    r->code = cs_slice_str("OK");
    cs_store_in in = {.rows = r, .num = 1};
    return cs_store_in_valid(CS_STORE_IMPORT, &in) ? CS_OK : CS_E_FORMAT;
}

/* ---- lines that are hashed */

typedef struct stream {
    FILE *file;
    EVP_MD_CTX *md;
    cs_store_file *f;
} stream;

static cs_err begin(stream *s, FILE *file, cs_store_file *f)
{
    *s = (stream){.file = file, .md = EVP_MD_CTX_new(), .f = f};
    *f = (cs_store_file){.rows = 0};
    if (s->md == NULL || EVP_DigestInit_ex(s->md, EVP_sha256(), NULL) != 1) {
        EVP_MD_CTX_free(s->md);
        s->md = NULL;
        return CS_E_NO_MEMORY;
    }
    return CS_OK;
}

static cs_err digest(stream *s, char out[65])
{
    uint8_t hash[32];
    unsigned len = 0;

    if (EVP_DigestFinal_ex(s->md, hash, &len) != 1) {
        return CS_E_INTERNAL;
    }
    cs_hex_encode(out, cs_slice_of(hash, sizeof hash));
    return CS_OK;
}

static cs_err put(stream *s, cs_slice line)
{
    return EVP_DigestUpdate(s->md, line.p, line.len) == 1 && fwrite(line.p, 1, line.len, s->file) == line.len ? CS_OK
                                                                                                              : CS_E_IO;
}

__attribute__((format(printf, 3, 4))) static cs_err wrong(cs_store_file *f, cs_err err, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(f->why, sizeof f->why, fmt, ap);
    va_end(ap);
    return err;
}

/* ---- export */

static cs_err export_pages(cs_sql *db, stream *s)
{
    char after[CS_TEE_RECORD_MAX + 1] = "";
    cs_buf line = cs_buf_heap((size_t)2 * CS_STORE_LINE_MAX);
    cs_err err = CS_OK;
    bool more = true;

    while (err == CS_OK && more) {
        cs_store_job job = {.op = CS_STORE_LIST, .in = {.limit = CS_STORE_PAGE_MAX, .after = cs_slice_str(after)}};
        err = cs_store_ops[CS_STORE_LIST].fn(db, &job);
        for (size_t i = 0; err == CS_OK && i < job.out.num_rows; i++) {
            line.len = 0;
            err = cs_store_row_write(&line, &job.out.rows[i]);
            err = err == CS_OK ? put(s, cs_buf_slice(&line)) : err;
            s->f->rows++;
        }
        more = job.out.next.len > 0 && job.out.next.len < sizeof after;
        if (more) {
            memcpy(after, job.out.next.p, job.out.next.len);
            after[job.out.next.len] = '\0';
        }
        cs_store_mem_free(&job.found);
    }
    cs_buf_free(&line);
    return err;
}

cs_err cs_store_export(cs_sql *db, FILE *out, cs_store_file *f)
{
    stream s;
    char last[160], sum[65];
    uint8_t now[32];
    cs_buf at = cs_buf_wrap(now, sizeof now);

    CS_TRY(begin(&s, out, f));
    cs_err err = cs_put_rfc3339(&at, cs_clock_wall_ms());
    if (err == CS_OK) {
        (void)snprintf(last, sizeof last, "{\"format\":\"" FORMAT "\",\"created_at\":\"%.*s\"}\n", (int)at.len,
                       (const char *)now);
        err = put(&s, cs_slice_str(last));
    }
    err = err == CS_OK ? db->driver->script(db, db->driver->begin_read) : err;
    if (err == CS_OK) {
        err = export_pages(db, &s);
        cs_err end = db->fault == CS_SQL_LOST ? CS_OK : db->driver->script(db, "ROLLBACK");
        err = err == CS_OK ? end : err;
    }
    err = err == CS_OK ? digest(&s, sum) : err;
    if (err == CS_OK) {
        (void)snprintf(last, sizeof last, "{\"rows\":%llu,\"sha256\":\"%s\"}\n", (unsigned long long)f->rows, sum);
        err = fwrite(last, 1, strlen(last), out) == strlen(last) && fflush(out) == 0 ? CS_OK : CS_E_IO;
    }
    EVP_MD_CTX_free(s.md);
    return err == CS_OK || err == CS_E_IO ? err : wrong(f, err, "%s", db->why);
}

/* ---- reading a file */

typedef cs_err row_fn(void *cookie, const cs_store_row *row);

static cs_err header(cs_slice line)
{
    cs_json j = cs_json_of(line);
    cs_slice format, created;
    uint64_t ms;

    CS_TRY(text(&j, '{', "format", &format));
    CS_TRY(text(&j, ',', "created_at", &created));
    CS_TRY(cs_json_char(&j, '}'));
    CS_TRY(cs_json_end(&j));
    CS_TRY(cs_parse_rfc3339(created, &ms));
    return cs_slice_eq_str(format, FORMAT) ? CS_OK : CS_E_FORMAT;
}

/* The last line: what it says of those before. */
static cs_err trailer(stream *s, cs_slice line)
{
    cs_json j = cs_json_of(line);
    cs_slice sum;
    uint64_t rows;
    char want[65];

    CS_TRY(name(&j, '{', "rows"));
    CS_TRY(cs_json_u64(&j, ROWS_MAX, &rows));
    CS_TRY(text(&j, ',', "sha256", &sum));
    CS_TRY(cs_json_char(&j, '}'));
    CS_TRY(cs_json_end(&j));
    CS_TRY(digest(s, want));
    if (rows != s->f->rows) {
        return wrong(s->f, CS_E_FORMAT, "the last line says %llu rows, there are %llu", (unsigned long long)rows,
                     (unsigned long long)s->f->rows);
    }
    return cs_slice_eq_str(sum, want) ? CS_OK
                                      : wrong(s->f, CS_E_FORMAT, "the digest of the last line is not that of the file");
}

static cs_err one_row(stream *s, cs_slice line, row_fn *fn, void *cookie)
{
    cs_store_mem m = {.first = NULL};
    cs_store_row row;
    cs_err err = cs_store_line_parse(&m, &row, line);

    if (err == CS_OK && ++s->f->rows > ROWS_MAX) {
        err = CS_E_RANGE;
    }
    err = err == CS_OK ? fn(cookie, &row) : err;
    cs_store_mem_free(&m);
    return err;
}

/* One line. *out_end: it was the last one. */
static cs_err one_line(stream *s, const char *bytes, size_t len, row_fn *fn, void *cookie, bool *out_end)
{
    cs_slice line = cs_slice_of(bytes, len);

    if (bytes[len - 1] != '\n') {
        return wrong(s->f, CS_E_FORMAT, "the file was cut");
    }
    line.len--;
    *out_end = s->f->line > 1 && line.len > 8 && memcmp(line.p, "{\"rows\":", 8) == 0;
    if (*out_end) {
        return trailer(s, line);
    }
    if (EVP_DigestUpdate(s->md, bytes, len) != 1) {
        return CS_E_INTERNAL;
    }
    return s->f->line == 1 ? header(line) : one_row(s, line, fn, cookie);
}

static cs_err read_all(FILE *in, cs_store_file *f, row_fn *fn, void *cookie)
{
    stream s;
    bool end = false;
    char *bytes = malloc(CS_STORE_LINE_MAX + 2);

    if (bytes == NULL || fseek(in, 0, SEEK_SET) != 0) {
        free(bytes);
        return bytes == NULL ? CS_E_NO_MEMORY : CS_E_IO;
    }
    cs_err err = begin(&s, in, f);
    while (err == CS_OK && fgets(bytes, (int)CS_STORE_LINE_MAX + 2, in) != NULL) {
        size_t len = strlen(bytes); /* a NUL in a line cuts it: no LF, or no JSON */
        f->line++;
        err = end || len == 0 ? CS_E_FORMAT : one_line(&s, bytes, len, fn, cookie, &end);
    }
    if (err == CS_OK && (ferror(in) || !end)) {
        err = ferror(in) ? CS_E_IO : wrong(f, CS_E_FORMAT, "the last line is missing: the file was cut");
    }
    if (err != CS_OK && f->why[0] == '\0') {
        err = wrong(f, err, "line %llu", (unsigned long long)f->line);
    }
    EVP_MD_CTX_free(s.md);
    free(bytes);
    return err;
}

/* ---- no record twice */

typedef struct marks {
    uint8_t *p;
    size_t num, cap;
} marks;

static cs_err mark(void *cookie, const cs_store_row *row)
{
    marks *m = cookie;
    uint8_t hash[32];
    unsigned len = 0;

    if (m->num == m->cap) {
        size_t cap = m->cap == 0 ? 1024 : 2 * m->cap;
        uint8_t *p = realloc(m->p, cap * MARK_LEN);
        if (p == NULL) {
            return CS_E_NO_MEMORY;
        }
        m->p = p;
        m->cap = cap;
    }
    if (EVP_Digest(row->row.record.p, row->row.record.len, hash, &len, EVP_sha256(), NULL) != 1) {
        return CS_E_INTERNAL;
    }
    memcpy(m->p + m->num++ * MARK_LEN, hash, MARK_LEN);
    return CS_OK;
}

static int by_bytes(const void *a, const void *b)
{
    return memcmp(a, b, MARK_LEN);
}

cs_err cs_store_check(FILE *in, cs_store_file *f)
{
    marks m = {.p = NULL};
    cs_err err = read_all(in, f, mark, &m);

    if (err == CS_OK && m.num > 1) {
        qsort(m.p, m.num, MARK_LEN, by_bytes);
    }
    for (size_t i = 1; err == CS_OK && i < m.num; i++) {
        if (by_bytes(m.p + (i - 1) * MARK_LEN, m.p + i * MARK_LEN) == 0) {
            err = wrong(f, CS_E_FORMAT, "a record stands there twice");
        }
    }
    free(m.p);
    return err;
}

/* ---- import */

typedef struct taking {
    cs_sql *db;
    bool replace;
    uint64_t stored;
    cs_tee_row row[CS_TEE_ROWS_MAX];
    uint64_t created[CS_TEE_ROWS_MAX];
    size_t num;
    cs_store_mem mem;
    char refused[CS_TEE_RECORD_MAX + 1];
} taking;

static cs_err flush(taking *t)
{
    cs_store_job job = {.op = CS_STORE_IMPORT,
                        .in = {.rows = t->row, .created_ms = t->created, .num = t->num, .replace = t->replace}};
    cs_err err = cs_store_ops[CS_STORE_IMPORT].fn(t->db, &job);

    for (size_t i = 0; err != CS_OK && job.out.row_err != NULL && i < t->num; i++) {
        if (job.out.row_err[i] != CS_OK) {
            (void)snprintf(t->refused, sizeof t->refused, "%.*s", (int)t->row[i].record.len,
                           (const char *)t->row[i].record.p);
            break;
        }
    }
    t->stored += job.out.num_stored;
    t->num = 0;
    cs_store_mem_free(&job.found);
    cs_store_mem_free(&t->mem);
    return err;
}

static cs_err collect(void *cookie, const cs_store_row *row)
{
    taking *t = cookie;
    cs_tee_row *r = &t->row[t->num];
    cs_slice *const all[] = {&r->record, &r->kms_key, &r->data_key, &r->blob, &r->public_key};

    *r = row->row;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (!cs_store_mem_copy(&t->mem, all[i])) {
            return CS_E_NO_MEMORY;
        }
    }
    t->created[t->num++] = row->created_ms;
    return t->num == CS_TEE_ROWS_MAX ? flush(t) : CS_OK;
}

static cs_err take_all(taking *t, FILE *in, cs_store_file *f)
{
    CS_TRY(t->db->driver->script(t->db, t->db->driver->begin));
    cs_err err = read_all(in, f, collect, t); /* its digest again: it may have been changed since */
    err = err == CS_OK && t->num > 0 ? flush(t) : err;
    err = err == CS_OK ? t->db->driver->script(t->db, "COMMIT") : err;
    if (err != CS_OK && t->db->fault != CS_SQL_LOST) {
        (void)t->db->driver->script(t->db, "ROLLBACK");
    }
    return err;
}

cs_err cs_store_take(cs_sql *db, FILE *in, bool replace, cs_store_file *f)
{
    CS_TRY(cs_store_check(in, f));
    taking *t = calloc(1, sizeof *t);
    if (t == NULL) {
        return CS_E_NO_MEMORY;
    }
    t->db = db;
    t->replace = replace;
    cs_err err = take_all(t, in, f);
    f->stored = err == CS_OK ? t->stored : 0;
    if (err != CS_OK && t->refused[0] != '\0') {
        err = wrong(f, err, "record %s is there, and is another one", t->refused);
    } else if (err == CS_E_STORE || err == CS_E_STORE_SCHEMA) {
        err = wrong(f, err, "%s", db->why);
    }
    cs_store_mem_free(&t->mem);
    free(t);
    return err;
}
