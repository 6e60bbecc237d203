/* The thread that sends to a collector. See otlp_export.h. */
#include "net/otlp_export.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <time.h>

#include "net/aws/curl.h"

#define BODY_MAX ((size_t)4 << 20)
#define ANSWER_MAX 65536u
#define URL_MAX 600
#define ATTEMPTS 5
#define BACKOFF_MS 500u
#define BACKOFF_MAX_MS 30000u
#define CONNECT_MS 2000u
#define POST_MS 5000u
#define LAST_MS 1000u

struct cs_otlp_exporter {
    cs_otlp_export_config config;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stop;           /* under the lock, as all below */
    cs_otlp_span *queue; /* ring of queue_max */
    size_t head, num;
    cs_buf metrics; /* empty: none waits */
    cs_otlp_export_stats stats;
    cs_otlp_span *batch; /* the thread's own */
};

/* ---------------------------------------------------------------- one POST */

static void on_header(void *cookie, cs_slice name, cs_slice value)
{
    cs_otlp_answer *a = cookie;
    uint32_t seconds = 0;

    if (name.len != 11 || strncasecmp((const char *)name.p, "retry-after", 11) != 0) {
        return;
    }
    for (size_t i = 0; i < value.len; i++) {
        if (value.p[i] < '0' || value.p[i] > '9' || i > 4) {
            return; /* a date, or longer than we wait anyhow */
        }
        seconds = seconds * 10 + (uint32_t)(value.p[i] - '0');
    }
    a->retry_after_ms = seconds * 1000u;
}

static cs_otlp_answer post_by_curl(const cs_otlp_exporter *e, const char *path, cs_slice body, uint32_t timeout_ms)
{
    char url[URL_MAX];
    cs_otlp_answer a = {0};
    cs_buf answer = cs_buf_heap(ANSWER_MAX);
    size_t len = strlen(e->config.endpoint);
    bool slash = len > 0 && e->config.endpoint[len - 1] == '/';
    cs_curl_request q = {.method = "POST",
                         .url = url,
                         .headers = {"Content-Type: application/json"},
                         .body = body,
                         .ca_file = e->config.ca_file,
                         .connect_ms = timeout_ms < CONNECT_MS ? timeout_ms : CONNECT_MS,
                         .timeout_ms = timeout_ms,
                         .max_bytes = ANSWER_MAX};
    cs_curl_reply r = {.body = &answer, .on_header = on_header, .cookie = &a};

    (void)snprintf(url, sizeof url, "%.*s%s", (int)(slash ? len - 1 : len), e->config.endpoint, path);
    if (cs_curl_run(&r, &q) == CS_OK) {
        a.status = r.status;
    }
    cs_buf_free(&answer);
    return a;
}

/* ---------------------------------------------------------------- waiting */

/* Up to ms, or until something happened. The lock is held. */
static void wait_ms(cs_otlp_exporter *e, uint32_t ms)
{
    struct timespec at;

    (void)clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += ms / 1000;
    at.tv_nsec += (long)(ms % 1000) * 1000000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_nsec -= 1000000000;
        at.tv_sec++;
    }
    (void)pthread_cond_timedwait(&e->wake, &e->lock, &at);
}

static uint64_t now_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

/* Until then, or until stop. The lock is held. */
static void wait_until(cs_otlp_exporter *e, uint64_t due_ms, bool early)
{
    for (uint64_t now = now_ms(); now < due_ms && !e->stop; now = now_ms()) {
        if (early && e->num >= e->config.batch_max) {
            return;
        }
        wait_ms(e, (uint32_t)(due_ms - now));
    }
}

/* Half to all of the back-off, so that many gateways do not come at once. */
static uint32_t jitter(uint32_t ms)
{
    uint32_t r = 0;

    if (getrandom(&r, sizeof r, 0) != (ssize_t)sizeof r) {
        r = 0;
    }
    return ms / 2 + r % (ms / 2 + 1);
}

/* ---------------------------------------------------------------- sending */

static bool again(int status)
{
    return status == 0 || status == 429 || status == 502 || status == 503 || status == 504;
}

/* One attempt, without the lock. */
static cs_otlp_answer attempt(cs_otlp_exporter *e, const char *path, cs_slice body, bool last)
{
    cs_otlp_answer a = e->config.post != NULL ? e->config.post(e->config.cookie, path, body)
                                              : post_by_curl(e, path, body, last ? LAST_MS : POST_MS);

    (void)pthread_mutex_lock(&e->lock);
    e->stats.posts++;
    e->stats.failures += a.status / 100 != 2;
    (void)pthread_mutex_unlock(&e->lock);
    return a;
}

/* False: the collector did not take it. */
static bool deliver(cs_otlp_exporter *e, const char *path, cs_slice body)
{
    uint32_t backoff = e->config.backoff_ms != 0 ? e->config.backoff_ms : BACKOFF_MS;

    for (unsigned i = 0;; i++) {
        (void)pthread_mutex_lock(&e->lock);
        bool last = e->stop;
        (void)pthread_mutex_unlock(&e->lock);
        cs_otlp_answer a = attempt(e, path, body, last);
        if (a.status / 100 == 2) {
            return true;
        }
        if (!again(a.status) || last || i + 1 == ATTEMPTS) {
            return false;
        }
        uint32_t pause = jitter(backoff);
        pause = a.retry_after_ms > pause ? a.retry_after_ms : pause;
        backoff = backoff < BACKOFF_MAX_MS / 2 ? backoff * 2 : BACKOFF_MAX_MS;
        (void)pthread_mutex_lock(&e->lock);
        wait_until(e, now_ms() + (pause < BACKOFF_MAX_MS ? pause : BACKOFF_MAX_MS), false);
        (void)pthread_mutex_unlock(&e->lock);
    }
}

