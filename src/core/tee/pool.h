/*
 * Worker threads of core: they do the expensive, pure part of TEE calls. A task goes in on the main thread, is worked on by one worker,
 * and comes back on the main thread, in any order. Workers are made before the system call filter and touch nothing but their task.
 */
#ifndef CS_CORE_TEE_POOL_H
#define CS_CORE_TEE_POOL_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define CS_POOL_WORKERS_MAX 64u

/* The head of what is worked on. Between put and take it belongs to the pool. */
typedef struct cs_task {
    struct cs_task *next;
    void (*work)(struct cs_task *t);            /* on a worker: no I/O, no log, no state but the task's */
    void (*done)(void *ctx, struct cs_task *t); /* on the main thread; for who takes it, not for the pool */
} cs_task;

typedef struct cs_pool cs_pool;

/* cs_pool_cpus - how many this process may use, 1..CS_POOL_WORKERS_MAX. */
unsigned cs_pool_cpus(void);
/*
 * cs_pool_new - that many threads (1..CS_POOL_WORKERS_MAX), all of them running when it returns: no thread makes another system call than
 * those of the filter from then on. CS_E_NO_MEMORY (threads, descriptor) | CS_E_RANGE.
 */
CS_MUST cs_err cs_pool_new(cs_pool **out, unsigned workers);
/* cs_pool_put - (borrowed until cs_pool_take gives it back). cs_pool_take - one that is done, or NULL. */
void cs_pool_put(cs_pool *p, cs_task *t);
cs_task *cs_pool_take(cs_pool *p);
/* cs_pool_fd - readable when there may be something to take; cs_pool_rest makes it quiet again: call it before taking. */
int cs_pool_fd(const cs_pool *p);
void cs_pool_rest(cs_pool *p);
unsigned cs_pool_workers(const cs_pool *p);
/*
 * cs_pool_stop - ends the threads when they have done what they have in hand. Tasks that nobody has begun come back by cs_pool_take like the
 * others. cs_pool_free - stops; NULL is fine. All tasks must have been taken.
 */
void cs_pool_stop(cs_pool *p);
void cs_pool_free(cs_pool *p);

#endif
