/*
 * SQLite as the store: one file, one process at a time (a lock file beside it), WAL, synchronous FULL: what was committed survives a
 * power cut. See store_sql.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "store/store_sql.h"

#define PREFIX "sqlite:"
#define MAX_VALUES 16
#define MAX_COLS 16

typedef struct lite {
    cs_sql base;
    sqlite3 *db;
    sqlite3_stmt *stmts[CS_STMT_NUM];
} lite;

/* ---- the lock: one for the process, held by its writer */

static const char *path_of(const cs_store_config *c)
{
    return c->dsn + strlen(PREFIX);
}

cs_err cs_store_sqlite_lock(int *out_fd, const cs_store_config *c, char why256[256])
{
    char path[CS_STORE_DSN_MAX + 8];

    (void)snprintf(path, sizeof path, "%s.lock", path_of(c));
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) != 0) {
        bool used = fd >= 0 && errno == EWOULDBLOCK;
        (void)snprintf(why256, 256, "%.150s: %.90s", path,
                       used ? "another process has this store open (several gateways share PostgreSQL)"
                            : strerror(errno));
        if (fd >= 0) {
            (void)close(fd);
        }
        return CS_E_STORE;
    }
    *out_fd = fd;
    return CS_OK;
}

/* ---- errors */

static cs_err failed(lite *l)
{
    int code = sqlite3_extended_errcode(l->db);
    cs_sql_fault fault = CS_SQL_OTHER;

    switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        fault = CS_SQL_AGAIN;
        break;
    case SQLITE_IOERR:
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_CANTOPEN:
    case SQLITE_PROTOCOL:
        fault = CS_SQL_LOST; /* a new connection recovers the log from the file */
        break;
    case SQLITE_ERROR: /* of a prepare: no such table or column */
    case SQLITE_SCHEMA:
    case SQLITE_MISMATCH:
        fault = CS_SQL_SCHEMA;
        break;
    default:
        break;
    }
    return cs_sql_failed(&l->base, fault, "SQLite %d: %s", code, sqlite3_errstr(code));
}

/* ---- connection */

static void lite_close(cs_sql *db)
{
    lite *l = (lite *)db;

    if (l == NULL) {
        return;
    }
    for (int i = 0; i < CS_STMT_NUM; i++) {
        (void)sqlite3_finalize(l->stmts[i]);
    }
    (void)sqlite3_close_v2(l->db);
    free(l);
}

static cs_err lite_script(cs_sql *db, const char *sql)
{
    lite *l = (lite *)db;

    if (strcmp(sql, "ROLLBACK") == 0 && sqlite3_get_autocommit(l->db)) {
        return CS_OK; /* some errors have rolled back already */
    }
    return sqlite3_exec(l->db, sql, NULL, NULL, NULL) == SQLITE_OK ? CS_OK : failed(l);
}

