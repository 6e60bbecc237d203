/* Telemetry: calls counted, and its life. See telemetry.h. */
#include "gateway/telemetry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "gateway/telemetry_int.h"

/* seconds: half a millisecond to what a call with a slow KMS may take */
static const double bounds[] = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};

/* ---------------------------------------------------------------- calls */

static cs_tel_call *call_new(cs_telemetry *t, unsigned kind)
{
    cs_tel_call *c = t != NULL ? calloc(1, sizeof *c) : NULL;

    if (c != NULL) {
        c->t = t;
        c->kind = kind;
        c->began_ns = cs_clock_mono_ns();
        t->figures[kind].open++;
    }
    return c;
}

static cs_tel_call *call_drop(cs_tel_call *c)
{
    c->t->figures[c->kind].open--;
    free(c);
    return NULL;
}

cs_tel_call *cs_tel_begin(cs_telemetry *t, cs_tel_door door, const cs_trace_headers *h)
{
    cs_tel_call *c = call_new(t, CS_TEL_SERVER);

    if (c != NULL) {
        c->door = door;
        c = cs_trace_take(&c->trace, h) == CS_OK ? c : call_drop(c);
    }
    return c;
}

cs_tel_call *cs_tel_begin_grpc(cs_telemetry *t, const cs_grpc_call *call)
{
    cs_trace_headers h = {0};
    cs_slice name, value;
    size_t at = 0;

    if (t == NULL) {
        return NULL;
    }
    while (cs_grpc_call_header_next(call, &at, &name, &value)) {
        cs_trace_header(&h, name, value);
    }
    return cs_tel_begin(t, CS_TEL_GRPC, &h);
}

cs_tel_call *cs_tel_begin_http(cs_telemetry *t, const cs_http1_msg *request)
{
    cs_trace_headers h = {0};

    for (size_t i = 0; t != NULL && i < request->num_headers; i++) {
        cs_trace_header(&h, request->headers[i].name, request->headers[i].value);
    }
    return cs_tel_begin(t, CS_TEL_HTTP, &h);
}

cs_tel_call *cs_tel_core(cs_telemetry *t, const cs_trace *of)
{
    cs_tel_call *c = call_new(t, CS_TEL_CLIENT);

    if (c != NULL) {
        cs_err err = of != NULL ? cs_trace_child(&c->trace, of) : cs_trace_new(&c->trace);
        c = err == CS_OK ? c : call_drop(c);
    }
    return c;
}

void cs_tel_ask(cs_tel_call *c, uint64_t op, const uint8_t *id16)
{
    if (c == NULL) {
        return;
    }
    c->op = op < CS_TEL_OPS ? (unsigned)op : 0;
    c->has_id = id16 != NULL;
    if (id16 != NULL) {
        memcpy(c->id, id16, sizeof c->id);
    }
}

const cs_trace *cs_tel_trace(const cs_tel_call *c)
{
    return c != NULL ? &c->trace : NULL;
}

size_t cs_tel_headers(cs_grpc_header out[CS_TEL_HEADERS], uint8_t mem[CS_TRACE_PARENT_LEN], const cs_tel_call *c)
{
    cs_buf parent = cs_buf_wrap(mem, CS_TRACE_PARENT_LEN);
    size_t n = 0;

    if (c == NULL || cs_trace_parent_put(&parent, &c->trace) != CS_OK) {
        return 0;
    }
    out[n++] = (cs_grpc_header){"traceparent", cs_buf_slice(&parent)};
    if (c->trace.state_len > 0) {
        out[n++] = (cs_grpc_header){"tracestate", cs_trace_state(&c->trace)};
    }
    return n;
}

static void count(cs_tel_call *c, cs_err err)
{
    cs_tel_figures *f = &c->t->figures[c->kind];
    uint64_t now = cs_clock_mono_ns();

    f->begun[c->op]++;
    if (c->kind == CS_TEL_SERVER) {
        c->t->doors[c->op][c->door]++;
    }
    if (err != CS_OK) {
        f->errors[c->op][err]++;
    }
    cs_prom_observe(&f->latency[c->op], (double)(now - c->began_ns) / 1e9);
    cs_tel_otlp_call(c, err, now);
}

void cs_tel_end(cs_tel_call *c, cs_err err)
{
    if (c != NULL) {
        count(c, err);
        (void)call_drop(c);
    }
}

void cs_tel_gone(cs_tel_call *c)
{
    if (c != NULL) {
        c->t->figures[c->kind].gone++;
        count(c, CS_OK);
        (void)call_drop(c);
    }
}

/* ---------------------------------------------------------------- gate */

void cs_telemetry_gate(cs_telemetry *t, cs_tel_gate state)
{
    if (t != NULL) {
        t->gate = state;
    }
}

void cs_telemetry_gate_checked(cs_telemetry *t, cs_err result)
{
    if (t != NULL) {
        t->gate_checks[result]++;
    }
}

/* ---------------------------------------------------------------- life */

/* The default address may be taken, by another gateway or a proxy: that is no reason not to serve. */
static cs_err open_listener(cs_telemetry *t, char why256[256])
{
    cs_endpoint at;
    const char *text = t->config.listen;

    if (strcmp(text, CS_TEL_OFF) == 0) {
        return CS_OK;
    }
    CS_TRY(cs_telemetry_endpoint(&at, text));
    cs_err err = cs_prom_server_new(&t->server, t->loop, &at, false, cs_tel_put, t);
    if (err == CS_E_EXISTS && !t->config.listen_set) {
        cs_log(CS_LOG_WARN, "metrics_off", CS_LC("in_use", text));
        return CS_OK;
    }
    if (err != CS_OK) {
        (void)snprintf(why256, 256, "telemetry.listen: %.200s", text);
    }
    return err;
}

static void init_histograms(cs_telemetry *t)
{
    for (unsigned kind = 0; kind < CS_TEL_KINDS; kind++) {
        for (unsigned op = 0; op < CS_TEL_OPS; op++) {
            cs_prom_histogram *h = &t->figures[kind].latency[op];
            h->num = sizeof bounds / sizeof *bounds;
            memcpy(h->bounds, bounds, sizeof bounds);
        }
    }
}

cs_err cs_telemetry_new(cs_telemetry **out, cs_loop *l, cs_pool *pool, const cs_telemetry_config *config,
                        char why256[256])
{
    cs_telemetry *t = calloc(1, sizeof *t);

    why256[0] = '\0';
    if (t == NULL) {
        return CS_E_NO_MEMORY;
    }
    t->loop = l;
    t->pool = pool;
    t->config = *config;
    t->started_ms = cs_clock_wall_ms();
    t->epoch_ns = t->started_ms * 1000000u - cs_clock_mono_ns();
    init_histograms(t);
    cs_err err = open_listener(t, why256);
    if (err == CS_OK && t->server != NULL) {
        err = cs_tel_core_open(t);
    }
    if (err == CS_OK) {
        err = cs_tel_otlp_open(t);
    }
    if (err != CS_OK) {
        cs_telemetry_free(t);
        return err;
    }
    *out = t;
    return CS_OK;
}

const cs_endpoint *cs_telemetry_at(const cs_telemetry *t)
{
    return t->server != NULL ? cs_prom_server_at(t->server) : NULL;
}

void cs_telemetry_close(cs_telemetry *t)
{
    cs_tel_otlp_close(t);
    cs_tel_core_close(t);
    cs_prom_server_free(t->server);
    t->server = NULL;
}

void cs_telemetry_free(cs_telemetry *t)
{
    if (t != NULL) {
        cs_telemetry_close(t);
        free(t);
    }
}
