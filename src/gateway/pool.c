/* Connections to sign-service. See pool.h. */
#include "gateway/pool.h"

#include <stdlib.h>

#include "net/health.pb-c.h"

#define CONNS_MAX 64
#define TICK_MS 100
#define WATCH_AGAIN_MS 200
#define WATCH_NONE_MS 2000 /* the service has no Watch: that it answers must do */
#define KEEPALIVE_MS 10000
#define KEEPALIVE_TIMEOUT_MS 5000

typedef struct member {
    cs_pool *pool;
    cs_grpc_client *client;
    cs_grpc_call *watch;
    cs_timer *again;
    bool serving;
    size_t calls;
} member;

struct cs_pool_call {
    member *of;
    cs_grpc_call *call;
    cs_pool_call *next, **prev; /* of those that may still wait for a connection */
    uint64_t give_up;
    const cs_pool_events *events;
    void *cookie;
};

struct cs_pool {
    cs_loop *loop;
    cs_pool_config config;
    member members[CONNS_MAX];
    unsigned turn;
    cs_pool_call *waiting;
    cs_timer *tick;      /* runs while somebody waits */
    uint64_t down_since; /* 0: one is up */
    bool was_serving, freeing;
};

static bool serving(const member *m)
{
    return m->serving && cs_grpc_client_up(m->client);
}

bool cs_pool_serving(const cs_pool *p)
{
    for (unsigned i = 0; i < p->config.conns; i++) {
        if (serving(&p->members[i])) {
            return true;
        }
    }
    return false;
}

bool cs_pool_serving_before(const cs_pool *p)
{
    return p->was_serving;
}

unsigned cs_pool_up(const cs_pool *p)
{
    unsigned n = 0;
    for (unsigned i = 0; i < p->config.conns; i++) {
        n += cs_grpc_client_up(p->members[i].client) ? 1 : 0;
    }
    return n;
}

static void tell_change(cs_pool *p)
{
    bool now = cs_pool_serving(p);
    if (cs_pool_up(p) > 0) {
        p->down_since = 0;
    } else if (p->down_since == 0) {
        p->down_since = cs_loop_now(p->loop);
    }
    if (now != p->was_serving && !p->freeing) {
        p->was_serving = now;
        p->config.on_change(p->config.cookie);
    }
}

static void tell_up(const member *m, bool before)
{
    if (!before && m->serving && m->pool->config.on_up != NULL && !m->pool->freeing) {
        m->pool->config.on_up(m->pool->config.cookie);
    }
}

/* ---- Health/Watch, one for each connection ---- */

static void watch_message(cs_grpc_call *c, void *cookie, cs_slice message)
{
    member *m = cookie;
    Grpc__Health__V1__HealthCheckResponse *r =
        grpc__health__v1__health_check_response__unpack(NULL, message.len, message.p);
    (void)c;
    bool before = m->serving;
    m->serving = r != NULL && r->status == GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
    if (r != NULL) {
        grpc__health__v1__health_check_response__free_unpacked(r, NULL);
    }
    tell_up(m, before);
    tell_change(m->pool);
}

static void watch_end(cs_grpc_call *c, void *cookie, const cs_grpc_result *result)
{
    member *m = cookie;
    (void)c;
    m->watch = NULL;
    if (m->pool->freeing) {
        return;
    }
    bool before = m->serving;
    m->serving = result->status == CS_GRPC_UNIMPLEMENTED;
    tell_up(m, before);
    cs_timer_start(m->again, m->serving ? WATCH_NONE_MS : WATCH_AGAIN_MS, 0);
    tell_change(m->pool);
}

static void watch(void *cookie)
{
    static const cs_grpc_call_events events = {.on_message = watch_message, .on_end = watch_end};
    member *m = cookie;
    cs_slice all = CS_SLICE_NULL; /* HealthCheckRequest of service "" */
    if (cs_grpc_call_new(&m->watch, m->client, "/grpc.health.v1.Health/Watch", 0, &events, m) == CS_OK) {
        if (cs_grpc_send(m->watch, &all, 1) == CS_OK) {
            cs_grpc_end(m->watch);
            return;
        }
        cs_grpc_cancel(m->watch);
    }
    m->watch = NULL;
    cs_timer_start(m->again, WATCH_AGAIN_MS, 0);
}

/* ---- calls ---- */

static void stop_waiting(cs_pool_call *c)
{
    if (c->prev != NULL) {
        *c->prev = c->next;
        if (c->next != NULL) {
            c->next->prev = c->prev;
        }
        c->prev = NULL;
    }
}

static void end_call(cs_pool_call *c, const cs_pool_result *r)
{
    stop_waiting(c);
    c->of->calls--;
    c->call = NULL;
    c->events->on_end(c->cookie, r);
    free(c);
}

static void call_message(cs_grpc_call *g, void *cookie, cs_slice message)
{
    cs_pool_call *c = cookie;
    (void)g;
    c->events->on_message(c->cookie, message);
}

static void call_drain(cs_grpc_call *g, void *cookie)
{
    cs_pool_call *c = cookie;
    (void)g;
    c->events->on_drain(c->cookie);
}

static void call_end(cs_grpc_call *g, void *cookie, const cs_grpc_result *result)
{
    bool answered = cs_grpc_call_header(g, "grpc-status").p != NULL;
    bool coded = cs_grpc_call_header(g, "countersign-code").p != NULL;
    cs_pool_result r = {result->status, coded ? result->err : CS_OK, result->message, !answered};
    if (!answered) {
        r.code = result->err == CS_E_CLOSED || result->err == CS_OK ? CS_E_UPSTREAM : result->err;
        r.status = cs_err_grpc(r.code);
    }
    end_call(cookie, &r);
}