static cs_err lite_open(cs_sql **out, const cs_store_config *c, bool writes, char why256[256])
{
    static const char pragmas[] =
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; "
        "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY";
    lite *l = calloc(1, sizeof *l);
    bool make = writes && !c->read_only;

    if (l == NULL) {
        return CS_E_NO_MEMORY;
    }
    l->base.driver = &cs_store_sqlite;
    int flags = (make           ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
                 : c->read_only ? SQLITE_OPEN_READONLY
                                : SQLITE_OPEN_READWRITE) |
                SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE;
    int fd = make ? open(path_of(c), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1; /* its log gets the same mode */
    if (fd >= 0) {
        (void)close(fd);
    }
    int rc = sqlite3_open_v2(path_of(c), &l->db, flags, NULL);
    if (rc == SQLITE_OK) {
        (void)sqlite3_busy_timeout(l->db, (int)(c->timeout_ms / 2));
        (void)sqlite3_extended_result_codes(l->db, 1);
        rc = make ? sqlite3_exec(l->db, pragmas, NULL, NULL, NULL)
                  : sqlite3_exec(l->db, "PRAGMA query_only = ON; PRAGMA trusted_schema = OFF", NULL, NULL, NULL);
    }
    if (rc != SQLITE_OK) {
        (void)snprintf(why256, 256, "%.180s: %s", path_of(c), sqlite3_errstr(rc));
        lite_close(&l->base);
        return CS_E_STORE;
    }
    *out = &l->base;
    return CS_OK;
}

/* ---- statements */

static int bind_all(sqlite3_stmt *st, const cs_sql_value *v, size_t num)
{
    for (size_t i = 0; i < num; i++) {
        char name[8];
        (void)snprintf(name, sizeof name, "$%u", (unsigned)(i + 1));
        int at = sqlite3_bind_parameter_index(st, name), rc;
        if (at == 0) {
            continue; /* not in this statement */
        }
        if (v[i].number) {
            rc = sqlite3_bind_int64(st, at, v[i].i);
        } else if (v[i].s.p == NULL) {
            rc = sqlite3_bind_null(st, at);
        } else {
            rc = sqlite3_bind_text64(st, at, (const char *)v[i].s.p, v[i].s.len, SQLITE_STATIC, SQLITE_UTF8);
        }
        if (rc != SQLITE_OK) {
            return rc;
        }
    }
    return SQLITE_OK;
}

static cs_err give(sqlite3_stmt *st, const cs_sql_run *r, size_t set)
{
    cs_slice cols[MAX_COLS];
    int num = sqlite3_column_count(st);

    for (int i = 0; i < num && i < MAX_COLS; i++) {
        const void *text = sqlite3_column_text(st, i); /* before its length */
        cols[i] = cs_slice_of(text, text == NULL ? 0 : (size_t)sqlite3_column_bytes(st, i));
    }
    return r->row == NULL ? CS_OK : r->row(r->cookie, set, cols, (size_t)num);
}

static cs_err run_set(lite *l, sqlite3_stmt *st, const cs_sql_run *r, size_t set)
{
    cs_err err = CS_OK;
    int rc = r->num_values > 0 ? bind_all(st, r->values + set * r->num_values, r->num_values) : SQLITE_OK;

    while (err == CS_OK && rc == SQLITE_OK) {
        rc = sqlite3_step(st);
        if (rc == SQLITE_ROW) {
            err = give(st, r, set);
            rc = SQLITE_OK;
        }
    }
    if (err == CS_OK && rc != SQLITE_DONE) {
        err = failed(l);
    }
    if (err == CS_OK && r->changed != NULL) {
        r->changed[set] = (uint64_t)sqlite3_changes64(l->db);
    }
    (void)sqlite3_reset(st);
    (void)sqlite3_clear_bindings(st);
    return err;
}

static cs_err lite_run(cs_sql *db, const cs_sql_run *r)
{
    lite *l = (lite *)db;
    sqlite3_stmt *st = r->stmt >= 0 ? l->stmts[r->stmt] : NULL;
    const char *text = r->stmt >= 0 ? cs_store_stmt_text[r->stmt] : r->text;
    cs_err err = CS_OK;

    if (st == NULL) {
        if (sqlite3_prepare_v3(l->db, text, -1, r->stmt >= 0 ? SQLITE_PREPARE_PERSISTENT : 0, &st, NULL) != SQLITE_OK) {
            return failed(l);
        }
        if (r->stmt >= 0) {
            l->stmts[r->stmt] = st;
        }
    }
    for (size_t set = 0; err == CS_OK && set < r->num_sets; set++) {
        err = run_set(l, st, r, set);
    }
    if (r->stmt < 0) {
        (void)sqlite3_finalize(st);
    }
    return err;
}

const cs_sql_driver cs_store_sqlite = {
    .name = "SQLite",
    .begin = "BEGIN IMMEDIATE",
    .begin_read = "BEGIN",
    .has_table = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = $1",
    .has_column = "SELECT lower(type) FROM pragma_table_info($1) WHERE name = $2",
    .unique = "SELECT 1 WHERE EXISTS (SELECT 1 FROM pragma_table_info('keys') WHERE name = 'id' AND pk = 1 AND (SELECT "
              "COUNT(*) FROM "
              "pragma_table_info('keys') WHERE pk > 0) = 1) OR EXISTS (SELECT 1 FROM pragma_index_list('keys') l WHERE "
              "l.\"unique\" "
              "AND l.partial = 0 AND (SELECT group_concat(name) FROM pragma_index_info(l.name)) = 'id')",
    .scrub = "PRAGMA wal_checkpoint(TRUNCATE)",
    .lock = "",
    .open = lite_open,
    .close = lite_close,
    .script = lite_script,
    .run = lite_run,
};
