/* The TEE service of core, operation by operation, end to end over frames with a KMS that is played here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tee_driver.h"

#define OK(x) assert_int_equal((x), CS_OK)
#define S(text) cs_slice_str(text)

static tee_answer a; /* large */
static kept_row row;

static int setup(void **state)
{
    *state = tee_world_new(NULL);
    return 0;
}

static int teardown(void **state)
{
    tee_world_free(*state);
    return 0;
}

static const cs_tee_alg algs[] = {CS_TEE_ECDSA_K1, CS_TEE_ECDSA_P256, CS_TEE_ED25519, CS_TEE_BIP340};

static void verify(cs_tee_alg alg, bool is_digest, cs_slice payload, cs_slice public_key)
{
    const cs_scheme_input in = {.is_digest = is_digest, .payload = payload};
    cs_scheme_sig sig = {.recid = a.result.f[1].u};

    assert_int_equal(a.result.f[0].s.len, sizeof sig.b);
    memcpy(sig.b, a.result.f[0].s.p, sizeof sig.b);
    OK(cs_scheme_verify(cs_scheme_of((uint64_t)alg), &sig, public_key, &in));
}

static void test_a_generated_key_signs_and_the_signature_verifies(void **state)
{
    tee_world *t = *state;
    const uint8_t digest[32] = {1, 2, 3};

    for (unsigned i = 0; i < 4; i++) {
        tee_ask q = {.op = CS_TEE_SIGN, .record = S("wallet-1"), .u1 = (uint64_t)algs[i], .u2 = 1, .rows = &row.row};
        uint8_t first[64];

        generate(t, &row, "wallet-1", algs[i]);
        assert_int_equal(row.row.version, 1);
        assert_int_equal(row.row.alg, algs[i]);
        q.num_rows = 1;
        q.bytes = S("message");
        q.id = 1000 + i;
        OK(tee_call(t, &a, &q));
        assert_true(cs_slice_eq(a.result.f[2].s, row.row.public_key));
        verify(algs[i], false, q.bytes, row.row.public_key);
        memcpy(first, a.result.f[0].s.p, 64);
        OK(tee_call(t, &a, &q)); /* the same request: the same bytes */
        assert_memory_equal(first, a.result.f[0].s.p, 64);
        assert_int_equal(a.num_rows, 0);
        if (algs[i] != CS_TEE_ED25519) {
            q.u2 = 0;
            q.id = 0;
            q.bytes = cs_slice_of(digest, sizeof digest);
            OK(tee_call(t, &a, &q));
            verify(algs[i], true, q.bytes, row.row.public_key);
        }
        OK(tee_call(
            t, &a,
            &(tee_ask){
                .op = CS_TEE_PUBLIC_KEY, .who = NOBODY, .record = S("wallet-1"), .rows = &row.row, .num_rows = 1}));
        assert_true(cs_slice_eq(a.result.f[0].s, row.row.public_key));
        assert_int_equal(a.result.f[1].u, algs[i]);
    }
}

static void test_attest_has_nonce_and_vouch_and_stats_are_public(void **state)
{
    tee_world *t = *state;

    OK(tee_call(t, &a, &(tee_ask){.op = CS_TEE_ATTEST, .who = NOBODY, .bytes = S("a nonce of 16 by")}));
    assert_true(a.result.f[0].s.len > 0);
    assert_memory_equal(t->w->nonce, "a nonce of 16 by", 16);
    assert_true(t->w->user_len > 80);
    assert_int_equal(a.entry.caller.len, 0);
    OK(tee_call(t, &a, &(tee_ask){.op = CS_TEE_STATS, .who = NOBODY}));
    assert_non_null(memmem(a.result.f[0].s.p, a.result.f[0].s.len, "\"Attest\":1", 10));
    assert_null(memmem(a.result.f[0].s.p, a.result.f[0].s.len, "alice", 5));
    has(t->w, "\"tee\":{\"workers\":2,");
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_a_generated_key_signs_and_the_signature_verifies),
        T(test_attest_has_nonce_and_vouch_and_stats_are_public),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
