/* The relay: pairs, events, time. See relay.h; the bytes are in relay_move.c. */
#include "host/relay.h"

#include <linux/sockios.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "host/relay_int.h"

#define EVENTS 256
#define TURN_STEPS 16u   /* reads and writes of one direction, then others have their turn */
#define ROUNDS 8         /* of events, then the loop has its turn */
#define FEW 4            /* events of a wake-up that may be a conversation */
#define MOMENT_NS 50000u /* how long its next message is waited for */
#define PATIENCE 8u      /* moments in vain, one after the other */
#define TRY_AGAIN 64u    /* wake-ups without a moment, then one is tried */
#define LINGER_TICK_MS 20
#define LISTED_MS 250u /* how exact the order of silence is, at most */

typedef TAILQ_HEAD(pairs, cs_relay_pair) pairs;

struct cs_relay_pair {
    cs_relay *relay;
    cs_relay_side sides[2];
    cs_relay_dir dirs[2]; /* from sides[0], from sides[1] */
    TAILQ_ENTRY(cs_relay_pair) silence, queue;
    pairs *queued;       /* ready, lingering or dead: the list that queue is in */
    uint64_t listed_ms;  /* last byte, not newer than listed_ms of the relay says */
    uint64_t linger_end; /* 0: does not linger */
    int gone;            /* the first side that reset or went away, else -1 */
    bool dead;
    cs_relay_done_fn *done;
    void *cookie;
};

struct cs_relay {
    cs_loop *loop;
    int epoll;
    cs_watch *watch;
    cs_timer *soon, *idle, *linger;
    uint32_t idle_ms, listed_ms;
    size_t num_pairs;
    atomic_ullong bytes[2]; /* other threads read them */
    pairs silent;           /* every open pair, longest silent first */
    pairs ready, lingering, dead;
    unsigned patience, passed; /* see wait_a_moment */
    unsigned busy;             /* within callbacks: dead pairs may still be named by events */
    cs_relay_memory memory;
};

/* ---------------------------------------------------------------- lists */

static void enqueue(cs_relay_pair *p, pairs *in)
{
    if (p->queued == in) {
        return;
    }
    if (p->queued != NULL) {
        TAILQ_REMOVE(p->queued, p, queue);
    }
    p->queued = in;
    if (in != NULL) {
        TAILQ_INSERT_TAIL(in, p, queue);
    }
}

static void reap(cs_relay *r)
{
    cs_relay_pair *p;

    while (r->busy == 0 && (p = TAILQ_FIRST(&r->dead)) != NULL) {
        TAILQ_REMOVE(&r->dead, p, queue);
        free(p);
    }
}

/* ---------------------------------------------------------------- the end of a pair */

void cs_relay_reset_close(int fd)
{
    struct linger now = {.l_onoff = 1};

    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    (void)close(fd);
}

static void close_pair(cs_relay_pair *p, bool reset)
{
    cs_relay *r = p->relay;

    for (int i = 0; i < 2; i++) {
        cs_relay_dir_drop(&p->dirs[i], &r->memory);
        /* by hand: a forked child may hold the descriptor too, and then closing it here would leave it watched */
        (void)epoll_ctl(r->epoll, EPOLL_CTL_DEL, p->sides[i].fd, NULL);
        if (reset && p->sides[i].is_tcp) {
            cs_relay_reset_close(p->sides[i].fd);
        } else {
            (void)close(p->sides[i].fd);
        }
    }
    TAILQ_REMOVE(&r->silent, p, silence);
    r->num_pairs--;
    p->dead = true;
    enqueue(p, &r->dead);
}

static void finish(cs_relay_pair *p, cs_err why)
{
    cs_relay *r = p->relay;
    cs_relay_end end = {why, why == CS_E_CLOSED ? p->gone : -1, {p->dirs[0].bytes, p->dirs[1].bytes}};

    r->busy++;
    close_pair(p, why != CS_OK);
    p->done(p->cookie, &end);
    r->busy--;
}

