/*
 * The commands `proxy` and `bridge`: running pairs of listener and destination, in several threads. Each thread has a loop and its
 * own proxy for every pair; those of one pair take connections from one listener and share its limit. The main thread is
 * one of them; it alone has signals, metrics and the drain. See forward.h.
 */
#include "host/forward.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "host/metrics.h"
#include "host/service_int.h"

#define BACKLOG 4096
#define DRAIN_TICK_MS 20
#define THREADS_DEFAULT 4u

typedef struct worker {
    struct forward *of;
    cs_loop *loop;
    cs_async *wake; /* phase has changed */
    pthread_t thread;
    bool started; /* the first one never is: it runs in the main thread */
    cs_proxy *proxies[CS_FORWARD_PAIRS];
} worker;

typedef struct forward {
    const cs_args *args;
    worker workers[CS_FORWARD_THREADS];
    size_t num_workers;
    cs_signal *signals[2];
    cs_timer *drain;
    cs_endpoint from[CS_FORWARD_PAIRS];
    cs_proxy_shared shared[CS_FORWARD_PAIRS];
    size_t num_pairs;
    cs_proxy *all[CS_FORWARD_PAIRS * CS_FORWARD_THREADS]; /* for the metrics */
    size_t num_all;
    cs_metrics *metrics;
    cs_notify *notify;
    enum { RUNNING, DRAINING, STOPPING } phase_of_main;
    atomic_int phase;
    uint64_t drain_end;
    char why[CS_EP_TEXT_MAX + 64]; /* detail of a refusal */
} forward;

/* ---------------------------------------------------------------- the end */

static unsigned open_now(const forward *f)
{
    unsigned n = 0;

    for (size_t i = 0; i < f->num_pairs; i++) {
        n += atomic_load(&f->shared[i].open);
    }
    return n;
}

/* In each worker's own thread. */
static void on_wake(void *cookie)
{
    worker *w = cookie;
    int phase = atomic_load(&w->of->phase);

    for (size_t i = 0; i < CS_FORWARD_PAIRS && phase != RUNNING; i++) {
        if (w->proxies[i] != NULL) {
            cs_proxy_close(w->proxies[i]);
        }
    }
    if (phase == STOPPING) {
        cs_loop_stop(w->loop);
    }
}

static void enter(forward *f, int phase)
{
    f->phase_of_main = phase;
    atomic_store(&f->phase, phase);
    for (size_t i = 0; i < f->num_workers; i++) {
        cs_async_send(f->workers[i].wake);
    }
}

static void on_drain(void *cookie)
{
    forward *f = cookie;

    if (open_now(f) == 0 || cs_loop_now(f->workers[0].loop) >= f->drain_end) {
        enter(f, STOPPING);
    }
}

static void on_signal(void *cookie)
{
    forward *f = cookie;

    if (f->phase_of_main != RUNNING) {
        enter(f, STOPPING);
        return;
    }
    f->drain_end = cs_loop_now(f->workers[0].loop) + cs_args_u64(f->args, "drain-ms");
    cs_notify_say(f->notify, "STOPPING=1");
    cs_log(CS_LOG_INFO, "draining", CS_LU("open", open_now(f)));
    enter(f, DRAINING);
    cs_timer_start(f->drain, DRAIN_TICK_MS, DRAIN_TICK_MS);
}

static void end(forward *f)
{
    if (f->phase_of_main != STOPPING) {
        enter(f, STOPPING);
    }
    for (size_t i = 1; i < f->num_workers; i++) {
        if (f->workers[i].started) {
            (void)pthread_join(f->workers[i].thread, NULL);
        }
    }
    cs_metrics_free(f->metrics);
    cs_notify_free(f->notify);
    for (int i = 0; i < 2; i++) {
        cs_signal_free(f->signals[i]);
    }
    cs_timer_free(f->drain);
    for (size_t i = 0; i < f->num_workers; i++) {
        for (size_t k = 0; k < CS_FORWARD_PAIRS; k++) {
            cs_proxy_free(f->workers[i].proxies[k]);
        }
        cs_async_free(f->workers[i].wake);
        cs_loop_free(f->workers[i].loop);
    }
    for (size_t i = 0; i < f->num_pairs; i++) {
        if (f->from[i].scheme == CS_EP_UNIX) {
            (void)unlink(f->from[i].host);
        }
    }
}

