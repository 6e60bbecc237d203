/*
 * signctl bench mpc: both parties of a signature in one process and thread, the work of each timed by the thread's CPU clock.
 * Nothing leaves the process; keys are made for the run and wiped.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/json_out.h"
#include "secret/channel.h"
#include "secret/mpc/mpc.h"
#include "secret/rng.h"
#include "tools/cmds.h"

#define ARENA_BYTES ((size_t)8 << 20)
#define SETUPS 8u
#define FRAME_BYTES (CS_MPC_M2_LEN + 1 + CS_FRAME_OVERHEAD)

typedef struct bench {
    cs_channel chan[2];
    cs_secret32 priv[2];
    cs_mpc_parties parties;
    cs_mpc_key key[2];
    cs_mpc_peer *peer[2];
    cs_mpc_pair *pair[2];
    uint8_t frame[FRAME_BYTES], msg[CS_MPC_M2_LEN];
} bench;

typedef struct session_pair {
    cs_csession side[2];
} session_pair;
CS_SECRET_DECLARE(session_pair)

/* CPU seconds by party, bytes by party, of a number of runs */
typedef struct tally {
    double cpu[2];
    uint64_t bytes[2];
    uint64_t runs;
} tally;

static double cpu_now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double wall_now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static cs_err make_channel(bench *b)
{
    uint8_t hs1[CS_FRAME_HS1_LEN], hs2[CS_FRAME_HS2_LEN];
    for (int i = 0; i < 2; i++) {
        CS_TRY(cs_random(b->priv[i].b, 32));
        cs_x25519_base(b->parties.idkey[i], b->priv[i].b);
    }
    b->parties.n = b->parties.t = 2;
    CS_TRY(cs_channel_start(&b->chan[0], hs1, b->priv[0].b, b->parties.idkey[1]));
    CS_TRY(cs_channel_accept(&b->chan[1], hs2, cs_slice_of(hs1, sizeof hs1), b->priv[1].b));
    CS_TRY(cs_channel_finish(&b->chan[0], cs_slice_of(hs2, sizeof hs2)));
    CS_TRY(cs_mpc_deal2(b->key, &b->parties, NULL, NULL));
    CS_TRY(cs_mpc_peer_new(&b->peer[0], b->parties.idkey[0], b->parties.idkey[1]));
    return cs_mpc_peer_new(&b->peer[1], b->parties.idkey[1], b->parties.idkey[0]);
}

/* O1..O5 between s[0] and s[1] */
static cs_err setup_messages(bench *b, cs_mpc_setup *s[2], tally *t)
{
    uint8_t mem[2][CS_MPC_SETUP_MAX_LEN];
    cs_buf out[2] = {cs_buf_wrap(mem[0], sizeof mem[0]), cs_buf_wrap(mem[1], sizeof mem[1])};
    double start = cpu_now();
    cs_err err = cs_mpc_setup_start(s[0], &out[0], NULL);
    t->cpu[0] += cpu_now() - start;
    (void)b;
    for (unsigned i = 0; i < 5 && err == CS_OK; i++) {
        unsigned from = i % 2, to = 1 - from;
        t->bytes[from] += out[from].len;
        out[to].len = 0;
        start = cpu_now();
        err = cs_mpc_setup_on(s[to], cs_buf_slice(&out[from]), &out[to], NULL);
        t->cpu[to] += cpu_now() - start;
    }
    return err;
}

static cs_err run_setup(bench *b, tally *t)
{
    cs_mpc_setup *s[2] = {NULL, NULL};
    cs_err err = CS_OK;
    for (unsigned i = 0; i < 2 && err == CS_OK; i++) {
        cs_mpc_setup_args a = {.peer = b->peer[i],
                               .role = i == 0 ? CS_MPC_INITIATOR : CS_MPC_RESPONDER,
                               .chan32 = b->chan[i].chan32,
                               .secret32 = b->priv[i].b};
        double start = cpu_now();
        err = cs_mpc_setup_new(&s[i], &a);
        t->cpu[i] += cpu_now() - start;
    }
    if (err == CS_OK) {
        err = setup_messages(b, s, t);
    }
    for (unsigned i = 0; i < 2; i++) {
        if (err == CS_OK) {
            cs_mpc_pair_free(b->pair[i]);
            b->pair[i] = cs_mpc_setup_take(s[i]);
            err = b->pair[i] != NULL ? CS_OK : CS_E_INTERNAL;
        }
        cs_mpc_setup_free(s[i]);
    }
    t->runs++;
    return err;
}

