/* The table of figures at /metrics. See telemetry_int.h; the names are documented in docs/formats/telemetry.md. */
#include <string.h>

#include "base/limits.h"
#include "gateway/telemetry_int.h"

const char *cs_tel_op_name(unsigned op)
{
    const cs_tee_op_row *row = cs_tee_op_of(op);

    return row != NULL ? row->name : "unknown";
}

/* ---------------------------------------------------------------- one number */

/* Families without labels: where their number is. */
#define AT(field) offsetof(struct cs_telemetry, field)
static const struct {
    const char *name;
    size_t at;
} numbers[] = {
    {"countersign_tee_calls_in_flight", AT(figures[CS_TEL_SERVER].open)},
    {"countersign_tee_calls_abandoned_total", AT(figures[CS_TEL_SERVER].gone)},
    {"countersign_core_calls_in_flight", AT(figures[CS_TEL_CLIENT].open)},
    {"countersign_core_polls_failed_total", AT(polls_failed)},
    {"countersign_core_workers", AT(core.workers)},
    {"countersign_core_queue_depth", AT(core.queue)},
    {"countersign_core_queue_limit", AT(core.queue_limit)},
    {"countersign_core_busy_total", AT(core.busy)},
    {"countersign_core_repeated_total", AT(core.repeated)},
    {"countersign_core_audit_entries_total", AT(core.audit_counter)},
    {"countersign_core_memory_used_bytes", AT(core.memory_used)},
    {"countersign_core_memory_size_bytes", AT(core.memory_size)},
    {"countersign_kms_calls_total", AT(core.kms_calls)},
    {"countersign_kms_errors_total", AT(core.kms_errors)},
    {"countersign_kms_calls_in_flight", AT(core.kms_under_way)},
    {"countersign_data_key_cache_hits_total", AT(core.cache_hits)},
    {"countersign_data_keys_cached", AT(core.cached)},
};

static cs_err put_number(cs_buf *out, const cs_prom_family *f, void *cookie)
{
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (strcmp(numbers[i].name, f->name) == 0) {
            uint64_t v = 0;
            memcpy(&v, (const uint8_t *)cookie + numbers[i].at, sizeof v);
            return cs_prom_u64(out, f, NULL, v);
        }
    }
    return CS_E_INTERNAL;
}

/* ---------------------------------------------------------------- calls of the gateway */

static cs_err put_calls(cs_buf *out, const cs_prom_family *f, void *cookie)
{
    static const char *const doors[CS_TEL_DOORS] = {"grpc", "http"};
    const cs_telemetry *t = cookie;

    for (unsigned op = 0; op < CS_TEL_OPS; op++) {
        for (unsigned d = 0; d < CS_TEL_DOORS; d++) {
            const char *const values[] = {cs_tel_op_name(op), doors[d]};
            CS_TRY(cs_prom_u64(out, f, values, t->doors[op][d]));
        }
    }
    return CS_OK;
}

static cs_err put_errors_of(cs_buf *out, const cs_prom_family *f, const cs_tel_figures *of)
{
    for (unsigned op = 0; op < CS_TEL_OPS; op++) {
        for (unsigned e = 1; e < CS_ERR_COUNT; e++) {
            const char *const values[] = {cs_tel_op_name(op), cs_err_class_name(cs_err_class_of((cs_err)e)),
                                          cs_err_code((cs_err)e)};
            if (of->errors[op][e] != 0) {
                CS_TRY(cs_prom_u64(out, f, values, of->errors[op][e]));
            }
        }
    }
    return CS_OK;
}

static cs_err put_errors(cs_buf *out, const cs_prom_family *f, void *cookie)
{
    return put_errors_of(out, f, &((const cs_telemetry *)cookie)->figures[CS_TEL_SERVER]);
}

static cs_err put_core_errors(cs_buf *out, const cs_prom_family *f, void *cookie)
{
    return put_errors_of(out, f, &((const cs_telemetry *)cookie)->figures[CS_TEL_CLIENT]);
}