/* The bytes before a reset are on their way: a reset now would overtake them. */
static bool must_linger(cs_relay_pair *p)
{
    const cs_relay_side *to = &p->sides[1 - p->gone];
    uint64_t now = cs_loop_now(p->relay->loop);
    int unsent = 0;

    if (!to->is_tcp || to->deaf || ioctl(to->fd, SIOCOUTQ, &unsent) != 0 || unsent == 0) {
        return false;
    }
    p->linger_end = p->linger_end != 0 ? p->linger_end : now + CS_RELAY_LINGER_MS;
    return now < p->linger_end;
}

/* Ends the pair when nothing is left to move. */
static void settle(cs_relay_pair *p)
{
    cs_relay *r = p->relay;

    for (int i = 0; i < 2 && p->gone < 0; i++) {
        p->gone = p->sides[i].deaf || p->sides[i].was_reset ? i : -1;
    }
    if (!cs_relay_dir_over(&p->dirs[0], &p->sides[1]) || !cs_relay_dir_over(&p->dirs[1], &p->sides[0])) {
        return;
    }
    if (p->gone < 0) {
        finish(p, CS_OK);
    } else if (must_linger(p)) {
        enqueue(p, &r->lingering);
        if (!cs_timer_active(r->linger)) {
            cs_timer_start(r->linger, LINGER_TICK_MS, LINGER_TICK_MS);
        }
    } else {
        finish(p, CS_E_CLOSED);
    }
}

/* ---------------------------------------------------------------- moving */

static void touch(cs_relay_pair *p)
{
    cs_relay *r = p->relay;
    uint64_t now = cs_loop_now(r->loop);

    if (now - p->listed_ms >= r->listed_ms) {
        p->listed_ms = now;
        TAILQ_REMOVE(&r->silent, p, silence);
        TAILQ_INSERT_TAIL(&r->silent, p, silence);
    }
}

static uint32_t interest(const cs_relay_side *s)
{
    return EPOLLIN | EPOLLRDHUP | EPOLLET | (s->wants_out ? EPOLLOUT : 0);
}

/* Being told of every bit of room would cost a wake-up for each small message: only while a write waits for it. */
static void want_out(cs_relay_side *s, bool on)
{
    if (s->wants_out != on) {
        s->wants_out = on;
        struct epoll_event e = {.events = interest(s), .data.ptr = s};
        (void)epoll_ctl(s->pair->relay->epoll, EPOLL_CTL_MOD, s->fd, &e);
    }
}

static void run(cs_relay_pair *p)
{
    cs_relay *r = p->relay;
    bool more = false, moved = false;
    cs_err err = CS_OK;

    for (int i = 0; i < 2 && err == CS_OK; i++) {
        cs_relay_dir *d = &p->dirs[i];
        bool dir_more = false;
        uint64_t before = d->bytes;
        err = cs_relay_move(&dir_more, d, &p->sides[i], &p->sides[1 - i], &r->memory, TURN_STEPS);
        atomic_fetch_add_explicit(&r->bytes[i], d->bytes - before, memory_order_relaxed);
        more |= dir_more;
        moved |= d->moved;
        d->moved = false;
    }
    if (err != CS_OK) {
        finish(p, err);
        return;
    }
    if (moved) {
        touch(p);
    }
    for (int i = 0; i < 2; i++) {
        if (!p->sides[i].writable) {
            want_out(&p->sides[i], true);
        }
    }
    enqueue(p, more ? &r->ready : NULL);
    settle(p);
}

static void on_event(cs_relay_side *s, uint32_t events)
{
    cs_relay_pair *p = s->pair;

    if (p->dead || p->queued == &p->relay->lingering) {
        return;
    }
    if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
        s->readable = true;
    }
    if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) {
        if (s->writable) {
            want_out(s, false); /* nobody waits for it any more */
        }
        s->writable = true;
    }
    run(p);
}

static void run_ready(cs_relay *r)
{
    pairs now = TAILQ_HEAD_INITIALIZER(now);
    cs_relay_pair *p;

    TAILQ_CONCAT(&now, &r->ready, queue);
    TAILQ_FOREACH(p, &now, queue)
    {
        p->queued = &now;
    }
    while ((p = TAILQ_FIRST(&now)) != NULL) {
        enqueue(p, NULL);
        run(p);
    }
}

