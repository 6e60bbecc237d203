/* Stats and the object `tee` of status: counts, no names. Source: docs/formats/status.md. */
#include "base/clock.h"
#include "core/tee/tee_int.h"

static void put_calls(cs_jw *w, const cs_tee_counters *n)
{
    cs_jw_object(w, "calls");
    for (uint64_t op = 1; op <= CS_TEE_NUM_OPS; op++) {
        if (n->calls[op] != 0) {
            cs_jw_u64(w, cs_tee_op_of(op)->name, n->calls[op]);
        }
    }
    if (n->calls[0] != 0) {
        cs_jw_u64(w, "unreadable", n->calls[0]);
    }
    cs_jw_close_object(w);
    cs_jw_object(w, "codes");
    for (unsigned e = 0; e < CS_ERR_COUNT; e++) {
        if (n->codes[e] != 0) {
            cs_jw_u64(w, cs_err_code((cs_err)e), n->codes[e]);
        }
    }
    cs_jw_close_object(w);
}

/* Upper bounds of all but the last, which has the rest. */
static void put_histogram(cs_jw *w, const uint64_t *count, unsigned n, uint64_t first_us)
{
    cs_jw_array(w, "up_to_us");
    for (unsigned i = 0; i + 1 < n; i++) {
        cs_jw_u64(w, NULL, first_us << i);
    }
    cs_jw_close_array(w);
    cs_jw_array(w, "count");
    for (unsigned i = 0; i < n; i++) {
        cs_jw_u64(w, NULL, count[i]);
    }
    cs_jw_close_array(w);
}

static void put_kms(cs_jw *w, const cs_tee *t)
{
    cs_keys_stats k;

    cs_keys_stats_of(t->keys, &k);
    cs_jw_object(w, "kms");
    cs_jw_u64(w, "calls", k.calls);
    cs_jw_u64(w, "errors", k.errors);
    cs_jw_u64(w, "under_way", k.under_way);
    cs_jw_u64(w, "shared", k.shared);
    cs_jw_u64(w, "cache_hits", k.hits);
    cs_jw_u64(w, "cached", k.cached);
    cs_jw_u64(w, "latency_sum_ms", k.latency_sum_ms);
    put_histogram(w, k.latency, CS_KEYS_LATENCIES, 1000);
    cs_jw_close_object(w);
}

static void put_tee(cs_jw *w, const cs_tee *t)
{
    const cs_tee_counters *n = &t->counters;

    cs_jw_u64(w, "workers", t->pool == NULL ? 0 : cs_pool_workers(t->pool));
    cs_jw_u64(w, "queue", t->jobs);
    cs_jw_u64(w, "queue_limit", t->core->config->tee_queue);
    put_calls(w, n);
    cs_jw_u64(w, "busy", n->busy);
    cs_jw_u64(w, "repeated", n->repeated);
    cs_jw_u64(w, "sealed", n->sealed);
    cs_jw_object(w, "latency");
    cs_jw_u64(w, "sum_us", n->latency_sum_us);
    put_histogram(w, n->latency, CS_TEE_LATENCIES, 125);
    cs_jw_close_object(w);
    put_kms(w, t);
    cs_jw_object(w, "window");
    cs_jw_u64(w, "seconds", t->core->config->tee_window_seconds);
    cs_jw_u64(w, "ids", cs_window_count(t->window));
    cs_jw_i64(w, "drift_ms", cs_window_drift_ms(t->window));
    cs_jw_u64(w, "floor_ms", cs_window_floor_ms(t->window));
    cs_jw_close_object(w);
    cs_jw_object(w, "audit");
    cs_jw_u64(w, "counter", t->audit->counter);
    cs_jw_hex(w, "head", cs_slice_of(t->audit->head32, sizeof t->audit->head32));
    cs_jw_close_object(w);
}

void cs_tee_status(cs_jw *w, const cs_tee *t)
{
    if (t == NULL || t->stopping) {
        cs_jw_null(w, "tee");
        return;
    }
    cs_jw_object(w, "tee");
    put_tee(w, t);
    cs_jw_close_object(w);
}

cs_err cs_tee_stats(cs_buf *out, const cs_tee *t)
{
    cs_jw w = cs_jw_begin(out);

    cs_jw_object(&w, NULL);
    cs_jw_hex(&w, "boot", cs_slice_of(t->core->boot, sizeof t->core->boot));
    cs_jw_u64(&w, "uptime_ms", cs_clock_mono_ms() - t->core->started_ms);
    cs_jw_cstr(&w, "phase", cs_phase_name(t->core->phase));
    put_tee(&w, t);
    cs_jw_close_object(&w);
    return cs_jw_end(&w);
}
