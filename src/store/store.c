/*
 * The store's front: jobs are copied, queued, done by threads and handed back on the loop. SQLite has one thread that writes (it
 * takes all that wait into one transaction) and some that read; with PostgreSQL each thread does either. See store.h.
 */
#include "store/store.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "store/store_migrate.h"
#include "store/store_sql.h"

#define THREADS_MAX 65
#define GROUP_MAX 128
#define EXPIRE_MS 60000

typedef struct queue {
    cs_store_job *first, **last;
} queue;

typedef struct worker {
    pthread_t thread;
    cs_store *store;
    cs_sql *db;
    bool reads, writes;
    size_t group; /* jobs of one transaction */
    bool running;
} worker;

struct cs_store {
    cs_store_config config;
    pthread_mutex_t lock;
    pthread_cond_t work_read, work_write;
    queue read, write, done;
    size_t queued;
    bool stopping, ok;
    bool calling, closed; /* closed within a callback: the memory goes when that returns */
    cs_loop *loop;
    cs_async *wake;
    cs_timer *expire;
    worker w[THREADS_MAX];
    size_t num_workers;
    int lock_fd;
};

/* ---- queues: under the lock */

static void push(queue *q, cs_store_job *job)
{
    job->next = NULL;
    if (q->first == NULL) {
        q->last = &q->first;
    }
    *q->last = job;
    q->last = &job->next;
}

/* At most max jobs of the front, as a list of their own. */
static cs_store_job *take(queue *q, size_t max)
{
    cs_store_job *list = q->first, **at = &list;

    for (size_t n = 0; n < max && *at != NULL; n++) {
        at = &(*at)->next;
    }
    q->first = *at;
    *at = NULL;
    return list;
}

static void job_free(cs_store_job *job)
{
    if (job != NULL) {
        cs_store_mem_free(&job->mem);
        cs_store_mem_free(&job->found);
        free(job);
    }
}

static void free_all(queue *q)
{
    while (q->first != NULL) {
        job_free(take(q, 1));
    }
}

/* ---- threads */

static cs_store_job *wait_for_work(worker *w)
{
    cs_store *s = w->store;
    cs_store_job *jobs = NULL;

    (void)pthread_mutex_lock(&s->lock);
    while (!s->stopping && jobs == NULL) {
        if (w->writes && s->write.first != NULL) {
            jobs = take(&s->write, w->group);
        } else if (w->reads && s->read.first != NULL) {
            jobs = take(&s->read, 1);
        } else {
            (void)pthread_cond_wait(w->writes ? &s->work_write : &s->work_read, &s->lock);
        }
    }
    (void)pthread_mutex_unlock(&s->lock);
    return jobs;
}

static void *work(void *arg)
{
    worker *w = arg;
    cs_store *s = w->store;

    for (cs_store_job *jobs; (jobs = wait_for_work(w)) != NULL;) {
        cs_store_run(&w->db, &s->config, jobs);
        (void)pthread_mutex_lock(&s->lock);
        s->ok = jobs->err != CS_E_STORE && jobs->err != CS_E_STORE_SCHEMA;
        for (cs_store_job *next; jobs != NULL; jobs = next) {
            next = jobs->next;
            push(&s->done, jobs);
        }
        (void)pthread_mutex_unlock(&s->lock);
        cs_async_send(s->wake);
    }
    return NULL;
}

static cs_err start_worker(cs_store *s, bool reads, bool writes, size_t group)
{
    worker *w = &s->w[s->num_workers];
    sigset_t all, before;

    w->store = s;
    w->reads = reads;
    w->writes = writes;
    w->group = group;
    (void)sigfillset(&all); /* signals are the loop's */
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    w->running = pthread_create(&w->thread, NULL, work, w) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    s->num_workers += w->running;
    return w->running ? CS_OK : CS_E_NO_MEMORY;
}

/* ---- the loop's side */

static void on_done(void *cookie)
{
    cs_store *s = cookie;

    s->calling = true;
    while (!s->closed) { /* done may close the store */
        (void)pthread_mutex_lock(&s->lock);
        cs_store_job *job = take(&s->done, 1);
        s->queued -= job != NULL;
        (void)pthread_mutex_unlock(&s->lock);
        if (job == NULL) {
            s->calling = false;
            return;
        }
        if (!job->forgotten && job->done != NULL) {
            job->done(job->cookie, job->err, &job->out);
        }
        job_free(job);
    }
    free(s);
}