/* ---------------------------------------------------------------- the beginning */

static cs_err parse_cid(uint32_t *out, const char *text)
{
    uint64_t cid = 0;

    if (text == NULL) {
        *out = 0;
        return CS_OK;
    }
    if (strcmp(text, "any") == 0) {
        *out = CS_EP_CID_ANY;
        return CS_OK;
    }
    if (cs_parse_u64(cs_slice_str(text), CS_EP_CID_ANY - 1, &cid) != CS_OK || cid == 0) {
        return CS_E_USAGE;
    }
    *out = (uint32_t)cid;
    return CS_OK;
}

/* --vsock-dir: the parent's listeners and the enclave's ports as unix sockets. */
static void map(cs_endpoint *ep, const char *dir, bool listens)
{
    cs_endpoint mapped = {.scheme = CS_EP_UNIX};

    if (dir == NULL || ep->scheme != CS_EP_VSOCK) {
        return;
    }
    if (listens) {
        (void)snprintf(mapped.host, sizeof mapped.host, "%.200s/parent-%u.sock", dir, (unsigned)ep->port);
    } else {
        (void)snprintf(mapped.host, sizeof mapped.host, "%.200s/%u/enclave-%u.sock", dir, (unsigned)ep->cid,
                       (unsigned)ep->port);
    }
    *ep = mapped;
}

/* The proxies of one pair, one in each thread, on copies of the listener. */
static cs_err open_proxies(forward *f, int listener, const cs_endpoint *to, const cs_proxy_opts *o)
{
    for (size_t i = 0; i < f->num_workers; i++) {
        worker *w = &f->workers[i];
        int fd = fcntl(listener, F_DUPFD_CLOEXEC, 0);
        if (fd < 0) {
            return CS_E_IO;
        }
        cs_err err = cs_proxy_new(&w->proxies[f->num_pairs], w->loop, fd, to, o);
        if (err != CS_OK) {
            (void)close(fd);
            return err;
        }
        f->all[f->num_all++] = w->proxies[f->num_pairs];
    }
    return CS_OK;
}

static cs_err open_pair(forward *f, const cs_forward_pair *pair, cs_proxy_opts *o)
{
    const char *dir = cs_args_str(f->args, "vsock-dir");
    char text[CS_EP_TEXT_MAX + 1] = "";
    cs_buf bound = cs_buf_wrap((uint8_t *)text, sizeof text - 1);
    cs_endpoint from = pair->from, to = pair->to;
    int fd = -1;

    map(&from, dir, true);
    map(&to, dir, false);
    CS_TRY(cs_endpoint_format(&bound, &from));
    (void)snprintf(f->why, sizeof f->why, "cannot listen on %.300s", text);
    CS_TRY(cs_endpoint_listen(&fd, &from, BACKLOG));
    f->why[0] = '\0';
    o->name = pair->name;
    o->only = pair->only.num > 0 ? &pair->only : NULL;
    f->shared[f->num_pairs] = CS_PROXY_SHARED_INIT;
    o->shared = &f->shared[f->num_pairs];
    cs_err err = cs_endpoint_bound(&from, fd); /* the real port when 0 was asked for */
    if (err == CS_OK) {
        err = open_proxies(f, fd, &to, o);
    }
    (void)close(fd);
    f->from[f->num_pairs++] = from;
    CS_TRY(err);
    bound.len = 0;
    memset(text, 0, sizeof text);
    CS_TRY(cs_endpoint_format(&bound, &from));
    cs_log(CS_LOG_INFO, "listening", CS_LC("at", text), CS_LC("proxy", pair->name));
    return CS_OK;
}

