/* Destinations: lookups and attempts. See dest.h. */
#include "host/dest.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <unistd.h>

#include "base/log.h"

#define ATTEMPTS 8 /* of one dial at once */
#define NEXT_ADDRESS_MS 250u
#define TICK_MS 10u
#define FRESH_MS 30000u
#define LOOKUP_MS 5000u /* then another one is started beside it */
#define LOOKUP_GAP_MS 100u
#define BACKOFF_MS 1000u
#define EVENTS 64

typedef struct attempt {
    cs_dest_dial *dial;
    int fd; /* -1: none */
    size_t address;
} attempt;

struct cs_dest_dial {
    cs_dest *dest;
    cs_dest_fn *fn;
    void *cookie;
    TAILQ_ENTRY(cs_dest_dial) link;
    bool waits; /* for a lookup */
    bool dead;
    uint64_t begun_ms, next_ms;
    cs_addrs addrs; /* as they were when it began */
    size_t next;    /* address to try */
    attempt attempts[ATTEMPTS];
    cs_err last;
};

typedef TAILQ_HEAD(dials, cs_dest_dial) dials;

struct cs_dest {
    cs_loop *loop;
    cs_endpoint to;
    cs_dest_opts opts;
    bool named;
    int epoll;
    cs_watch *watch;
    cs_timer *tick, *again;
    cs_resolve *resolve;
    uint64_t again_ms; /* when the next lookup is planned */
    uint64_t lookup_ended_ms;
    atomic_ullong lookups, failed; /* other threads read them */
    unsigned failed_in_row;
    cs_addrs addrs;
    char good[46]; /* the address that worked last */
    dials dials, dead;
    unsigned busy;
};

/* ---------------------------------------------------------------- the end of a dial */

static void reap(cs_dest *t)
{
    cs_dest_dial *d;

    while (t->busy == 0 && (d = TAILQ_FIRST(&t->dead)) != NULL) {
        TAILQ_REMOVE(&t->dead, d, link);
        free(d);
    }
}

static void drop_attempt(cs_dest *t, attempt *a, bool keep_fd)
{
    if (a->fd >= 0) {
        (void)epoll_ctl(t->epoll, EPOLL_CTL_DEL, a->fd, NULL);
        if (!keep_fd) {
            (void)close(a->fd);
        }
        a->fd = -1;
    }
}

static void bury(cs_dest_dial *d)
{
    cs_dest *t = d->dest;

    for (size_t i = 0; i < ATTEMPTS; i++) {
        drop_attempt(t, &d->attempts[i], false);
    }
    d->dead = true;
    TAILQ_REMOVE(&t->dials, d, link);
    TAILQ_INSERT_TAIL(&t->dead, d, link);
    if (TAILQ_EMPTY(&t->dials)) {
        cs_timer_stop(t->tick);
    }
}

static void lookup_soon(cs_dest *t, uint64_t after_ms);

static void finish(cs_dest_dial *d, cs_err err, int fd)
{
    cs_dest *t = d->dest;

    bury(d);
    if (err != CS_OK && t->named && t->failed_in_row == 0) {
        lookup_soon(t, BACKOFF_MS); /* it may have moved */
    }
    d->fn(d->cookie, err, fd);
}

/* ---------------------------------------------------------------- attempts */

static bool any_attempt(const cs_dest_dial *d)
{
    for (size_t i = 0; i < ATTEMPTS; i++) {
        if (d->attempts[i].fd >= 0) {
            return true;
        }
    }
    return false;
}

static attempt *free_attempt(cs_dest_dial *d)
{
    for (size_t i = 0; i < ATTEMPTS; i++) {
        if (d->attempts[i].fd < 0) {
            return &d->attempts[i];
        }
    }
    return NULL;
}

static size_t num_targets(const cs_dest_dial *d)
{
    return d->dest->named ? d->addrs.num : 1;
}