/*
 * In a conversation the answer is there within microseconds, while going to sleep and being woken costs 30 us and more in a virtual
 * machine. So the thread looks again for a moment, giving way to whoever wants the processor, as long as that is worth it: when it was
 * in vain so often it tries only now and then. Not with many at once: then there is always something to do.
 */
static int wait_a_moment(cs_relay *r, struct epoll_event *events)
{
    uint64_t until;
    int n = 0;

    if (r->patience == 0 && ++r->passed < TRY_AGAIN) {
        return 0;
    }
    r->passed = 0;
    until = cs_clock_mono_ns() + MOMENT_NS;
    do {
        (void)sched_yield();
        n = epoll_wait(r->epoll, events, EVENTS, 0);
    } while (n == 0 && cs_clock_mono_ns() < until);
    if (n > 0) {
        r->patience = PATIENCE;
    } else if (r->patience > 0) {
        r->patience--;
    }
    return n;
}

static void handle(cs_relay *r, const struct epoll_event *events, int n)
{
    for (int i = 0; i < n; i++) {
        on_event(events[i].data.ptr, events[i].events);
    }
    run_ready(r);
}

static void on_watch(void *cookie, unsigned unused)
{
    cs_relay *r = cookie;
    struct epoll_event events[EVENTS];
    int n = EVENTS, all = 0;
    bool again = false;

    r->busy++;
    for (int round = 0; round < ROUNDS && (n == EVENTS || !TAILQ_EMPTY(&r->ready)); round++) {
        n = epoll_wait(r->epoll, events, EVENTS, 0);
        all += n > 0 ? n : 0;
        handle(r, events, n);
    }
    if (all <= FEW && TAILQ_EMPTY(&r->ready) && (n = wait_a_moment(r, events)) > 0) {
        handle(r, events, n);
        again = true; /* when the loop has had its turn */
    }
    r->busy--;
    if (again || !TAILQ_EMPTY(&r->ready)) {
        cs_timer_start(r->soon, 0, 0);
    }
    reap(r);
}

static void on_soon(void *cookie)
{
    on_watch(cookie, 0);
}

/* ---------------------------------------------------------------- time */

static void on_linger(void *cookie)
{
    cs_relay *r = cookie;
    cs_relay_pair *p, *next;

    r->busy++;
    for (p = TAILQ_FIRST(&r->lingering); p != NULL; p = next) {
        next = TAILQ_NEXT(p, queue);
        if (!must_linger(p)) {
            finish(p, CS_E_CLOSED);
        }
    }
    r->busy--;
    if (TAILQ_EMPTY(&r->lingering)) {
        cs_timer_stop(r->linger);
    }
    reap(r);
}

static void arm_idle(cs_relay *r)
{
    const cs_relay_pair *p = TAILQ_FIRST(&r->silent);

    if (r->idle_ms != 0 && p != NULL) {
        uint64_t end = p->listed_ms + r->idle_ms + r->listed_ms, now = cs_loop_now(r->loop);
        cs_timer_start(r->idle, end > now ? end - now : 0, 0);
    }
}

static void on_idle(void *cookie)
{
    cs_relay *r = cookie;
    uint64_t now = cs_loop_now(r->loop);
    cs_relay_pair *p;

    r->busy++;
    while ((p = TAILQ_FIRST(&r->silent)) != NULL && now - p->listed_ms >= r->idle_ms + r->listed_ms) {
        finish(p, CS_E_TIMEOUT);
    }
    r->busy--;
    reap(r);
    arm_idle(r);
}

/* ---------------------------------------------------------------- public */

