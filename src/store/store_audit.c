/* The audit log as a file (docs/formats/audit.md): documents of all boots, then the entries of each boot in their order. */
#include <string.h>

#include "base/text.h"
#include "store/store_file.h"
#include "store/store_sql.h"

#define PAGE 500
#define HEX_BOOT 33

typedef struct page {
    FILE *out;
    bool documents;
    char boot[HEX_BOOT]; /* of the last row */
    uint64_t counter, rows, written;
} page;

static bool put(const page *p, const char *before, cs_slice text, const char *after)
{
    return fputs(before, p->out) >= 0 && fwrite(text.p, 1, text.len, p->out) == text.len && fputs(after, p->out) >= 0;
}

/* boot, counter, entry, signature - or boot, last counter, document. What is stored is base64 already, and is checked to be. */
static cs_err on_row(void *cookie, size_t set, const cs_slice *cols, size_t num_cols)
{
    page *p = cookie;
    bool ok = true;

    (void)set;
    if (num_cols < 4 || cols[0].len >= sizeof p->boot ||
        (!p->documents && cs_parse_u64(cols[1], INT64_MAX, &p->counter) != CS_OK)) {
        return CS_E_STORE;
    }
    memcpy(p->boot, cols[0].p, cols[0].len);
    p->boot[cols[0].len] = '\0';
    p->rows++;
    for (size_t i = 2; i < (p->documents ? 3u : 4u); i++) {
        if (cols[i].len > 0 && memchr(cols[i].p, '"', cols[i].len) != NULL) {
            return CS_E_STORE;
        }
    }
    if (!p->documents) {
        ok = put(p, "{\"kind\":\"entry\",\"entry\":\"", cols[2], "\",\"signature\":\"") && put(p, "", cols[3], "\"}\n");
        p->written++;
    } else if (cols[2].len > 0) {
        ok = put(p, "{\"kind\":\"document\",\"document\":\"", cols[2], "\"}\n");
    }
    return ok ? CS_OK : CS_E_IO;
}

static cs_err pages(cs_sql *db, page *p)
{
    do {
        char boot[HEX_BOOT];
        (void)memcpy(boot, p->boot, sizeof boot);
        cs_sql_value v[3] = {CS_SQL_S(cs_slice_str(boot)), CS_SQL_I(p->counter), CS_SQL_I(PAGE)};
        if (p->documents) {
            v[1] = v[2];
        }
        p->rows = 0;
        CS_TRY(cs_sql_one(db, p->documents ? CS_STMT_BOOTS : CS_STMT_AUDIT, v, p->documents ? 2 : 3, on_row, p, NULL));
    } while (p->rows == PAGE);
    return CS_OK;
}

cs_err cs_store_audit(cs_sql *db, FILE *out, cs_store_file *f)
{
    page documents = {.out = out, .documents = true}, entries = {.out = out};

    cs_err err = db->driver->script(db, db->driver->begin_read); /* of one moment */
    if (err == CS_OK) {
        err = pages(db, &documents);
        err = err == CS_OK ? pages(db, &entries) : err;
        cs_err end = db->fault == CS_SQL_LOST ? CS_OK : db->driver->script(db, "ROLLBACK");
        err = err == CS_OK ? end : err;
    }
    f->rows = entries.written;
    if (err == CS_OK && fflush(out) != 0) {
        err = CS_E_IO;
    }
    if (err != CS_OK && err != CS_E_IO) {
        (void)snprintf(f->why, sizeof f->why, "%s", db->why);
    }
    return err;
}
