/* The event loop over libuv: turns, deferred calls, timers, signals, wake-ups. See loop.h. */
#include "net/loop.h"

#include <signal.h>
#include <stdlib.h>
#include <uv.h>

#include "net/loop_int.h"

static void run_deferred(cs_loop *l)
{
    /* a deferred call may defer again, even itself: bounded so that one that always does cannot stop the loop */
    for (int rounds = 0; l->deferred != NULL && rounds < 100000; rounds++) {
        cs_defer *d = l->deferred;
        cs_defer_cancel(d);
        d->fn(d->cookie);
    }
}

static void on_prepare(uv_prepare_t *p)
{
    run_deferred(p->data);
}

cs_err cs_loop_new(cs_loop **out)
{
    cs_loop *l = calloc(1, sizeof *l);
    if (l == NULL) {
        return CS_E_NO_MEMORY;
    }
    if (uv_loop_init(&l->uv) != 0) {
        free(l);
        return CS_E_NO_MEMORY;
    }
    (void)uv_prepare_init(&l->uv, &l->prepare);
    l->prepare.data = l;
    (void)uv_prepare_start(&l->prepare, on_prepare);
    uv_unref((uv_handle_t *)&l->prepare);
    signal(SIGPIPE, SIG_IGN);
    *out = l;
    return CS_OK;
}

void cs_loop_run(cs_loop *l)
{
    l->stopped = false;
    do {
        (void)uv_run(&l->uv, UV_RUN_DEFAULT);
        run_deferred(l);
    } while (!l->stopped && uv_loop_alive(&l->uv) != 0);
}

bool cs_loop_run_once(cs_loop *l, bool wait)
{
    if (l->deferred != NULL) { /* the caller may have waited for just that */
        run_deferred(l);
        wait = false;
    }
    (void)uv_run(&l->uv, wait ? UV_RUN_ONCE : UV_RUN_NOWAIT);
    run_deferred(l);
    return uv_loop_alive(&l->uv) != 0;
}

void cs_loop_stop(cs_loop *l)
{
    l->stopped = true;
    uv_stop(&l->uv);
}

uint64_t cs_loop_now(const cs_loop *l)
{
    return uv_now(&l->uv);
}

void cs_loop_free(cs_loop *l)
{
    if (l == NULL) {
        return;
    }
    run_deferred(l);
    uv_close((uv_handle_t *)&l->prepare, NULL);
    (void)uv_run(&l->uv, UV_RUN_DEFAULT); /* close callbacks of freed objects */
    if (uv_loop_close(&l->uv) != 0) {
        abort(); /* an object is still open: the caller broke the contract */
    }
    free(l->read_buf);
    free(l->packet_buf);
    free(l);
}

void cs_defer_arm(cs_loop *l, cs_defer *d)
{
    if (d->prev != NULL) {
        return;
    }
    d->next = NULL;
    if (l->deferred == NULL) {
        l->deferred_tail = &l->deferred;
    }
    d->prev = l->deferred_tail;
    d->owner = l;
    *l->deferred_tail = d;
    l->deferred_tail = &d->next;
}

void cs_defer_cancel(cs_defer *d)
{
    if (d->prev == NULL) {
        return;
    }
    *d->prev = d->next;
    if (d->next != NULL) {
        d->next->prev = d->prev;
    } else {
        d->owner->deferred_tail = d->prev;
    }
    d->next = NULL;
    d->prev = NULL;
}

struct cs_timer {
    uv_timer_t uv;
    cs_loop_fn *fn;
    void *cookie;
};

void cs_uv_free_handle(uv_handle_t *h)
{
    free(h->data);
}

static void on_timer(uv_timer_t *t)
{
    cs_timer *c = t->data;
    c->fn(c->cookie);
}

cs_err cs_timer_new(cs_timer **out, cs_loop *l, cs_loop_fn *fn, void *cookie)
{
    cs_timer *t = calloc(1, sizeof *t);
    if (t == NULL) {
        return CS_E_NO_MEMORY;
    }
    (void)uv_timer_init(&l->uv, &t->uv);
    t->uv.data = t;
    t->fn = fn;
    t->cookie = cookie;
    *out = t;
    return CS_OK;
}

void cs_timer_start(cs_timer *t, uint64_t after_ms, uint64_t repeat_ms)
{
    (void)uv_timer_start(&t->uv, on_timer, after_ms, repeat_ms);
}

void cs_timer_stop(cs_timer *t)
{
    (void)uv_timer_stop(&t->uv);
}

bool cs_timer_active(const cs_timer *t)
{
    return uv_is_active((const uv_handle_t *)&t->uv) != 0;
}

void cs_timer_free(cs_timer *t)
{
    if (t != NULL) {
        uv_close((uv_handle_t *)&t->uv, cs_uv_free_handle);
    }
}

struct cs_signal {
    uv_signal_t uv;
    cs_loop_fn *fn;
    void *cookie;
};

static void on_signal(uv_signal_t *s, int signum)
{
    cs_signal *c = s->data;
    c->fn(c->cookie);
}

cs_err cs_signal_new(cs_signal **out, cs_loop *l, int signum, cs_loop_fn *fn, void *cookie)
{
    cs_signal *s = calloc(1, sizeof *s);
    if (s == NULL || uv_signal_init(&l->uv, &s->uv) != 0) {
        free(s);
        return CS_E_NO_MEMORY;
    }
    s->uv.data = s;
    s->fn = fn;
    s->cookie = cookie;
    if (uv_signal_start(&s->uv, on_signal, signum) != 0) {
        cs_signal_free(s);
        return CS_E_USAGE;
    }
    uv_unref((uv_handle_t *)&s->uv); /* waiting for a signal alone keeps no loop running */
    *out = s;
    return CS_OK;
}

void cs_signal_free(cs_signal *s)
{
    if (s != NULL) {
        uv_close((uv_handle_t *)&s->uv, cs_uv_free_handle);
    }
}

struct cs_async {
    uv_async_t uv;
    cs_loop_fn *fn;
    void *cookie;
};

static void on_async(uv_async_t *a)
{
    cs_async *c = a->data;
    c->fn(c->cookie);
}

cs_err cs_async_new(cs_async **out, cs_loop *l, cs_loop_fn *fn, void *cookie)
{
    cs_async *a = calloc(1, sizeof *a);
    if (a == NULL) {
        return CS_E_NO_MEMORY;
    }
    a->fn = fn;
    a->cookie = cookie;
    if (uv_async_init(&l->uv, &a->uv, on_async) != 0) {
        free(a);
        return CS_E_NO_MEMORY;
    }
    a->uv.data = a;
    *out = a;
    return CS_OK;
}

void cs_async_send(cs_async *a)
{
    (void)uv_async_send(&a->uv);
}

void cs_async_free(cs_async *a)
{
    if (a != NULL) {
        uv_close((uv_handle_t *)&a->uv, cs_uv_free_handle);
    }
}
