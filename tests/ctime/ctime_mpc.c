/*
 * Constant-time run of the MPC core under valgrind memcheck: everything drawn from a fresh seed, the shares and the zero seeds
 * are marked undefined (CS_CT_SECRET), so that every branch or index that depends on them is reported. What is sent, and the
 * outcome of checks whose failure is a ban, is declared public with its reason where it is made (CS_CT_PUBLIC).
 * Covers dealer, OT set-up of both roles, signing of both roles, each with the code of this CPU and the portable code.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "secret/mpc/fixture.h"
#include "secret/rng.h"

#if !defined(CS_CTIME) && !defined(__cppcheck__)
#error "build with -Dctime=true"
#endif

static void must(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "ctime_mpc: %s failed\n", what);
        exit(2);
    }
}

static void scalars(void)
{
    uint8_t a[32], b[32], out[32];
    cs_sc x, y, z;
    cs_sc_acc acc = {{0}};
    must(cs_random(a, 32) == CS_OK && cs_random(b, 32) == CS_OK, "random");
    CS_CT_SECRET(a, 32);
    CS_CT_SECRET(b, 32);
    cs_sc_from_be_mod(&x, a);
    cs_sc_from_be_mod(&y, b);
    cs_sc_add(&z, &x, &y);
    cs_sc_sub(&z, &z, &y);
    cs_sc_mul(&z, &z, &y);
    cs_sc_neg(&z, &z);
    cs_sc_inv(&z, &z);
    cs_sc_acc_mul(&acc, &z, &x);
    cs_sc_acc_add(&acc, &y);
    cs_sc_acc_reduce(&z, &acc);
    cs_sc_cmov(&z, &x, (unsigned)(x.v[0] & 1));
    cs_sc_mask(&z, &z, (unsigned)(x.v[1] & 1));
    x.v[0] = cs_sc_is_zero(&z) + cs_sc_eq(&z, &y) + cs_sc_is_high(&z);
    cs_sc_to_be(out, &x);
}

static void whole_run(void)
{
    fixture f;
    fx_init(&f); /* dealer and OT set-up */
    for (int i = 0; i < 2; i++) {
        CS_CT_SECRET(&f.key[i].s, sizeof f.key[i].s);
        CS_CT_SECRET(&f.key[i].zero1, sizeof f.key[i].zero1);
    }
    fx_end e = fx_sign(&f, "ctime", -1, NULL, NULL);
    must(e.err == CS_OK, "signature");
    fx_cleanup(&f);
}

/* what the run must find: see run.sh */
static int seeded_leak(void)
{
    uint8_t b[1];
    must(cs_random(b, 1) == CS_OK, "random");
    CS_CT_SECRET(b, 1);
    volatile int taken = 0;
    if (b[0] > 127) {
        taken = 1;
    }
    return taken;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--seed-a-leak") == 0) {
        (void)seeded_leak();
        return 0;
    }
    must(cs_arena_init((size_t)16 << 20, false) == CS_OK, "arena");
    for (int portable = 0; portable < 2; portable++) {
        cs_accel_force_portable_for_tests(portable == 1);
        scalars();
        whole_run();
        printf("ok %s code\n", portable ? "portable" : "accelerated");
    }
    return 0;
}
