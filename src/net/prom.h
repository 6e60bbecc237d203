/*
 * Figures in Prometheus' text format (version 0.0.4), and a server for them: GET /metrics, GET /healthz ("ok"). A program has one table
 * of families; each row has a function that puts the family's samples. Values of labels come from tables or configuration: never
 * addresses of peers, contents or secrets.
 * Source: https://prometheus.io/docs/instrumenting/exposition_formats/ (Text-based format).
 */
#ifndef CS_NET_PROM_H
#define CS_NET_PROM_H

#include "net/loop.h"

#define CS_PROM_LABELS 4

typedef struct cs_prom_family cs_prom_family;
struct cs_prom_family {
    const char *name, *type, *help;         /* type: counter, gauge, histogram; a counter's name ends in _total */
    const char *labels[CS_PROM_LABELS + 1]; /* names, up to the first NULL; NULL at the end */
    cs_err (*put)(cs_buf *out, const cs_prom_family *f, void *cookie);
};

/* cs_prom_put - append all families of a table that ends with name NULL: HELP, TYPE, samples. CS_E_NO_MEMORY | CS_E_RANGE. */
CS_MUST cs_err cs_prom_put(cs_buf *out, const cs_prom_family *table, void *cookie);
/*
 * cs_prom_u64, cs_prom_double - append one sample. values: as many as f has labels (NULL when none); escaped, control bytes become "?".
 * Errors as above.
 */
CS_MUST cs_err cs_prom_u64(cs_buf *out, const cs_prom_family *f, const char *const *values, uint64_t v);
CS_MUST cs_err cs_prom_double(cs_buf *out, const cs_prom_family *f, const char *const *values, double v);

/* A histogram: counts of num bounds (seconds, ascending) and one more for the rest, not added up; their sum in seconds. */
#define CS_PROM_BUCKETS 32
typedef struct cs_prom_histogram {
    size_t num;
    double bounds[CS_PROM_BUCKETS];
    uint64_t counts[CS_PROM_BUCKETS + 1];
    double sum;
} cs_prom_histogram;
/* cs_prom_observe - count one duration. cs_prom_put_histogram - _bucket, _sum and _count of one; label le comes last. */
void cs_prom_observe(cs_prom_histogram *h, double seconds);
CS_MUST cs_err cs_prom_put_histogram(cs_buf *out, const cs_prom_family *f, const char *const *values,
                                     const cs_prom_histogram *h);

/*
 * cs_prom_server_new - listens at `at`. local: tcp must be a numeric loopback address (CS_E_USAGE), for figures that need no
 * authentication. Errors of cs_endpoint_listen. cs_prom_server_at - where it listens, with the port when 0 was asked.
 */
typedef struct cs_prom_server cs_prom_server;
CS_MUST cs_err cs_prom_server_new(cs_prom_server **out, cs_loop *l, const cs_endpoint *at, bool local,
                                  cs_err (*put)(cs_buf *out, void *cookie), void *cookie);
const cs_endpoint *cs_prom_server_at(const cs_prom_server *s);
void cs_prom_server_free(cs_prom_server *s);

#endif
