/*
 * bench-grpc: our gRPC server and client over tcp loopback, one thread and loop each. A session is one stream with four
 * messages of --bytes each way, one after the other, --inflight sessions at once. One JSON line:
 * sessions_per_second, messages_per_second, cpu_us_per_session of each side (thread clock), p50 and p99 of a session.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json_out.h"
#include "base/opts.h"
#include "net/h2/grpc.h"
#include "net/h2/wire.h"

#define ROUNDS 4
#define LATENCIES 1000000u

struct server {
    cs_loop *loop;
    cs_async *stop;
    cs_grpc_server *grpc;
    uint64_t cpu_ns;
};

struct bench {
    cs_loop *loop;
    cs_grpc_client *client;
    cs_timer *end;
    uint8_t *body;
    size_t len;
    uint64_t sessions, failures, live;
    uint32_t *us;
    bool ending;
};

struct session {
    struct bench *b;
    unsigned round;
    uint64_t begun_ns;
};

static void start_session(struct bench *b);

static void echo(cs_grpc_call *c, cs_slice message)
{
    uint8_t head[CS_FRAME_HEAD_MAX];
    cs_slice body;
    cs_err err = cs_frame_body(&body, message);
    if (err == CS_OK) {
        cs_slice parts[] = {cs_slice_of(head, cs_frame_head(head, body.len)), body};
        err = cs_grpc_send(c, parts, 2);
    }
    if (err != CS_OK) {
        cs_grpc_finish(c, err, NULL);
    }
}

static void half_close(cs_grpc_call *c)
{
    cs_grpc_finish(c, CS_OK, NULL);
}

static void gone(cs_grpc_call *c)
{
}

static void stop_loop(void *cookie)
{
    cs_loop_stop(cookie);
}

static void *serve(void *arg)
{
    struct server *s = arg;
    uint64_t before = cs_clock_thread_cpu_ns();
    cs_loop_run(s->loop);
    s->cpu_ns = cs_clock_thread_cpu_ns() - before;
    return NULL;
}

static void nothing(void *cookie)
{
}

static cs_err send_round(struct session *s, cs_grpc_call *c)
{
    uint8_t head[CS_FRAME_HEAD_MAX];
    size_t n = cs_frame_head(head, s->b->len);
    return cs_grpc_send_ref(c, cs_slice_of(head, n), cs_slice_of(s->b->body, s->b->len), nothing, NULL);
}

static void on_message(cs_grpc_call *c, void *cookie, cs_slice message)
{
    struct session *s = cookie;
    if (++s->round == ROUNDS) {
        cs_grpc_end(c);
    } else if (send_round(s, c) != CS_OK) {
        s->b->failures++;
    }
}

static void on_end(cs_grpc_call *c, void *cookie, const cs_grpc_result *r)
{
    struct session *s = cookie;
    struct bench *b = s->b;
    b->live--;
    if (r->err != CS_OK || s->round != ROUNDS) {
        b->failures++;
    } else if (!b->ending) {
        b->us[b->sessions % LATENCIES] = (uint32_t)((cs_clock_mono_ns() - s->begun_ns) / 1000);
        b->sessions++;
    }
    free(s);
    if (!b->ending) {
        start_session(b);
    } else if (b->live == 0) {
        cs_loop_stop(b->loop);
    }
}

static void start_session(struct bench *b)
{
    static const cs_grpc_call_events events = {on_message, NULL, on_end};
    struct session *s = calloc(1, sizeof *s);
    cs_grpc_call *c = NULL;
    if (s == NULL) {
        abort();
    }
    *s = (struct session){.b = b, .begun_ns = cs_clock_mono_ns()};
    if (cs_grpc_call_new(&c, b->client, "/bench/Session", 0, &events, s) != CS_OK || send_round(s, c) != CS_OK) {
        abort();
    }
    b->live++;
}

static void on_time(void *cookie)
{
    ((struct bench *)cookie)->ending = true;
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void report(struct bench *b, const struct server *s, uint64_t inflight, uint64_t wall_ns, uint64_t cpu_ns)
{
    uint8_t mem[1024];
    cs_buf out = cs_buf_wrap(mem, sizeof mem);
    cs_jw w = cs_jw_begin(&out);
    size_t n = b->sessions < LATENCIES ? b->sessions : LATENCIES;
    double sessions = b->sessions > 0 ? (double)b->sessions : 1;
    qsort(b->us, n, sizeof *b->us, by_value);
    cs_jw_object(&w, NULL);
    cs_jw_cstr(&w, "bench", "grpc-session");
    cs_jw_u64(&w, "bytes", b->len);
    cs_jw_u64(&w, "inflight", inflight);
    cs_jw_double(&w, "sessions_per_second", (double)b->sessions * 1e9 / (double)wall_ns);
    cs_jw_double(&w, "messages_per_second", (double)b->sessions * 2 * ROUNDS * 1e9 / (double)wall_ns);
    cs_jw_double(&w, "server_cpu_us_per_session", (double)s->cpu_ns / 1e3 / sessions);
    cs_jw_double(&w, "client_cpu_us_per_session", (double)cpu_ns / 1e3 / sessions);
    cs_jw_u64(&w, "p50_us", n > 0 ? b->us[n / 2] : 0);
    cs_jw_u64(&w, "p99_us", n > 0 ? b->us[n * 99 / 100] : 0);
    cs_jw_u64(&w, "failures", b->failures);
    cs_jw_close_object(&w);
    if (cs_jw_end(&w) == CS_OK) {
        printf("%.*s\n", (int)out.len, (const char *)out.p);
    }
}

static cs_err set_up(struct bench *b, struct server *s)
{
    static const cs_grpc_method methods[] = {{.path = "/bench/Session",
                                              .client_streams = true,
                                              .server_streams = true,
                                              .on_message = echo,
                                              .on_half_close = half_close,
                                              .on_gone = gone},
                                             {.path = NULL}};
    cs_endpoint ep;
    int fd = -1;
    CS_TRY(cs_loop_new(&s->loop));
    CS_TRY(cs_loop_new(&b->loop));
    CS_TRY(cs_endpoint_parse(&ep, cs_slice_str("tcp:127.0.0.1:0")));
    CS_TRY(cs_endpoint_listen(&fd, &ep, 16));
    CS_TRY(cs_endpoint_bound(&ep, fd));
    CS_TRY(cs_grpc_server_new(&s->grpc, s->loop, fd, methods, NULL, NULL));
    CS_TRY(cs_async_new(&s->stop, s->loop, stop_loop, s->loop));
    CS_TRY(cs_timer_new(&b->end, b->loop, on_time, b));
    return cs_grpc_client_new(&b->client, b->loop, &ep, NULL);
}

static int run(const cs_args *a)
{
    struct server s = {0};
    struct bench b = {.len = cs_args_u64(a, "bytes")};
    uint64_t inflight = cs_args_u64(a, "inflight");
    pthread_t thread;
    b.body = calloc(1, b.len);
    b.us = calloc(LATENCIES, sizeof *b.us);
    cs_err err = b.body == NULL || b.us == NULL ? CS_E_NO_MEMORY : set_up(&b, &s);
    if (b.body != NULL) {
        memset(b.body, 0x5a, b.len); /* real pages, as messages have */
    }
    if (err != CS_OK || pthread_create(&thread, NULL, serve, &s) != 0) {
        return cs_refuse(a, err != CS_OK ? err : CS_E_INTERNAL, false, NULL);
    }
    uint64_t wall = cs_clock_mono_ns();
    uint64_t cpu = cs_clock_thread_cpu_ns();
    for (uint64_t i = 0; i < inflight; i++) {
        start_session(&b);
    }
    cs_timer_start(b.end, cs_args_u64(a, "seconds") * 1000, 0);
    cs_loop_run(b.loop);
    wall = cs_clock_mono_ns() - wall;
    cpu = cs_clock_thread_cpu_ns() - cpu;
    cs_async_send(s.stop);
    pthread_join(thread, NULL);
    report(&b, &s, inflight, wall, cpu);
    cs_grpc_client_free(b.client);
    cs_timer_free(b.end);
    cs_async_free(s.stop);
    cs_grpc_server_free(s.grpc);
    cs_loop_free(b.loop);
    cs_loop_free(s.loop);
    free(b.body);
    free(b.us);
    return b.failures == 0 ? 0 : 1;
}

static const cs_opt options[] = {
    {.name = "seconds", .kind = CS_OPT_U64, .arg = "S", .help = "length of the run", .def = "5", .min = 1, .max = 600},
    {.name = "inflight",
     .kind = CS_OPT_U64,
     .arg = "N",
     .help = "sessions at once",
     .def = "32",
     .min = 1,
     .max = 1000},
    {.name = "bytes",
     .kind = CS_OPT_U64,
     .arg = "N",
     .help = "bytes of a message",
     .def = "43000",
     .min = 1,
     .max = 262000},
    {0},
};

int main(int argc, char **argv)
{
    static const cs_cmd commands[] = {
        {.name = "", .synopsis = "[options]", .summary = "throughput of the gRPC layer", .opts = options, .run = run},
        {0}};
    return cs_cmd_main("bench-grpc", "throughput of the gRPC layer", commands, argc, argv);
}