static void on_expired(void *cookie, cs_err err, const cs_store_out *out);

static void on_expire(void *cookie)
{
    cs_store *s = cookie;
    uint64_t now = cs_clock_wall_ms(), keep = (uint64_t)s->config.request_seconds * 1000;
    cs_store_in in = {.before_ms = now > keep ? now - keep : 0};

    if (cs_store_start(s, CS_STORE_EXPIRE, &in, NULL, on_expired, s) != CS_OK) {
        return; /* the next minute */
    }
}

static void on_expired(void *cookie, cs_err err, const cs_store_out *out)
{
    if (err == CS_OK && out->counts.requests >= CS_STORE_EXPIRE_MAX) {
        on_expire(cookie);
    }
}

/* ---- opening */

bool cs_store_is_dsn(const char *dsn, bool *out_secret)
{
    const cs_sql_driver *d = strlen(dsn) < CS_STORE_DSN_MAX ? cs_store_driver(dsn) : NULL;

    *out_secret = d == &cs_store_pg && cs_store_pg_secret(dsn);
    return d != NULL;
}

cs_err cs_store_config_fit(cs_store_config *c, char why256[256])
{
    bool secret = false;

    if (!cs_store_is_dsn(c->dsn, &secret) || secret) {
        (void)snprintf(why256, 256,
                       secret ? "a password does not belong into the address: use the passfile or a service file"
                              : "not sqlite:PATH or postgresql://...");
        return CS_E_CONFIG;
    }
    bool lite = cs_store_driver(c->dsn) == &cs_store_sqlite;
    c->conns = c->conns == 0 ? (lite ? 2 : 8) : c->conns > THREADS_MAX - 1 ? THREADS_MAX - 1 : c->conns;
    c->queue = c->queue == 0 ? 1024 : c->queue;
    c->timeout_ms = c->timeout_ms == 0 ? 5000 : c->timeout_ms;
    return CS_OK;
}

cs_err cs_store_connect(cs_sql **out, const cs_store_config *c, int *out_lock_fd, char why256[256])
{
    cs_sql *db = NULL;
    unsigned have = 0;
    cs_err err;
    bool lite = cs_store_driver(c->dsn) == &cs_store_sqlite;

    *out_lock_fd = -1;
    if (lite && !c->read_only) {
        CS_TRY(cs_store_sqlite_lock(out_lock_fd, c, why256));
    }
    err = cs_store_driver(c->dsn)->open(&db, c, true, why256);
    if (err == CS_OK && c->migrate && !c->read_only) {
        cs_migrate m = {.to = cs_store_schema_latest()};
        err = cs_store_schema(db, &have);
        if (err == CS_OK && have < m.to && (err = cs_store_migrate(db, &m)) != CS_OK) {
            (void)snprintf(db->why, sizeof db->why, "%.199s", m.why);
        }
    }
    if (db != NULL && err != CS_OK) {
        (void)snprintf(why256, 256, "%s", db->why);
        db->driver->close(db);
    }
    if (err != CS_OK) {
        if (*out_lock_fd >= 0) {
            (void)close(*out_lock_fd);
        }
        return err;
    }
    *out = db;
    return CS_OK;
}

static cs_err open_first(cs_store *s, char why256[256])
{
    cs_sql *db = NULL;
    unsigned have = 0;

    CS_TRY(cs_store_config_fit(&s->config, why256));
    if (strcmp(s->config.dsn, "sqlite::memory:") == 0) {
        (void)snprintf(why256, 256, "a store in memory would be another one for each connection");
        return CS_E_CONFIG;
    }
    CS_TRY(cs_store_connect(&db, &s->config, &s->lock_fd, why256));
    cs_err err = cs_store_schema(db, &have);
    if (err != CS_OK || have != cs_store_schema_latest()) {
        (void)snprintf(why256, 256, "%s",
                       err != CS_OK ? db->why : "the schema has another version: sign-gateway migrate status");
        err = err != CS_OK ? err : CS_E_STORE_SCHEMA;
        db->driver->close(db);
        return err;
    }
    s->w[0].db = db; /* transferred */
    return CS_OK;
}

