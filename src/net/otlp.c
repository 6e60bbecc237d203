/* OTLP/HTTP in JSON. See otlp.h. */
#include "net/otlp.h"

#include <stdio.h>
#include <string.h>

#include "base/json_out.h"

const char cs_otlp_own[] = "";

enum { STATUS_ERROR = 2, TEMPORALITY_DELTA = 1, TEMPORALITY_CUMULATIVE = 2 };

/* A 64-bit integer, as a string. */
static void put_u64(cs_jw *w, const char *key, uint64_t v)
{
    char text[24];

    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)v);
    cs_jw_cstr(w, key, text);
}

static void put_attr(cs_jw *w, const cs_otlp_attr *a, const char *own)
{
    char text[24];

    cs_jw_object(w, NULL);
    cs_jw_cstr(w, "key", a->key);
    cs_jw_object(w, "value");
    if (a->text != NULL) {
        cs_jw_cstr(w, "stringValue", a->text == cs_otlp_own ? own : a->text);
    } else {
        (void)snprintf(text, sizeof text, "%lld", (long long)a->number);
        cs_jw_cstr(w, "intValue", text);
    }
    cs_jw_close_object(w);
    cs_jw_close_object(w);
}

static void put_attrs(cs_jw *w, const cs_otlp_attr *attrs, size_t num, const char *own)
{
    if (num == 0) {
        return;
    }
    cs_jw_array(w, "attributes");
    for (size_t i = 0; i < num; i++) {
        put_attr(w, &attrs[i], own);
    }
    cs_jw_close_array(w);
}

/* {"outer": [{"resource": .., "inner": [{"scope": .., "list": [ */
static void begin(cs_jw *w, const cs_otlp_source *from, const char *const names[3])
{
    const cs_otlp_attr resource[] = {{"service.name", from->service, 0}, {"service.version", from->service_version, 0}};
    const cs_otlp_attr scope = {from->scope_key, from->scope_value, 0};

    cs_jw_object(w, NULL);
    cs_jw_array(w, names[0]);
    cs_jw_object(w, NULL);
    cs_jw_object(w, "resource");
    put_attrs(w, resource, from->service_version != NULL ? 2 : 1, NULL);
    cs_jw_close_object(w);
    cs_jw_array(w, names[1]);
    cs_jw_object(w, NULL);
    cs_jw_object(w, "scope");
    cs_jw_cstr(w, "name", from->scope);
    if (from->scope_version != NULL) {
        cs_jw_cstr(w, "version", from->scope_version);
    }
    put_attrs(w, &scope, from->scope_key != NULL ? 1 : 0, NULL);
    cs_jw_close_object(w);
    cs_jw_array(w, names[2]);
}

static cs_err end(cs_jw *w)
{
    cs_jw_close_array(w);
    cs_jw_close_object(w);
    cs_jw_close_array(w);
    cs_jw_close_object(w);
    cs_jw_close_array(w);
    cs_jw_close_object(w);
    return cs_jw_end(w);
}

/* ---------------------------------------------------------------- spans */

static void put_event(cs_jw *w, const cs_otlp_span *s)
{
    cs_jw_array(w, "events");
    cs_jw_object(w, NULL);
    put_u64(w, "timeUnixNano", s->end_ns);
    cs_jw_cstr(w, "name", s->event);
    cs_jw_close_object(w);
    cs_jw_close_array(w);
}

static void put_span(cs_jw *w, const cs_otlp_span *s)
{
    static const uint8_t none[sizeof s->parent];

    cs_jw_object(w, NULL);
    cs_jw_hex(w, "traceId", cs_slice_of(s->trace, sizeof s->trace));
    cs_jw_hex(w, "spanId", cs_slice_of(s->span, sizeof s->span));
    if (memcmp(s->parent, none, sizeof none) != 0) {
        cs_jw_hex(w, "parentSpanId", cs_slice_of(s->parent, sizeof s->parent));
    }
    cs_jw_cstr(w, "name", s->name);
    cs_jw_u64(w, "kind", s->kind);
    put_u64(w, "startTimeUnixNano", s->start_ns);
    put_u64(w, "endTimeUnixNano", s->end_ns);
    put_attrs(w, s->attrs, s->num_attrs, s->own);
    if (s->event != NULL) {
        put_event(w, s);
    }
    if (s->failed) {
        cs_jw_object(w, "status");
        if (s->message != NULL) {
            cs_jw_cstr(w, "message", s->message);
        }
        cs_jw_u64(w, "code", STATUS_ERROR);
        cs_jw_close_object(w);
    }
    cs_jw_close_object(w);
}