static void send_spans(cs_otlp_exporter *e, size_t num)
{
    cs_buf body = cs_buf_heap(BODY_MAX);
    bool sent = cs_otlp_put_spans(&body, &e->config.source, e->batch, num) == CS_OK &&
                deliver(e, "/v1/traces", cs_buf_slice(&body));

    cs_buf_free(&body);
    (void)pthread_mutex_lock(&e->lock);
    *(sent ? &e->stats.sent : &e->stats.dropped) += num;
    (void)pthread_mutex_unlock(&e->lock);
}

/* Takes what waits and sends it. The lock is held; it is given back while sending. */
static void flush(cs_otlp_exporter *e)
{
    size_t n = e->num < e->config.batch_max ? e->num : e->config.batch_max;
    cs_buf metrics = e->metrics;

    e->metrics = (cs_buf){0};
    for (size_t i = 0; i < n; i++) {
        e->batch[i] = e->queue[(e->head + i) % e->config.queue_max];
    }
    e->head = (e->head + n) % e->config.queue_max;
    e->num -= n;
    (void)pthread_mutex_unlock(&e->lock);
    if (n > 0) {
        send_spans(e, n);
    }
    if (metrics.len > 0) {
        (void)deliver(e, "/v1/metrics", cs_buf_slice(&metrics)); /* the next ones say the same and more */
    }
    cs_buf_free(&metrics);
    (void)pthread_mutex_lock(&e->lock);
}

static void *run(void *cookie)
{
    cs_otlp_exporter *e = cookie;

    (void)pthread_mutex_lock(&e->lock);
    while (!e->stop) {
        wait_until(e, now_ms() + e->config.every_ms, true);
        flush(e);
    }
    uint64_t failures = e->stats.failures;
    while ((e->num > 0 || e->metrics.len > 0) && e->stats.failures == failures) {
        flush(e);
    }
    e->stats.dropped += e->num;
    e->num = 0;
    (void)pthread_mutex_unlock(&e->lock);
    return NULL;
}

/* ---------------------------------------------------------------- life */

void cs_otlp_export_span(cs_otlp_exporter *e, const cs_otlp_span *span)
{
    (void)pthread_mutex_lock(&e->lock);
    if (e->num == e->config.queue_max) {
        e->stats.dropped++;
    } else {
        e->queue[(e->head + e->num++) % e->config.queue_max] = *span;
        if (e->num == e->config.batch_max) {
            (void)pthread_cond_signal(&e->wake);
        }
    }
    (void)pthread_mutex_unlock(&e->lock);
}

void cs_otlp_export_metrics(cs_otlp_exporter *e, cs_buf *body_take)
{
    (void)pthread_mutex_lock(&e->lock);
    cs_buf_free(&e->metrics);
    e->metrics = *body_take; /* transferred */
    *body_take = (cs_buf){0};
    (void)pthread_mutex_unlock(&e->lock);
}

void cs_otlp_export_stats_get(cs_otlp_exporter *e, cs_otlp_export_stats *out)
{
    (void)pthread_mutex_lock(&e->lock);
    *out = e->stats;
    out->queued = e->num;
    (void)pthread_mutex_unlock(&e->lock);
}

static void release(cs_otlp_exporter *e)
{
    (void)pthread_mutex_destroy(&e->lock);
    (void)pthread_cond_destroy(&e->wake);
    cs_buf_free(&e->metrics);
    free(e->queue);
    free(e->batch);
    free(e);
}

/* Signals are the main thread's. */
static bool begin(cs_otlp_exporter *e)
{
    sigset_t all, old;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    bool ok = pthread_create(&e->thread, NULL, run, e) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    return ok;
}

cs_err cs_otlp_export_new(cs_otlp_exporter **out, const cs_otlp_export_config *config)
{
    cs_otlp_exporter *e = calloc(1, sizeof *e);
    pthread_condattr_t monotonic;

    if (e == NULL) {
        return CS_E_NO_MEMORY;
    }
    e->config = *config;
    (void)pthread_mutex_init(&e->lock, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&e->wake, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    e->queue = calloc(config->queue_max, sizeof *e->queue);
    e->batch = calloc(config->batch_max, sizeof *e->batch);
    if (e->queue == NULL || e->batch == NULL || !begin(e)) {
        release(e);
        return CS_E_NO_MEMORY;
    }
    *out = e;
    return CS_OK;
}

void cs_otlp_export_free(cs_otlp_exporter *e)
{
    if (e == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&e->lock);
    e->stop = true;
    (void)pthread_cond_signal(&e->wake);
    (void)pthread_mutex_unlock(&e->lock);
    (void)pthread_join(e->thread, NULL);
    release(e);
}
