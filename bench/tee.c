/*
 * bench-tee: what the TEE service of core does by itself: Sign with a cached data key, and Rotate, through cs_core_frame, without sockets,
 * gateway and store. Requests are made and signed beforehand; the time is that of the main loop with its workers. One JSON line.
 */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/opts.h"
#include "core/tee_driver.h"

#define BATCH 4096u
#define INFLIGHT_MAX 256u

static const cs_args *args_;

typedef struct made {
    uint64_t id;
    uint8_t *bytes;
    size_t len;
    uint64_t sent_ns, took_ns;
} made;

static made made_[BATCH];
static uint64_t first_id;
static kept_row rows_[CS_TEE_ROWS_MAX];

static void configure(cs_core_config *c)
{
    c->tee_queue = INFLIGHT_MAX;
    c->tee_workers = cs_args_u64(args_, "workers");
    c->tee_cache_seconds = 3600;
}

static void make_batch(tee_world *t, const tee_ask *q, unsigned n)
{
    wall_ms = cs_clock_wall_ms(); /* requests say this time */
    for (unsigned i = 0; i < n; i++) {
        cs_slice f = tee_frame(t, &made_[i].id, q);

        made_[i].bytes = realloc(made_[i].bytes, f.len);
        if (made_[i].bytes == NULL) {
            abort();
        }
        memcpy(made_[i].bytes, f.p, f.len);
        made_[i].len = f.len;
    }
    first_id = made_[0].id;
}

/* What replies said, and how late a refusal came. */
typedef struct tally {
    uint64_t done, busy, failures, busy_worst_ns;
} tally;

/* The reply's code, without opening it: the tests do that. */
static void take_reply(tee_world *t, tally *n)
{
    cs_rpc_frame f = next(t->w, CS_LINK_SERVICE);
    made *m = &made_[f.id - first_id];
    cs_tee_reply reply;

    m->took_ns = cs_clock_mono_ns() - m->sent_ns;
    if (cs_tee_reply_decode(&reply, f.f[0].s) != CS_OK) {
        n->failures++;
    } else if (cs_slice_eq_str(reply.code, "OK")) {
        n->done++;
    } else if (cs_slice_eq_str(reply.code, "TEE_BUSY")) {
        n->busy++;
        n->busy_worst_ns = m->took_ns > n->busy_worst_ns ? m->took_ns : n->busy_worst_ns;
    } else {
        n->failures++;
    }
}

/* May the next one be sent? At a rate: when its time has come. Else: when fewer than so many are under way. */
static bool due(unsigned sent, unsigned got, uint64_t start_ns)
{
    const uint64_t rate = cs_args_u64(args_, "rate");

    return rate > 0 ? cs_clock_mono_ns() - start_ns >= (uint64_t)sent * 1000000000u / rate
                    : sent - got < cs_args_u64(args_, "inflight");
}

/* ns for all of the batch */
static uint64_t run_batch(tee_world *t, unsigned n, tally *total)
{
    const uint64_t start = cs_clock_mono_ns();

    for (unsigned sent = 0, got = 0; got < n;) {
        struct pollfd p = {.fd = cs_core_fd(t->w->core), .events = POLLIN};

        for (unsigned burst = 0; burst < 32 && sent < n && due(sent, got, start); burst++, sent++) {
            made_[sent].sent_ns = cs_clock_mono_ns();
            if (cs_core_frame(t->w->core, CS_LINK_SERVICE, cs_slice_of(made_[sent].bytes, made_[sent].len)) != CS_OK) {
                abort();
            }
        }
        (void)poll(&p, 1, sent < n ? 1 : 1000);
        cs_core_tick(t->w->core);
        while (!none(t->w, CS_LINK_KMS)) {
            kms_answer_one(t);
        }
        for (; !none(t->w, CS_LINK_SERVICE); got++) {
            take_reply(t, total);
        }
    }
    return cs_clock_mono_ns() - start;
}

