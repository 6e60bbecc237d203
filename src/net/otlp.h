/*
 * OTLP/HTTP in its JSON encoding: spans and metrics as the bodies of POST /v1/traces and /v1/metrics. Pure. Ids are hex, 64-bit integers
 * decimal strings, enums numbers.
 * Source: https://opentelemetry.io/docs/specs/otlp/ (JSON Protobuf Encoding), opentelemetry-proto 1.
 */
#ifndef CS_NET_OTLP_H
#define CS_NET_OTLP_H

#include "base/bytes.h"
#include "net/prom.h"

/* Who speaks. NULL texts are left out. scope_attr: one attribute of the scope, or NULL. */
typedef struct cs_otlp_source {
    const char *service, *service_version, *scope, *scope_version;
    const char *scope_key, *scope_value;
} cs_otlp_source;

/* text NULL: number. The pointers are borrowed. */
typedef struct cs_otlp_attr {
    const char *key, *text;
    int64_t number;
} cs_otlp_attr;

#define CS_OTLP_ATTRS 6
#define CS_OTLP_TEXT 40 /* of values that are not static, with NUL */

typedef enum cs_otlp_kind { CS_OTLP_SERVER = 2, CS_OTLP_CLIENT = 3 } cs_otlp_kind;

typedef struct cs_otlp_span {
    uint8_t trace[16], span[8], parent[8]; /* parent zero: the first of its trace */
    const char *name;
    cs_otlp_kind kind;
    uint64_t start_ns, end_ns; /* since 1970 */
    bool failed;
    const char *event;   /* something that happened at its end, or NULL */
    const char *message; /* of the status when it failed, static; NULL: none */
    cs_otlp_attr attrs[CS_OTLP_ATTRS];
    size_t num_attrs;
    char own[CS_OTLP_TEXT]; /* attrs[i].text == cs_otlp_own stands for this */
} cs_otlp_span;
extern const char cs_otlp_own[];

/* cs_otlp_put_spans - append one body of num spans. CS_E_RANGE | CS_E_NO_MEMORY. */
CS_MUST cs_err cs_otlp_put_spans(cs_buf *out, const cs_otlp_source *from, const cs_otlp_span *spans, size_t num);

typedef enum cs_otlp_type { CS_OTLP_GAUGE, CS_OTLP_SUM, CS_OTLP_HISTOGRAM } cs_otlp_type;

/* One number, or one histogram, of a metric. */
typedef struct cs_otlp_point {
    uint64_t start_ns, time_ns; /* start 0: left out (gauges) */
    bool is_double;
    uint64_t count; /* the value, unless is_double */
    double value;
    const cs_prom_histogram *histogram; /* of CS_OTLP_HISTOGRAM; then the values above are not read */
    bool has_range;
    double min, max; /* of the histogram, when has_range */
    cs_otlp_attr attrs[CS_OTLP_ATTRS];
    size_t num_attrs;
} cs_otlp_point;

/* Sums are monotonic. delta: since the point's start only; else since the process began. */
typedef struct cs_otlp_metric {
    const char *name, *unit, *description;
    cs_otlp_type type;
    bool delta;
    const cs_otlp_point *points;
    size_t num_points;
} cs_otlp_metric;

/* cs_otlp_put_metrics - append one body of num metrics. Errors as above. */
CS_MUST cs_err cs_otlp_put_metrics(cs_buf *out, const cs_otlp_source *from, const cs_otlp_metric *metrics, size_t num);

#endif
