/*
 * The proxies of a local run: plain byte pumps, each to one fixed destination. To KMS: TLS end to end between sign-kms and KMS.
 * Egress: HTTP of the rooms between sign-service and the gateway. More connections than the limit are closed at once; connect 3 s.
 * Source: specs/nitro-kms.md 8.2, seeds 000 and 002.
 */
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "host/host.h"
#include "net/pump.h"

#define CONNECT_MS 3000u

struct conn {
    cs_proxy *owner;
    int from; /* accepted, until the pump has it */
    cs_dial *dial;
    cs_pump *pump;
    bool live;
};

struct cs_proxy {
    cs_loop *loop;
    cs_endpoint to;
    cs_proxy_opts opts;
    cs_listener *listener;
    uint64_t total;
    struct conn conns[]; /* opts.conns_max */
};

static void on_done(void *cookie, cs_err why, uint64_t up, uint64_t down)
{
    struct conn *c = cookie;

    cs_log(CS_LOG_DEBUG, "proxy_closed", CS_LC("why", cs_err_code(why)), CS_LU("bytes_out", up),
           CS_LU("bytes_in", down));
    *c = (struct conn){.owner = c->owner};
}

static void on_dialled(void *cookie, cs_err err, int fd)
{
    struct conn *c = cookie;
    int fds[2] = {c->from, fd};

    c->dial = NULL;
    if (err == CS_OK) {
        err = cs_pump_new(&c->pump, c->owner->loop, fds, c->owner->opts.idle_ms, on_done, c);
        if (err != CS_OK) {
            (void)close(fd);
        }
    }
    if (err != CS_OK) {
        cs_log_err(CS_LOG_WARN, "proxy_connect", err, CS_LC("to", c->owner->opts.name));
        (void)close(c->from);
        *c = (struct conn){.owner = c->owner};
    }
}

static void on_accept(void *cookie, int fd, const cs_ep_peer *peer)
{
    cs_proxy *p = cookie;
    struct conn *c = p->conns;

    if (p->opts.admit != NULL && !p->opts.admit(p->opts.cookie, peer)) {
        cs_log_err(CS_LOG_WARN, "proxy_peer", CS_E_AUTH, CS_LC("to", p->opts.name), CS_LU("cid", peer->cid));
        (void)close(fd);
        return;
    }
    p->total++;
    while (c < p->conns + p->opts.conns_max && c->live) {
        c++;
    }
    if (c == p->conns + p->opts.conns_max) {
        cs_log_err(CS_LOG_WARN, "proxy_full", CS_E_SESSION_LIMIT, CS_LC("to", p->opts.name));
        (void)close(fd);
        return;
    }
    *c = (struct conn){.owner = p, .from = fd, .live = true};
    cs_err err = cs_dial_new(&c->dial, p->loop, &p->to, CONNECT_MS, on_dialled, c);
    if (err != CS_OK) {
        on_dialled(c, err, -1);
    }
}

cs_err cs_proxy_new(cs_proxy **out, cs_loop *l, int listen_fd_take, const cs_endpoint *to, const cs_proxy_opts *o)
{
    cs_proxy *p = calloc(1, sizeof *p + o->conns_max * sizeof p->conns[0]);

    if (p == NULL) {
        return CS_E_NO_MEMORY;
    }
    p->loop = l;
    p->to = *to;
    p->opts = *o;
    cs_err err = cs_listener_new(&p->listener, l, listen_fd_take, CS_EP_CID_ANY, on_accept, p);
    if (err != CS_OK) {
        free(p);
        return err;
    }
    *out = p;
    return CS_OK;
}

void cs_proxy_close(cs_proxy *p)
{
    cs_listener_free(p->listener);
    p->listener = NULL;
}

unsigned cs_proxy_open(const cs_proxy *p)
{
    unsigned n = 0;

    for (size_t i = 0; p != NULL && i < p->opts.conns_max; i++) {
        n += p->conns[i].live;
    }
    return n;
}

uint64_t cs_proxy_total(const cs_proxy *p)
{
    return p != NULL ? p->total : 0;
}

void cs_proxy_free(cs_proxy *p)
{
    if (p == NULL) {
        return;
    }
    for (size_t i = 0; i < p->opts.conns_max; i++) {
        struct conn *c = &p->conns[i];
        if (c->dial != NULL) {
            cs_dial_free(c->dial);
            (void)close(c->from);
        }
        cs_pump_free(c->pump);
    }
    cs_listener_free(p->listener);
    free(p);
}