static cs_endpoint target(const cs_dest_dial *d, size_t i)
{
    cs_endpoint ep = d->dest->to;

    if (d->dest->named) {
        memset(ep.host, 0, sizeof ep.host);
        memcpy(ep.host, d->addrs.a[i].text, sizeof d->addrs.a[i].text);
    }
    return ep;
}

static void remember(cs_dest_dial *d, size_t address)
{
    if (d->dest->named) {
        memcpy(d->dest->good, d->addrs.a[address].text, sizeof d->dest->good);
    }
}

/* Starts with the next addresses until one is connected (*out_fd) or on its way, or none is left (then the last error). */
static cs_err try_next(cs_dest_dial *d, int *out_fd)
{
    cs_dest *t = d->dest;
    attempt *a;

    while (d->next < num_targets(d) && (a = free_attempt(d)) != NULL) {
        cs_endpoint ep = target(d, d->next);
        struct epoll_event e = {.events = EPOLLOUT | EPOLLET, .data.ptr = a};
        bool pending = false;
        int fd = -1;

        errno = 0;
        d->last = cs_endpoint_connect_begin(&fd, &pending, &ep);
        if (d->last == CS_E_CONNECT && errno == EAGAIN && ep.scheme == CS_EP_UNIX) {
            d->next_ms = cs_loop_now(t->loop) + TICK_MS; /* its backlog is full */
            return CS_OK;
        }
        size_t address = d->next++;
        if (d->last != CS_OK) {
            d->last = errno == EMFILE || errno == ENFILE ? CS_E_PROXY_FULL : d->last;
            continue;
        }
        if (!pending) {
            remember(d, address);
            *out_fd = fd;
            return CS_OK;
        }
        if (epoll_ctl(t->epoll, EPOLL_CTL_ADD, fd, &e) != 0) {
            d->last = CS_E_IO;
            (void)close(fd);
            continue;
        }
        *a = (attempt){d, fd, address};
        d->next_ms = cs_loop_now(t->loop) + NEXT_ADDRESS_MS;
        return CS_OK;
    }
    return any_attempt(d) ? CS_OK : d->last;
}

static void go_on(cs_dest_dial *d)
{
    int fd = -1;
    cs_err err = try_next(d, &fd);

    if (err != CS_OK || fd >= 0) {
        finish(d, err, fd);
    }
}

/* A snapshot of the addresses, first the one that worked last. */
static void take_addresses(cs_dest_dial *d)
{
    const cs_dest *t = d->dest;

    d->waits = false;
    d->addrs = t->addrs;
    for (size_t i = 1; i < d->addrs.num; i++) {
        if (strcmp(d->addrs.a[i].text, t->good) == 0) {
            cs_addrs was = d->addrs;
            d->addrs.a[0] = was.a[i];
            memcpy(&d->addrs.a[1], &was.a[0], i * sizeof was.a[0]);
            break;
        }
    }
}

static void on_attempt(attempt *a)
{
    cs_dest_dial *d = a->dial;

    if (d->dead || a->fd < 0) {
        return;
    }
    cs_err err = cs_endpoint_connect_end(a->fd);
    if (err == CS_OK) {
        int fd = a->fd;
        remember(d, a->address);
        drop_attempt(d->dest, a, true);
        finish(d, CS_OK, fd);
        return;
    }
    drop_attempt(d->dest, a, false);
    d->last = err;
    go_on(d);
}

static void on_watch(void *cookie, unsigned unused)
{
    cs_dest *t = cookie;
    struct epoll_event events[EVENTS];

    t->busy++;
    int n = epoll_wait(t->epoll, events, EVENTS, 0);
    for (int i = 0; i < n; i++) {
        on_attempt(events[i].data.ptr);
    }
    t->busy--;
    reap(t);
}

static void on_tick(void *cookie)
{
    cs_dest *t = cookie;
    uint64_t now = cs_loop_now(t->loop);
    cs_dest_dial *d, *next;

    t->busy++;
    for (d = TAILQ_FIRST(&t->dials); d != NULL; d = next) {
        next = TAILQ_NEXT(d, link);
        if (now - d->begun_ms >= t->opts.connect_ms) {
            finish(d, d->waits ? CS_E_DNS : CS_E_TIMEOUT, -1);
        } else if (!d->waits && now >= d->next_ms) {
            go_on(d);
        }
    }
    t->busy--;
    reap(t);
}

