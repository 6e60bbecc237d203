/* OTLP: bodies, and the exporter with a collector that does not do as it should. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <jansson.h>
#include <pthread.h>
#include <unistd.h>

#include "net/otlp_export.h"

static const cs_otlp_source source = {.service = "s", .scope = "scope"};

static cs_otlp_span one_span(void)
{
    cs_otlp_span s = {.trace = {0xab, 1},
                      .span = {0xcd, 2},
                      .name = "tee.server.call",
                      .kind = CS_OTLP_SERVER,
                      .start_ns = UINT64_C(1544712660000000000),
                      .end_ns = UINT64_C(1544712661000000001)};
    s.attrs[s.num_attrs++] = (cs_otlp_attr){"number", NULL, -5};
    s.attrs[s.num_attrs++] = (cs_otlp_attr){"own", cs_otlp_own, 0};
    memcpy(s.own, "mine", 5);
    return s;
}

static void a_span_is_json_with_hex_ids_and_text_numbers(void **state)
{
    static const char expected[] =
        "{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{\"stringValue\":\"s\"}"
        "}]},"
        "\"scopeSpans\":[{\"scope\":{\"name\":\"scope\"},\"spans\":[{\"traceId\":\"ab010000000000000000000000000000\","
        "\"spanId\":\"cd02000000000000\",\"name\":\"tee.server.call\",\"kind\":2,\"startTimeUnixNano\":"
        "\"1544712660000000000\","
        "\"endTimeUnixNano\":\"1544712661000000001\",\"attributes\":[{\"key\":\"number\",\"value\":{\"intValue\":\"-"
        "5\"}},"
        "{\"key\":\"own\",\"value\":{\"stringValue\":\"mine\"}}],\"events\":[{\"timeUnixNano\":\"1544712661000000001\","
        "\"name\":\"tee.client.error\"}],\"status\":{\"message\":\"why\",\"code\":2}}]}]}]}";
    cs_otlp_span s = one_span();
    cs_buf out = cs_buf_heap(65536);
    (void)state;
    s.failed = true;
    s.message = "why";
    s.event = "tee.client.error";
    assert_int_equal(cs_otlp_put_spans(&out, &source, &s, 1), CS_OK);
    assert_true(cs_slice_eq_str(cs_buf_slice(&out), expected));
    cs_buf_free(&out);
    out = cs_buf_heap(64);
    assert_int_equal(cs_otlp_put_spans(&out, &source, &s, 1), CS_E_RANGE);
    cs_buf_free(&out);
}

static void metrics_have_points_of_their_type(void **state)
{
    cs_prom_histogram h = {.num = 1, .bounds = {0.5}, .counts = {2, 3}, .sum = 4.25};
    const cs_otlp_point sum = {.start_ns = 1, .time_ns = 2, .count = UINT64_MAX},
                        times = {.start_ns = 1, .time_ns = 2, .histogram = &h},
                        gauge = {.time_ns = 2, .is_double = true, .value = 0.1};
    const cs_otlp_metric m[] = {
        {.name = "a", .unit = "1", .description = "d", .type = CS_OTLP_SUM, .points = &sum, .num_points = 1},
        {.name = "b",
         .unit = "s",
         .description = "d",
         .type = CS_OTLP_HISTOGRAM,
         .delta = true,
         .points = &times,
         .num_points = 1},
        {.name = "c", .unit = "1", .description = "d", .type = CS_OTLP_GAUGE, .points = &gauge, .num_points = 1}};
    cs_buf out = cs_buf_heap(65536);
    (void)state;
    assert_int_equal(cs_otlp_put_metrics(&out, &source, m, 3), CS_OK);
    json_t *root = json_loadb((const char *)out.p, out.len, 0, NULL);
    const char *total = NULL, *count = NULL, *bucket = NULL;
    int temporality = 0, delta = 0;
    double value = 0;
    assert_int_equal(
        json_unpack(root, "{s:[{s:[{s:[{s:{s:i,s:b,s:[{s:s}]}},{s:{s:i,s:[{s:s,s:[s,s]}]}},{s:{s:[{s:f}]}}]}]}]}",
                    "resourceMetrics", "scopeMetrics", "metrics", "sum", "aggregationTemporality", &temporality,
                    "isMonotonic", &(int){0}, "dataPoints", "asInt", &total, "histogram", "aggregationTemporality",
                    &delta, "dataPoints", "count", &count, "bucketCounts", &bucket, &(const char *){NULL}, "gauge",
                    "dataPoints", "asDouble", &value),
        0);
    assert_string_equal(total, "18446744073709551615");
    assert_string_equal(count, "5");
    assert_string_equal(bucket, "2");
    assert_int_equal(temporality, 2);
    assert_int_equal(delta, 1);
    assert_true(value > 0.0999 && value < 0.1001);
    json_decref(root);
    cs_buf_free(&out);
}

/* ---------------------------------------------------------------- the exporter */

static struct {
    pthread_mutex_t lock;
    int statuses[8]; /* in turn; the last one stays */
    unsigned posts, at[8];
    size_t spans;
    unsigned metrics;
    bool hangs;
} collector = {.lock = PTHREAD_MUTEX_INITIALIZER};