static const size_t msg_len[4] = {CS_MPC_M1_LEN, CS_MPC_M2_LEN, CS_MPC_M3_LEN, CS_MPC_M4_LEN};

/* the work of one party for message i that it receives: opened from its frame if there is a channel */
static cs_err step(bench *b, cs_mpc_sign2 *s, cs_csession *ch, unsigned i, size_t *len)
{
    uint8_t *text = b->frame + CS_FRAME_HEAD + 1, *out = b->msg;
    cs_mpc_signature sig;
    if (ch != NULL && i > 0) {
        CS_TRY(cs_csession_open(ch, b->frame + CS_FRAME_HEAD, FRAME_BYTES, len, cs_slice_of(b->frame, *len)));
    }
    cs_slice in = i > 0 ? cs_slice_of(text, msg_len[i - 1]) : CS_SLICE_NULL;
    switch (i) {
    case 0:
        CS_TRY(cs_mpc_sign2_m1(s, out, NULL));
        break;
    case 1:
        CS_TRY(cs_mpc_sign2_on_m1(s, in, out, NULL));
        break;
    case 2:
        CS_TRY(cs_mpc_sign2_on_m2(s, in, out, NULL));
        break;
    case 3:
        CS_TRY(cs_mpc_sign2_on_m3(s, in, out, &sig, NULL));
        break;
    default:
        return cs_mpc_sign2_on_m4(s, in, &sig, NULL);
    }
    b->frame[CS_FRAME_HEAD] = CS_DATA_MSG;
    memcpy(text, out, msg_len[i]);
    *len = msg_len[i];
    return ch != NULL ? cs_csession_seal(ch, b->frame, len, msg_len[i] + 1) : CS_OK;
}

static cs_err run_signature(bench *b, bool aead, tally *t)
{
    cs_mpc_sign2 *s[2] = {NULL, NULL};
    CS_SECRET(session_pair) ch_pair = {0};
    cs_csession *ch = ch_pair.side;
    uint8_t digest[32], label[32];
    size_t len = 0;
    cs_err err = cs_random(digest, 32) == CS_OK && cs_random(label, 32) == CS_OK ? CS_OK : CS_E_ENTROPY;
    for (unsigned i = 0; i < 2 && err == CS_OK; i++) {
        cs_mpc_request r = {.key = &b->key[i], .peer = (uint16_t)(2 - i), .digest32 = digest, .label32 = label};
        double start = cpu_now();
        err = aead ? cs_csession_init(&ch[i], &b->chan[i], i == 0 ? NULL : &ch[0].name) : CS_OK;
        if (err == CS_OK) {
            err = cs_mpc_sign2_new(&s[i], b->pair[i], &r);
        }
        t->cpu[i] += cpu_now() - start;
    }
    for (unsigned i = 0; i < 5 && err == CS_OK; i++) {
        double start = cpu_now();
        err = step(b, s[i % 2], aead ? &ch[i % 2] : NULL, i, &len);
        t->cpu[i % 2] += cpu_now() - start;
        t->bytes[i % 2] += i < 4 ? len : 0;
    }
    for (unsigned i = 0; i < 2; i++) {
        double start = cpu_now();
        cs_mpc_sign2_free(s[i]);
        t->cpu[i] += cpu_now() - start;
    }
    t->runs++;
    return err;
}

static double ms_per_party(const tally *t)
{
    return t->runs > 0 ? 1e3 * (t->cpu[0] + t->cpu[1]) / (2 * (double)t->runs) : 0;
}

static uint64_t bytes_per_party(const tally *t)
{
    uint64_t most = t->bytes[0] > t->bytes[1] ? t->bytes[0] : t->bytes[1];
    return t->runs > 0 ? most / t->runs : 0;
}

