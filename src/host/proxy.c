/* Proxies: connections from the listener to the destination, and their end. See proxy.h. */
#include "host/proxy.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "host/relay.h"

#define ENCLAVE_CID_MIN 4u
#define LINES_PER_SECOND 10u
#define KEEPALIVE_FROM_MS 120000u
#define KEEPALIVE_S 60
#define FDS_SPARE 512 /* besides two for each connection: pipes of the relays, listeners, loops, metrics, lookups */

struct conn {
    cs_proxy *owner;
    TAILQ_ENTRY(conn) link;
    int from; /* accepted, until the relay has it; then -1 */
    cs_ep_peer peer;
    cs_dest_dial *dial;
    cs_relay_pair *pair;
    uint64_t begun_ms;
};

typedef TAILQ_HEAD(conns, conn) conns;

struct cs_proxy {
    cs_loop *loop;
    cs_relay *relay;
    cs_dest *dest;
    cs_proxy_opts opts;
    cs_listener *listener;
    conns conns;
    atomic_ullong open, ended[CS_PROXY_NUM_RESULTS]; /* other threads read them */
    atomic_uint own_open, *counted;                  /* for the limit: that of opts.shared, else own_open */
    uint64_t second_ms, lines, left_out;             /* of the log */
    cs_err trouble;                                  /* of the last dial */
};

const char *cs_proxy_result_name(cs_proxy_result r)
{
    static const char *const names[] = {
#define CS_PROXY_ROW(id, name) [CS_PROXY_##id] = (name),
        CS_PROXY_RESULTS(CS_PROXY_ROW)
#undef CS_PROXY_ROW
    };
    return names[r];
}

/* ---------------------------------------------------------------- the end of a connection */

static bool may_log(cs_proxy *p)
{
    uint64_t now = cs_loop_now(p->loop);

    if (now - p->second_ms >= 1000) {
        p->second_ms = now;
        p->lines = 0;
    }
    if (p->lines++ < LINES_PER_SECOND) {
        return true;
    }
    p->left_out++;
    return false;
}

static void count(cs_proxy *p, cs_proxy_result result, cs_err err, const cs_ep_peer *peer, const uint64_t figures[3])
{
    p->ended[result]++;
    if (!may_log(p)) {
        return;
    }
    const cs_log_field fields[] = {CS_LC("proxy", p->opts.name),
                                   CS_LC("result", cs_proxy_result_name(result)),
                                   CS_LU("cid", peer->scheme == CS_EP_VSOCK ? peer->cid : 0),
                                   CS_LU("bytes_out", figures[0]),
                                   CS_LU("bytes_in", figures[1]),
                                   CS_LU("ms", figures[2]),
                                   CS_LU("left_out", p->left_out),
                                   {0}};
    p->left_out = 0;
    if (err == CS_OK) {
        cs_log_event(CS_LOG_INFO, "connection", fields);
    } else {
        cs_log_refusal(CS_LOG_WARN, "connection", err, fields);
    }
}

static void conn_end(struct conn *c, cs_proxy_result result, cs_err err, const uint64_t bytes[2])
{
    cs_proxy *p = c->owner;
    const uint64_t figures[3] = {bytes[0], bytes[1], cs_loop_now(p->loop) - c->begun_ms};

    count(p, result, err, &c->peer, figures);
    if (c->from >= 0) {
        cs_relay_reset_close(c->from);
    }
    TAILQ_REMOVE(&p->conns, c, link);
    p->open--;
    (*p->counted)--;
    free(c);
}

static void on_done(void *cookie, const cs_relay_end *end)
{
    struct conn *c = cookie;
    cs_proxy_result result = CS_PROXY_ERROR;

    if (end->why == CS_OK) {
        result = CS_PROXY_DONE;
    } else if (end->why == CS_E_CLOSED) {
        result = CS_PROXY_RESET;
    } else if (end->why == CS_E_TIMEOUT) {
        result = CS_PROXY_IDLE;
    }
    /* silence and resets are the peers' business and no fault of the proxy */
    conn_end(c, result, result == CS_PROXY_ERROR ? end->why : CS_OK, end->bytes);
}

