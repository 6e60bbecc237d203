/* See pool.h. */
#include "kms/pool.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define REPLY_MAX 32768u /* key ARN, two blobs of 6 KiB, type, heads */

typedef struct job {
    struct job *next;
    uint64_t began_ms;
    size_t len;
    uint8_t frame[];
} job;

typedef struct worker {
    struct cs_kms_pool *pool;
    pthread_t thread;
    cs_kms_outcome outcome;
    uint8_t reply[REPLY_MAX];
} worker;

struct cs_kms_pool {
    cs_kms_link link;
    cs_kms_pool_fn *fn;
    void *cookie;
    pthread_mutex_t lock;
    pthread_cond_t work;
    bool stopped;
    job *first, *last;
    size_t num, bytes;
    size_t num_workers, num_ready;
    pthread_cond_t ready;
    worker workers[CS_KMS_WORKERS];
};

/* The next job; NULL: the end. */
static job *next_job(cs_kms_pool *p)
{
    job *j = NULL;

    (void)pthread_mutex_lock(&p->lock);
    while (!p->stopped && p->first == NULL) {
        (void)pthread_cond_wait(&p->work, &p->lock);
    }
    if (!p->stopped) {
        j = p->first;
        p->first = j->next;
        p->last = p->first == NULL ? NULL : p->last;
        p->num--;
        p->bytes -= j->len;
    }
    (void)pthread_mutex_unlock(&p->lock);
    return j;
}

static void *work(void *cookie)
{
    worker *w = cookie;
    cs_kms_pool *p = w->pool;
    job *j = NULL;

    (void)pthread_mutex_lock(&p->lock);
    p->num_ready++;
    (void)pthread_cond_signal(&p->ready);
    (void)pthread_mutex_unlock(&p->lock);
    while ((j = next_job(p)) != NULL) {
        cs_rpc_frame f;
        cs_buf b = cs_buf_wrap(w->reply, sizeof w->reply);
        if (cs_rpc_decode(&f, cs_slice_of(j->frame, j->len)) != CS_OK) {
            abort(); /* it did when it was queued */
        }
        cs_kms_run(&w->outcome, &p->link, &f, j->began_ms);
        if (cs_kms_put_reply(&b, f.id, &w->outcome) != CS_OK) {
            abort(); /* REPLY_MAX is the sum of what an outcome can hold */
        }
        p->fn(p->cookie, cs_buf_slice(&b));
        free(j);
    }
    return NULL;
}

cs_err cs_kms_pool_new(cs_kms_pool **out, const cs_kms_link *link, cs_kms_pool_fn *fn, void *cookie)
{
    cs_kms_pool *p = calloc(1, sizeof *p);

    if (p == NULL) {
        return CS_E_NO_MEMORY;
    }
    p->link = *link;
    p->fn = fn;
    p->cookie = cookie;
    (void)pthread_mutex_init(&p->lock, NULL);
    (void)pthread_cond_init(&p->work, NULL);
    (void)pthread_cond_init(&p->ready, NULL);
    while (p->num_workers < CS_KMS_WORKERS) {
        worker *w = &p->workers[p->num_workers];
        w->pool = p;
        if (pthread_create(&w->thread, NULL, work, w) != 0) {
            cs_kms_pool_free(p);
            return CS_E_NO_MEMORY;
        }
        p->num_workers++;
    }
    /* a thread's first system calls are the C library's, and none that the filter allows: it must not come before they are done */
    (void)pthread_mutex_lock(&p->lock);
    while (p->num_ready < p->num_workers) {
        (void)pthread_cond_wait(&p->ready, &p->lock);
    }
    (void)pthread_mutex_unlock(&p->lock);
    *out = p;
    return CS_OK;
}

cs_err cs_kms_pool_put(cs_kms_pool *p, cs_slice frame)
{
    job *j = malloc(sizeof *j + frame.len);
    bool queued = false;

    if (j == NULL) {
        return CS_E_NO_MEMORY;
    }
    j->next = NULL;
    j->began_ms = cs_clock_mono_ms();
    j->len = frame.len;
    memcpy(j->frame, frame.p, frame.len);
    (void)pthread_mutex_lock(&p->lock);
    if (p->num < CS_KMS_QUEUE && p->bytes + frame.len <= CS_KMS_QUEUE_BYTES) {
        *(p->last == NULL ? &p->first : &p->last->next) = j; /* transferred */
        p->last = j;
        p->num++;
        p->bytes += frame.len;
        queued = true;
        (void)pthread_cond_signal(&p->work);
    }
    (void)pthread_mutex_unlock(&p->lock);
    if (!queued) {
        free(j);
    }
    return queued ? CS_OK : CS_E_TEE_BUSY;
}

void cs_kms_pool_free(cs_kms_pool *p)
{
    if (p == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&p->lock);
    p->stopped = true;
    (void)pthread_cond_broadcast(&p->work);
    (void)pthread_mutex_unlock(&p->lock);
    cs_kms_conns_stop(p->link.conns);
    for (size_t i = 0; i < p->num_workers; i++) {
        (void)pthread_join(p->workers[i].thread, NULL);
    }
    while (p->first != NULL) {
        job *j = p->first;
        p->first = j->next;
        free(j);
    }
    (void)pthread_cond_destroy(&p->work);
    (void)pthread_cond_destroy(&p->ready);
    (void)pthread_mutex_destroy(&p->lock);
    free(p);
}