/* An operation that nobody has asked for has no samples: each has sixteen. */
static cs_err put_latency_of(cs_buf *out, const cs_prom_family *f, const cs_tel_figures *of)
{
    for (unsigned op = 0; op < CS_TEL_OPS; op++) {
        const char *const values[] = {cs_tel_op_name(op)};
        if (of->begun[op] != 0) {
            CS_TRY(cs_prom_put_histogram(out, f, values, &of->latency[op]));
        }
    }
    return CS_OK;
}

static cs_err put_latency(cs_buf *out, const cs_prom_family *f, void *cookie)
{
    return put_latency_of(out, f, &((const cs_telemetry *)cookie)->figures[CS_TEL_SERVER]);
}

static cs_err put_core_latency(cs_buf *out, const cs_prom_family *f, void *cookie)
{
    return put_latency_of(out, f, &((const cs_telemetry *)cookie)->figures[CS_TEL_CLIENT]);
}

/* ---------------------------------------------------------------- gate */

static const char *const gates[] = {"off", "closed", "open"};

static cs_err put_gate_state(cs_buf *out, const cs_prom_family *f, void *cookie)
{
    for (unsigned i = 0; i < sizeof gates / sizeof *gates; i++) {
        CS_TRY(cs_prom_u64(out, f, &gates[i], ((const cs_telemetry *)cookie)->gate == (cs_tel_gate)i));
    }
    return CS_OK;
}

static cs_err put_gate_checks(cs_buf *out, const cs_prom_family *f, void *cookie)
{
    for (unsigned e = 0; e < CS_ERR_COUNT; e++) {
        const char *const values[] = {cs_err_code((cs_err)e)};
        uint64_t n = ((const cs_telemetry *)cookie)->gate_checks[e];
        if (n != 0 || e == CS_OK) {
            CS_TRY(cs_prom_u64(out, f, values, n));
        }
    }
    return CS_OK;
}

/* ---------------------------------------------------------------- core */

static cs_err put_up(cs_buf *out, const cs_prom_family *f, void *cookie)
{
    return cs_prom_u64(out, f, NULL, ((const cs_telemetry *)cookie)->core.up ? 1 : 0);
}

static cs_err put_service_connections(cs_buf *out, const cs_prom_family *f, void *cookie)
{
    return cs_prom_u64(out, f, NULL, cs_pool_up(((const cs_telemetry *)cookie)->pool));
}

static cs_err put_service_serving(cs_buf *out, const cs_prom_family *f, void *cookie)
{
    return cs_prom_u64(out, f, NULL, cs_pool_serving(((const cs_telemetry *)cookie)->pool) ? 1 : 0);
}

static cs_err put_phase(cs_buf *out, const cs_prom_family *f, void *cookie)
{
    static const char *const phases[] = {"WAITING", "UNSEALING", "SERVING", "RELOADING", "STOPPED"};
    const cs_tel_core_figures *c = &((const cs_telemetry *)cookie)->core;

    for (size_t i = 0; i < sizeof phases / sizeof *phases; i++) {
        CS_TRY(cs_prom_u64(out, f, &phases[i], c->up && strcmp(c->phase, phases[i]) == 0));
    }
    return CS_OK;
}

static cs_err put_core_calls(cs_buf *out, const cs_prom_family *f, void *cookie)
{
    const cs_tel_core_figures *c = &((const cs_telemetry *)cookie)->core;

    for (unsigned op = 0; op < CS_TEL_OPS; op++) {
        const char *const values[] = {cs_tel_op_name(op)};
        CS_TRY(cs_prom_u64(out, f, values, op == 0 ? c->unreadable : c->calls[op]));
    }
    return CS_OK;
}

