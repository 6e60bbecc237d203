/* Spans and metrics for a collector, with the names of chapter 9.2 of the TEE design: tee.client.request, tee.client.error, tee.server.call,
 * tee.server.latency. No callers, records or contents. See telemetry_int.h. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "gateway/telemetry_int.h"

#define QUEUE_MAX 4096u
#define BATCH_MAX 512u
#define POINTS_MAX 512u
#define METRICS_BODY_MAX ((size_t)1 << 20)

static const cs_otlp_source source = {.service = "sign-gateway", .scope = "countersign.tee"};

/* ---------------------------------------------------------------- spans */

static void add(cs_otlp_span *s, const char *key, const char *text)
{
    s->attrs[s->num_attrs++] = (cs_otlp_attr){key, text, 0};
}

void cs_tel_otlp_call(const cs_tel_call *c, cs_err err, uint64_t end_ns)
{
    static const char *const doors[] = {"grpc", "http"};
    const cs_telemetry *t = c->t;
    bool server = c->kind == CS_TEL_SERVER;
    cs_otlp_span s = {.name = server ? "tee.server.call" : "tee.client.request",
                      .kind = server ? CS_OTLP_SERVER : CS_OTLP_CLIENT,
                      .start_ns = t->epoch_ns + c->began_ns,
                      .end_ns = t->epoch_ns + end_ns,
                      .failed = err != CS_OK};

    if (t->otlp == NULL || (c->trace.flags & CS_TRACE_SAMPLED) == 0) {
        return;
    }
    memcpy(s.trace, c->trace.id, sizeof s.trace);
    memcpy(s.span, c->trace.span, sizeof s.span);
    memcpy(s.parent, c->trace.parent, sizeof s.parent);
    add(&s, "tee.operation", cs_tel_op_name(c->op));
    add(&s, "tee.code", cs_err_code(err));
    if (server) {
        add(&s, "tee.protocol", doors[c->door]);
    }
    if (c->has_id) {
        cs_hex_encode(s.own, cs_slice_of(c->id, sizeof c->id));
        add(&s, "tee.request_id", cs_otlp_own);
    }
    if (err != CS_OK) {
        add(&s, "tee.class", cs_err_class_name(cs_err_class_of(err)));
        s.message = cs_err_cause(err);
        s.event = server ? NULL : "tee.client.error";
    }
    cs_otlp_export_span(t->otlp, &s);
}

/* ---------------------------------------------------------------- metrics */

typedef struct points {
    cs_otlp_point *all;
    size_t num;
    uint64_t start_ns, now_ns;
} points;

static cs_otlp_point *point(points *p, uint64_t count, const char *key, const char *text)
{
    if (p->num == POINTS_MAX) {
        return NULL; /* there are fewer operations and codes than that */
    }
    cs_otlp_point *x = &p->all[p->num++];
    *x = (cs_otlp_point){.start_ns = p->start_ns, .time_ns = p->now_ns, .count = count};
    x->attrs[x->num_attrs++] = (cs_otlp_attr){key, text, 0};
    return x;
}

static void sums(points *p, const cs_tel_figures *f)
{
    for (unsigned op = 0; op < CS_TEL_OPS; op++) {
        if (f->begun[op] != 0) {
            (void)point(p, f->begun[op], "tee.operation", cs_tel_op_name(op));
        }
    }
}

static void errors(points *p, const cs_tel_figures *f)
{
    for (unsigned op = 0; op < CS_TEL_OPS; op++) {
        for (unsigned e = 1; e < CS_ERR_COUNT; e++) {
            cs_otlp_point *x =
                f->errors[op][e] != 0 ? point(p, f->errors[op][e], "tee.operation", cs_tel_op_name(op)) : NULL;
            if (x != NULL) {
                x->attrs[x->num_attrs++] =
                    (cs_otlp_attr){"tee.class", cs_err_class_name(cs_err_class_of((cs_err)e)), 0};
                x->attrs[x->num_attrs++] = (cs_otlp_attr){"tee.code", cs_err_code((cs_err)e), 0};
            }
        }
    }
}