static cs_err open_metrics(forward *f)
{
    const char *text = cs_args_str(f->args, "metrics");
    cs_endpoint at;

    if (text == NULL) {
        return CS_OK;
    }
    (void)snprintf(f->why, sizeof f->why, "--metrics %.300s (a loopback address or unix:/path)", text);
    CS_TRY(cs_endpoint_parse(&at, cs_slice_str(text)));
    CS_TRY(cs_metrics_new(&f->metrics, f->workers[0].loop, &at, f->all, f->num_all));
    f->why[0] = '\0';
    return CS_OK;
}

static void *work(void *arg)
{
    cs_loop_run(((worker *)arg)->loop);
    return NULL;
}

static cs_err open_workers(forward *f)
{
    cpu_set_t cpus;
    size_t num = cs_args_u64(f->args, "threads");

    if (num == 0) {
        num = sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? (size_t)CPU_COUNT(&cpus) : 1;
        num = num < THREADS_DEFAULT ? num : THREADS_DEFAULT;
    }
    for (size_t i = 0; i < num; i++) {
        worker *w = &f->workers[f->num_workers];
        w->of = f;
        CS_TRY(cs_loop_new(&w->loop));
        f->num_workers++;
        CS_TRY(cs_async_new(&w->wake, w->loop, on_wake, w));
    }
    return CS_OK;
}

/* After everything else, so that nothing of a loop is touched from outside while its thread runs. */
static cs_err start_threads(forward *f)
{
    for (size_t i = 1; i < f->num_workers; i++) {
        worker *w = &f->workers[i];
        w->started = pthread_create(&w->thread, NULL, work, w) == 0;
        if (!w->started) {
            return CS_E_NO_MEMORY;
        }
    }
    return CS_OK;
}

static cs_err begin(forward *f, const cs_forward_pair *pairs, size_t num_pairs, cs_proxy_opts *o)
{
    CS_TRY(open_workers(f));
    cs_loop *l = f->workers[0].loop;
    CS_TRY(cs_signal_new(&f->signals[0], l, SIGTERM, on_signal, f));
    CS_TRY(cs_signal_new(&f->signals[1], l, SIGINT, on_signal, f));
    CS_TRY(cs_timer_new(&f->drain, l, on_drain, f));
    CS_TRY(cs_notify_new(&f->notify, l));
    for (size_t i = 0; i < num_pairs; i++) {
        CS_TRY(open_pair(f, &pairs[i], o));
    }
    CS_TRY(open_metrics(f));
    return start_threads(f);
}

int cs_forward_run(const cs_args *a, const cs_forward_pair *pairs, size_t num_pairs, unsigned conns_max, int family)
{
    static forward f; /* too large for the stack; a command runs once */
    cs_log_level level = CS_LOG_INFO;
    cs_proxy_opts o = {.idle_ms = (uint32_t)cs_args_u64(a, "idle-ms"),
                       .connect_ms = (uint32_t)cs_args_u64(a, "connect-ms"),
                       .family = family};

    if (cs_log_level_of(cs_slice_str(cs_args_str(a, "log-level")), &level) != CS_OK) {
        return cs_usage_error(a, "--log-level: debug, info, warn or error");
    }
    if (parse_cid(&o.peer_cid, cs_args_str(a, "peer-cid")) != CS_OK) {
        return cs_usage_error(a, "--peer-cid: a CID, or any");
    }
    cs_log_init("sign-host", level, STDERR_FILENO);
    f.args = a;
    o.conns_max = cs_proxy_fitting(conns_max, num_pairs);
    cs_err err = begin(&f, pairs, num_pairs, &o);
    if (err == CS_OK) {
        cs_notify_say(f.notify, "READY=1");
        cs_loop_run(f.workers[0].loop);
        cs_log(CS_LOG_INFO, "stopped", CS_LU("cut", open_now(&f)));
    }
    end(&f);
    return err == CS_OK ? 0 : cs_refuse(a, err, false, f.why[0] != '\0' ? f.why : NULL);
}
