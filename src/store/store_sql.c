/*
 * What SQLite and PostgreSQL share: the table of statements, and transactions that are tried again. A transaction holds the jobs
 * that waited together (SQLite: one write to the disk for all of them); a job that is refused takes only its own changes back.
 */
#include "store/store_sql.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/clock.h"

const char *const cs_store_stmt_text[CS_STMT_NUM] = {
#define CS_STORE_ROW(name, sql) [CS_STMT_##name] = sql,
    CS_STORE_STMTS(CS_STORE_ROW)
#undef CS_STORE_ROW
};

static const struct {
    const char *prefix;
    const cs_sql_driver *driver;
} drivers[] = {
    {"sqlite:", &cs_store_sqlite},
    {"postgresql://", &cs_store_pg},
    {"postgres://", &cs_store_pg},
};

const cs_sql_driver *cs_store_driver(const char *dsn)
{
    for (size_t i = 0; i < sizeof drivers / sizeof *drivers; i++) {
        size_t len = strlen(drivers[i].prefix);
        if (strncmp(dsn, drivers[i].prefix, len) == 0 && dsn[len] != '\0') {
            return drivers[i].driver;
        }
    }
    return NULL;
}

cs_err cs_sql_failed(cs_sql *db, cs_sql_fault fault, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(db->why, sizeof db->why, fmt, ap);
    va_end(ap);
    db->fault = fault;
    return fault == CS_SQL_SCHEMA ? CS_E_STORE_SCHEMA : CS_E_STORE;
}

cs_err cs_sql_one(cs_sql *db, cs_store_stmt stmt, const cs_sql_value *v, size_t num, cs_sql_row_fn *row, void *cookie,
                  uint64_t *changed)
{
    cs_sql_run r = {.stmt = (int)stmt,
                    .values = v,
                    .num_values = num,
                    .num_sets = 1,
                    .row = row,
                    .cookie = cookie,
                    .changed = changed};
    return db->driver->run(db, &r);
}

cs_err cs_sql_text(cs_sql *db, const char *text, const cs_sql_value *v, size_t num, cs_sql_row_fn *row, void *cookie,
                   uint64_t *changed)
{
    cs_sql_run r = {.stmt = -1,
                    .text = text,
                    .values = v,
                    .num_values = num,
                    .num_sets = 1,
                    .row = row,
                    .cookie = cookie,
                    .changed = changed};
    return db->driver->run(db, &r);
}

/* ---- transactions */

static bool of_database(cs_err err)
{
    return err == CS_E_STORE || err == CS_E_STORE_SCHEMA || err == CS_E_NO_MEMORY;
}

/* What an attempt found is not true any more. */
static void reset(cs_store_job *job)
{
    cs_store_mem_free(&job->found);
    job->out = (cs_store_out){0};
    job->err = CS_OK;
    job->finished = false;
}

/* One job among several: a savepoint of its own, so that a refusal takes back what it did. */
static cs_err in_group(cs_sql *db, cs_store_job *job)
{
    CS_TRY(db->driver->script(db, "SAVEPOINT job"));
    job->err = cs_store_ops[job->op].fn(db, job);
    if (of_database(job->err)) {
        return job->err;
    }
    if (job->err != CS_OK && !job->finished) {
        db->has_boot = false;
        CS_TRY(db->driver->script(db, "ROLLBACK TO job"));
    }
    return db->driver->script(db, "RELEASE job");
}

/* All jobs, between the begin and the end of a transaction. *out_end: what ends it. */
static cs_err inside(cs_sql *db, cs_store_job *jobs, const char **out_end)
{
    cs_err err = CS_OK;

    *out_end = "COMMIT";
    if (jobs->next != NULL) {
        for (cs_store_job *j = jobs; j != NULL && err == CS_OK; j = j->next) {
            err = in_group(db, j);
        }
        return err;
    }
    jobs->err = cs_store_ops[jobs->op].fn(db, jobs);
    if (jobs->err != CS_OK && !jobs->finished) {
        db->has_boot = false;
        *out_end = "ROLLBACK";
    }
    return of_database(jobs->err) ? jobs->err : CS_OK;
}