cs_err cs_otlp_put_spans(cs_buf *out, const cs_otlp_source *from, const cs_otlp_span *spans, size_t num)
{
    static const char *const names[] = {"resourceSpans", "scopeSpans", "spans"};
    cs_jw w = cs_jw_begin(out);

    begin(&w, from, names);
    for (size_t i = 0; i < num; i++) {
        put_span(&w, &spans[i]);
    }
    return end(&w);
}

/* ---------------------------------------------------------------- metrics */

static void put_histogram(cs_jw *w, const cs_otlp_point *p)
{
    const cs_prom_histogram *h = p->histogram;
    uint64_t all = 0;

    for (size_t i = 0; i <= h->num; i++) {
        all += h->counts[i];
    }
    put_u64(w, "count", all);
    cs_jw_double15(w, "sum", h->sum);
    cs_jw_array(w, "bucketCounts");
    for (size_t i = 0; i <= h->num; i++) {
        put_u64(w, NULL, h->counts[i]);
    }
    cs_jw_close_array(w);
    cs_jw_array(w, "explicitBounds");
    for (size_t i = 0; i < h->num; i++) {
        cs_jw_double15(w, NULL, h->bounds[i]);
    }
    cs_jw_close_array(w);
    if (p->has_range) {
        cs_jw_double15(w, "min", p->min);
        cs_jw_double15(w, "max", p->max);
    }
}

static void put_point(cs_jw *w, const cs_otlp_point *p)
{
    cs_jw_object(w, NULL);
    if (p->start_ns != 0) {
        put_u64(w, "startTimeUnixNano", p->start_ns);
    }
    put_u64(w, "timeUnixNano", p->time_ns);
    if (p->histogram != NULL) {
        put_histogram(w, p);
    } else if (p->is_double) {
        cs_jw_double15(w, "asDouble", p->value);
    } else {
        put_u64(w, "asInt", p->count);
    }
    put_attrs(w, p->attrs, p->num_attrs, NULL);
    cs_jw_close_object(w);
}

static void put_metric(cs_jw *w, const cs_otlp_metric *m)
{
    static const char *const types[] = {"gauge", "sum", "histogram"};

    cs_jw_object(w, NULL);
    cs_jw_cstr(w, "name", m->name);
    cs_jw_cstr(w, "unit", m->unit);
    cs_jw_cstr(w, "description", m->description);
    cs_jw_object(w, types[m->type]);
    if (m->type != CS_OTLP_GAUGE) {
        cs_jw_u64(w, "aggregationTemporality", m->delta ? TEMPORALITY_DELTA : TEMPORALITY_CUMULATIVE);
    }
    if (m->type == CS_OTLP_SUM) {
        cs_jw_bool(w, "isMonotonic", true);
    }
    cs_jw_array(w, "dataPoints");
    for (size_t i = 0; i < m->num_points; i++) {
        put_point(w, &m->points[i]);
    }
    cs_jw_close_array(w);
    cs_jw_close_object(w);
    cs_jw_close_object(w);
}

cs_err cs_otlp_put_metrics(cs_buf *out, const cs_otlp_source *from, const cs_otlp_metric *metrics, size_t num)
{
    static const char *const names[] = {"resourceMetrics", "scopeMetrics", "metrics"};
    cs_jw w = cs_jw_begin(out);

    begin(&w, from, names);
    for (size_t i = 0; i < num; i++) {
        put_metric(&w, &metrics[i]);
    }
    return end(&w);
}