static int print(const tally *setup, const tally *plain, const tally *sealed, bool json)
{
    uint8_t text[1024];
    cs_buf out = cs_buf_wrap(text, sizeof text);
    double ms = ms_per_party(sealed);
    if (!json) {
        printf("2-of-2, sequential, %llu signatures\n"
               "  CPU per party and signature  %.3f ms (without the channel's AEAD %.3f ms)\n"
               "  signatures of one party per core and second  %.0f\n"
               "  bytes per party  %llu (messages alone %llu)\n"
               "  set-up  %.2f ms CPU and %llu bytes per party\n",
               (unsigned long long)(plain->runs + sealed->runs), ms, ms_per_party(plain), 1e3 / ms,
               (unsigned long long)bytes_per_party(sealed), (unsigned long long)bytes_per_party(plain),
               ms_per_party(setup), (unsigned long long)bytes_per_party(setup));
        return 0;
    }
    cs_jw w = cs_jw_begin(&out);
    cs_jw_object(&w, NULL);
    cs_jw_cstr(&w, "bench", "mpc");
    cs_jw_cstr(&w, "profile", "ecdsa-sequential");
    cs_jw_u64(&w, "parties", 2);
    cs_jw_u64(&w, "threshold", 2);
    cs_jw_u64(&w, "signatures", plain->runs + sealed->runs);
    cs_jw_double(&w, "cpu_ms_per_party_per_signature", ms);
    cs_jw_double(&w, "cpu_ms_per_party_per_signature_without_aead", ms_per_party(plain));
    cs_jw_u64(&w, "bytes_per_party", bytes_per_party(sealed));
    cs_jw_u64(&w, "bytes_per_party_without_aead", bytes_per_party(plain));
    cs_jw_double(&w, "signatures_per_core_per_second", 1e3 / ms);
    cs_jw_double(&w, "setup_cpu_ms_per_party", ms_per_party(setup));
    cs_jw_u64(&w, "setup_bytes_per_party", bytes_per_party(setup));
    cs_jw_close_object(&w);
    if (cs_jw_end(&w) != CS_OK) {
        return 1;
    }
    printf("%.*s\n", (int)out.len, (const char *)out.p);
    return 0;
}

static cs_err measure(bench *b, double seconds, tally *setup, tally *plain, tally *sealed)
{
    CS_TRY(make_channel(b));
    for (unsigned i = 0; i < SETUPS; i++) {
        CS_TRY(run_setup(b, setup));
    }
    double end = wall_now() + seconds;
    do {
        CS_TRY(run_signature(b, false, plain));
        CS_TRY(run_signature(b, true, sealed));
    } while (wall_now() < end);
    return CS_OK;
}

static int run(const cs_args *a)
{
    tally setup = {0}, plain = {0}, sealed = {0};
    bool json = cs_args_flag(a, "json");
    if (cs_args_u64(a, "parties") != 2 || cs_args_u64(a, "threshold") != 2) {
        return cs_refuse(a, CS_E_NOT_IMPLEMENTED, json, "only 2 parties with threshold 2 can sign in this version");
    }
    cs_err err = cs_arena_init(ARENA_BYTES, false);
    bench *b = err == CS_OK ? cs_secret_alloc(sizeof *b) : NULL;
    if (b == NULL) {
        return cs_refuse(a, CS_E_NO_MEMORY, json, NULL);
    }
    err = measure(b, (double)cs_args_u64(a, "seconds"), &setup, &plain, &sealed);
    for (int i = 0; i < 2; i++) {
        cs_mpc_pair_free(b->pair[i]);
        cs_mpc_peer_free(b->peer[i]);
        cs_mpc_key_wipe(&b->key[i]);
    }
    cs_secret_free(b);
    return err == CS_OK ? print(&setup, &plain, &sealed, json) : cs_refuse(a, err, json, NULL);
}

static const cs_opt opts[] = {
    {"parties", 0, CS_OPT_U64, "N", "number of parties", NULL, "2", 2, 16},
    {"threshold", 0, CS_OPT_U64, "T", "how many of them sign", NULL, "2", 2, 16},
    {"seconds", 0, CS_OPT_U64, "S", "how long to sign", NULL, "5", 1, 3600},
    {"json", 0, CS_OPT_FLAG, NULL, "one line of JSON", NULL, NULL, 0, 0},
    {0},
};

const cs_cmd cs_cmds_bench_mpc[] = {
    {"bench mpc", "[--seconds S] [--json]", "CPU time and bytes of a two-party signature",
     "Both parties run in this process; CPU time is that of the thread. The figures with AEAD include sealing and "
     "opening\n"
     "every message in the channel; signatures_per_core_per_second is 1000 / cpu_ms_per_party_per_signature: how many\n"
     "signatures one party can take part in on one core.\n\nexample:\n    signctl bench mpc --parties 2 --threshold 2 "
     "--seconds 10 --json",
     opts, 0, 0, run},
    {0},
};
