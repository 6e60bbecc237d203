/* See store_migrate.h. */
#include "store/store_migrate.h"

#include <openssl/evp.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"

#define NAME 64
#define MADE_MAX 1024
#define APPLICATION_TABLE "keys" /* may be there before us */

static const cs_migration migrations[] = {
#define X(num, name, up, down) {num, name, up, down},
#include "store_migrations.inc"
#undef X
    {0},
};

const cs_migration *cs_store_migrations(void)
{
    return migrations;
}

unsigned cs_store_schema_latest(void)
{
    return migrations[sizeof migrations / sizeof *migrations - 2].number;
}

/* ---- what is there */

typedef struct column {
    bool found;
    char text[MADE_MAX];
} column;

static cs_err on_column(void *cookie, size_t set, const cs_slice *cols, size_t num_cols)
{
    column *c = cookie;

    (void)set, (void)num_cols;
    c->found = true;
    if (cols[0].len >= sizeof c->text) {
        return CS_E_STORE;
    }
    if (cols[0].len > 0) {
        memcpy(c->text, cols[0].p, cols[0].len);
    }
    c->text[cols[0].len] = '\0';
    return CS_OK;
}

static cs_err ask(cs_sql *db, column *out, const char *sql, const char *a, const char *b)
{
    cs_sql_value v[2] = {CS_SQL_S(cs_slice_str(a)), CS_SQL_S(cs_slice_str(b))};

    *out = (column){.found = false};
    return cs_sql_text(db, sql, v, b[0] != '\0' ? 2 : a[0] != '\0' ? 1 : 0, on_column, out, NULL);
}

cs_err cs_store_schema(cs_sql *db, unsigned *out)
{
    column c;
    uint64_t version = 0;

    *out = 0;
    CS_TRY(ask(db, &c, db->driver->has_table, "schema_migrations", ""));
    if (!c.found) {
        return CS_OK;
    }
    CS_TRY(ask(db, &c, db->driver->has_column, "schema_migrations", "made"));
    if (!c.found) {
        return cs_sql_failed(db, CS_SQL_SCHEMA,
                             "schema_migrations is of another program: use a schema of our own (search_path)");
    }
    CS_TRY(ask(db, &c, cs_store_stmt_text[CS_STMT_SCHEMA], "", ""));
    if (c.text[0] != '\0' && cs_parse_u64(cs_slice_str(c.text), 9999, &version) != CS_OK) {
        return CS_E_STORE;
    }
    *out = (unsigned)version;
    return CS_OK;
}

static void checksum(char out[65], const cs_migration *m)
{
    uint8_t hash[32] = {0};
    unsigned len = sizeof hash;

    if (EVP_Digest(m->up, strlen(m->up), hash, &len, EVP_sha256(), NULL) != 1) {
        memset(hash, 0, sizeof hash);
    }
    cs_hex_encode(out, cs_slice_of(hash, sizeof hash));
}

cs_err cs_store_migration_applied(cs_sql *db, const cs_migration *m, uint64_t *out_ms, bool *out_changed)
{
    column c;
    char number[8], sum[65];

    *out_ms = 0;
    *out_changed = false;
    CS_TRY(ask(db, &c, db->driver->has_table, "schema_migrations", ""));
    if (!c.found) {
        return CS_OK;
    }
    (void)snprintf(number, sizeof number, "%u", m->number);
    CS_TRY(ask(db, &c, "SELECT applied_at FROM schema_migrations WHERE CAST(version AS TEXT) = $1", number, ""));
    if (!c.found) {
        return CS_OK;
    }
    CS_TRY(cs_store_time_of(out_ms, cs_slice_str(c.text)));
    CS_TRY(ask(db, &c, "SELECT checksum FROM schema_migrations WHERE CAST(version AS TEXT) = $1", number, ""));
    checksum(sum, m);
    *out_changed = strcmp(sum, c.text) != 0;
    return CS_OK;
}

/* ---- statements */

