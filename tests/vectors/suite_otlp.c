/*
 * otlp-json: what OpenTelemetry's examples say, exported by our writer, is the same JSON value: names of members, ids in hex (of either
 * case), 64-bit integers as strings, enums as numbers. Logs and exponential histograms are not exported.
 */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "net/otlp.h"
#include "suite.h"

void cs_suite_otlp_json(cs_suite *s, const char *dir);

static const json_t *first(const json_t *o, const char *key)
{
    return json_array_get(json_object_get(o, key), 0);
}

static cs_otlp_attr attr_of(const json_t *list, size_t i)
{
    const json_t *a = json_array_get(list, i);
    return (cs_otlp_attr){cs_suite_str(a, "key"), cs_suite_str(json_object_get(a, "value"), "stringValue"), 0};
}

static uint64_t u64_of(const json_t *o, const char *key)
{
    return strtoull(cs_suite_str(o, key), NULL, 10);
}

static cs_otlp_source source_of(const json_t *resource_and_scopes, const json_t *scoped)
{
    const json_t *scope = json_object_get(scoped, "scope");
    cs_otlp_attr service = attr_of(json_object_get(json_object_get(resource_and_scopes, "resource"), "attributes"), 0);
    cs_otlp_attr own = attr_of(json_object_get(scope, "attributes"), 0);
    return (cs_otlp_source){.service = service.text,
                            .scope = cs_suite_str(scope, "name"),
                            .scope_version = cs_suite_str(scope, "version"),
                            .scope_key = own.key,
                            .scope_value = own.text};
}

/* Ids in lower case, in place. */
static void lower(json_t *span, const char *key)
{
    char text[64];
    size_t n = 0;
    for (const char *p = cs_suite_str(span, key); *p != '\0' && n + 1 < sizeof text; p++) {
        text[n++] = (char)(*p >= 'A' && *p <= 'F' ? *p + 32 : *p);
    }
    text[n] = '\0';
    json_object_set_new(span, key, json_string(text));
}

static void compare(cs_suite *s, const char *path, const char *what, const cs_buf *ours, const json_t *theirs)
{
    json_t *root = json_loadb((const char *)ours->p, ours->len, JSON_REJECT_DUPLICATES, NULL);
    cs_suite_check(s, root != NULL && json_equal(root, theirs) != 0, path, what);
    json_decref(root);
}

static void traces(cs_suite *s, const char *path, json_t *root)
{
    const json_t *resource = first(root, "resourceSpans"), *scoped = first(resource, "scopeSpans");
    json_t *list = json_object_get(scoped, "spans"), *v;
    cs_otlp_source from = source_of(resource, scoped);
    size_t i;
    json_array_foreach(list, i, v)
    {
        cs_otlp_span span = {.name = cs_suite_str(v, "name"),
                             .kind = (cs_otlp_kind)json_integer_value(json_object_get(v, "kind")),
                             .start_ns = u64_of(v, "startTimeUnixNano"),
                             .end_ns = u64_of(v, "endTimeUnixNano"),
                             .num_attrs = 1,
                             .attrs = {attr_of(json_object_get(v, "attributes"), 0)}};
        cs_buf out = cs_buf_heap(65536);
        bool ok = cs_hex_decode(span.trace, 16, cs_slice_str(cs_suite_str(v, "traceId"))) == CS_OK &&
                  cs_hex_decode(span.span, 8, cs_slice_str(cs_suite_str(v, "spanId"))) == CS_OK &&
                  cs_hex_decode(span.parent, 8, cs_slice_str(cs_suite_str(v, "parentSpanId"))) == CS_OK &&
                  cs_otlp_put_spans(&out, &from, &span, 1) == CS_OK;
        lower(v, "traceId");
        lower(v, "spanId");
        lower(v, "parentSpanId");
        if (ok && json_array_size(list) == 1) {
            compare(s, path, span.name, &out, root);
        } else {
            cs_suite_fail(s, path, "span");
        }
        cs_buf_free(&out);
    }
}

