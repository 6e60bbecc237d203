/*
 * bench-store ADDRESS [SECONDS]: what a store does in a second. Rotation: batches of 256 rows, each the next version, its reply and
 * its audit entry in one transaction, one batch after the other. Calls: BEGIN, GET and APPLY of one row with reply and entry, by 64
 * callers side by side, as a gateway does. One line each: rate and milliseconds at p50, p95, p99.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "store/store.h"

#define ROWS 10240u
#define BATCH 256u
#define CALLERS 64
#define SAMPLES (1u << 20)

static cs_loop *loop;
static cs_store *store;
static uint64_t until, took[SAMPLES];
static size_t num, live;
static char names[ROWS][16];
static uint8_t blob[94], key[184];

static void stop(const char *what, cs_err err)
{
    (void)fprintf(stderr, "%s: %s\n", what, cs_err_code(err));
    exit(1);
}

static cs_tee_row row_of(size_t i, uint64_t version)
{
    return (cs_tee_row){.record = cs_slice_str(names[i]),
                        .version = version,
                        .kms_key =
                            cs_slice_str("arn:aws:kms:eu-west-1:111122223333:key/00000000-0000-0000-0000-000000000000"),
                        .data_key = cs_slice_of(key, sizeof key),
                        .blob = cs_slice_of(blob, sizeof blob),
                        .alg = CS_TEE_ECDSA_K1,
                        .public_key = cs_slice_of(blob, 33)};
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void report(const char *what, uint64_t done, uint64_t ns)
{
    qsort(took, num, sizeof *took, by_size);
    printf("%-10s %9.0f/s   p50 %.2f  p95 %.2f  p99 %.2f ms\n", what, (double)done * 1e9 / (double)ns,
           (double)took[num / 2] / 1e6, (double)took[num * 95 / 100] / 1e6, (double)took[num * 99 / 100] / 1e6);
    num = 0;
}

static void sample(uint64_t since)
{
    if (num < SAMPLES) {
        took[num++] = cs_clock_mono_ns() - since;
    }
}

/* ---- rotation */

static void on_batch(void *cookie, cs_err err, const cs_store_out *out)
{
    if (err != CS_OK || out->num_stored != BATCH) {
        stop("batch", err);
    }
    *(bool *)cookie = true;
}

static void batch(size_t first, uint64_t version)
{
    static cs_tee_row rows[BATCH];
    static uint8_t id[16], hash[32], boot[16] = {1}, entry[200], reply[300];
    static uint64_t counter;
    bool done = false;

    for (size_t i = 0; i < BATCH; i++) {
        rows[i] = row_of((first + i) % ROWS, version);
    }
    memcpy(id, &counter, sizeof counter);
    cs_store_in in = {.rows = rows,
                      .num = BATCH,
                      .partial = true,
                      .caller = cs_slice_str("rotator"),
                      .id16 = id,
                      .hash32 = hash,
                      .reply = cs_slice_of(reply, sizeof reply),
                      .entry = cs_slice_of(entry, sizeof entry),
                      .entry_sig = cs_slice_of(entry, 64),
                      .boot16 = boot,
                      .counter = counter + 1};
    counter++;
    uint64_t since = cs_clock_mono_ns();
    cs_err err = cs_store_start(store, CS_STORE_APPLY, &in, NULL, on_batch, &done);
    if (err != CS_OK) {
        stop("batch", err);
    }
    while (!done) {
        (void)cs_loop_run_once(loop, true);
    }
    sample(since);
}

static void rotation(uint64_t ns)
{
    for (size_t i = 0; i < ROWS; i += BATCH) {
        batch(i, 1);
    }
    num = 0;
    uint64_t begin = cs_clock_mono_ns(), rows = 0;
    for (uint64_t v = 2; cs_clock_mono_ns() - begin < ns; v++) {
        for (size_t i = 0; i < ROWS; i += BATCH, rows += BATCH) {
            batch(i, v);
        }
    }
    report("rotation", rows, cs_clock_mono_ns() - begin);
}

/* ---- calls */

typedef struct caller {
    char name[16];
    uint8_t id[16], boot[16];
    uint64_t counter, since, calls;
    unsigned step;
} caller;

static void next(void *cookie, cs_err err, const cs_store_out *out)
{
    static const uint8_t hash[32] = {7}, entry[200], reply[300];
    static const cs_store_op ops[] = {CS_STORE_BEGIN, CS_STORE_GET, CS_STORE_APPLY};
    caller *c = cookie;
    cs_slice record = cs_slice_str(names[c->counter % ROWS]);

    (void)out;
    if (err != CS_OK) {
        stop("call", err);
    }
    if (c->step == 3) {
        sample(c->since);
        c->calls++;
        c->step = 0;
        if (cs_clock_mono_ns() > until) {
            live--;
            return;
        }
    }
    if (c->step == 0) {
        c->since = cs_clock_mono_ns();
        c->counter++;
        memcpy(c->id, &c->counter, sizeof c->counter);
    }
    cs_store_in in = {.caller = cs_slice_str(c->name), .id16 = c->id, .hash32 = hash};
    if (c->step == 1) {
        in = (cs_store_in){.records = &record, .num = 1};
    } else if (c->step == 2) {
        in.reply = cs_slice_of(reply, sizeof reply);
        in.entry = cs_slice_of(entry, sizeof entry);
        in.entry_sig = cs_slice_of(entry, 64);
        in.boot16 = c->boot;
        in.counter = c->counter;
    }
    err = cs_store_start(store, ops[c->step++], &in, NULL, next, c);
    if (err != CS_OK) {
        stop("call", err);
    }
}

static void calls(uint64_t ns)
{
    static caller all[CALLERS];
    uint64_t begin = cs_clock_mono_ns(), done = 0;

    until = begin + ns;
    live = CALLERS;
    for (size_t i = 0; i < CALLERS; i++) {
        (void)snprintf(all[i].name, sizeof all[i].name, "caller-%u", (unsigned)i);
        all[i].boot[0] = 2;
        all[i].boot[1] = (uint8_t)i;
        next(&all[i], CS_OK, NULL);
    }
    while (live > 0) {
        (void)cs_loop_run_once(loop, true);
    }
    for (size_t i = 0; i < CALLERS; i++) {
        done += all[i].calls;
    }
    report("calls", done, cs_clock_mono_ns() - begin);
}

int main(int argc, char **argv)
{
    cs_store_config c = {.migrate = true};
    char why[256] = "";
    uint64_t ns = (argc > 2 ? strtoull(argv[2], NULL, 10) : 5) * 1000000000;

    if (argc < 2) {
        (void)fprintf(stderr, "bench-store ADDRESS [SECONDS]: the address of an empty store\n");
        return 2;
    }
    (void)snprintf(c.dsn, sizeof c.dsn, "%s", argv[1]);
    cs_err err = cs_loop_new(&loop);
    err = err == CS_OK ? cs_store_open(&store, loop, &c, why) : err;
    if (err != CS_OK) {
        (void)fprintf(stderr, "%s: %s\n", cs_err_code(err), why);
        return 1;
    }
    for (size_t i = 0; i < ROWS; i++) {
        (void)snprintf(names[i], sizeof names[i], "wallet-%u", (unsigned)i);
    }
    rotation(ns);
    calls(ns);
    cs_store_close(store);
    cs_loop_free(loop);
    return 0;
}