static cs_err put_core_codes(cs_buf *out, const cs_prom_family *f, void *cookie)
{
    const cs_tel_core_figures *c = &((const cs_telemetry *)cookie)->core;

    for (unsigned e = 0; e < CS_ERR_COUNT; e++) {
        const char *const values[] = {cs_err_class_name(cs_err_class_of((cs_err)e)), cs_err_code((cs_err)e)};
        if (c->codes[e] != 0) {
            CS_TRY(cs_prom_u64(out, f, values, c->codes[e]));
        }
    }
    return CS_OK;
}

static cs_err put_core_times(cs_buf *out, const cs_prom_family *f, void *cookie)
{
    const cs_tel_core_figures *c = &((const cs_telemetry *)cookie)->core;

    return c->latency.num != 0 ? cs_prom_put_histogram(out, f, NULL, &c->latency) : CS_OK;
}

static cs_err put_kms_times(cs_buf *out, const cs_prom_family *f, void *cookie)
{
    const cs_tel_core_figures *c = &((const cs_telemetry *)cookie)->core;

    return c->kms_latency.num != 0 ? cs_prom_put_histogram(out, f, NULL, &c->kms_latency) : CS_OK;
}

static cs_err put_expiry(cs_buf *out, const cs_prom_family *f, void *cookie)
{
    return cs_prom_double(out, f, NULL, (double)((const cs_telemetry *)cookie)->core.credentials_expire_ms / 1e3);
}

static cs_err put_credentials(cs_buf *out, const cs_prom_family *f, void *cookie)
{
    static const char *const states[] = {"none", "present", "expired"};
    const cs_tel_core_figures *c = &((const cs_telemetry *)cookie)->core;

    for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
        CS_TRY(cs_prom_u64(out, f, &states[i], c->up && strcmp(c->credentials, states[i]) == 0));
    }
    return CS_OK;
}

/* A gateway without a collector has no samples here. */
static cs_err put_otlp(cs_buf *out, const cs_prom_family *f, void *cookie)
{
    cs_otlp_exporter *e = ((const cs_telemetry *)cookie)->otlp;
    cs_otlp_export_stats s;

    if (e == NULL) {
        return CS_OK;
    }
    cs_otlp_export_stats_get(e, &s);
    const struct {
        const char *name;
        uint64_t v;
    } rows[] = {{"countersign_otlp_spans_queued", s.queued},
                {"countersign_otlp_spans_sent_total", s.sent},
                {"countersign_otlp_spans_dropped_total", s.dropped},
                {"countersign_otlp_posts_total", s.posts},
                {"countersign_otlp_post_failures_total", s.failures}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (strcmp(rows[i].name, f->name) == 0) {
            return cs_prom_u64(out, f, NULL, rows[i].v);
        }
    }
    return CS_E_INTERNAL;
}

static cs_err put_start(cs_buf *out, const cs_prom_family *f, void *cookie)
{
    return cs_prom_double(out, f, NULL, (double)((const cs_telemetry *)cookie)->started_ms / 1e3);
}

/* ---------------------------------------------------------------- the table */

#define COUNTER(name, help, put, ...)                                                                                  \
    {                                                                                                                  \
        "countersign_" name "_total", "counter", help, {__VA_ARGS__}, put                                              \
    }
#define GAUGE(name, help, put, ...)                                                                                    \
    {                                                                                                                  \
        "countersign_" name, "gauge", help, {__VA_ARGS__}, put                                                         \
    }
#define SECONDS(name, help, put, ...)                                                                                  \
    {                                                                                                                  \
        "countersign_" name "_seconds", "histogram", help, {__VA_ARGS__}, put                                          \
    }