/* ---------------------------------------------------------------- the beginning */

static void refuse(struct conn *c, cs_err err)
{
    static const uint64_t none[2];
    cs_proxy_result result = CS_PROXY_ERROR;

    if (err == CS_E_DNS || err == CS_E_PROXY_DENIED) {
        result = CS_PROXY_DNS;
    } else if (err == CS_E_CONNECT) {
        result = CS_PROXY_CONNECT;
    } else if (err == CS_E_TIMEOUT) {
        result = CS_PROXY_TIMEOUT;
    } else if (err == CS_E_PROXY_FULL) {
        result = CS_PROXY_FULL;
    }
    conn_end(c, result, err, none);
}

static void keep_alive(int fd)
{
    int on = 1, after = KEEPALIVE_S;

    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &after, sizeof after);
}

static void connected(struct conn *c, int fd)
{
    cs_proxy *p = c->owner;
    int fds[2] = {c->from, fd};

    if (p->opts.idle_ms == 0 || p->opts.idle_ms > KEEPALIVE_FROM_MS) {
        keep_alive(fds[0]);
        keep_alive(fds[1]);
    }
    cs_err err = cs_relay_add(&c->pair, p->relay, fds, on_done, c);
    if (err != CS_OK) {
        (void)close(fd);
        refuse(c, err);
        return;
    }
    c->from = -1; /* transferred */
}

static void on_dialled(void *cookie, cs_err err, int fd)
{
    struct conn *c = cookie;

    c->dial = NULL;
    c->owner->trouble = err;
    if (err == CS_OK) {
        connected(c, fd);
    } else {
        refuse(c, err);
    }
}

/* The CIDs below 4 are the hypervisor, the machine itself and the parent: programs of this machine, not enclaves. */
static bool peer_may(const cs_proxy *p, const cs_ep_peer *peer)
{
    if (p->opts.admit != NULL) {
        return p->opts.admit(p->opts.cookie, peer);
    }
    if (peer->scheme != CS_EP_VSOCK || p->opts.peer_cid == CS_EP_CID_ANY) {
        return true;
    }
    return p->opts.peer_cid == 0 ? peer->cid >= ENCLAVE_CID_MIN : peer->cid == p->opts.peer_cid;
}

/* On CS_OK the connection counts. */
static cs_err may_enter(cs_proxy_result *out, cs_proxy *p, const cs_ep_peer *peer)
{
    if (!peer_may(p, peer)) {
        *out = CS_PROXY_PEER;
        return CS_E_PROXY_PEER;
    }
    if (atomic_fetch_add(p->counted, 1) >= p->opts.conns_max) {
        (*p->counted)--;
        *out = CS_PROXY_FULL;
        return CS_E_PROXY_FULL;
    }
    return CS_OK;
}

static void on_accept(void *cookie, int fd, const cs_ep_peer *peer)
{
    static const uint64_t none[3];
    cs_proxy *p = cookie;
    cs_proxy_result why = CS_PROXY_ERROR;
    cs_err err = may_enter(&why, p, peer);
    struct conn *c = err == CS_OK ? calloc(1, sizeof *c) : NULL;

    if (c == NULL && err == CS_OK) {
        (*p->counted)--;
        err = CS_E_NO_MEMORY;
    }
    if (c == NULL) {
        count(p, why, err, peer, none);
        cs_relay_reset_close(fd);
        return;
    }
    *c = (struct conn){.owner = p, .from = fd, .peer = *peer, .begun_ms = cs_loop_now(p->loop)};
    TAILQ_INSERT_TAIL(&p->conns, c, link);
    p->open++;
    int to = -1;
    err = cs_dest_dial_new(&c->dial, &to, p->dest, on_dialled, c);
    p->trouble = err;
    if (err != CS_OK) {
        refuse(c, err);
    } else if (to >= 0) {
        connected(c, to);
    }
}

/* ---------------------------------------------------------------- public */