static void on_tick(void *cookie)
{
    cs_pool *p = cookie;
    uint64_t now = cs_loop_now(p->loop);
    for (cs_pool_call *c = p->waiting; c != NULL;) {
        if (cs_grpc_call_sent(c->call)) {
            stop_waiting(c);
        } else if (now >= c->give_up) {
            cs_pool_result r = {CS_GRPC_UNAVAILABLE, CS_E_UPSTREAM, CS_SLICE_NULL, true};
            cs_grpc_cancel(c->call);
            end_call(c, &r);
        } else {
            c = c->next;
            continue;
        }
        c = p->waiting; /* the callback may have changed the list */
    }
    tell_change(p);
    if (p->waiting != NULL) {
        cs_timer_start(p->tick, TICK_MS, 0);
    }
}

/* Connected before not connected, then the fewest calls; equals in turn. */
static member *choose(cs_pool *p)
{
    member *best = NULL;
    p->turn++;
    for (unsigned i = 0; i < p->config.conns; i++) {
        member *m = &p->members[(i + p->turn) % p->config.conns];
        bool up = cs_grpc_client_up(m->client);
        bool best_up = best != NULL && cs_grpc_client_up(best->client);
        if (best == NULL || (up && !best_up) || (up == best_up && m->calls < best->calls)) {
            best = m;
        }
    }
    return best;
}

cs_err cs_pool_call_new(cs_pool_call **out, cs_pool *p, const char *path, uint64_t timeout_ms,
                        const cs_pool_events *events, void *cookie)
{
    const cs_grpc_begin begin = {.path = path,
                                 .timeout_ms = timeout_ms > UINT32_MAX ? 0
                                               : timeout_ms == 0       ? 1
                                                                       : (uint32_t)timeout_ms};
    return cs_pool_call_with(out, p, &begin, events, cookie);
}

cs_err cs_pool_call_with(cs_pool_call **out, cs_pool *p, const cs_grpc_begin *begin, const cs_pool_events *events,
                         void *cookie)
{
    static const cs_grpc_call_events grpc_events = {call_message, call_drain, call_end};
    member *m = choose(p);
    uint64_t now = cs_loop_now(p->loop);
    bool up = cs_grpc_client_up(m->client);
    tell_change(p);
    if (p->freeing || (!up && p->down_since != 0 && now - p->down_since >= p->config.wait_ms)) {
        return CS_E_UPSTREAM;
    }
    cs_pool_call *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return CS_E_NO_MEMORY;
    }
    *c = (cs_pool_call){.of = m, .events = events, .cookie = cookie, .give_up = now + p->config.wait_ms};
    cs_err err = cs_grpc_call_with(&c->call, m->client, begin, &grpc_events, c);
    if (err != CS_OK) {
        free(c);
        return err == CS_E_NO_MEMORY ? err : CS_E_UPSTREAM;
    }
    m->calls++;
    if (!cs_grpc_call_sent(c->call)) {
        c->next = p->waiting;
        c->prev = &p->waiting;
        if (c->next != NULL) {
            c->next->prev = &c->next;
        }
        p->waiting = c;
        if (!cs_timer_active(p->tick)) {
            cs_timer_start(p->tick, TICK_MS, 0);
        }
    }
    *out = c;
    return CS_OK;
}

cs_grpc_call *cs_pool_call_grpc(const cs_pool_call *c)
{
    return c->call;
}

void cs_pool_cancel(cs_pool_call *c)
{
    stop_waiting(c);
    c->of->calls--;
    cs_grpc_cancel(c->call);
    free(c);
}

/* ---- life ---- */

static cs_err member_open(cs_pool *p, member *m)
{
    cs_grpc_opts o = {
        .queue_max = p->config.queue_max, .keepalive_ms = KEEPALIVE_MS, .keepalive_timeout_ms = KEEPALIVE_TIMEOUT_MS};
    m->pool = p;
    CS_TRY(cs_timer_new(&m->again, p->loop, watch, m));
    CS_TRY(cs_grpc_client_new(&m->client, p->loop, &p->config.service, &o));
    watch(m);
    return CS_OK;
}

cs_err cs_pool_new(cs_pool **out, cs_loop *l, const cs_pool_config *config)
{
    cs_pool *p = calloc(1, sizeof *p);
    if (p == NULL) {
        return CS_E_NO_MEMORY;
    }
    p->loop = l;
    p->config = *config;
    p->config.conns = config->conns < 1 ? 1 : config->conns > CONNS_MAX ? CONNS_MAX : config->conns;
    p->down_since = cs_loop_now(l);
    cs_err err = cs_timer_new(&p->tick, l, on_tick, p);
    for (unsigned i = 0; err == CS_OK && i < p->config.conns; i++) {
        err = member_open(p, &p->members[i]);
    }
    if (err != CS_OK) {
        cs_pool_free(p);
        return err;
    }
    *out = p;
    return CS_OK;
}

void cs_pool_free(cs_pool *p)
{
    if (p == NULL) {
        return;
    }
    p->freeing = true;
    for (unsigned i = 0; i < p->config.conns; i++) {
        cs_timer_free(p->members[i].again);
        cs_grpc_client_free(p->members[i].client);
    }
    cs_timer_free(p->tick);
    free(p);
}