typedef struct object {
    enum { OTHER, MAKE_TABLE, MAKE_COLUMN, MAKE_INDEX, DROP_TABLE, DROP_COLUMN, DROP_INDEX } kind;
    char name[NAME], column[NAME], type[NAME];
    char id[2 * NAME + 1]; /* name, or table.column */
} object;

/* The word that follows, [a-z0-9_]; false: another prefix, or a word that is too long. */
static bool word(const char **io, const char *prefix, char out[NAME])
{
    size_t len = strlen(prefix);

    if (strncmp(*io, prefix, len) != 0) {
        return false;
    }
    const char *at = *io + len;
    len = strspn(at, "abcdefghijklmnopqrstuvwxyz0123456789_ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    if (len == 0 || len >= NAME) {
        return false;
    }
    memcpy(out, at, len);
    out[len] = '\0';
    *io = at + len;
    return true;
}

static object object_of(const char *sql)
{
    object o = {.kind = OTHER};
    bool is_column = false;

    if (word(&sql, "CREATE TABLE ", o.name)) {
        o.kind = MAKE_TABLE;
    } else if (word(&sql, "CREATE INDEX ", o.name)) {
        o.kind = MAKE_INDEX;
    } else if (word(&sql, "DROP TABLE ", o.name)) {
        o.kind = DROP_TABLE;
    } else if (word(&sql, "DROP INDEX ", o.name)) {
        o.kind = DROP_INDEX;
    } else if (word(&sql, "ALTER TABLE ", o.name)) {
        bool made = word(&sql, " ADD COLUMN ", o.column) && word(&sql, " ", o.type);
        is_column = made || word(&sql, " DROP COLUMN ", o.column);
        o.kind = made ? MAKE_COLUMN : is_column ? DROP_COLUMN : OTHER;
    }
    (void)snprintf(o.id, sizeof o.id, "%s%s%s", o.name, is_column ? "." : "", is_column ? o.column : "");
    return o;
}

static bool listed(const char *made, const char *id)
{
    size_t len = strlen(id);

    for (const char *at = made; (at = strstr(at, id)) != NULL; at += len) {
        if ((at == made || at[-1] == ' ') && (at[len] == ' ' || at[len] == '\0')) {
            return true;
        }
    }
    return false;
}

/* A type of the database serves where ours stands in the migration. */
static bool serves(const char *have, const char *want)
{
    static const struct {
        const char *want, *have;
    } fit[] = {
        {"TEXT", "text"},
        {"TEXT", "character varying"},
        {"TEXT", "varchar"},
        {"BIGINT", "bigint"},
        {"BIGINT", "integer"},
        {"BIGINT", "int"},
        {"TIMESTAMPTZ", "timestamp with"},
        {"TIMESTAMPTZ", "timestamptz"},
    };
    for (size_t i = 0; i < sizeof fit / sizeof *fit; i++) {
        if (strcmp(fit[i].want, want) == 0 && strncmp(have, fit[i].have, strlen(fit[i].have)) == 0) {
            return true;
        }
    }
    return false;
}

/* *out_skip: it is there already (up), or was never made by us (down). */
static cs_err decide(cs_sql *db, const object *o, const char *made, bool *out_skip)
{
    column c;

    *out_skip = false;
    switch (o->kind) {
    case MAKE_TABLE:
        CS_TRY(ask(db, &c, db->driver->has_table, o->name, ""));
        *out_skip = c.found && strcmp(o->name, APPLICATION_TABLE) == 0;
        return CS_OK;
    case MAKE_COLUMN:
        CS_TRY(ask(db, &c, db->driver->has_column, o->name, o->column));
        *out_skip = c.found;
        return !c.found || serves(c.text, o->type)
                   ? CS_OK
                   : cs_sql_failed(db, CS_SQL_SCHEMA, "column %s is %.40s, not %s", o->id, c.text, o->type);
    case DROP_COLUMN:
        *out_skip = !listed(made, o->id) || listed(made, o->name); /* goes with its table */
        return CS_OK;
    case DROP_TABLE:
    case DROP_INDEX:
        *out_skip = !listed(made, o->id);
        return CS_OK;
    default:
        return CS_OK;
    }
}