cs_err cs_relay_new(cs_relay **out, cs_loop *l, uint32_t idle_ms)
{
    cs_relay *r = calloc(1, sizeof *r);
    cs_err err = CS_E_NO_MEMORY;

    if (r == NULL) {
        return err;
    }
    r->loop = l;
    r->idle_ms = idle_ms;
    r->listed_ms = idle_ms / 8 < LISTED_MS ? idle_ms / 8 : LISTED_MS;
    TAILQ_INIT(&r->silent);
    TAILQ_INIT(&r->ready);
    TAILQ_INIT(&r->lingering);
    TAILQ_INIT(&r->dead);
    r->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (r->epoll < 0) {
        err = CS_E_IO;
    } else if ((err = cs_timer_new(&r->soon, l, on_soon, r)) == CS_OK &&
               (err = cs_timer_new(&r->idle, l, on_idle, r)) == CS_OK &&
               (err = cs_timer_new(&r->linger, l, on_linger, r)) == CS_OK) {
        err = cs_watch_new(&r->watch, l, r->epoll, on_watch, r);
    }
    if (err != CS_OK) {
        cs_relay_free(r);
        return err;
    }
    cs_watch_set(r->watch, CS_WATCH_READ);
    *out = r;
    return CS_OK;
}

static cs_err watch_side(cs_relay_pair *p, int i)
{
    cs_relay_side *s = &p->sides[i];
    struct epoll_event e = {.events = interest(s), .data.ptr = s};
    int domain = 0;
    socklen_t len = sizeof domain;

    s->is_tcp =
        getsockopt(s->fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && (domain == AF_INET || domain == AF_INET6);
    return epoll_ctl(p->relay->epoll, EPOLL_CTL_ADD, s->fd, &e) == 0 ? CS_OK : CS_E_IO;
}

cs_err cs_relay_add(cs_relay_pair **out, cs_relay *r, const int fds_take[2], cs_relay_done_fn *done, void *cookie)
{
    cs_relay_pair *p = calloc(1, sizeof *p);

    if (p == NULL) {
        return CS_E_NO_MEMORY;
    }
    p->relay = r;
    p->gone = -1;
    p->done = done;
    p->cookie = cookie;
    p->listed_ms = cs_loop_now(r->loop);
    for (int i = 0; i < 2; i++) {
        p->sides[i] = (cs_relay_side){.pair = p, .fd = fds_take[i], .writable = true};
        p->dirs[i].pipe[0] = p->dirs[i].pipe[1] = -1;
    }
    cs_err err = watch_side(p, 0);
    if (err == CS_OK && (err = watch_side(p, 1)) != CS_OK) {
        (void)epoll_ctl(r->epoll, EPOLL_CTL_DEL, p->sides[0].fd, NULL);
    }
    if (err != CS_OK) {
        free(p);
        return err;
    }
    bool first = TAILQ_EMPTY(&r->silent);
    TAILQ_INSERT_TAIL(&r->silent, p, silence);
    r->num_pairs++;
    if (first) {
        arm_idle(r);
    }
    *out = p;
    return CS_OK;
}

void cs_relay_cut(cs_relay_pair *p, uint64_t out_bytes[2])
{
    if (p == NULL) {
        return;
    }
    if (out_bytes != NULL) {
        out_bytes[0] = p->dirs[0].bytes;
        out_bytes[1] = p->dirs[1].bytes;
    }
    close_pair(p, true);
    reap(p->relay);
}

size_t cs_relay_pairs(const cs_relay *r)
{
    return r->num_pairs;
}

void cs_relay_bytes(const cs_relay *r, uint64_t out_bytes[2])
{
    out_bytes[0] = r->bytes[0];
    out_bytes[1] = r->bytes[1];
}

void cs_relay_free(cs_relay *r)
{
    if (r == NULL) {
        return;
    }
    while (!TAILQ_EMPTY(&r->silent)) {
        close_pair(TAILQ_FIRST(&r->silent), true);
    }
    reap(r);
    cs_relay_memory_cleanup(&r->memory);
    cs_watch_free(r->watch);
    cs_timer_free(r->soon);
    cs_timer_free(r->idle);
    cs_timer_free(r->linger);
    if (r->epoll >= 0) {
        (void)close(r->epoll);
    }
    free(r);
}