/* of all threads */
static uint64_t cpu_ns(void)
{
    struct timespec t = {0};

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static double percentile_us(unsigned n, double p)
{
    static uint64_t took[BATCH];

    for (unsigned i = 0; i < n; i++) {
        took[i] = made_[i].took_ns;
    }
    qsort(took, n, sizeof *took, by_value);
    return (double)took[(unsigned)(p * (n - 1))] / 1e3;
}

/* Alice's rows, all under one data key, as a rotation leaves them. */
static tee_ask rotation(tee_world *t)
{
    static char names[CS_TEE_ROWS_MAX][16];
    static cs_slice records[CS_TEE_ROWS_MAX];
    static cs_tee_row rows[CS_TEE_ROWS_MAX];
    static tee_answer a;
    tee_ask q = {.op = CS_TEE_SEAL, .u1 = 1, .bytes = cs_slice_str("32 bytes of something to be kept"), .sealed = true};

    for (unsigned i = 0; i < CS_TEE_ROWS_MAX; i++) {
        cs_buf b = cs_buf_wrap(names[i], sizeof names[i]);

        if (cs_put_fmt(&b, "wallet-%u", i) != CS_OK) {
            abort();
        }
        q.record = records[i] = cs_buf_slice(&b);
        if (tee_call(t, &a, &q) != CS_OK) {
            abort();
        }
        keep_row(&rows_[i], &a, 0);
        rows[i] = rows_[i].row;
        q.attached = (cs_tee_attached){.kms_key = rows[0].kms_key, .data_key = rows[0].data_key};
    }
    return (tee_ask){.op = CS_TEE_ROTATE,
                     .u1 = 0,
                     .attached = {.fresh = rows[0].data_key},
                     .records = records,
                     .num_records = CS_TEE_ROWS_MAX,
                     .rows = rows,
                     .num_rows = CS_TEE_ROWS_MAX};
}

static tee_ask signing(tee_world *t, cs_tee_alg alg)
{
    generate(t, &rows_[0], "wallet-1", alg);
    return (tee_ask){.op = CS_TEE_SIGN,
                     .record = cs_slice_str("wallet-1"),
                     .u1 = (uint64_t)alg,
                     .u2 = 1,
                     .bytes = cs_slice_str("a transaction of 32 bytes, or so"),
                     .rows = &rows_[0].row,
                     .num_rows = 1};
}

static int run(const cs_args *a)
{
    const bool rotate = strcmp(cs_args_str(a, "op"), "rotate") == 0;
    const unsigned batch = rotate ? 32 : BATCH, rows = rotate ? CS_TEE_ROWS_MAX : 1;
    uint64_t ns = 0, cpu = 0, runs = 0;
    tally n = {0};
    cs_tee_alg alg = CS_TEE_ECDSA_K1;
    tee_world *t = NULL;
    tee_ask q;

    if (!rotate && cs_tee_alg_of(cs_slice_str(cs_args_str(a, "algorithm")), &alg) != CS_OK) {
        return cs_usage_error(a, "--algorithm: one that signs");
    }
    args_ = a;
    t = tee_world_new(configure);
    cs_clock_set_for_tests(NULL);
    wall_ms = cs_clock_wall_ms();
    q = rotate ? rotation(t) : signing(t, alg);
    do {
        make_batch(t, &q, batch);
        cpu -= cpu_ns();
        ns += run_batch(t, batch, &n);
        cpu += cpu_ns();
        runs += batch;
    } while (ns < cs_args_u64(a, "seconds") * 1000000000u);
    printf("{\"bench\":\"tee\",\"op\":\"%s\",\"algorithm\":\"%s\",\"workers\":%llu,\"inflight\":%llu,\"rate\":%llu,"
           "\"runs\":%llu,"
           "\"per_s\":%.0f,\"p50_us\":%.0f,\"p95_us\":%.0f,\"p99_us\":%.0f,\"cpu_us_each\":%.1f,\"busy\":%llu,\"busy_"
           "worst_us\":%.0f,"
           "\"failures\":%llu}\n",
           rotate ? "Rotate row" : "Sign", rotate ? "data" : cs_tee_alg_name((uint64_t)alg),
           (unsigned long long)cs_args_u64(a, "workers"), (unsigned long long)cs_args_u64(a, "inflight"),
           (unsigned long long)cs_args_u64(a, "rate"), (unsigned long long)runs,
           (double)(n.done * rows) / ((double)ns / 1e9), percentile_us(batch, 0.5), percentile_us(batch, 0.95),
           percentile_us(batch, 0.99), (double)cpu / 1e3 / (double)(runs * rows), (unsigned long long)n.busy,
           (double)n.busy_worst_ns / 1e3, (unsigned long long)n.failures);
    tee_world_free(t);
    return n.failures > 0;
}

static const cs_opt options[] = {
    {.name = "seconds", .kind = CS_OPT_U64, .arg = "S", .help = "length of the run", .def = "3", .min = 1, .max = 30},
    {.name = "workers", .kind = CS_OPT_U64, .arg = "N", .help = "threads", .def = "2", .min = 1, .max = 64},
    {.name = "inflight",
     .kind = CS_OPT_U64,
     .arg = "N",
     .help = "calls at once",
     .def = "64",
     .min = 1,
     .max = INFLIGHT_MAX},
    {.name = "rate",
     .kind = CS_OPT_U64,
     .arg = "N",
     .help = "calls a second, however many are under way; 0: --inflight decides",
     .def = "0",
     .max = 1000000},
    {.name = "algorithm", .kind = CS_OPT_STR, .arg = "NAME", .help = "of Sign", .def = "ecdsa-secp256k1"},
    {.name = "op", .kind = CS_OPT_STR, .arg = "OP", .help = "sign or rotate", .def = "sign"},
    {0},
};

int main(int argc, char **argv)
{
    static const cs_cmd commands[] = {
        {.name = "", .synopsis = "[options]", .summary = "TEE calls in core alone", .opts = options, .run = run}, {0}};
    return cs_cmd_main("bench-tee", "TEE calls in core alone", commands, argc, argv);
}