static cs_err one_statement(cs_sql *db, cs_migrate *m, const char *sql, char made[MADE_MAX])
{
    object o = object_of(sql);
    bool skip = false;
    size_t len = strlen(made);

    CS_TRY(decide(db, &o, made, &skip));
    if (m->print != NULL) {
        (void)fprintf(m->print, "%s%s;\n", skip ? "-- not needed: " : "", sql);
        return CS_OK;
    }
    if (skip) {
        return CS_OK;
    }
    CS_TRY(db->driver->script(db, sql));
    if (o.kind == MAKE_TABLE || o.kind == MAKE_COLUMN || o.kind == MAKE_INDEX) {
        if (len + strlen(o.id) + 2 > MADE_MAX) {
            return CS_E_INTERNAL;
        }
        (void)snprintf(made + len, MADE_MAX - len, "%s%s", len > 0 ? " " : "", o.id);
    }
    return CS_OK;
}

/* Statements end with ";" at the end of a line; lines that begin with "--" are comments. */
static cs_err all_statements(cs_sql *db, cs_migrate *m, const char *text, char made[MADE_MAX])
{
    char sql[2048];
    size_t len = 0;

    for (const char *line = text, *end; *line != '\0'; line = end + 1) {
        end = strchr(line, '\n');
        size_t n = (size_t)(end - line);
        if (strncmp(line, "--", 2) == 0) {
            continue;
        }
        if (len + n + 2 > sizeof sql) {
            return CS_E_INTERNAL;
        }
        memcpy(sql + len, line, n);
        len += n;
        if (n > 0 && sql[len - 1] == ';') {
            sql[len - 1] = '\0';
            CS_TRY(one_statement(db, m, sql, made));
            len = 0;
        } else {
            sql[len++] = '\n';
        }
    }
    return CS_OK;
}

/* ---- one migration */

static cs_err keys_fit(cs_sql *db)
{
    column c;

    CS_TRY(ask(db, &c, db->driver->has_column, APPLICATION_TABLE, "id"));
    if (!c.found || !serves(c.text, "TEXT")) {
        return cs_sql_failed(db, CS_SQL_SCHEMA, "table keys must have a column id of type TEXT; it is %.40s",
                             c.found ? c.text : "missing");
    }
    CS_TRY(ask(db, &c, db->driver->unique, "", ""));
    return c.found ? CS_OK
                   : cs_sql_failed(db, CS_SQL_SCHEMA, "column id of table keys must be its primary key or UNIQUE");
}

static cs_err up(cs_sql *db, cs_migrate *m, const cs_migration *g)
{
    char made[MADE_MAX] = "", sum[65];
    uint8_t now[32];
    cs_buf b = cs_buf_wrap(now, sizeof now);
    column c;

    CS_TRY(ask(db, &c, db->driver->has_table, APPLICATION_TABLE, ""));
    if (c.found) {
        CS_TRY(keys_fit(db));
    }
    CS_TRY(all_statements(db, m, g->up, made));
    if (m->print != NULL) {
        return CS_OK;
    }
    checksum(sum, g);
    CS_TRY(cs_put_rfc3339(&b, cs_clock_wall_ms()));
    cs_sql_value v[5] = {CS_SQL_I(g->number), CS_SQL_S(cs_slice_str(g->name)), CS_SQL_S(cs_slice_str(sum)),
                         CS_SQL_S(cs_slice_str(made)), CS_SQL_S(cs_buf_slice(&b))};
    return cs_sql_text(
        db, "INSERT INTO schema_migrations (version, name, checksum, made, applied_at) VALUES ($1, $2, $3, $4, $5)", v,
        5, NULL, NULL, NULL);
}