/* ---------------------------------------------------------------- lookups */

/* Those that wait go on, or end with err. */
static void tell_waiting(cs_dest *t, cs_err err)
{
    cs_dest_dial *d, *next;

    t->busy++;
    for (d = TAILQ_FIRST(&t->dials); d != NULL; d = next) {
        next = TAILQ_NEXT(d, link);
        if (d->waits && err != CS_OK) {
            finish(d, err, -1);
        } else if (d->waits) {
            take_addresses(d);
            go_on(d);
        }
    }
    t->busy--;
    reap(t);
}

static void share(const cs_dest *t)
{
    if (t->opts.shared != NULL) {
        (void)pthread_mutex_lock(&t->opts.shared->lock);
        t->opts.shared->addrs = t->addrs;
        (void)pthread_mutex_unlock(&t->opts.shared->lock);
    }
}

/* Where this thread knows no address yet, another one may. */
static bool know_any(cs_dest *t)
{
    if (t->addrs.num == 0 && t->opts.shared != NULL) {
        (void)pthread_mutex_lock(&t->opts.shared->lock);
        t->addrs = t->opts.shared->addrs;
        (void)pthread_mutex_unlock(&t->opts.shared->lock);
    }
    return t->addrs.num > 0;
}

static cs_err allowed_only(cs_addrs *out, const cs_dest *t, const cs_addrs *all)
{
    *out = (cs_addrs){0};
    for (size_t i = 0; i < all->num; i++) {
        if (t->opts.only.num == 0 || cs_addrs_has(&t->opts.only, all->a[i].text)) {
            out->a[out->num++] = all->a[i];
        }
    }
    return out->num > 0 ? CS_OK : CS_E_PROXY_DENIED;
}

static void lookup_failed(cs_dest *t, cs_err err)
{
    unsigned doubled = t->failed_in_row < 5 ? t->failed_in_row : 5;

    t->failed++;
    if (t->failed_in_row++ == 0) {
        cs_log_err(CS_LOG_WARN, "lookup_failed", err, CS_LC("host", t->to.host),
                   CS_LB("old_addresses", t->addrs.num > 0));
    }
    lookup_soon(t, BACKOFF_MS << doubled < FRESH_MS ? BACKOFF_MS << doubled : FRESH_MS);
}

static void on_lookup(void *cookie, cs_err err, const cs_addrs *addrs)
{
    cs_dest *t = cookie;
    cs_addrs found;

    cs_timer_stop(t->again);
    t->resolve = NULL;
    t->lookups++;
    t->lookup_ended_ms = cs_loop_now(t->loop);
    if (err == CS_OK) {
        err = allowed_only(&found, t, addrs);
    }
    if (err != CS_OK) {
        lookup_failed(t, err);
        tell_waiting(t, know_any(t) ? CS_OK : err);
        return;
    }
    if (t->failed_in_row > 0) {
        cs_log(CS_LOG_INFO, "lookup_works_again", CS_LC("host", t->to.host));
    }
    t->failed_in_row = 0;
    t->addrs = found;
    share(t);
    lookup_soon(t, FRESH_MS);
    tell_waiting(t, CS_OK);
}

static void on_again(void *cookie)
{
    cs_dest *t = cookie;

    if (t->resolve != NULL) { /* it hangs; its thread ends by itself */
        cs_resolve_free(t->resolve);
        t->resolve = NULL;
        t->lookups++;
        t->lookup_ended_ms = cs_loop_now(t->loop);
        lookup_failed(t, CS_E_DNS);
        return;
    }
    cs_err err = cs_resolve_new(&t->resolve, t->loop, t->to.host, t->opts.family, t->opts.lookup, on_lookup, t);
    if (err != CS_OK) {
        t->lookup_ended_ms = cs_loop_now(t->loop);
        lookup_failed(t, err);
        tell_waiting(t, err);
        return;
    }
    cs_timer_start(t->again, LOOKUP_MS, 0);
}

