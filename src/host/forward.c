/* The commands `proxy` and `bridge`: running pairs of listener and destination. See forward.h. */
#include "host/forward.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "host/metrics.h"
#include "host/service_int.h"

#define BACKLOG 4096
#define DRAIN_TICK_MS 20
#define FDS_SPARE 256 /* besides two for each connection: pipes of the relay, listeners, metrics, lookups */

typedef struct forward {
    const cs_args *args;
    cs_loop *loop;
    cs_signal *signals[2];
    cs_timer *drain;
    cs_proxy *proxies[CS_FORWARD_PAIRS];
    cs_endpoint from[CS_FORWARD_PAIRS];
    size_t num;
    cs_metrics *metrics;
    cs_notify *notify;
    bool draining;
    uint64_t drain_end;
    char why[CS_EP_TEXT_MAX + 64]; /* detail of a refusal */
} forward;

/* ---------------------------------------------------------------- the end */

static uint64_t open_now(const forward *f)
{
    uint64_t n = 0;

    for (size_t i = 0; i < f->num; i++) {
        n += cs_proxy_open(f->proxies[i]);
    }
    return n;
}

static void on_drain(void *cookie)
{
    forward *f = cookie;

    if (open_now(f) == 0 || cs_loop_now(f->loop) >= f->drain_end) {
        cs_loop_stop(f->loop);
    }
}

static void on_signal(void *cookie)
{
    forward *f = cookie;

    if (f->draining) {
        cs_loop_stop(f->loop);
        return;
    }
    f->draining = true;
    cs_notify_say(f->notify, "STOPPING=1");
    f->drain_end = cs_loop_now(f->loop) + cs_args_u64(f->args, "drain-ms");
    for (size_t i = 0; i < f->num; i++) {
        cs_proxy_close(f->proxies[i]);
    }
    cs_log(CS_LOG_INFO, "draining", CS_LU("open", open_now(f)));
    cs_timer_start(f->drain, 0, DRAIN_TICK_MS);
}

static void end(forward *f)
{
    cs_metrics_free(f->metrics);
    cs_notify_free(f->notify);
    for (size_t i = 0; i < f->num; i++) {
        cs_proxy_free(f->proxies[i]);
        if (f->from[i].scheme == CS_EP_UNIX) {
            (void)unlink(f->from[i].host);
        }
    }
    for (int i = 0; i < 2; i++) {
        cs_signal_free(f->signals[i]);
    }
    cs_timer_free(f->drain);
    cs_loop_free(f->loop);
}

/* ---------------------------------------------------------------- the beginning */

/* Two descriptors for each connection. */
static unsigned fitting(unsigned conns_max, size_t num_pairs)
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
    o->name = pair->name;
    o->only = pair->only.num > 0 ? &pair->only : NULL;
    cs_err err = cs_endpoint_bound(&from, fd);
    if (err == CS_OK) {
        err = cs_proxy_new(&f->proxies[f->num], f->loop, fd, &to, o);
    }
    if (err != CS_OK) {
        (void)close(fd);
        return err;
    }
    f->from[f->num++] = from;
    f->why[0] = '\0';
    bound.len = 0;
    memset(text, 0, sizeof text);
    CS_TRY(cs_endpoint_format(&bound, &from)); /* the real port when 0 was asked for */
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
    return cs_metrics_new(&f->metrics, f->loop, &at, f->proxies, f->num);
}

static cs_err begin(forward *f, const cs_forward_pair *pairs, size_t num_pairs, cs_proxy_opts *o)
{
    CS_TRY(cs_loop_new(&f->loop));
    CS_TRY(cs_signal_new(&f->signals[0], f->loop, SIGTERM, on_signal, f));
    CS_TRY(cs_signal_new(&f->signals[1], f->loop, SIGINT, on_signal, f));
    CS_TRY(cs_timer_new(&f->drain, f->loop, on_drain, f));
    CS_TRY(cs_notify_new(&f->notify, f->loop));
    for (size_t i = 0; i < num_pairs; i++) {
        CS_TRY(open_pair(f, &pairs[i], o));
    }
    return open_metrics(f);
}

int cs_forward_run(const cs_args *a, const cs_forward_pair *pairs, size_t num_pairs, unsigned conns_max, int family)
{
    forward f = {.args = a};
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
    o.conns_max = fitting(conns_max, num_pairs);
    cs_err err = begin(&f, pairs, num_pairs, &o);
    if (err == CS_OK) {
        cs_notify_say(f.notify, "READY=1");
        cs_loop_run(f.loop);
        cs_log(CS_LOG_INFO, "stopped", CS_LU("cut", open_now(&f)));
    }
    end(&f);
    return err == CS_OK ? 0 : cs_refuse(a, err, false, f.why[0] != '\0' ? f.why : NULL);
}