static cs_err down(cs_sql *db, cs_migrate *m, const cs_migration *g)
{
    char number[8];
    column c;

    if (g->number == 1 && !m->discard) {
        CS_TRY(ask(db, &c, "SELECT id FROM keys WHERE ciphertext_blob IS NOT NULL LIMIT 1", "", ""));
        if (c.found) {
            (void)snprintf(m->why, sizeof m->why, "there are sealed rows: they would be lost; export them first");
            return CS_E_EXISTS;
        }
    }
    (void)snprintf(number, sizeof number, "%u", g->number);
    CS_TRY(ask(db, &c, "SELECT made FROM schema_migrations WHERE CAST(version AS TEXT) = $1", number, ""));
    CS_TRY(all_statements(db, m, g->down, c.text));
    if (m->print != NULL) {
        return CS_OK;
    }
    if (g->number == 1) {
        return db->driver->script(db, "DROP TABLE schema_migrations");
    }
    cs_sql_value v = CS_SQL_S(cs_slice_str(number));
    return cs_sql_text(db, "DELETE FROM schema_migrations WHERE CAST(version AS TEXT) = $1", &v, 1, NULL, NULL, NULL);
}

/* One step towards m->to, in a transaction. *out_end: there is no further one. have_all: printing, what is done so far. */
static cs_err step(cs_sql *db, cs_migrate *m, unsigned *io_printed, bool *out_end)
{
    unsigned have = 0;

    CS_TRY(cs_store_schema(db, &have));
    have = m->print != NULL && m->done > 0 ? *io_printed : have;
    *out_end = have == m->to;
    if (*out_end) {
        return CS_OK;
    }
    if (have > cs_store_schema_latest()) {
        return cs_sql_failed(db, CS_SQL_SCHEMA, "the database has version %u, this program knows %u", have,
                             cs_store_schema_latest());
    }
    bool rising = have < m->to;
    const cs_migration *g = &migrations[rising ? have : have - 1];
    if (m->print != NULL) {
        (void)fprintf(m->print, "-- %04u_%s %s\n", g->number, g->name, rising ? "up" : "down");
    } else if (rising) {
        CS_TRY(db->driver->script(
            db,
            "CREATE TABLE IF NOT EXISTS schema_migrations (version BIGINT PRIMARY KEY NOT NULL, name TEXT NOT NULL, "
            "checksum TEXT NOT NULL, made TEXT NOT NULL, applied_at TIMESTAMPTZ NOT NULL)"));
    }
    CS_TRY(rising ? up(db, m, g) : down(db, m, g));
    *io_printed = rising ? g->number : g->number - 1;
    m->done++;
    return CS_OK;
}

cs_err cs_store_migrate(cs_sql *db, cs_migrate *m)
{
    bool end = false;
    unsigned printed = 0;
    cs_err err = CS_OK;

    m->done = 0;
    m->why[0] = '\0';
    if (m->to > cs_store_schema_latest()) {
        (void)snprintf(m->why, sizeof m->why, "the newest version is %u", cs_store_schema_latest());
        return CS_E_RANGE;
    }
    while (err == CS_OK && !end) {
        unsigned before = m->done;
        err = m->print == NULL ? db->driver->script(db, db->driver->begin) : CS_OK;
        if (err == CS_OK && m->print == NULL && db->driver->lock[0] != '\0') {
            err = db->driver->script(db, db->driver->lock);
        }
        err = err == CS_OK ? step(db, m, &printed, &end) : err;
        err = err == CS_OK && m->print == NULL ? db->driver->script(db, "COMMIT") : err;
        if (err != CS_OK) {
            m->done = before;
            if (m->why[0] == '\0') {
                (void)snprintf(m->why, sizeof m->why, "%s", db->why);
            }
            if (m->print == NULL && db->fault != CS_SQL_LOST) {
                (void)db->driver->script(db, "ROLLBACK");
            }
        }
    }
    return err;
}
