/* Prometheus' text format, and its server. See prom.h. */
#include "net/prom.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/http1.h"

#define TEXT_MAX ((size_t)1 << 20)
#define CONNS_MAX 16

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

/* NAME{label="value",...,le="..."} and a space */
static cs_err put_name(cs_buf *out, const cs_prom_family *f, const char *suffix, const char *const *values,
                       const char *le)
{
    size_t n = 0;

    CS_TRY(cs_put_str(out, f->name));
    CS_TRY(cs_put_str(out, suffix));
    for (; f->labels[n] != NULL; n++) {
        CS_TRY(cs_put_u8(out, n == 0 ? '{' : ','));
        CS_TRY(put_label(out, f->labels[n], values[n]));
    }
    if (le != NULL) {
        CS_TRY(cs_put_u8(out, n++ == 0 ? '{' : ','));
        CS_TRY(put_label(out, "le", le));
    }
    return cs_put_str(out, n > 0 ? "} " : " ");
}

cs_err cs_prom_u64(cs_buf *out, const cs_prom_family *f, const char *const *values, uint64_t v)
{
    CS_TRY(put_name(out, f, "", values, NULL));
    return cs_put_fmt(out, "%llu\n", (unsigned long long)v);
}

cs_err cs_prom_double(cs_buf *out, const cs_prom_family *f, const char *const *values, double v)
{
    CS_TRY(put_name(out, f, "", values, NULL));
    return cs_put_fmt(out, "%.15g\n", v);
}

void cs_prom_observe(cs_prom_histogram *h, double seconds)
{
    size_t i = 0;

    while (i < h->num && seconds > h->bounds[i]) {
        i++;
    }
    h->counts[i]++;
    h->sum += seconds;
}

cs_err cs_prom_put_histogram(cs_buf *out, const cs_prom_family *f, const char *const *values,
                             const cs_prom_histogram *h)
{
    uint64_t all = 0;

    for (size_t i = 0; i <= h->num; i++) {
        uint8_t mem[32];
        cs_buf le = cs_buf_wrap(mem, sizeof mem);
        all += h->counts[i];
        CS_TRY(i < h->num ? cs_put_fmt(&le, "%.15g", h->bounds[i]) : cs_put_str(&le, "+Inf"));
        CS_TRY(cs_put_u8(&le, 0));
        CS_TRY(put_name(out, f, "_bucket", values, (const char *)mem));
        CS_TRY(cs_put_fmt(out, "%llu\n", (unsigned long long)all));
    }
    CS_TRY(put_name(out, f, "_sum", values, NULL));
    CS_TRY(cs_put_fmt(out, "%.15g\n", h->sum));
    CS_TRY(put_name(out, f, "_count", values, NULL));
    return cs_put_fmt(out, "%llu\n", (unsigned long long)all);
}

cs_err cs_prom_put(cs_buf *out, const cs_prom_family *table, void *cookie)
{
    for (const cs_prom_family *f = table; f->name != NULL; f++) {
        CS_TRY(cs_put_fmt(out, "# HELP %s %s\n# TYPE %s %s\n", f->name, f->help, f->name, f->type));
        CS_TRY(f->put(out, f, cookie));
    }
    return CS_OK;
}

/* ---------------------------------------------------------------- server */

struct cs_prom_server {
    cs_http1_server *http;
    cs_endpoint at;
    cs_err (*put)(cs_buf *out, void *cookie);
    void *cookie;
};

static void answer(cs_http1_conn *c, unsigned status, cs_slice body)
{
    const cs_http1_header type = {cs_slice_str("content-type"),
                                  cs_slice_str("text/plain; version=0.0.4; charset=utf-8")};
    cs_http1_respond(c, status, &type, 1, body);
}

static void on_request(void *cookie, cs_http1_conn *c, const cs_http1_msg *request)
{
    cs_prom_server *s = cookie;
    cs_buf text = cs_buf_heap(TEXT_MAX);

    if (!cs_slice_eq_str(request->method, "GET") && !cs_slice_eq_str(request->method, "HEAD")) {
        answer(c, 405, cs_slice_str("GET only\n"));
    } else if (cs_slice_eq_str(request->target, "/healthz")) {
        answer(c, 200, cs_slice_str("ok\n"));
    } else if (!cs_slice_eq_str(request->target, "/metrics")) {
        answer(c, 404, cs_slice_str("see /metrics\n"));
    } else if (s->put(&text, s->cookie) != CS_OK) {
        answer(c, 503, cs_slice_str("no memory\n"));
    } else {
        answer(c, 200, cs_buf_slice(&text));
    }
    cs_buf_free(&text);
}

/* A numeric address: a name could be anybody's. */
static bool is_local(const cs_endpoint *at)
{
    struct in_addr v4;
    struct in6_addr v6;

    if (at->scheme == CS_EP_TCP) {
        return inet_pton(AF_INET, at->host, &v4) == 1
                   ? ntohl(v4.s_addr) >> 24 == 127
                   : inet_pton(AF_INET6, at->host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
    }
    return at->scheme == CS_EP_UNIX;
}

cs_err cs_prom_server_new(cs_prom_server **out, cs_loop *l, const cs_endpoint *at, bool local,
                          cs_err (*put)(cs_buf *out, void *cookie), void *cookie)
{
    static const cs_http1_server_opts opts = {.limits = {.conns_max = CONNS_MAX}, .cid = CS_EP_CID_ANY};
    cs_prom_server *s;
    int fd = -1;

    if (local && !is_local(at)) {
        return CS_E_USAGE;
    }
    s = calloc(1, sizeof *s);
    if (s == NULL) {
        return CS_E_NO_MEMORY;
    }
    *s = (cs_prom_server){.at = *at, .put = put, .cookie = cookie};
    cs_err err = cs_endpoint_listen(&fd, at, CONNS_MAX);
    if (err != CS_OK) {
        free(s);
        return err;
    }
    if (at->scheme == CS_EP_TCP) {
        err = cs_endpoint_bound(&s->at, fd);
    }
    if (err != CS_OK || (err = cs_http1_server_new(&s->http, l, fd, &opts, on_request, s)) != CS_OK) {
        (void)close(fd);
        cs_prom_server_free(s);
        return err;
    }
    *out = s;
    return CS_OK;
}

const cs_endpoint *cs_prom_server_at(const cs_prom_server *s)
{
    return &s->at;
}

void cs_prom_server_free(cs_prom_server *s)
{
    if (s == NULL) {
        return;
    }
    cs_http1_server_free(s->http);
    if (s->at.scheme == CS_EP_UNIX) {
        (void)unlink(s->at.host);
    }
    free(s);
}
