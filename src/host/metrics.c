/* Metrics: the text and its server. See metrics.h. */
#include "host/metrics.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/http1.h"

#define TEXT_MAX ((size_t)1 << 20)

struct cs_metrics {
    cs_http1_server *server;
    cs_proxy *const *proxies;
    size_t num_proxies;
    cs_endpoint at;
};

/* ---------------------------------------------------------------- text */

static cs_err put_label(cs_buf *out, const char *name, const char *value)
{
    CS_TRY(cs_put_fmt(out, "%s=\"", name));
    for (const char *p = value; *p != '\0'; p++) {
        if (*p == '\\' || *p == '"') {
            CS_TRY(cs_put_u8(out, '\\'));
        }
        CS_TRY(cs_put_u8(out, (unsigned char)*p < 0x20 ? '?' : (uint8_t)*p));
    }
    return cs_put_u8(out, '"');
}

/* NAME{proxy="...",label="value"} N */
static cs_err put_row(cs_buf *out, const char *metric, const char *proxy, const char *const label[2], uint64_t n)
{
    CS_TRY(cs_put_fmt(out, "countersign_proxy_%s{", metric));
    CS_TRY(put_label(out, "proxy", proxy));
    if (label[0] != NULL) {
        CS_TRY(cs_put_u8(out, ','));
        CS_TRY(put_label(out, label[0], label[1]));
    }
    return cs_put_fmt(out, "} %llu\n", (unsigned long long)n);
}

static cs_err put_connections(cs_buf *out, const char *proxy, const cs_proxy_stats *s)
{
    for (int i = 0; i < CS_PROXY_NUM_RESULTS; i++) {
        const char *const label[] = {"result", cs_proxy_result_name((cs_proxy_result)i)};
        CS_TRY(put_row(out, "connections_total", proxy, label, s->ended[i]));
    }
    return CS_OK;
}

static cs_err put_open(cs_buf *out, const char *proxy, const cs_proxy_stats *s)
{
    static const char *const none[2];
    return put_row(out, "connections_open", proxy, none, s->open);
}

static cs_err put_limit(cs_buf *out, const char *proxy, const cs_proxy_stats *s)
{
    static const char *const none[2];
    return put_row(out, "connections_limit", proxy, none, s->conns_max);
}

static cs_err put_bytes(cs_buf *out, const char *proxy, const cs_proxy_stats *s)
{
    static const char *const outward[] = {"direction", "out"}, *const inward[] = {"direction", "in"};
    CS_TRY(put_row(out, "bytes_total", proxy, outward, s->bytes_out));
    return put_row(out, "bytes_total", proxy, inward, s->bytes_in);
}

static cs_err put_lookups(cs_buf *out, const char *proxy, const cs_proxy_stats *s)
{
    static const char *const ok[] = {"result", "ok"}, *const failed[] = {"result", "failed"};
    CS_TRY(put_row(out, "lookups_total", proxy, ok, s->lookups - s->lookups_failed));
    return put_row(out, "lookups_total", proxy, failed, s->lookups_failed);
}

static const struct {
    const char *name, *type, *help;
    cs_err (*put)(cs_buf *out, const char *proxy, const cs_proxy_stats *s);
} families[] = {
    {"connections_total", "counter", "Connections that ended or were refused, by result.", put_connections},
    {"connections_open", "gauge", "Connections that are open or being connected.", put_open},
    {"connections_limit", "gauge", "How many may be open at once.", put_limit},
    {"bytes_total", "counter", "Bytes taken: out to the destination, in from it.", put_bytes},
    {"lookups_total", "counter", "Lookups of the destination's name.", put_lookups},
};