static const cs_prom_family families[] = {
    COUNTER("tee_calls", "Calls of the TEE service that have ended, by operation and protocol.", put_calls, "operation",
            "protocol"),
    COUNTER("tee_errors", "Calls that ended in an error, by operation, class and code.", put_errors, "operation",
            "class", "code"),
    SECONDS("tee_call_duration", "From a request to its answer.", put_latency, "operation"),
    GAUGE("tee_calls_in_flight", "Calls under way.", put_number, NULL),
    COUNTER("tee_calls_abandoned", "Calls whose client left before the answer.", put_number, NULL),
    GAUGE("tee_gate_state", "State of the start-up gate: 1 for the one it is in.", put_gate_state, "state"),
    COUNTER("tee_gate_checks", "Checks of core's attestation document, by result.", put_gate_checks, "code"),
    COUNTER("core_call_errors", "Calls to core that ended in an error, by operation, class and code.", put_core_errors,
            "operation", "class", "code"),
    SECONDS("core_call_duration", "From a call to core to its reply, as the gateway sees it.", put_core_latency,
            "operation"),
    GAUGE("core_calls_in_flight", "Calls to core under way.", put_number, NULL),
    GAUGE("service_connections", "Connections to sign-service that are up.", put_service_connections, NULL),
    GAUGE("service_serving", "sign-service says that it serves.", put_service_serving, NULL),
    GAUGE("core_up", "Core has answered the last question for its status.", put_up, NULL),
    COUNTER("core_polls_failed", "Questions for core's status without a usable answer.", put_number, NULL),
    GAUGE("core_phase", "Phase of core: 1 for the one it is in.", put_phase, "phase"),
    GAUGE("core_workers", "Worker threads of core.", put_number, NULL),
    GAUGE("core_queue_depth", "Calls that wait or are under way in core.", put_number, NULL),
    GAUGE("core_queue_limit", "How many may; above, core answers TEE_BUSY.", put_number, NULL),
    COUNTER("core_calls", "Calls that core has read, by operation; unknown: could not be read.", put_core_calls,
            "operation"),
    COUNTER("core_results", "Results of core, by class and code.", put_core_codes, "class", "code"),
    COUNTER("core_busy", "Calls that core refused because its queue was full.", put_number, NULL),
    COUNTER("core_repeated", "Calls that core had seen before.", put_number, NULL),
    SECONDS("core_duration", "From core's queue to its reply, as core sees it.", put_core_times, NULL),
    COUNTER("core_audit_entries", "Audit entries of this boot of core.", put_number, NULL),
    GAUGE("core_memory_used_bytes", "Memory for secrets that is in use.", put_number, NULL),
    GAUGE("core_memory_size_bytes", "Memory for secrets.", put_number, NULL),
    COUNTER("kms_calls", "Calls to KMS for data keys.", put_number, NULL),
    COUNTER("kms_errors", "Calls to KMS that failed.", put_number, NULL),
    GAUGE("kms_calls_in_flight", "Calls to KMS under way.", put_number, NULL),
    SECONDS("kms_call_duration", "From a call to KMS to its answer.", put_kms_times, NULL),
    COUNTER("data_key_cache_hits", "Data keys that were at hand and needed no call to KMS.", put_number, NULL),
    GAUGE("data_keys_cached", "Data keys that are at hand.", put_number, NULL),
    GAUGE("credentials_expiry_timestamp_seconds",
          "When the AWS credentials of the enclave expire, since 1970; 0: there are none.", put_expiry, NULL),
    GAUGE("credentials_state", "AWS credentials of the enclave: 1 for the state they are in.", put_credentials,
          "state"),
    GAUGE("otlp_spans_queued", "Spans that wait for the collector.", put_otlp, NULL),
    COUNTER("otlp_spans_sent", "Spans that the collector took.", put_otlp, NULL),
    COUNTER("otlp_spans_dropped", "Spans for which there was no room, or that the collector did not take.", put_otlp,
            NULL),
    COUNTER("otlp_posts", "Bodies sent to the collector, each attempt.", put_otlp, NULL),
    COUNTER("otlp_post_failures", "Those that it did not take.", put_otlp, NULL),
    {"process_start_time_seconds", "gauge", "When the gateway started, since 1970.", {NULL}, put_start},
    {0},
};

cs_err cs_tel_put(cs_buf *out, void *cookie)
{
    return cs_prom_put(out, families, cookie);
}
