/* Core's figures, from its status (docs/formats/status.md). The question is no operation: it makes no audit entry. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/telemetry_int.h"
#include "net/countersign.pb-c.h"

#define STATUS_MAX (256u * 1024u)
#define STATUS_MS 3000u

static const char path[] = "/countersign.v1.Enclave/Status";

/* ---------------------------------------------------------------- reading */

static uint64_t number(const json_t *object, const char *key)
{
    json_int_t v = json_integer_value(json_object_get(object, key));

    return v > 0 ? (uint64_t)v : 0;
}

static void text(char *out, size_t max, const json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));
    size_t len = s != NULL ? strlen(s) : 0;

    out[0] = '\0';
    if (len < max) {
        memcpy(out, s != NULL ? s : "", len + 1);
    }
}

/* {"up_to_us": [..n], "count": [..n + 1], SUM} of unit seconds; num 0: not one that can be shown. */
static void histogram(cs_prom_histogram *out, const json_t *object, const char *sum, double unit)
{
    const json_t *up_to = json_object_get(object, "up_to_us"), *count = json_object_get(object, "count");
    size_t n = json_array_size(up_to);

    *out = (cs_prom_histogram){0};
    if (n == 0 || n > CS_PROM_BUCKETS || json_array_size(count) != n + 1) {
        return;
    }
    for (size_t i = 0; i <= n; i++) {
        json_int_t c = json_integer_value(json_array_get(count, i));
        out->counts[i] = c > 0 ? (uint64_t)c : 0;
        if (i < n) {
            out->bounds[i] = (double)json_integer_value(json_array_get(up_to, i)) / 1e6;
        }
        if (i < n && i > 0 && !(out->bounds[i] > out->bounds[i - 1])) {
            *out = (cs_prom_histogram){0};
            return;
        }
    }
    out->num = n;
    out->sum = (double)number(object, sum) * unit;
}

static void read_tee(cs_tel_core_figures *f, const json_t *tee)
{
    const json_t *calls = json_object_get(tee, "calls"), *codes = json_object_get(tee, "codes");
    const json_t *kms = json_object_get(tee, "kms");

    f->has_tee = json_is_object(tee);
    f->workers = number(tee, "workers");
    f->queue = number(tee, "queue");
    f->queue_limit = number(tee, "queue_limit");
    f->busy = number(tee, "busy");
    f->repeated = number(tee, "repeated");
    f->unreadable = number(calls, "unreadable");
    for (unsigned op = 1; op < CS_TEL_OPS; op++) {
        f->calls[op] = number(calls, cs_tel_op_name(op));
    }
    for (unsigned e = 0; e < CS_ERR_COUNT; e++) {
        f->codes[e] = number(codes, cs_err_code((cs_err)e));
    }
    histogram(&f->latency, json_object_get(tee, "latency"), "sum_us", 1e-6);
    f->kms_calls = number(kms, "calls");
    f->kms_errors = number(kms, "errors");
    f->kms_under_way = number(kms, "under_way");
    f->cache_hits = number(kms, "cache_hits");
    f->cached = number(kms, "cached");
    histogram(&f->kms_latency, kms, "latency_sum_ms", 1e-3);
    f->audit_counter = number(json_object_get(tee, "audit"), "counter");
}

cs_err cs_tel_core_read(cs_tel_core_figures *out, cs_slice json)
{
    json_t *root = json_loadb((const char *)json.p, json.len, JSON_REJECT_DUPLICATES, NULL);
    const json_t *load = json_object_get(root, "load"), *memory = json_object_get(root, "memory");

    if (!json_is_object(root)) {
        json_decref(root);
        return CS_E_FORMAT;
    }
    *out = (cs_tel_core_figures){.up = true};
    read_tee(out, json_object_get(root, "tee"));
    text(out->phase, sizeof out->phase, root, "phase");
    text(out->credentials, sizeof out->credentials, load, "credentials");
    out->credentials_expire_ms = number(load, "credentials_expire_ms");
    out->memory_used = number(memory, "used");
    out->memory_size = number(memory, "size");
    json_decref(root);
    return CS_OK;
}

/* ---------------------------------------------------------------- asking */

static void on_message(void *cookie, cs_slice message)
{
    cs_telemetry *t = cookie;

    t->status.len = 0;
    if (cs_put_slice(&t->status, message) != CS_OK) {
        t->status.len = 0; /* seen at the end */
    }
}

static void on_drain(void *cookie)
{
    (void)cookie;
}

static cs_err read_reply(cs_telemetry *t)
{
    Countersign__V1__StatusReply *r = countersign__v1__status_reply__unpack(NULL, t->status.len, t->status.p);
    cs_err err = r != NULL && r->json != NULL ? cs_tel_core_read(&t->core, cs_slice_str(r->json)) : CS_E_FORMAT;

    if (r != NULL) {
        countersign__v1__status_reply__free_unpacked(r, NULL);
    }
    return err;
}

/* Figures of a core that does not answer stay as they were: core_up says how old they are. */
static void on_end(void *cookie, const cs_pool_result *r)
{
    cs_telemetry *t = cookie;

    t->asked = NULL;
    if (r->status != CS_GRPC_OK || r->ours || read_reply(t) != CS_OK) {
        t->core.up = false;
        t->polls_failed++;
    }
    t->status.len = 0;
}

static cs_err ask(cs_telemetry *t)
{
    static const cs_pool_events events = {on_message, on_drain, on_end};
    cs_slice empty = CS_SLICE_NULL; /* StatusRequest */

    CS_TRY(cs_pool_call_new(&t->asked, t->pool, path, STATUS_MS, &events, t));
    cs_err err = cs_grpc_send(cs_pool_call_grpc(t->asked), &empty, 1);
    if (err != CS_OK) {
        cs_pool_cancel(t->asked);
        t->asked = NULL;
        return err;
    }
    cs_grpc_end(cs_pool_call_grpc(t->asked));
    return CS_OK;
}

static void on_poll(void *cookie)
{
    cs_telemetry *t = cookie;

    if (t->asked == NULL && ask(t) != CS_OK) {
        t->core.up = false;
        t->polls_failed++;
    }
}

cs_err cs_tel_core_open(cs_telemetry *t)
{
    t->status = cs_buf_heap(STATUS_MAX);
    CS_TRY(cs_timer_new(&t->poll, t->loop, on_poll, t));
    cs_timer_start(t->poll, t->config.poll_ms < 500 ? t->config.poll_ms : 500, t->config.poll_ms);
    return CS_OK;
}

void cs_tel_core_close(cs_telemetry *t)
{
    if (t->asked != NULL) {
        cs_pool_cancel(t->asked);
        t->asked = NULL;
    }
    cs_timer_free(t->poll);
    t->poll = NULL;
    cs_buf_free(&t->status);
}
