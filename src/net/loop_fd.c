/* The event loop: watched descriptors, listeners, outgoing connections. See loop.h. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "net/loop.h"
#include "net/loop_int.h"

#define ACCEPT_BATCH 16
#define ACCEPT_PAUSE_MS 100

struct cs_watch {
    uv_poll_t uv;
    cs_watch_fn *fn;
    void *cookie;
    unsigned events;
};

static void on_poll(uv_poll_t *p, int status, int events)
{
    cs_watch *w = p->data;
    unsigned ready = 0;
    if (status != 0 || (events & (UV_READABLE | UV_DISCONNECT)) != 0) {
        ready |= CS_WATCH_READ;
    }
    if (status != 0 || (events & UV_WRITABLE) != 0) {
        ready |= CS_WATCH_WRITE;
    }
    if (status != 0) { /* libuv has stopped watching; the next read or write finds the error */
        w->events = 0;
    }
    w->fn(w->cookie, ready);
}

cs_err cs_watch_new(cs_watch **out, cs_loop *l, int fd, cs_watch_fn *fn, void *cookie)
{
    cs_watch *w = calloc(1, sizeof *w);
    if (w == NULL) {
        return CS_E_NO_MEMORY;
    }
    if (uv_poll_init(&l->uv, &w->uv, fd) != 0) {
        free(w);
        return CS_E_IO;
    }
    w->uv.data = w;
    w->fn = fn;
    w->cookie = cookie;
    *out = w;
    return CS_OK;
}

void cs_watch_set(cs_watch *w, unsigned events)
{
    if (events == w->events) {
        return;
    }
    w->events = events;
    if (events == 0) {
        (void)uv_poll_stop(&w->uv);
        return;
    }
    int uv = ((events & CS_WATCH_READ) != 0 ? UV_READABLE : 0) | ((events & CS_WATCH_WRITE) != 0 ? UV_WRITABLE : 0);
    (void)uv_poll_start(&w->uv, uv, on_poll);
}

void cs_watch_free(cs_watch *w)
{
    if (w != NULL) {
        uv_close((uv_handle_t *)&w->uv, cs_uv_free_handle); /* stops watching before it returns */
    }
}

struct cs_listener {
    cs_watch *watch;
    cs_timer *again; /* after descriptors ran out */
    int fd;
    uint32_t cid;
    int busy;
    bool paused, dead;
    uint64_t refused;
    cs_accept_fn *fn;
    void *cookie;
};

static void listener_again(void *cookie)
{
    cs_listener *l = cookie;
    if (!l->paused) {
        cs_watch_set(l->watch, CS_WATCH_READ);
    }
}

static void on_connection(void *cookie, unsigned ready)
{
    cs_listener *l = cookie;
    l->busy++;
    for (int i = 0; i < ACCEPT_BATCH && !l->dead && !l->paused; i++) {
        int fd = -1;
        cs_ep_peer peer;
        cs_err err = cs_endpoint_accept(&fd, &peer, l->fd);
        if (err == CS_E_IO) { /* EMFILE and the like: level-triggered, so stop asking for a moment */
            cs_watch_set(l->watch, 0);
            cs_timer_start(l->again, ACCEPT_PAUSE_MS, 0);
            break;
        }
        if (err != CS_OK) {
            break;
        }
        if (cs_ep_peer_check(&peer, l->cid) != CS_OK) {
            close(fd);
            l->refused++;
            continue;
        }
        l->fn(l->cookie, fd, &peer);
    }
    if (--l->busy == 0 && l->dead) {
        free(l);
    }
}

cs_err cs_listener_new(cs_listener **out, cs_loop *l, int fd_take, uint32_t cid, cs_accept_fn *fn, void *cookie)
{
    cs_listener *n = calloc(1, sizeof *n);
    cs_err err = CS_E_NO_MEMORY;
    if (n == NULL) {
        return err;
    }
    *n = (cs_listener){.fd = fd_take, .cid = cid, .fn = fn, .cookie = cookie};
    if ((err = cs_timer_new(&n->again, l, listener_again, n)) != CS_OK ||
        (err = cs_watch_new(&n->watch, l, fd_take, on_connection, n)) != CS_OK) {
        cs_timer_free(n->again);
        free(n);
        return err;
    }
    cs_watch_set(n->watch, CS_WATCH_READ);
    *out = n;
    return CS_OK;
}

void cs_listener_pause(cs_listener *l, bool paused)
{
    l->paused = paused;
    cs_watch_set(l->watch, paused ? 0 : CS_WATCH_READ);
}

uint64_t cs_listener_refused(const cs_listener *l)
{
    return l->refused;
}

void cs_listener_free(cs_listener *l)
{
    if (l == NULL || l->dead) {
        return;
    }
    l->dead = true;
    cs_watch_free(l->watch);
    cs_timer_free(l->again);
    close(l->fd);
    if (l->busy == 0) {
        free(l);
    }
}

struct cs_dial {
    cs_loop *loop;
    cs_watch *watch;
    cs_timer *timer;
    int fd;
    bool pending;
    cs_dial_fn *fn;
    void *cookie;
};

static void dial_end(cs_dial *d, cs_err err)
{
    int fd = d->fd;
    cs_dial_fn *fn = d->fn;
    void *cookie = d->cookie;
    if (err == CS_OK) {
        d->fd = -1; /* transferred */
    }
    cs_dial_free(d);
    fn(cookie, err, err == CS_OK ? fd : -1);
}

static void dial_ready(void *cookie, unsigned ready)
{
    cs_dial *d = cookie;
    dial_end(d, cs_endpoint_connect_end(d->fd));
}

static void dial_late(void *cookie)
{
    cs_dial *d = cookie;
    dial_end(d, d->pending ? CS_E_TIMEOUT : CS_OK);
}

cs_err cs_dial_new(cs_dial **out, cs_loop *l, const cs_endpoint *ep, uint32_t timeout_ms, cs_dial_fn *fn, void *cookie)
{
    cs_dial *d = calloc(1, sizeof *d);
    cs_err err;
    if (d == NULL) {
        return CS_E_NO_MEMORY;
    }
    *d = (cs_dial){.loop = l, .fd = -1, .fn = fn, .cookie = cookie};
    if ((err = cs_endpoint_connect_begin(&d->fd, &d->pending, ep)) != CS_OK ||
        (err = cs_timer_new(&d->timer, l, dial_late, d)) != CS_OK ||
        (err = cs_watch_new(&d->watch, l, d->fd, dial_ready, d)) != CS_OK) {
        cs_dial_free(d);
        return err;
    }
    if (d->pending) {
        cs_watch_set(d->watch, CS_WATCH_WRITE);
    }
    cs_timer_start(d->timer, d->pending ? timeout_ms : 0, 0); /* connected at once: fn is called in the next turn */
    *out = d;
    return CS_OK;
}

void cs_dial_free(cs_dial *d)
{
    if (d == NULL) {
        return;
    }
    cs_watch_free(d->watch);
    cs_timer_free(d->timer);
    if (d->fd >= 0) {
        close(d->fd);
    }
    free(d);
}
