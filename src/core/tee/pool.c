#include "core/tee/pool.h"

#include <malloc.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define STACK ((size_t)1 << 20)

typedef struct list {
    cs_task *first, *last;
} list;

struct cs_pool {
    pthread_mutex_t lock;
    pthread_cond_t work; /* something waits, or stop */
    pthread_cond_t up;   /* a worker runs */
    list waiting, done;
    bool stop;
    int fd;
    unsigned num, running;
    pthread_t thread[CS_POOL_WORKERS_MAX];
};

static void push(list *l, cs_task *t)
{
    t->next = NULL;
    *(l->last == NULL ? &l->first : &l->last->next) = t;
    l->last = t;
}

static cs_task *pop(list *l)
{
    cs_task *t = l->first;

    if (t != NULL) {
        l->first = t->next;
        l->last = l->first == NULL ? NULL : l->last;
        t->next = NULL;
    }
    return t;
}

unsigned cs_pool_cpus(void)
{
    cpu_set_t set;
    int n = 1;

    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        n = CPU_COUNT(&set);
    }
    return n < 1 ? 1 : n > (int)CS_POOL_WORKERS_MAX ? CS_POOL_WORKERS_MAX : (unsigned)n;
}

/* The lock is held. One write for everything that is done until the main thread looks. */
static void give_back(cs_pool *p, cs_task *t)
{
    const uint64_t one = 1;
    bool first = p->done.first == NULL;

    push(&p->done, t);
    if (first) {
        (void)!write(p->fd, &one, sizeof one);
    }
}

static void *run(void *arg)
{
    cs_pool *p = arg;

    (void)pthread_mutex_lock(&p->lock);
    p->running++;
    (void)pthread_cond_signal(&p->up);
    while (!p->stop) {
        cs_task *t = pop(&p->waiting);

        if (t == NULL) {
            (void)pthread_cond_wait(&p->work, &p->lock);
            continue;
        }
        (void)pthread_mutex_unlock(&p->lock);
        t->work(t);
        (void)pthread_mutex_lock(&p->lock);
        give_back(p, t);
    }
    (void)pthread_mutex_unlock(&p->lock);
    OPENSSL_thread_stop(); /* what it holds for this thread is in the arena */
    return NULL;
}

/* Signals are for the main thread, inside its ppoll. */
static void start_threads(cs_pool *p, unsigned workers)
{
    pthread_attr_t attr;
    sigset_t all, before;

    if (pthread_attr_init(&attr) != 0) {
        return;
    }
    (void)pthread_attr_setstacksize(&attr, STACK);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    while (p->num < workers && pthread_create(&p->thread[p->num], &attr, run, p) == 0) {
        p->num++;
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attr);
    (void)pthread_mutex_lock(&p->lock);
    while (p->running < p->num) {
        (void)pthread_cond_wait(&p->up, &p->lock);
    }
    (void)pthread_mutex_unlock(&p->lock);
}

cs_err cs_pool_new(cs_pool **out, unsigned workers)
{
    cs_pool *p = NULL;

    if (workers < 1 || workers > CS_POOL_WORKERS_MAX) {
        return CS_E_RANGE;
    }
    p = calloc(1, sizeof *p);
    if (p == NULL) {
        return CS_E_NO_MEMORY;
    }
    (void)pthread_mutex_init(&p->lock, NULL);
    (void)pthread_cond_init(&p->work, NULL);
    (void)pthread_cond_init(&p->up, NULL);
    p->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    /* a heap of its own for a thread would be made with mprotect(2), which the filter forbids */
    (void)mallopt(M_ARENA_MAX, 1);
    if (p->fd >= 0) {
        start_threads(p, workers);
    }
    if (p->num < workers) {
        cs_pool_free(p);
        return CS_E_NO_MEMORY;
    }
    *out = p;
    return CS_OK;
}

void cs_pool_put(cs_pool *p, cs_task *t)
{
    (void)pthread_mutex_lock(&p->lock);
    if (p->stop) {
        give_back(p, t);
    } else {
        push(&p->waiting, t);
        (void)pthread_cond_signal(&p->work);
    }
    (void)pthread_mutex_unlock(&p->lock);
}

cs_task *cs_pool_take(cs_pool *p)
{
    cs_task *t = NULL;

    (void)pthread_mutex_lock(&p->lock);
    t = pop(&p->done);
    (void)pthread_mutex_unlock(&p->lock);
    return t;
}

int cs_pool_fd(const cs_pool *p)
{
    return p->fd;
}

void cs_pool_rest(cs_pool *p)
{
    uint64_t n = 0;

    (void)!read(p->fd, &n, sizeof n);
}

unsigned cs_pool_workers(const cs_pool *p)
{
    return p->num;
}

void cs_pool_stop(cs_pool *p)
{
    cs_task *t = NULL;

    (void)pthread_mutex_lock(&p->lock);
    p->stop = true;
    (void)pthread_cond_broadcast(&p->work);
    (void)pthread_mutex_unlock(&p->lock);
    for (; p->num > 0; p->num--) {
        (void)pthread_join(p->thread[p->num - 1], NULL);
    }
    while ((t = pop(&p->waiting)) != NULL) { /* no other thread is left */
        give_back(p, t);
    }
}

void cs_pool_free(cs_pool *p)
{
    if (p == NULL) {
        return;
    }
    cs_pool_stop(p);
    if (p->fd >= 0) {
        (void)close(p->fd);
    }
    (void)pthread_cond_destroy(&p->up);
    (void)pthread_cond_destroy(&p->work);
    (void)pthread_mutex_destroy(&p->lock);
    free(p);
}
