/*
 * Sends spans and metrics to a collector by OTLP/HTTP (net/otlp.h), from a thread of its own: who hands something over is never held up. The
 * queue is bounded; what has no room, or what the collector does not take after all attempts, is dropped and counted.
 * Attempts again: no connection, time over, 429, 502, 503, 504; after 0.5, 1, 2, .. s with jitter, at least what Retry-After says.
 */
#ifndef CS_NET_OTLP_EXPORT_H
#define CS_NET_OTLP_EXPORT_H

#include "net/otlp.h"

typedef struct cs_otlp_exporter cs_otlp_exporter;

/* An answer of the collector. status 0: there was none; retry_after_ms 0: it did not say. */
typedef struct cs_otlp_answer {
    int status;
    uint32_t retry_after_ms;
} cs_otlp_answer;

typedef struct cs_otlp_export_config {
    const char *endpoint; /* "http://127.0.0.1:4318"; "/v1/traces" and "/v1/metrics" are put behind; borrowed */
    const char *ca_file;  /* or NULL; borrowed */
    cs_otlp_source source;
    size_t queue_max; /* spans */
    size_t batch_max; /* spans in one body */
    uint32_t every_ms;
    uint32_t backoff_ms; /* before the second attempt; 0: 500 */
    /* for tests: one POST of body to path; NULL: libcurl */
    cs_otlp_answer (*post)(void *cookie, const char *path, cs_slice body);
    void *cookie;
} cs_otlp_export_config;

typedef struct cs_otlp_export_stats {
    uint64_t queued;          /* spans that wait */
    uint64_t sent, dropped;   /* spans */
    uint64_t posts, failures; /* attempts; those that were not answered with 2xx */
} cs_otlp_export_stats;

/* cs_otlp_export_new - CS_E_NO_MEMORY. */
CS_MUST cs_err cs_otlp_export_new(cs_otlp_exporter **out, const cs_otlp_export_config *config);
/* cs_otlp_export_span - copied; what it points to must outlive the exporter. cs_otlp_export_metrics - a body (taken, heap) that stands for any that still waits. */
void cs_otlp_export_span(cs_otlp_exporter *e, const cs_otlp_span *span);
void cs_otlp_export_metrics(cs_otlp_exporter *e, cs_buf *body_take);
void cs_otlp_export_stats_get(cs_otlp_exporter *e, cs_otlp_export_stats *out);
/* cs_otlp_export_free - what waits is sent, up to the first attempt that fails, of at most a second each (one under way may take its five). */
void cs_otlp_export_free(cs_otlp_exporter *e);

#endif
