/*
 * PostgreSQL as the store (libpq): several gateways may share it. Statements are prepared once for each connection; many sets of
 * parameters go in one flight (pipeline). See store_sql.h.
 */
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/store_sql.h"

#define MAX_VALUES 16
#define MAX_COLS 16
#define NUMBER_LEN 24
#define FLIGHT 64 /* sets that are sent before results are read: neither side's buffer fills up */

typedef struct pg {
    cs_sql base;
    PGconn *conn;
    bool prepared[CS_STMT_NUM];
} pg;

bool cs_store_pg_secret(const char *dsn)
{
    bool found = false;
    PQconninfoOption *all = PQconninfoParse(dsn, NULL);

    for (PQconninfoOption *o = all; o != NULL && o->keyword != NULL; o++) {
        bool secret = strcmp(o->keyword, "password") == 0 || strcmp(o->keyword, "sslpassword") == 0;
        found = found || (secret && o->val != NULL && o->val[0] != '\0');
    }
    PQconninfoFree(all);
    return found;
}

/* ---- errors */

static const struct {
    const char *state; /* SQLSTATE or its class */
    cs_sql_fault fault;
} states[] = {
    {"40", CS_SQL_AGAIN},    /* serialisation failure, deadlock, rollback */
    {"55P03", CS_SQL_AGAIN}, /* lock not available */
    {"53300", CS_SQL_LOST},  /* too many connections */
    {"57P", CS_SQL_LOST},    /* shut down, crashed, starting */
    {"25006", CS_SQL_LOST},  /* read-only: a standby, or a primary that became one */
    {"08", CS_SQL_LOST},     {"42", CS_SQL_SCHEMA}, {"22P02", CS_SQL_SCHEMA}, {"23502", CS_SQL_SCHEMA},
};

/* The database's text may show data: only its code and the names of objects are kept. */
static cs_err failed(pg *p, const PGresult *res)
{
    const char *state = res != NULL ? PQresultErrorField(res, PG_DIAG_SQLSTATE) : NULL;
    const char *table = res != NULL ? PQresultErrorField(res, PG_DIAG_TABLE_NAME) : NULL;
    const char *column = res != NULL ? PQresultErrorField(res, PG_DIAG_COLUMN_NAME) : NULL;
    cs_sql_fault fault = CS_SQL_OTHER;

    for (size_t i = 0; state != NULL && i < sizeof states / sizeof *states; i++) {
        if (strncmp(state, states[i].state, strlen(states[i].state)) == 0) {
            fault = states[i].fault;
            break;
        }
    }
    if (PQstatus(p->conn) != CONNECTION_OK || state == NULL) {
        fault = CS_SQL_LOST;
    }
    return cs_sql_failed(&p->base, fault, "PostgreSQL %s%s%.60s%s%.60s", state != NULL ? state : "connection lost",
                         table != NULL ? " table " : "", table != NULL ? table : "", column != NULL ? " column " : "",
                         column != NULL ? column : "");
}

/* ---- connection */

static void on_notice(void *cookie, const char *text)
{
    (void)cookie, (void)text; /* not to standard error */
}

static void pg_close(cs_sql *db)
{
    pg *p = (pg *)db;

    if (p != NULL) {
        PQfinish(p->conn);
        free(p);
    }
}

static cs_err pg_script(cs_sql *db, const char *sql)
{
    pg *p = (pg *)db;
    PGresult *res = PQexec(p->conn, sql);
    ExecStatusType st = PQresultStatus(res);
    cs_err err = st == PGRES_COMMAND_OK || st == PGRES_TUPLES_OK ? CS_OK : failed(p, res);

    if (err == CS_OK && strcmp(sql, "COMMIT") == 0 && strcmp(PQcmdStatus(res), "COMMIT") != 0) {
        err = cs_sql_failed(db, CS_SQL_AGAIN, "PostgreSQL rolled back"); /* the transaction had failed before */
    }
    PQclear(res);
    return err;
}