/* The figures of proxies[i] and of those behind it with its name. False: it has been added to one before. */
static bool add_up(cs_proxy_stats *sum, cs_proxy *const *proxies, size_t num_proxies, size_t i)
{
    const char *name = cs_proxy_name(proxies[i]);

    for (size_t k = 0; k < i; k++) {
        if (strcmp(cs_proxy_name(proxies[k]), name) == 0) {
            return false;
        }
    }
    cs_proxy_count(sum, proxies[i]);
    for (size_t k = i + 1; k < num_proxies; k++) {
        cs_proxy_stats s;
        if (strcmp(cs_proxy_name(proxies[k]), name) != 0) {
            continue;
        }
        cs_proxy_count(&s, proxies[k]);
        for (int r = 0; r < CS_PROXY_NUM_RESULTS; r++) {
            sum->ended[r] += s.ended[r];
        }
        sum->open += s.open;
        sum->bytes_out += s.bytes_out;
        sum->bytes_in += s.bytes_in;
        sum->lookups += s.lookups;
        sum->lookups_failed += s.lookups_failed;
    }
    return true;
}

cs_err cs_metrics_put(cs_buf *out, cs_proxy *const *proxies, size_t num_proxies)
{
    for (size_t f = 0; f < sizeof families / sizeof *families; f++) {
        CS_TRY(cs_put_fmt(out, "# HELP countersign_proxy_%s %s\n# TYPE countersign_proxy_%s %s\n", families[f].name,
                          families[f].help, families[f].name, families[f].type));
        for (size_t i = 0; i < num_proxies; i++) {
            cs_proxy_stats s;
            if (add_up(&s, proxies, num_proxies, i)) {
                CS_TRY(families[f].put(out, cs_proxy_name(proxies[i]), &s));
            }
        }
    }
    return CS_OK;
}

/* ---------------------------------------------------------------- server */

static void answer(cs_http1_conn *c, unsigned status, cs_slice body)
{
    const cs_http1_header type = {cs_slice_str("content-type"),
                                  cs_slice_str("text/plain; version=0.0.4; charset=utf-8")};
    cs_http1_respond(c, status, &type, 1, body);
}

static void on_request(void *cookie, cs_http1_conn *c, const cs_http1_msg *request)
{
    cs_metrics *m = cookie;
    cs_buf text = cs_buf_heap(TEXT_MAX);

    if (!cs_slice_eq_str(request->method, "GET") && !cs_slice_eq_str(request->method, "HEAD")) {
        answer(c, 405, cs_slice_str("GET only\n"));
    } else if (cs_slice_eq_str(request->target, "/healthz")) {
        answer(c, 200, cs_slice_str("ok\n"));
    } else if (!cs_slice_eq_str(request->target, "/metrics")) {
        answer(c, 404, cs_slice_str("see /metrics\n"));
    } else if (cs_metrics_put(&text, m->proxies, m->num_proxies) != CS_OK) {
        answer(c, 503, cs_slice_str("no memory\n"));
    } else {
        answer(c, 200, cs_buf_slice(&text));
    }
    cs_buf_free(&text);
}

static bool is_local(const cs_endpoint *at)
{
    cs_addrs numeric;

    return at->scheme == CS_EP_UNIX || (at->scheme == CS_EP_TCP && cs_addrs_numeric(&numeric, at->host, 0) &&
                                        (strncmp(at->host, "127.", 4) == 0 || strcmp(at->host, "::1") == 0));
}

cs_err cs_metrics_new(cs_metrics **out, cs_loop *l, const cs_endpoint *at, cs_proxy *const *proxies, size_t num_proxies)
{
    static const cs_http1_server_opts opts = {.limits = {.conns_max = 16}, .cid = CS_EP_CID_ANY};
    cs_metrics *m;
    int fd = -1;

    if (!is_local(at)) {
        return CS_E_USAGE;
    }
    m = calloc(1, sizeof *m);
    if (m == NULL) {
        return CS_E_NO_MEMORY;
    }
    *m = (cs_metrics){.proxies = proxies, .num_proxies = num_proxies, .at = *at};
    cs_err err = cs_endpoint_listen(&fd, at, 16);
    if (err == CS_OK && (err = cs_http1_server_new(&m->server, l, fd, &opts, on_request, m)) != CS_OK) {
        (void)close(fd);
    }
    if (err != CS_OK) {
        free(m);
        return err;
    }
    *out = m;
    return CS_OK;
}

void cs_metrics_free(cs_metrics *m)
{
    if (m == NULL) {
        return;
    }
    cs_http1_server_free(m->server);
    if (m->at.scheme == CS_EP_UNIX) {
        (void)unlink(m->at.host);
    }
    free(m);
}