unsigned cs_proxy_fitting(unsigned conns_max, size_t num_pairs)
{
    struct rlimit fds = {0};
    rlim_t want = 2 * (rlim_t)conns_max * num_pairs + FDS_SPARE;

    if (getrlimit(RLIMIT_NOFILE, &fds) != 0) {
        return conns_max;
    }
    if (fds.rlim_cur < want) {
        fds.rlim_cur = fds.rlim_max < want ? fds.rlim_max : want;
        (void)setrlimit(RLIMIT_NOFILE, &fds);
        (void)getrlimit(RLIMIT_NOFILE, &fds);
    }
    if (fds.rlim_cur >= want) {
        return conns_max;
    }
    rlim_t room = fds.rlim_cur > FDS_SPARE ? (fds.rlim_cur - FDS_SPARE) / 2 / num_pairs : 1;
    cs_log(CS_LOG_INFO, "descriptor_limit", CS_LU("limit", fds.rlim_cur), CS_LU("connections", room > 0 ? room : 1));
    return room > 0 ? (unsigned)room : 1;
}

cs_err cs_proxy_new(cs_proxy **out, cs_loop *l, int listen_fd_take, const cs_endpoint *to, const cs_proxy_opts *o)
{
    cs_dest_opts dest = {.family = o->family,
                         .connect_ms = o->connect_ms != 0 ? o->connect_ms : CS_PROXY_CONNECT_MS,
                         .lookup = o->lookup,
                         .shared = o->shared != NULL ? &o->shared->dest : NULL};
    cs_proxy *p = calloc(1, sizeof *p);

    if (p == NULL) {
        return CS_E_NO_MEMORY;
    }
    if (o->only != NULL) {
        dest.only = *o->only;
    }
    p->loop = l;
    p->opts = *o;
    p->opts.only = NULL;
    p->counted = o->together != NULL ? o->together : o->shared != NULL ? &o->shared->open : &p->own_open;
    TAILQ_INIT(&p->conns);
    cs_err err = cs_relay_new(&p->relay, l, o->idle_ms);
    if (err == CS_OK) {
        err = cs_dest_new(&p->dest, l, to, &dest);
    }
    if (err == CS_OK) {
        err = cs_listener_new(&p->listener, l, listen_fd_take, CS_EP_CID_ANY, on_accept, p);
    }
    if (err != CS_OK) {
        cs_proxy_free(p);
        return err;
    }
    *out = p;
    return CS_OK;
}

void cs_proxy_count(cs_proxy_stats *out, const cs_proxy *p)
{
    uint64_t bytes[2];

    *out = (cs_proxy_stats){.open = p->open, .conns_max = p->opts.conns_max};
    for (int i = 0; i < CS_PROXY_NUM_RESULTS; i++) {
        out->ended[i] = p->ended[i];
    }
    cs_relay_bytes(p->relay, bytes);
    out->bytes_out = bytes[0];
    out->bytes_in = bytes[1];
    cs_dest_lookups(p->dest, &out->lookups, &out->lookups_failed);
}

cs_err cs_proxy_trouble(const cs_proxy *p)
{
    return p != NULL ? p->trouble : CS_OK;
}

const char *cs_proxy_name(const cs_proxy *p)
{
    return p->opts.name;
}

void cs_proxy_close(cs_proxy *p)
{
    cs_listener_free(p->listener);
    p->listener = NULL;
}

unsigned cs_proxy_open(const cs_proxy *p)
{
    return p != NULL ? (unsigned)p->open : 0;
}

uint64_t cs_proxy_total(const cs_proxy *p)
{
    uint64_t total = p != NULL ? p->open : 0;

    for (int i = 0; p != NULL && i < CS_PROXY_NUM_RESULTS; i++) {
        total += p->ended[i];
    }
    return total;
}

void cs_proxy_free(cs_proxy *p)
{
    struct conn *c;

    if (p == NULL) {
        return;
    }
    cs_listener_free(p->listener);
    while ((c = TAILQ_FIRST(&p->conns)) != NULL) {
        uint64_t bytes[2] = {0, 0};
        cs_dest_dial_free(c->dial);
        cs_relay_cut(c->pair, bytes);
        conn_end(c, CS_PROXY_CUT, CS_OK, bytes);
    }
    cs_relay_free(p->relay);
    cs_dest_free(p->dest);
    free(p);
}
