/* Metrics: the figures of proxies as a table of families. See metrics.h. */
#include "host/metrics.h"

#include <stdlib.h>
#include <string.h>

#include "net/prom.h"

typedef struct proxy_list {
    cs_proxy *const *p;
    size_t num;
} proxy_list;

struct cs_metrics {
    cs_prom_server *server;
    proxy_list all;
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

/* one(out, f, name, figures) for each name */
typedef cs_err one_fn(cs_buf *out, const cs_prom_family *f, const char *proxy, const cs_proxy_stats *s);

static cs_err each(cs_buf *out, const cs_prom_family *f, const proxy_list *all, one_fn *one)
{
    for (size_t i = 0; i < all->num; i++) {
        cs_proxy_stats s;
        if (add_up(&s, all->p, all->num, i)) {
            CS_TRY(one(out, f, cs_proxy_name(all->p[i]), &s));
        }
    }
    return CS_OK;
}

static cs_err one_connections(cs_buf *out, const cs_prom_family *f, const char *proxy, const cs_proxy_stats *s)
{
    for (int i = 0; i < CS_PROXY_NUM_RESULTS; i++) {
        const char *const values[] = {proxy, cs_proxy_result_name((cs_proxy_result)i)};
        CS_TRY(cs_prom_u64(out, f, values, s->ended[i]));
    }
    return CS_OK;
}

static cs_err one_open(cs_buf *out, const cs_prom_family *f, const char *proxy, const cs_proxy_stats *s)
{
    return cs_prom_u64(out, f, &proxy, s->open);
}

static cs_err one_limit(cs_buf *out, const cs_prom_family *f, const char *proxy, const cs_proxy_stats *s)
{
    return cs_prom_u64(out, f, &proxy, s->conns_max);
}

static cs_err one_bytes(cs_buf *out, const cs_prom_family *f, const char *proxy, const cs_proxy_stats *s)
{
    const char *const outward[] = {proxy, "out"}, *const inward[] = {proxy, "in"};
    CS_TRY(cs_prom_u64(out, f, outward, s->bytes_out));
    return cs_prom_u64(out, f, inward, s->bytes_in);
}

static cs_err one_lookups(cs_buf *out, const cs_prom_family *f, const char *proxy, const cs_proxy_stats *s)
{
    const char *const ok[] = {proxy, "ok"}, *const failed[] = {proxy, "failed"};
    CS_TRY(cs_prom_u64(out, f, ok, s->lookups - s->lookups_failed));
    return cs_prom_u64(out, f, failed, s->lookups_failed);
}

#define FAMILY(name)                                                                                                   \
    static cs_err put_##name(cs_buf *out, const cs_prom_family *f, void *cookie)                                       \
    {                                                                                                                  \
        return each(out, f, cookie, one_##name);                                                                       \
    }
FAMILY(connections)
FAMILY(open)
FAMILY(limit)
FAMILY(bytes)
FAMILY(lookups)

#define NAME(text) "countersign_proxy_" text
static const cs_prom_family families[] = {
    {NAME("connections_total"),
     "counter",
     "Connections that ended or were refused, by result.",
     {"proxy", "result"},
     put_connections},
    {NAME("connections_open"), "gauge", "Connections that are open or being connected.", {"proxy"}, put_open},
    {NAME("connections_limit"), "gauge", "How many may be open at once.", {"proxy"}, put_limit},
    {NAME("bytes_total"),
     "counter",
     "Bytes taken: out to the destination, in from it.",
     {"proxy", "direction"},
     put_bytes},
    {NAME("lookups_total"), "counter", "Lookups of the destination's name.", {"proxy", "result"}, put_lookups},
    {0},
};

static cs_err put(cs_buf *out, void *cookie)
{
    return cs_prom_put(out, families, cookie);
}

cs_err cs_metrics_put(cs_buf *out, cs_proxy *const *p, size_t num)
{
    proxy_list all = {p, num};

    return put(out, &all);
}

cs_err cs_metrics_new(cs_metrics **out, cs_loop *l, const cs_endpoint *at, cs_proxy *const *p, size_t num)
{
    cs_metrics *m = calloc(1, sizeof *m);

    if (m == NULL) {
        return CS_E_NO_MEMORY;
    }
    m->all = (proxy_list){p, num};
    cs_err err = cs_prom_server_new(&m->server, l, at, true, put, &m->all);
    if (err != CS_OK) {
        free(m);
        return err;
    }
    *out = m;
    return CS_OK;
}

void cs_metrics_free(cs_metrics *m)
{
    if (m != NULL) {
        cs_prom_server_free(m->server);
        free(m);
    }
}
