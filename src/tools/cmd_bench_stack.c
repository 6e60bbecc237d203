/* signctl bench stack: real sessions against a running service from one event loop. A figure, not a test. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json_out.h"
#include "secret/rng.h"
#include "tools/cmds.h"
#include "tools/party_open.h"

#define MAX_SAMPLES (8u << 20)
#define MAX_INFLIGHT 1024u

typedef struct bench bench;

typedef struct slot {
    bench *b;
    uint64_t began_ns;
    uint8_t execution[16];
} slot;

struct bench {
    cs_party_open open;
    const char *account; /* NULL: all accounts in turn */
    cs_slice *ids;
    const cs_mpc_key **keys;
    size_t num_ids, next_id;
    slot *slots;
    uint64_t inflight, running, tx_id;
    uint64_t begin_ns, end_ns, last_ns; /* measuring from begin to end */
    uint64_t warm_left;                 /* requests before the clock starts */
    uint32_t *us;
    size_t num;
    uint64_t failures, retried, cpu_ns;
    cs_err first_failure, first_retry;
};

static void launch(slot *s);

static void start_clock(bench *b, uint64_t seconds)
{
    b->begin_ns = cs_clock_mono_ns();
    b->end_ns = b->begin_ns + seconds * 1000000000u;
    b->cpu_ns = cs_clock_thread_cpu_ns();
}

static void on_result(void *cookie, const cs_presult *r)
{
    slot *s = cookie;
    bench *b = s->b;
    uint64_t now = cs_clock_mono_ns();
    b->running--;
    if (r->err != CS_OK) {
        b->failures++;
        b->first_failure = b->first_failure == CS_OK ? r->err : b->first_failure;
    } else if (b->warm_left == 0 && b->num < MAX_SAMPLES && now <= b->end_ns) {
        b->us[b->num++] = (uint32_t)((now - s->began_ns) / 1000);
        b->last_ns = now;
    }
    b->retried += r->attempts > 1;
    b->first_retry = b->first_retry == CS_OK ? r->first_err : b->first_retry;
    if (b->warm_left > 0 && --b->warm_left == 0) {
        start_clock(b, cs_args_u64(b->open.args, "seconds"));
    }
    if (r->err == CS_OK && (b->warm_left > 0 || now < b->end_ns)) {
        launch(s);
    }
}

static void launch(slot *s)
{
    bench *b = s->b;
    size_t k = b->next_id++ % b->num_ids;
    cs_psign_request r = {.account_id = b->ids[k],
                          .key = b->keys[k],
                          .tx_id = (int64_t)b->tx_id++,
                          .execution_id = cs_slice_of(s->execution, sizeof s->execution)};
    cs_err err = cs_random(r.digest32, 32);
    if (err == CS_OK) {
        err = cs_random(s->execution, sizeof s->execution);
    }
    s->began_ns = cs_clock_mono_ns();
    if (err == CS_OK) {
        err = cs_pclient_sign(NULL, b->open.client, &r, on_result, s);
    }
    if (err == CS_OK) {
        b->running++;
    } else {
        b->failures++;
        b->first_failure = err;
    }
}

static bool collect(void *cookie, cs_slice id, const cs_mpc_key *k)
{
    bench *b = cookie;
    if (b->account == NULL || cs_slice_eq_str(id, b->account)) {
        b->ids[b->num_ids] = id;
        b->keys[b->num_ids++] = k;
    }
    return true;
}

static cs_err prepare(bench *b, const cs_args *a)
{
    CS_TRY(cs_party_start(&b->open, a));
    size_t n = cs_share_count(b->open.shares);
    b->account = cs_args_str(a, "account");
    b->inflight = cs_args_u64(a, "inflight");
    b->ids = calloc(n + 1, sizeof *b->ids);
    b->keys = calloc(n + 1, sizeof *b->keys);
    b->slots = calloc(b->inflight, sizeof *b->slots);
    b->us = malloc(MAX_SAMPLES * sizeof *b->us);
    if (b->ids == NULL || b->keys == NULL || b->slots == NULL || b->us == NULL) {
        return CS_E_NO_MEMORY;
    }
    cs_share_each(b->open.shares, collect, b);
    b->open.detail = "--account";
    if (b->num_ids == 0) {
        return CS_E_ACCOUNT_UNKNOWN;
    }
    b->open.detail = NULL;
    b->tx_id = cs_clock_wall_ms();
    b->warm_left = 2 * b->inflight; /* channel, OT set-up, caches */
    return CS_OK;
}

static cs_err run_all(bench *b)
{
    for (uint64_t i = 0; i < b->inflight; i++) {
        b->slots[i].b = b;
        launch(&b->slots[i]);
    }
    while (b->running > 0 && cs_loop_run_once(b->open.loop, true)) {
    }
    b->cpu_ns = cs_clock_thread_cpu_ns() - b->cpu_ns;
    return b->num > 0 ? CS_OK : b->first_failure != CS_OK ? b->first_failure : CS_E_CLOSED;
}

