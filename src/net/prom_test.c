/* Prometheus' text format: what a scraper reads, and who may ask. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/io.h"
#include "net/prom.h"

static cs_err put_some(cs_buf *out, const cs_prom_family *f, void *cookie)
{
    const char *const values[] = {"a\"b\\c\nd", "x"};
    (void)cookie;
    return cs_prom_u64(out, f, values, 18446744073709551615u);
}

static cs_err put_plain(cs_buf *out, const cs_prom_family *f, void *cookie)
{
    return cs_prom_double(out, f, NULL, *(double *)cookie);
}

static cs_err put_times(cs_buf *out, const cs_prom_family *f, void *cookie)
{
    cs_prom_histogram h = {.num = 2, .bounds = {0.001, 0.5}};
    const char *const values[] = {"Sign"};
    (void)cookie;
    cs_prom_observe(&h, 0.001); /* a bound belongs to its bucket */
    cs_prom_observe(&h, 0.25);
    cs_prom_observe(&h, 7);
    return cs_prom_put_histogram(out, f, values, &h);
}

static const cs_prom_family table[] = {
    {"a_total", "counter", "Some.", {"name", "kind"}, put_some},
    {"b_seconds", "gauge", "Plain.", {NULL}, put_plain},
    {"c_seconds", "histogram", "Times.", {"operation"}, put_times},
    {0},
};

static const char expected[] = "# HELP a_total Some.\n"
                               "# TYPE a_total counter\n"
                               "a_total{name=\"a\\\"b\\\\c?d\",kind=\"x\"} 18446744073709551615\n"
                               "# HELP b_seconds Plain.\n"
                               "# TYPE b_seconds gauge\n"
                               "b_seconds 0.1\n"
                               "# HELP c_seconds Times.\n"
                               "# TYPE c_seconds histogram\n"
                               "c_seconds_bucket{operation=\"Sign\",le=\"0.001\"} 1\n"
                               "c_seconds_bucket{operation=\"Sign\",le=\"0.5\"} 2\n"
                               "c_seconds_bucket{operation=\"Sign\",le=\"+Inf\"} 3\n"
                               "c_seconds_sum{operation=\"Sign\"} 7.251\n"
                               "c_seconds_count{operation=\"Sign\"} 3\n";

static double tenth = 0.1;

static void a_table_becomes_text(void **state)
{
    cs_buf out = cs_buf_heap(65536);
    (void)state;
    assert_int_equal(cs_prom_put(&out, table, &tenth), CS_OK);
    assert_true(cs_slice_eq_str(cs_buf_slice(&out), expected));
    cs_buf_free(&out);
    out = cs_buf_heap(100);
    assert_int_equal(cs_prom_put(&out, table, &tenth), CS_E_RANGE);
    cs_buf_free(&out);
}

static cs_err put_all(cs_buf *out, void *cookie)
{
    return cookie == NULL ? CS_E_NO_MEMORY : cs_prom_put(out, table, cookie);
}

/* The answer to a request, as one text. */
static void ask(char *answer, size_t max, cs_loop *l, const cs_endpoint *at, const char *request)
{
    int fd = -1;
    size_t len = 0;
    ssize_t n;
    assert_int_equal(cs_endpoint_connect(&fd, at, 1000), CS_OK);
    assert_int_equal(write(fd, request, strlen(request)), (ssize_t)strlen(request));
    while ((n = read(fd, answer + len, max - 1 - len)) != 0) {
        len += n > 0 ? (size_t)n : 0;
        (void)cs_loop_run_once(l, n < 0);
    }
    answer[len] = '\0';
    close(fd);
}

#define REQUEST(method, target) method " " target " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

static void the_server_answers_scrapers_and_nobody_else(void **state)
{
    static char answer[65536];
    cs_loop *l = NULL;
    cs_prom_server *s = NULL, *empty = NULL;
    const cs_endpoint here = {.scheme = CS_EP_TCP, .host = "127.0.0.1"};
    const cs_endpoint away = {.scheme = CS_EP_TCP, .host = "192.0.2.1", .port = 9464};
    (void)state;
    assert_int_equal(cs_loop_new(&l), CS_OK);
    assert_int_equal(cs_prom_server_new(&s, l, &away, true, put_all, &tenth), CS_E_USAGE); /* not for others' eyes */
    assert_null(s);
    assert_int_equal(cs_prom_server_new(&s, l, &here, true, put_all, &tenth), CS_OK);
    assert_int_equal(cs_prom_server_new(&empty, l, &here, false, put_all, NULL), CS_OK);
    const cs_endpoint *at = cs_prom_server_at(s);
    assert_int_not_equal(at->port, 0);
    ask(answer, sizeof answer, l, at, REQUEST("GET", "/metrics"));
    assert_non_null(strstr(answer, "text/plain; version=0.0.4; charset=utf-8"));
    assert_string_equal(strstr(answer, "\r\n\r\n") + 4, expected);
    ask(answer, sizeof answer, l, at, REQUEST("GET", "/healthz"));
    assert_string_equal(strstr(answer, "\r\n\r\n") + 4, "ok\n");
    ask(answer, sizeof answer, l, at, REQUEST("GET", "/"));
    assert_non_null(strstr(answer, " 404 "));
    ask(answer, sizeof answer, l, at, REQUEST("DELETE", "/metrics"));
    assert_non_null(strstr(answer, " 405 "));
    ask(answer, sizeof answer, l, cs_prom_server_at(empty), REQUEST("GET", "/metrics"));
    assert_non_null(strstr(answer, " 503 "));
    cs_prom_server_free(s);
    cs_prom_server_free(empty);
    cs_prom_server_free(NULL);
    while (cs_loop_run_once(l, false)) {
    }
    cs_loop_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_becomes_text),
        cmocka_unit_test(the_server_answers_scrapers_and_nobody_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