static void histogram_of(cs_prom_histogram *h, const json_t *point)
{
    size_t i;
    json_t *v;
    h->sum = json_number_value(json_object_get(point, "sum"));
    json_array_foreach(json_object_get(point, "explicitBounds"), i, v)
    {
        h->bounds[h->num++] = json_number_value(v);
    }
    json_array_foreach(json_object_get(point, "bucketCounts"), i, v)
    {
        h->counts[i] = strtoull(json_string_value(v), NULL, 10);
    }
}

static cs_err export_metric(cs_buf *out, const cs_otlp_source *from, const json_t *v, cs_otlp_type type)
{
    static const char *const types[] = {"gauge", "sum", "histogram"};
    const json_t *data = json_object_get(v, types[type]), *p = first(data, "dataPoints");
    cs_prom_histogram h = {0};
    cs_otlp_point point = {.start_ns = u64_of(p, "startTimeUnixNano"),
                           .time_ns = u64_of(p, "timeUnixNano"),
                           .is_double = true,
                           .value = json_number_value(json_object_get(p, "asDouble")),
                           .num_attrs = 1,
                           .attrs = {attr_of(json_object_get(p, "attributes"), 0)}};
    cs_otlp_metric m = {.name = cs_suite_str(v, "name"),
                        .unit = cs_suite_str(v, "unit"),
                        .description = cs_suite_str(v, "description"),
                        .type = type,
                        .delta = json_integer_value(json_object_get(data, "aggregationTemporality")) == 1,
                        .points = &point,
                        .num_points = 1};
    if (type == CS_OTLP_HISTOGRAM) {
        histogram_of(&h, p);
        point.histogram = &h;
        point.has_range = true;
        point.min = json_number_value(json_object_get(p, "min"));
        point.max = json_number_value(json_object_get(p, "max"));
    }
    return cs_otlp_put_metrics(out, from, &m, 1);
}

static void metrics(cs_suite *s, const char *path, json_t *root)
{
    const json_t *resource = first(root, "resourceMetrics"), *scoped = first(resource, "scopeMetrics");
    cs_otlp_source from = source_of(resource, scoped);
    json_t *list = json_object_get(scoped, "metrics");
    json_t *all = json_deep_copy(list), *v;
    size_t i;
    json_array_foreach(all, i, v)
    {
        cs_buf out = cs_buf_heap(65536);
        cs_otlp_type type = json_object_get(v, "gauge") != NULL ? CS_OTLP_GAUGE
                            : json_object_get(v, "sum") != NULL ? CS_OTLP_SUM
                                                                : CS_OTLP_HISTOGRAM;
        json_array_clear(list);
        json_array_append(list, v);
        if (json_object_get(v, "exponentialHistogram") != NULL) {
            cs_suite_skip(s, "exponential histograms are not exported");
        } else if (export_metric(&out, &from, v, type) == CS_OK) {
            compare(s, path, cs_suite_str(v, "name"), &out, root);
        } else {
            cs_suite_fail(s, path, cs_suite_str(v, "name"));
        }
        cs_buf_free(&out);
    }
    json_decref(all);
}

static void one_file(cs_suite *s, const char *path, void *cookie)
{
    json_t *root = cs_suite_json(s, path);
    (void)cookie;
    if (json_object_get(root, "resourceSpans") != NULL) {
        traces(s, path, root);
    } else if (json_object_get(root, "resourceMetrics") != NULL) {
        metrics(s, path, root);
    } else if (json_object_get(root, "resourceLogs") != NULL) {
        cs_suite_skip(s, "logs are not exported");
    } else if (root != NULL) {
        cs_suite_fail(s, path, "neither spans nor metrics nor logs");
    }
    json_decref(root);
}

void cs_suite_otlp_json(cs_suite *s, const char *dir)
{
    cs_suite_walk(s, dir, ".json", one_file, NULL);
}