static cs_err pg_open(cs_sql **out, const cs_store_config *c, bool writes, char why256[256])
{
    char set[320], connect_s[16], user_ms[16];
    uint32_t s = c->timeout_ms / 1000;

    (void)writes;
    (void)snprintf(connect_s, sizeof connect_s, "%u", s < 2 ? 2 : s);
    (void)snprintf(user_ms, sizeof user_ms, "%u", 2 * c->timeout_ms);
    /* what stands in the address goes before: expand_dbname with dbname last would lose that, so it is first */
    const char *keys[] = {"connect_timeout", "tcp_user_timeout", "keepalives_idle", "application_name", "dbname", NULL};
    const char *values[] = {connect_s, user_ms, "30", "sign-gateway", c->dsn, NULL};
    pg *p = calloc(1, sizeof *p);
    if (p == NULL) {
        return CS_E_NO_MEMORY;
    }
    p->base.driver = &cs_store_pg;
    p->conn = PQconnectdbParams(keys, values, 1);
    if (p->conn == NULL || PQstatus(p->conn) != CONNECTION_OK) {
        (void)snprintf(why256, 256, "PostgreSQL: %.200s", p->conn != NULL ? PQerrorMessage(p->conn) : "no memory");
        why256[strcspn(why256, "\n")] = '\0';
        pg_close(&p->base);
        return CS_E_STORE;
    }
    (void)PQsetNoticeProcessor(p->conn, on_notice, NULL);
    (void)snprintf(
        set, sizeof set,
        "SET timezone = 'UTC'; SET datestyle = 'ISO, YMD'; SET client_encoding = 'UTF8'; SET statement_timeout = %u; "
        "SET lock_timeout = %u; SET idle_in_transaction_session_timeout = %u%s",
        c->timeout_ms, c->timeout_ms / 2, 4 * c->timeout_ms,
        c->read_only ? "; SET default_transaction_read_only = on" : "");
    cs_err err = pg_script(&p->base, set);
    if (err != CS_OK) {
        (void)snprintf(why256, 256, "%s", p->base.why);
        pg_close(&p->base);
        return err;
    }
    *out = &p->base;
    return CS_OK;
}

/* ---- statements */

typedef struct params {
    const char *text[MAX_VALUES];
    int lens[MAX_VALUES];
    char numbers[MAX_VALUES][NUMBER_LEN];
    char *copy[MAX_VALUES]; /* values are slices, parameters end with NUL */
} params;

static void params_free(params *a)
{
    for (size_t i = 0; i < MAX_VALUES; i++) {
        free(a->copy[i]);
    }
}

static cs_err params_of(params *a, const cs_sql_value *v, size_t num)
{
    memset(a, 0, sizeof *a);
    for (size_t i = 0; i < num && i < MAX_VALUES; i++) {
        if (v[i].number) {
            (void)snprintf(a->numbers[i], NUMBER_LEN, "%lld", (long long)v[i].i);
            a->text[i] = a->numbers[i];
        } else if (v[i].s.p != NULL) {
            if ((a->copy[i] = malloc(v[i].s.len + 1)) == NULL) {
                return CS_E_NO_MEMORY;
            }
            memcpy(a->copy[i], v[i].s.p, v[i].s.len);
            a->copy[i][v[i].s.len] = '\0';
            a->text[i] = a->copy[i];
        }
    }
    return CS_OK;
}

static void name_of(char name[16], int stmt)
{
    (void)snprintf(name, 16, "s%d", stmt);
}

/* Sends one set; the statement is prepared in the same flight when it is new. */
static bool send_set(pg *p, const cs_sql_run *r, const params *a)
{
    char name[16];

    if (r->stmt < 0) {
        return PQsendQueryParams(p->conn, r->text, (int)r->num_values, NULL, a->text, NULL, NULL, 0) == 1;
    }
    name_of(name, r->stmt);
    return PQsendQueryPrepared(p->conn, name, (int)r->num_values, a->text, NULL, NULL, 0) == 1;
}

static cs_err give(const cs_sql_run *r, size_t set, const PGresult *res)
{
    cs_slice cols[MAX_COLS];
    int num = PQnfields(res), rows = PQntuples(res);
    cs_err err = CS_OK;

    for (int i = 0; i < rows && err == CS_OK && r->row != NULL; i++) {
        for (int c = 0; c < num && c < MAX_COLS; c++) {
            bool null = PQgetisnull(res, i, c) != 0;
            cols[c] = null ? CS_SLICE_NULL : cs_slice_of(PQgetvalue(res, i, c), (size_t)PQgetlength(res, i, c));
        }
        err = r->row(r->cookie, set, cols, (size_t)num);
    }
    if (r->changed != NULL) {
        r->changed[set] = strtoull(PQcmdTuples((PGresult *)(uintptr_t)res), NULL, 10);
    }
    return err;
}

