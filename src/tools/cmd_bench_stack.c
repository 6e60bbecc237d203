/* signctl bench stack: real sessions against a running service from one event loop. A figure, not a test. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json_out.h"
#include "secret/rng.h"
#include "tools/cmds.h"
#include "tools/gateway_sign.h"
#include "tools/party_open.h"

#define MAX_SAMPLES (8u << 20)
#define MAX_INFLIGHT 1024u

typedef struct bench bench;

typedef struct slot {
    bench *b;
    uint64_t began_ns;
    uint8_t execution[16];
    cs_presult ours;
    cs_gateway_sign theirs; /* rooms */
    unsigned waits;         /* answers that are to come */
} slot;

struct bench {
    cs_party_open open;
    cs_grpc_client *gateway; /* rooms: the other side's answers */
    const char *account;     /* NULL: all accounts in turn */
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

/* a request ended: CS_OK when its signature is there, in rooms from both sides and the same */
static cs_err outcome(const slot *s)
{
    if (s->ours.err != CS_OK || s->b->gateway == NULL) {
        return s->ours.err;
    }
    if (s->theirs.err != CS_OK) {
        return s->theirs.err;
    }
    bool same = memcmp(s->theirs.r, s->ours.sig.r, 32) == 0 && memcmp(s->theirs.s, s->ours.sig.s, 32) == 0 &&
                s->theirs.v == s->ours.sig.recid;
    return same ? CS_OK : CS_E_BAD_SIGNATURE;
}

static void answered(slot *s)
{
    bench *b = s->b;
    uint64_t now = cs_clock_mono_ns();
    if (--s->waits > 0) {
        return;
    }
    cs_err err = outcome(s);
    b->running--;
    if (err != CS_OK) {
        b->failures++;
        b->first_failure = b->first_failure == CS_OK ? err : b->first_failure;
    } else if (b->warm_left == 0 && b->num < MAX_SAMPLES && now <= b->end_ns) {
        b->us[b->num++] = (uint32_t)((now - s->began_ns) / 1000);
        b->last_ns = now;
    }
    b->retried += s->ours.attempts > 1;
    b->first_retry = b->first_retry == CS_OK ? s->ours.first_err : b->first_retry;
    if (b->warm_left > 0 && --b->warm_left == 0) {
        start_clock(b, cs_args_u64(b->open.args, "seconds"));
    }
    if (err == CS_OK && (b->warm_left > 0 || now < b->end_ns)) {
        launch(s);
    }
}

static void on_result(void *cookie, const cs_presult *r)
{
    slot *s = cookie;
    s->ours = *r;
    answered(s);
}

static void on_theirs(void *cookie, const cs_gateway_sign *r)
{
    slot *s = cookie;
    s->theirs = *r;
    answered(s);
}

/* at once the client's party and, in rooms, the same request to the gateway */
static cs_err start(slot *s)
{
    bench *b = s->b;
    size_t k = b->next_id++ % b->num_ids;
    cs_psign_request r = {.account_id = b->ids[k],
                          .key = b->keys[k],
                          .tx_id = b->gateway == NULL ? (int64_t)b->tx_id++ : (int64_t)(b->tx_id++ & INT32_MAX),
                          .execution_id = cs_slice_of(s->execution, sizeof s->execution)};
    CS_TRY(cs_random(r.digest32, 32));
    CS_TRY(cs_random(s->execution, sizeof s->execution));
    s->began_ns = cs_clock_mono_ns();
    s->waits = b->gateway != NULL ? 2 : 1;
    CS_TRY(cs_pclient_sign(NULL, b->open.client, &r, on_result, s));
    b->running++;
    if (b->gateway != NULL) {
        uint32_t ms = (uint32_t)cs_args_u64(b->open.args, "timeout-ms");
        cs_err err = cs_gateway_sign_start(b->gateway, &r, ms, on_theirs, s);
        if (err != CS_OK) {
            on_theirs(s, &(cs_gateway_sign){.err = err}); /* ours is still to come: it ends the slot */
        }
    }
    return CS_OK;
}

static void launch(slot *s)
{
    bench *b = s->b;
    cs_err err = start(s);
    if (err != CS_OK) {
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

static cs_err open_gateway(bench *b)
{
    cs_endpoint ep;
    b->open.detail = "--gateway-grpc ENDPOINT (tcp:HOST:PORT) is needed";
    CS_TRY(cs_party_endpoint(&b->open, &ep, "gateway-grpc", "GATEWAY_GRPC"));
    b->open.detail = NULL;
    return cs_grpc_client_new(&b->gateway, b->open.loop, &ep, NULL);
}

static cs_err prepare(bench *b, const cs_args *a)
{
    CS_TRY(cs_party_start(&b->open, a));
    if (b->open.path == CS_PARTY_ROOMS) {
        CS_TRY(open_gateway(b));
    }
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
    cs_jw_cstr(&w, "path", cs_args_str(b->open.args, "path"));
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

static bool find_path(cs_party_path *out, const char *name)
{
    static const char *const names[] = {
        [CS_PARTY_DIRECT] = "direct", [CS_PARTY_THROUGH] = "gateway", [CS_PARTY_ROOMS] = "rooms"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(names[i], name) == 0) {
            *out = (cs_party_path)i;
            return true;
        }
    }
    return false;
}

static int run_bench(const cs_args *a)
{
    static bench b;
    bool json = cs_args_flag(a, "json");
    if (!find_path(&b.open.path, cs_args_str(a, "path"))) {
        return cs_usage_error(a, "--path is direct, gateway or rooms");
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
    cs_grpc_client_free(b.gateway);
    cs_party_stop(&b.open);
    free(b.ids);
    free(b.keys);
    free(b.slots);
    free(b.us);
    return status;
}

static const cs_opt bench_opts[] = {
    {"path", 0, CS_OPT_STR, "PATH",
     "direct: Session streams of the service; gateway: the same, through the gateway; rooms: both sides in rooms", NULL,
     "direct", 0, 0},
    {"inflight", 'i', CS_OPT_U64, "N", "sessions at once", NULL, "32", 1, MAX_INFLIGHT},
    {"seconds", 't', CS_OPT_U64, "S", "how long to measure, after a warm-up of two rounds", NULL, "20", 1, 3600},
    {"account", 'a', CS_OPT_STR, "ID", "only this account; default: all of the file in turn", NULL, NULL, 0, 0},
    {"gateway", 'g', CS_OPT_STR, "URL", "HTTP of the gateway, e.g. http://127.0.0.1:8080", "GATEWAY_HTTP", NULL, 0, 0},
    CS_PARTY_GATEWAY_GRPC_OPT CS_PARTY_SIGN_OPTS{"json", 0, CS_OPT_FLAG, NULL, "report as JSON", NULL, NULL, 0, 0},
    {0},
};

const cs_cmd cs_cmds_bench_stack[] = {
    {"bench stack", "[-i N] [-t S] [--env FILE]", "signatures per second and latency of a running service",
     "With --path rooms the client's party takes part in this process, and each request also goes to the gateway's\n"
     "mpc.SignGateway: a signature counts when both answers are there and the same, verified.\n\n"
     "example:\n    signctl bench stack --path direct --inflight 32 --seconds 20 --json",
     bench_opts, 0, 0, run_bench},
    {0},
};