static cs_otlp_answer post(void *cookie, const char *path, cs_slice body)
{
    (void)cookie;
    (void)pthread_mutex_lock(&collector.lock);
    while (collector.hangs) {
        (void)pthread_mutex_unlock(&collector.lock);
        (void)usleep(1000);
        (void)pthread_mutex_lock(&collector.lock);
    }
    unsigned i = collector.posts < 7 ? collector.posts : 7;
    collector.posts++;
    cs_otlp_answer a = {collector.statuses[i], 0};
    if (a.status == 200) {
        json_t *root = json_loadb((const char *)body.p, body.len, 0, NULL);
        json_t *spans = json_object_get(
            json_array_get(json_object_get(json_array_get(json_object_get(root, "resourceSpans"), 0), "scopeSpans"), 0),
            "spans");
        collector.spans += json_array_size(spans);
        collector.metrics += strcmp(path, "/v1/metrics") == 0;
        json_decref(root);
    }
    (void)pthread_mutex_unlock(&collector.lock);
    return a;
}

static cs_otlp_exporter *exporter(const int *statuses, size_t queue, size_t batch, uint32_t every_ms)
{
    cs_otlp_exporter *e = NULL;
    const cs_otlp_export_config c = {.endpoint = "http://x",
                                     .source = source,
                                     .queue_max = queue,
                                     .batch_max = batch,
                                     .every_ms = every_ms,
                                     .backoff_ms = 2,
                                     .post = post};
    for (size_t i = 0; i < 8; i++) {
        collector.statuses[i] = statuses[i];
    }
    collector.posts = 0;
    collector.spans = 0;
    collector.metrics = 0;
    assert_int_equal(cs_otlp_export_new(&e, &c), CS_OK);
    return e;
}

static void spans_leave_in_batches_and_at_the_end(void **state)
{
    static const int fine[8] = {200, 200, 200, 200, 200, 200, 200, 200};
    cs_otlp_exporter *e = exporter(fine, 64, 4, 3600000);
    cs_otlp_span s = one_span();
    cs_otlp_export_stats stats;
    cs_buf body = cs_buf_heap(100), newer = cs_buf_heap(100);
    (void)state;
    for (int i = 0; i < 4; i++) { /* a whole batch does not wait for its time */
        cs_otlp_export_span(e, &s);
    }
    do {
        (void)usleep(1000);
        cs_otlp_export_stats_get(e, &stats);
    } while (stats.sent < 4);
    cs_otlp_export_span(e, &s);
    assert_int_equal(cs_put_str(&body, "{}"), CS_OK);
    assert_int_equal(cs_put_str(&newer, "{\"a\":1}"), CS_OK);
    cs_otlp_export_metrics(e, &body);
    cs_otlp_export_metrics(e, &newer); /* instead of the one before */
    assert_null(newer.p);
    cs_otlp_export_free(e);
    assert_int_equal(collector.spans, 5);
    assert_int_equal(collector.metrics, 1);
    cs_otlp_export_free(NULL);
}

static void what_may_pass_is_tried_again_and_what_may_not_is_dropped(void **state)
{
    static const int passing[8] = {0, 503, 429, 502, 200, 200, 200, 200},
                     refused[8] = {400, 200, 200, 200, 200, 200, 200, 200}, dead[8] = {0};
    static const struct {
        const int *statuses;
        uint64_t sent, dropped, posts, failures;
    } cases[] = {{passing, 1, 0, 5, 4}, {refused, 0, 1, 1, 1}, {dead, 0, 1, 5, 5}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cs_otlp_exporter *e = exporter(cases[i].statuses, 8, 1, 5);
        cs_otlp_span s = one_span();
        cs_otlp_export_stats stats;
        cs_otlp_export_span(e, &s);
        do {
            (void)usleep(1000);
            cs_otlp_export_stats_get(e, &stats);
        } while (stats.sent + stats.dropped < 1);
        assert_int_equal(stats.sent, cases[i].sent);
        assert_int_equal(stats.dropped, cases[i].dropped);
        assert_int_equal(stats.posts, cases[i].posts);
        assert_int_equal(stats.failures, cases[i].failures);
        cs_otlp_export_free(e);
    }
}

static void a_collector_that_hangs_holds_nobody_up_and_costs_no_more_than_the_queue(void **state)
{
    static const int fine[8] = {200, 200, 200, 200, 200, 200, 200, 200};
    struct timespec from, to;
    collector.hangs = true;
    cs_otlp_exporter *e = exporter(fine, 8, 4, 1);
    cs_otlp_span s = one_span();
    cs_otlp_export_stats stats;
    (void)state;
    (void)clock_gettime(CLOCK_MONOTONIC, &from);
    for (int i = 0; i < 1000; i++) {
        cs_otlp_export_span(e, &s);
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &to);
    assert_true(to.tv_sec - from.tv_sec < 5);
    cs_otlp_export_stats_get(e, &stats);
    assert_true(stats.queued <= 8);
    assert_true(stats.dropped >= 1000 - 8 - 4);
    (void)pthread_mutex_lock(&collector.lock);
    collector.hangs = false;
    (void)pthread_mutex_unlock(&collector.lock);
    cs_otlp_export_free(e);
    assert_true(collector.spans >= 8 && collector.spans <= 12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_span_is_json_with_hex_ids_and_text_numbers),
        cmocka_unit_test(metrics_have_points_of_their_type),
        cmocka_unit_test(spans_leave_in_batches_and_at_the_end),
        cmocka_unit_test(what_may_pass_is_tried_again_and_what_may_not_is_dropped),
        cmocka_unit_test(a_collector_that_hangs_holds_nobody_up_and_costs_no_more_than_the_queue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