static int by_time(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static double percentile_ms(const bench *b, unsigned p)
{
    size_t rank = b->num == 0 ? 0 : (b->num - 1) * p / 100;

    return b->num == 0 ? 0 : b->us[rank] / 1000.0;
}

static void print_report(const bench *b, bool json)
{
    uint8_t mem[1024];
    cs_buf out = cs_buf_wrap(mem, sizeof mem);
    cs_jw w = cs_jw_begin(&out);
    double seconds = (double)(b->last_ns - b->begin_ns) / 1e9;
    double rate = seconds > 0 ? (double)b->num / seconds : 0,
           cpu_ms = b->num > 0 ? (double)b->cpu_ns / 1e6 / (double)b->num : 0;
    if (!json) {
        printf("%zu signatures in %.1f s at %llu in flight: %.0f/s, p50 %.2f ms, p99 %.2f ms, %llu failures, client "
               "CPU %.2f ms each\n",
               b->num, seconds, (unsigned long long)b->inflight, rate, percentile_ms(b, 50), percentile_ms(b, 99),
               (unsigned long long)b->failures, cpu_ms);
        return;
    }
    cs_jw_object(&w, NULL);
    cs_jw_cstr(&w, "path", "direct");
    cs_jw_u64(&w, "inflight", b->inflight);
    cs_jw_double(&w, "seconds", seconds);
    cs_jw_u64(&w, "signatures", b->num);
    cs_jw_double(&w, "signatures_per_second", rate);
    cs_jw_double(&w, "p50_ms", percentile_ms(b, 50));
    cs_jw_double(&w, "p90_ms", percentile_ms(b, 90));
    cs_jw_double(&w, "p99_ms", percentile_ms(b, 99));
    cs_jw_double(&w, "client_cpu_ms_per_signature", cpu_ms);
    cs_jw_u64(&w, "failures", b->failures);
    cs_jw_u64(&w, "retried", b->retried);
    cs_jw_u64(&w, "channels", cs_pclient_channels(b->open.client));
    cs_jw_u64(&w, "accounts", b->num_ids);
    if (b->first_retry != CS_OK) {
        cs_jw_cstr(&w, "first_retry", cs_err_code(b->first_retry));
    }
    if (b->first_failure != CS_OK) {
        cs_jw_cstr(&w, "first_failure", cs_err_code(b->first_failure));
    }
    cs_jw_close_object(&w);
    if (cs_jw_end(&w) == CS_OK) {
        printf("%.*s\n", (int)out.len, (const char *)out.p);
    }
}

static int run_bench(const cs_args *a)
{
    static bench b;
    bool json = cs_args_flag(a, "json");
    if (strcmp(cs_args_str(a, "path"), "direct") != 0) {
        return cs_refuse(a, CS_E_NOT_IMPLEMENTED, json, "--path: only direct in this version");
    }
    cs_err err = prepare(&b, a);
    if (err == CS_OK) {
        err = run_all(&b);
    }
    if (err == CS_OK) {
        qsort(b.us, b.num, sizeof *b.us, by_time);
        print_report(&b, json);
    }
    int status = err == CS_E_USAGE ? cs_usage_error(a, "%s", b.open.detail)
                 : err != CS_OK    ? cs_refuse(a, err, json, b.open.detail)
                                   : b.failures > 0;
    cs_party_stop(&b.open);
    free(b.ids);
    free(b.keys);
    free(b.slots);
    free(b.us);
    return status;
}

static const cs_opt bench_opts[] = {
    {"path", 0, CS_OPT_STR, "PATH", "direct: the Session stream of the service", NULL, "direct", 0, 0},
    {"inflight", 'i', CS_OPT_U64, "N", "sessions at once", NULL, "32", 1, MAX_INFLIGHT},
    {"seconds", 't', CS_OPT_U64, "S", "how long to measure, after a warm-up of two rounds", NULL, "20", 1, 3600},
    {"account", 'a', CS_OPT_STR, "ID", "only this account; default: all of the file in turn", NULL, NULL, 0, 0},
    CS_PARTY_SIGN_OPTS{"json", 0, CS_OPT_FLAG, NULL, "report as JSON", NULL, NULL, 0, 0},
    {0},
};

const cs_cmd cs_cmds_bench_stack[] = {
    {"bench stack", "[-i N] [-t S] [--env FILE]", "signatures per second and latency of a running service",
     "example:\n    signctl bench stack --path direct --inflight 32 --seconds 20 --json", bench_opts, 0, 0, run_bench},
    {0},
};
