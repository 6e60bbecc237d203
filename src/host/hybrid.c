/* See hybrid.h. */
#include "host/hybrid.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "host/relay.h"

#define HANDSHAKE_MS 5000u
#define IDLE_MS 600000u
#define ANSWER_LEN 24 /* "OK 4294967295\n" */
#define CONNS_MAX 4096

/* ---------------------------------------------------------------- one connection */

struct cs_hybrid {
    cs_loop *loop;
    cs_dial *dial;
    cs_watch *watch;
    cs_timer *deadline;
    int fd;
    uint32_t port;
    char answer[ANSWER_LEN];
    size_t len;
    cs_dial_fn *fn;
    void *cookie;
};

void cs_hybrid_free(cs_hybrid *h)
{
    if (h == NULL) {
        return;
    }
    cs_dial_free(h->dial);
    cs_watch_free(h->watch);
    cs_timer_free(h->deadline);
    if (h->fd >= 0) {
        (void)close(h->fd);
    }
    free(h);
}

static void finish(cs_hybrid *h, cs_err err)
{
    cs_dial_fn *fn = h->fn;
    void *cookie = h->cookie;
    int fd = -1;

    if (err == CS_OK) {
        fd = h->fd;
        h->fd = -1;
    }
    cs_hybrid_free(h);
    fn(cookie, err, fd);
}

/* One byte at a time: what follows the line is the guest's. */
static void on_ready(void *cookie, unsigned ready)
{
    cs_hybrid *h = cookie;
    char c;

    (void)ready;
    for (;;) {
        ssize_t n = recv(h->fd, &c, 1, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        if (n != 1 || h->len == sizeof h->answer) {
            finish(h, CS_E_CONNECT);
            return;
        }
        h->answer[h->len++] = c;
        if (c == '\n') {
            finish(h, h->len > 4 && memcmp(h->answer, "OK ", 3) == 0 ? CS_OK : CS_E_CONNECT);
            return;
        }
    }
}

static void on_dialled(void *cookie, cs_err err, int fd)
{
    cs_hybrid *h = cookie;
    char line[32];

    h->dial = NULL;
    h->fd = fd;
    int len = snprintf(line, sizeof line, "CONNECT %u\n", h->port);
    if (err == CS_OK && send(fd, line, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT) != len) {
        err = CS_E_CONNECT;
    }
    if (err == CS_OK) {
        err = cs_watch_new(&h->watch, h->loop, fd, on_ready, h);
    }
    if (err != CS_OK) {
        finish(h, err);
        return;
    }
    cs_watch_set(h->watch, CS_WATCH_READ);
}

static void on_deadline(void *cookie)
{
    finish(cookie, CS_E_TIMEOUT);
}

cs_err cs_hybrid_dial(cs_hybrid **out, cs_loop *l, const cs_endpoint *daemon, uint32_t port, uint32_t timeout_ms,
                      cs_dial_fn *fn, void *cookie)
{
    cs_hybrid *h = calloc(1, sizeof *h);

    if (h == NULL) {
        return CS_E_NO_MEMORY;
    }
    *h = (cs_hybrid){.loop = l, .fd = -1, .port = port, .fn = fn, .cookie = cookie};
    cs_err err = cs_timer_new(&h->deadline, l, on_deadline, h);
    if (err == CS_OK) {
        /* longer than ours, so that there is one deadline */
        err = cs_dial_new(&h->dial, l, daemon, timeout_ms + 1000, on_dialled, h);
    }
    if (err != CS_OK) {
        cs_hybrid_free(h);
        return err;
    }
    cs_timer_start(h->deadline, timeout_ms, 0);
    *out = h;
    return CS_OK;
}

/* ---------------------------------------------------------------- relay */

typedef struct conn conn;
struct conn {
    cs_hybrid_relay *owner;
    conn *next, **at;
    int from; /* accepted, until the relay has it */
    cs_hybrid *dial;
    cs_relay_pair *pair;
};

struct cs_hybrid_relay {
    cs_loop *loop;
    cs_endpoint daemon, where;
    uint32_t port;
    cs_listener *listener;
    cs_relay *relay;
    conn *first;
    unsigned num;
};

static void drop(conn *c)
{
    cs_hybrid_free(c->dial);
    if (c->pair != NULL) {
        cs_relay_cut(c->pair, NULL);
    }
    if (c->from >= 0) {
        (void)close(c->from);
    }
    *c->at = c->next;
    if (c->next != NULL) {
        c->next->at = c->at;
    }
    c->owner->num--;
    free(c);
}

static void on_relayed(void *cookie, const cs_relay_end *end)
{
    conn *c = cookie;

    cs_log(CS_LOG_DEBUG, "hybrid_closed", CS_LU("port", c->owner->port), CS_LC("why", cs_err_code(end->why)),
           CS_LU("bytes_in", end->bytes[0]), CS_LU("bytes_out", end->bytes[1]));
    c->pair = NULL;
    drop(c);
}

static void on_guest(void *cookie, cs_err err, int fd)
{
    conn *c = cookie;
    int fds[2] = {c->from, fd};

    c->dial = NULL;
    if (err == CS_OK) {
        err = cs_relay_add(&c->pair, c->owner->relay, fds, on_relayed, c);
        if (err == CS_OK) {
            c->from = -1; /* transferred */
            return;
        }
        (void)close(fd);
    }
    cs_log_err(CS_LOG_DEBUG, "hybrid_connect", err, CS_LU("port", c->owner->port));
    drop(c);
}

static void on_accept(void *cookie, int fd, const cs_ep_peer *peer)
{
    cs_hybrid_relay *r = cookie;
    conn *c = r->num < CONNS_MAX ? calloc(1, sizeof *c) : NULL;

    (void)peer;
    if (c == NULL) {
        (void)close(fd);
        return;
    }
    *c = (conn){.owner = r, .from = fd, .next = r->first, .at = &r->first};
    if (c->next != NULL) {
        c->next->at = &c->next;
    }
    r->first = c;
    r->num++;
    if (cs_hybrid_dial(&c->dial, r->loop, &r->daemon, r->port, HANDSHAKE_MS, on_guest, c) != CS_OK) {
        drop(c);
    }
}

cs_err cs_hybrid_relay_new(cs_hybrid_relay **out, cs_loop *l, const cs_endpoint *at, const cs_endpoint *daemon,
                           uint32_t port)
{
    cs_hybrid_relay *r = calloc(1, sizeof *r);
    int fd = -1;

    if (r == NULL) {
        return CS_E_NO_MEMORY;
    }
    *r = (cs_hybrid_relay){.loop = l, .daemon = *daemon, .where = *at, .port = port};
    cs_err err = cs_relay_new(&r->relay, l, IDLE_MS);
    if (err == CS_OK) {
        err = cs_endpoint_listen(&fd, at, 128);
    }
    if (err == CS_OK) {
        err = cs_listener_new(&r->listener, l, fd, CS_EP_CID_ANY, on_accept, r);
        if (err != CS_OK) {
            (void)close(fd);
            (void)unlink(at->host);
        }
    }
    if (err != CS_OK) {
        cs_relay_free(r->relay);
        free(r);
        return err;
    }
    *out = r;
    return CS_OK;
}

void cs_hybrid_relay_free(cs_hybrid_relay *r)
{
    if (r == NULL) {
        return;
    }
    cs_listener_free(r->listener);
    while (r->first != NULL) {
        drop(r->first);
    }
    cs_relay_free(r->relay);
    (void)unlink(r->where.host);
    free(r);
}