static cs_err take_result(pg *p, const cs_sql_run *r, size_t set, const PGresult *res)
{
    switch (PQresultStatus(res)) {
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
        return give(r, set, res);
    default:
        return failed(p, res);
    }
}

/* All results of a flight, up to its end, whatever is in them. */
static cs_err take_flight(pg *p, const cs_sql_run *r, size_t first)
{
    cs_err err = CS_OK;
    size_t set = first;

    for (;;) {
        PGresult *res = PQgetResult(p->conn);
        if (res == NULL) { /* between two statements */
            if (PQstatus(p->conn) != CONNECTION_OK) {
                return failed(p, NULL);
            }
            continue;
        }
        ExecStatusType st = PQresultStatus(res);
        if (st != PGRES_PIPELINE_SYNC && st != PGRES_PIPELINE_ABORTED && err == CS_OK) {
            err = take_result(p, r, set, res);
        }
        PQclear(res);
        set++;
        if (st == PGRES_PIPELINE_SYNC) {
            return err;
        }
    }
}

static cs_err fly(pg *p, const cs_sql_run *r, size_t first, size_t num)
{
    cs_err err = CS_OK;

    if (PQenterPipelineMode(p->conn) != 1) {
        return failed(p, NULL);
    }
    for (size_t set = first; err == CS_OK && set < first + num; set++) {
        params a;
        err = params_of(&a, r->values + set * r->num_values, r->num_values);
        if (err == CS_OK && !send_set(p, r, &a)) {
            err = failed(p, NULL);
        }
        params_free(&a);
    }
    if (PQpipelineSync(p->conn) != 1) {
        return failed(p, NULL);
    }
    cs_err got = take_flight(p, r, first);
    err = err == CS_OK ? got : err;
    return PQexitPipelineMode(p->conn) == 1 ? err : failed(p, NULL);
}

static cs_err run_one(pg *p, const cs_sql_run *r)
{
    params a;
    char name[16];
    PGresult *res = NULL;
    cs_err err = params_of(&a, r->values, r->num_values);

    if (err == CS_OK) {
        name_of(name, r->stmt);
        res = r->stmt < 0 ? PQexecParams(p->conn, r->text, (int)r->num_values, NULL, a.text, NULL, NULL, 0)
                          : PQexecPrepared(p->conn, name, (int)r->num_values, a.text, NULL, NULL, 0);
        err = take_result(p, r, 0, res);
    }
    PQclear(res);
    params_free(&a);
    return err;
}

static cs_err pg_run(cs_sql *db, const cs_sql_run *r)
{
    pg *p = (pg *)db;
    cs_err err = CS_OK;

    if (r->stmt >= 0 && !p->prepared[r->stmt]) {
        char name[16];
        name_of(name, r->stmt);
        PGresult *res = PQprepare(p->conn, name, cs_store_stmt_text[r->stmt], 0, NULL);
        err = PQresultStatus(res) == PGRES_COMMAND_OK ? CS_OK : failed(p, res);
        PQclear(res);
        p->prepared[r->stmt] = err == CS_OK;
    }
    if (err == CS_OK && r->num_sets == 1) {
        return run_one(p, r);
    }
    for (size_t set = 0; err == CS_OK && set < r->num_sets; set += FLIGHT) {
        err = fly(p, r, set, r->num_sets - set < FLIGHT ? r->num_sets - set : FLIGHT);
    }
    return err;
}

const cs_sql_driver cs_store_pg = {
    .name = "PostgreSQL",
    .begin = "BEGIN ISOLATION LEVEL READ COMMITTED",
    .begin_read = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    /* pg_class is named so that it is locked: what others have committed while we waited for the lock is seen then */
    .has_table = "SELECT 1 FROM pg_class WHERE oid = to_regclass($1)",
    .has_column = "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = to_regclass($1) AND "
                  "attname = $2 AND "
                  "NOT attisdropped AND attnum > 0",
    .unique = "SELECT 1 FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] "
              "WHERE i.indrelid = "
              "to_regclass('keys') AND i.indisunique AND i.indnkeyatts = 1 AND i.indpred IS NULL AND a.attname = 'id' "
              "LIMIT 1",
    .scrub = "",
    .lock = "SELECT pg_advisory_xact_lock(4861239517)",
    .open = pg_open,
    .close = pg_close,
    .script = pg_script,
    .run = pg_run,
};