static cs_err start(cs_store *s)
{
    bool lite = cs_store_driver(s->config.dsn) == &cs_store_sqlite;
    cs_err err = start_worker(s, !lite, true, lite ? GROUP_MAX : 1);

    for (unsigned i = lite ? 0 : 1; err == CS_OK && i < s->config.conns; i++) {
        err = start_worker(s, true, !lite, 1);
    }
    if (err == CS_OK && s->config.request_seconds > 0 && !s->config.read_only) {
        err = cs_timer_new(&s->expire, s->loop, on_expire, s);
        if (err == CS_OK) {
            cs_timer_start(s->expire, EXPIRE_MS, EXPIRE_MS);
        }
    }
    return err;
}

cs_err cs_store_open(cs_store **out, cs_loop *l, const cs_store_config *c, char why256[256])
{
    char why[256] = "";
    cs_store *s = calloc(1, sizeof *s);

    if (s == NULL) {
        return CS_E_NO_MEMORY;
    }
    s->config = *c;
    s->loop = l;
    s->lock_fd = -1;
    s->ok = true;
    (void)pthread_mutex_init(&s->lock, NULL);
    (void)pthread_cond_init(&s->work_read, NULL);
    (void)pthread_cond_init(&s->work_write, NULL);
    cs_err err = cs_async_new(&s->wake, l, on_done, s);
    err = err == CS_OK ? open_first(s, why) : err;
    err = err == CS_OK ? start(s) : err;
    if (why256 != NULL) {
        memcpy(why256, why, sizeof why);
    }
    if (err != CS_OK) {
        cs_store_close(s);
        return err;
    }
    *out = s;
    return CS_OK;
}

void cs_store_close(cs_store *s)
{
    if (s == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&s->lock);
    s->stopping = true;
    (void)pthread_cond_broadcast(&s->work_read);
    (void)pthread_cond_broadcast(&s->work_write);
    (void)pthread_mutex_unlock(&s->lock);
    for (size_t i = 0; i < s->num_workers; i++) {
        (void)pthread_join(s->w[i].thread, NULL);
    }
    for (size_t i = 0; i < THREADS_MAX; i++) {
        if (s->w[i].db != NULL) {
            s->w[i].db->driver->close(s->w[i].db);
        }
    }
    free_all(&s->read);
    free_all(&s->write);
    free_all(&s->done);
    cs_timer_free(s->expire);
    cs_async_free(s->wake);
    if (s->lock_fd >= 0) {
        (void)close(s->lock_fd); /* after the last connection */
    }
    (void)pthread_mutex_destroy(&s->lock);
    (void)pthread_cond_destroy(&s->work_read);
    (void)pthread_cond_destroy(&s->work_write);
    s->closed = true;
    if (!s->calling) {
        free(s);
    }
}

bool cs_store_ok(const cs_store *s)
{
    return s->ok;
}

size_t cs_store_queued(const cs_store *s)
{
    return s->queued;
}

/* ---- starting an operation */

cs_err cs_store_start(cs_store *s, cs_store_op op, const cs_store_in *in, cs_store_job **out_job, cs_store_fn *done,
                      void *cookie)
{
    bool writes;

    if ((unsigned)op >= CS_STORE_NUM_OPS || !cs_store_in_valid(op, in)) {
        return CS_E_RANGE;
    }
    writes = cs_store_ops[op].writes;
    if (writes && s->config.read_only) {
        return CS_E_STORE;
    }
    cs_store_job *job = calloc(1, sizeof *job);
    if (job == NULL) {
        return CS_E_NO_MEMORY;
    }
    *job = (cs_store_job){.store = s, .op = op, .in = *in, .done = done, .cookie = cookie};
    if (!cs_store_keep(job)) {
        job_free(job);
        return CS_E_NO_MEMORY;
    }
    (void)pthread_mutex_lock(&s->lock);
    bool full = s->queued >= s->config.queue;
    if (!full) {
        s->queued++;
        push(writes ? &s->write : &s->read, job);
        (void)pthread_cond_signal(writes || s->w[0].reads ? &s->work_write : &s->work_read);
    }
    (void)pthread_mutex_unlock(&s->lock);
    if (full) {
        job_free(job);
        return CS_E_TEE_BUSY;
    }
    if (out_job != NULL) {
        *out_job = job;
    }
    return CS_OK;
}

void cs_store_forget(cs_store_job *job)
{
    if (job != NULL) {
        job->forgotten = true;
    }
}