static void latencies(points *p, const cs_tel_figures *f)
{
    for (unsigned op = 0; op < CS_TEL_OPS; op++) {
        cs_otlp_point *x = f->begun[op] != 0 ? point(p, 0, "tee.operation", cs_tel_op_name(op)) : NULL;
        if (x != NULL) {
            x->histogram = &f->latency[op];
        }
    }
}

static const struct {
    cs_otlp_metric m;
    unsigned kind;
    void (*put)(points *p, const cs_tel_figures *f);
} metrics[] = {
    {{.name = "tee.client.request",
      .unit = "{request}",
      .description = "Calls of the gateway to core.",
      .type = CS_OTLP_SUM},
     CS_TEL_CLIENT,
     sums},
    {{.name = "tee.client.error",
      .unit = "{request}",
      .description = "Those that ended in an error.",
      .type = CS_OTLP_SUM},
     CS_TEL_CLIENT,
     errors},
    {{.name = "tee.server.call",
      .unit = "{call}",
      .description = "Calls of clients at the gateway.",
      .type = CS_OTLP_SUM},
     CS_TEL_SERVER,
     sums},
    {{.name = "tee.server.error",
      .unit = "{call}",
      .description = "Those that ended in an error.",
      .type = CS_OTLP_SUM},
     CS_TEL_SERVER,
     errors},
    {{.name = "tee.server.latency",
      .unit = "s",
      .description = "From a request to its answer.",
      .type = CS_OTLP_HISTOGRAM},
     CS_TEL_SERVER,
     latencies},
};
#define NUM_METRICS (sizeof metrics / sizeof *metrics)

static cs_err put_metrics(cs_buf *out, const cs_telemetry *t)
{
    cs_otlp_metric all[NUM_METRICS];
    size_t num = 0;
    points p = {.all = calloc(POINTS_MAX, sizeof *p.all),
                .start_ns = t->started_ms * 1000000u,
                .now_ns = t->epoch_ns + cs_clock_mono_ns()};

    if (p.all == NULL) {
        return CS_E_NO_MEMORY;
    }
    for (size_t i = 0; i < NUM_METRICS; i++) {
        size_t from = p.num;
        metrics[i].put(&p, &t->figures[metrics[i].kind]);
        if (p.num > from) { /* a metric without points says nothing */
            all[num] = metrics[i].m;
            all[num].points = p.all + from;
            all[num++].num_points = p.num - from;
        }
    }
    cs_err err = num > 0 ? cs_otlp_put_metrics(out, &source, all, num) : CS_OK;
    free(p.all);
    return err;
}

static void on_time(void *cookie)
{
    cs_telemetry *t = cookie;
    cs_buf body = cs_buf_heap(METRICS_BODY_MAX);

    t->epoch_ns = cs_clock_wall_ms() * 1000000u - cs_clock_mono_ns(); /* the wall clock may have been set */
    if (put_metrics(&body, t) == CS_OK && body.len > 0) {
        cs_otlp_export_metrics(t->otlp, &body);
    }
    cs_buf_free(&body);
}

/* ---------------------------------------------------------------- life */

cs_err cs_tel_otlp_open(cs_telemetry *t)
{
    cs_otlp_export_config c = {.endpoint = t->config.otlp,
                               .ca_file = t->config.otlp_ca[0] != '\0' ? t->config.otlp_ca : NULL,
                               .source = source,
                               .queue_max = QUEUE_MAX,
                               .batch_max = BATCH_MAX,
                               .every_ms = (uint32_t)t->config.otlp_ms};

    if (t->config.otlp[0] == '\0') {
        return CS_OK;
    }
    CS_TRY(cs_timer_new(&t->otlp_timer, t->loop, on_time, t));
    CS_TRY(cs_otlp_export_new(&t->otlp, &c));
    cs_timer_start(t->otlp_timer, t->config.otlp_ms, t->config.otlp_ms);
    return CS_OK;
}

void cs_tel_otlp_close(cs_telemetry *t)
{
    if (t->otlp != NULL) {
        on_time(t);
    }
    cs_timer_free(t->otlp_timer);
    cs_otlp_export_free(t->otlp);
    t->otlp_timer = NULL;
    t->otlp = NULL;
}