/* *out_unsure: the connection went while the end of the transaction was asked for. */
static cs_err attempt(cs_sql *db, cs_store_job *jobs, bool *out_unsure)
{
    const cs_store_op_row *op = &cs_store_ops[jobs->op];
    const char *end = "COMMIT";

    *out_unsure = false;
    db->fault = CS_SQL_NONE;
    reset(jobs);
    for (cs_store_job *j = jobs->next; j != NULL; j = j->next) {
        reset(j);
    }
    if (!op->writes || (op->one && jobs->next == NULL)) {
        jobs->err = op->fn(db, jobs);
        return of_database(jobs->err) ? jobs->err : CS_OK;
    }
    cs_err err = db->driver->script(db, db->driver->begin);
    if (err != CS_OK) {
        return err;
    }
    err = inside(db, jobs, &end);
    if (err == CS_OK) {
        err = db->driver->script(db, end);
        *out_unsure = err != CS_OK && db->fault == CS_SQL_LOST;
    }
    if (err != CS_OK) {
        db->has_boot = false;
    }
    if (err != CS_OK && db->fault != CS_SQL_LOST) {
        cs_sql_fault fault = db->fault;
        if (db->driver->script(db, "ROLLBACK") != CS_OK) {
            fault = CS_SQL_LOST; /* never go on inside a transaction that failed */
        }
        db->fault = fault;
    }
    return err;
}

static void back_off(unsigned tries)
{
    uint32_t random = 0;
    uint64_t ms = (uint64_t)5 << (tries < 6 ? tries : 6);

    if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random) {
        random = tries * 2654435761u;
    }
    ms = ms / 2 + random % (ms / 2 + 1);
    struct timespec t = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    (void)nanosleep(&t, NULL);
}

static cs_err try_all(cs_sql **io_db, const cs_store_config *c, cs_store_job *jobs)
{
    cs_err err = CS_E_STORE;
    char why[256];
    uint64_t patience = cs_clock_mono_ms() + 2 * (uint64_t)c->timeout_ms;

    for (unsigned tries = 0; tries == 0 || (tries < CS_STORE_TRIES && cs_clock_mono_ms() < patience); tries++) {
        bool unsure = false;
        if (tries > 0) {
            back_off(tries);
        }
        if (*io_db == NULL) {
            bool writes = cs_store_ops[jobs->op].writes;
            err = cs_store_driver(c->dsn)->open(io_db, c, writes, why);
            if (err != CS_OK && tries > 2) {
                return err; /* it is away: the next job asks again */
            }
            if (err != CS_OK) {
                continue;
            }
        }
        err = attempt(*io_db, jobs, &unsure);
        cs_sql_fault fault = (*io_db)->fault;
        if (err == CS_OK) {
            return CS_OK;
        }
        if (fault == CS_SQL_LOST) {
            (*io_db)->driver->close(*io_db);
            *io_db = NULL;
        }
        if (unsure || (fault != CS_SQL_LOST && fault != CS_SQL_AGAIN)) {
            return err;
        }
    }
    return err;
}

/* Best effort: a reader may be in the way, then the next one does it. */
static void scrub(cs_sql *db, const cs_store_job *jobs)
{
    for (; jobs != NULL; jobs = jobs->next) {
        if (jobs->op == CS_STORE_ADOPT && db->driver->scrub[0] != '\0') {
            (void)db->driver->script(db, db->driver->scrub);
            return;
        }
    }
}

void cs_store_run(cs_sql **io_db, const cs_store_config *c, cs_store_job *jobs)
{
    cs_err err = try_all(io_db, c, jobs);

    if (err == CS_OK) {
        scrub(*io_db, jobs);
        return;
    }
    if (jobs->next == NULL || *io_db == NULL) {
        for (cs_store_job *j = jobs; j != NULL; j = j->next) {
            reset(j);
            j->err = err;
        }
        return;
    }
    for (cs_store_job *j = jobs; j != NULL; j = j->next) { /* one of them cannot be done: the others can */
        cs_store_job *next = j->next;
        j->next = NULL;
        cs_store_run(io_db, c, j);
        j->next = next;
    }
}
