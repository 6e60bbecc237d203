/*
 * bench-secp: one key, one party, libsecp256k1: what a signature costs without any protocol. The floor under every figure of
 * `signctl bench mpc`, on the same machine in the same run. One JSON line, CPU time of the thread.
 */
#include <secp256k1.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/opts.h"

#define BATCH 64u

static double us_each(uint64_t ns, uint64_t runs)
{
    return runs > 0 ? (double)ns / 1e3 / (double)runs : 0;
}

static int run(const cs_args *a)
{
    static const uint8_t key[32] = {[31] = 7}; /* a bench's key, nobody's secret */
    uint8_t digest[32] = {1};
    uint64_t sign_ns = 0, verify_ns = 0, runs = 0, bad = 0;
    uint64_t end = cs_clock_mono_ns() + cs_args_u64(a, "seconds") * 1000000000u;
    secp256k1_ecdsa_signature sig[BATCH];
    secp256k1_pubkey pub;
    secp256k1_context *ctx = secp256k1_context_create(SECP256K1_CONTEXT_NONE);
    if (secp256k1_ec_pubkey_create(ctx, &pub, key) != 1) {
        secp256k1_context_destroy(ctx);
        return 1;
    }
    do {
        uint64_t t0 = cs_clock_thread_cpu_ns();
        for (unsigned i = 0; i < BATCH; i++) {
            digest[1] = (uint8_t)i;
            bad += secp256k1_ecdsa_sign(ctx, &sig[i], digest, key, NULL, NULL) != 1;
        }
        uint64_t t1 = cs_clock_thread_cpu_ns();
        for (unsigned i = 0; i < BATCH; i++) {
            digest[1] = (uint8_t)i;
            bad += secp256k1_ecdsa_verify(ctx, &sig[i], digest, &pub) != 1;
        }
        sign_ns += t1 - t0;
        verify_ns += cs_clock_thread_cpu_ns() - t1;
        runs += BATCH;
        digest[2]++;
    } while (cs_clock_mono_ns() < end);
    secp256k1_context_destroy(ctx);
    printf("{\"bench\":\"secp256k1\",\"runs\":%llu,\"sign_us\":%.1f,\"verify_us\":%.1f,\"failures\":%llu}\n",
           (unsigned long long)runs, us_each(sign_ns, runs), us_each(verify_ns, runs), (unsigned long long)bad);
    return bad > 0;
}

static const cs_opt options[] = {
    {.name = "seconds", .kind = CS_OPT_U64, .arg = "S", .help = "length of the run", .def = "2", .min = 1, .max = 600},
    {0},
};

int main(int argc, char **argv)
{
    static const cs_cmd commands[] = {
        {.name = "", .synopsis = "[options]", .summary = "ECDSA by libsecp256k1 alone", .opts = options, .run = run},
        {0}};
    return cs_cmd_main("bench-secp", "ECDSA by libsecp256k1 alone", commands, argc, argv);
}