/* One is started in after_ms, or earlier when one is planned earlier; never two within LOOKUP_GAP_MS. */
static void lookup_soon(cs_dest *t, uint64_t after_ms)
{
    uint64_t now = cs_loop_now(t->loop), first = t->lookup_ended_ms + LOOKUP_GAP_MS;
    uint64_t at = now + after_ms > first || t->lookups == 0 ? now + after_ms : first;

    if (t->resolve == NULL && (!cs_timer_active(t->again) || at < t->again_ms)) {
        t->again_ms = at;
        cs_timer_start(t->again, at - now, 0);
    }
}

/* ---------------------------------------------------------------- public */

cs_err cs_dest_dial_new(cs_dest_dial **out, int *out_fd, cs_dest *t, cs_dest_fn *fn, void *cookie)
{
    cs_dest_dial *d = calloc(1, sizeof *d);
    int fd = -1;
    cs_err err = CS_OK;

    if (d == NULL) {
        return CS_E_NO_MEMORY;
    }
    *d = (cs_dest_dial){.dest = t, .fn = fn, .cookie = cookie, .begun_ms = cs_loop_now(t->loop), .last = CS_E_CONNECT};
    for (size_t i = 0; i < ATTEMPTS; i++) {
        d->attempts[i].fd = -1;
    }
    if (t->named && !know_any(t)) {
        d->waits = true;
        lookup_soon(t, 0);
    } else {
        take_addresses(d);
        err = try_next(d, &fd);
    }
    if (err != CS_OK || fd >= 0) {
        free(d);
        if (err == CS_OK) {
            *out = NULL;
            *out_fd = fd;
        }
        return err;
    }
    if (TAILQ_EMPTY(&t->dials)) {
        cs_timer_start(t->tick, TICK_MS, TICK_MS);
    }
    TAILQ_INSERT_TAIL(&t->dials, d, link);
    *out = d;
    return CS_OK;
}

void cs_dest_dial_free(cs_dest_dial *d)
{
    if (d != NULL) {
        bury(d);
        reap(d->dest);
    }
}

void cs_dest_lookups(const cs_dest *t, uint64_t *out_all, uint64_t *out_failed)
{
    *out_all = t->lookups;
    *out_failed = t->failed;
}

cs_err cs_dest_new(cs_dest **out, cs_loop *l, const cs_endpoint *to, const cs_dest_opts *o)
{
    cs_dest *t = calloc(1, sizeof *t);
    cs_addrs numeric;
    cs_err err = CS_E_NO_MEMORY;

    if (t == NULL) {
        return err;
    }
    t->loop = l;
    t->to = *to;
    t->opts = *o;
    TAILQ_INIT(&t->dials);
    TAILQ_INIT(&t->dead);
    t->named = to->scheme == CS_EP_TCP && !cs_addrs_numeric(&numeric, to->host, 0);
    t->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (t->epoll < 0) {
        err = CS_E_IO;
    } else if ((err = cs_timer_new(&t->tick, l, on_tick, t)) == CS_OK &&
               (err = cs_timer_new(&t->again, l, on_again, t)) == CS_OK) {
        err = cs_watch_new(&t->watch, l, t->epoll, on_watch, t);
    }
    if (err != CS_OK) {
        cs_dest_free(t);
        return err;
    }
    cs_watch_set(t->watch, CS_WATCH_READ);
    if (t->named) {
        lookup_soon(t, 0);
    }
    *out = t;
    return CS_OK;
}

void cs_dest_free(cs_dest *t)
{
    if (t == NULL) {
        return;
    }
    reap(t);
    cs_resolve_free(t->resolve);
    cs_watch_free(t->watch);
    cs_timer_free(t->tick);
    cs_timer_free(t->again);
    if (t->epoll >= 0) {
        (void)close(t->epoll);
    }
    free(t);
}
