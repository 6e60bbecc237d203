/* Tests of attest/verify with documents made here: one fault at a time, each with its own error. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/sha.h>

#include "attest/testdoc.h"
#include "base/clock.h"
#include "base/text.h"

static cs_att_result result;

static cs_att_options options(void)
{
    return (cs_att_options){.root_der = testdoc_root(), .time = CS_ATT_TIME_DOCUMENT, .any_pcrs = true};
}

static cs_err verify(const testdoc *t, const cs_att_options *o)
{
    return cs_att_verify(&result, testdoc_build(t), o);
}

static void test_good_documents_are_accepted_with_their_contents(void **state)
{
    static const testdoc_fault good[] = {TESTDOC_GOOD, TESTDOC_TAGGED, TESTDOC_INDEFINITE};

    for (size_t i = 0; i < 3; i++) {
        testdoc t = {
            .fault = good[i], .nonce = cs_slice_str("n"), .public_key = cs_slice_str("key"), .extra_key = "new"};
        cs_att_options o = options();

        t.extra_key = good[i] == TESTDOC_INDEFINITE ? NULL : "new";
        assert_int_equal(verify(&t, &o), CS_OK);
        assert_string_equal(result.claims.module_id, "i-0123-enc4567");
        assert_true(result.claims.timestamp_ms == TESTDOC_TIME_S * 1000ULL + 123);
        assert_int_equal(result.claims.pcr_mask, 0x1f);
        assert_int_equal(result.claims.pcr[3].b[47], 0x13);
        assert_true(result.claims.public_key.present && result.claims.public_key.len == 3);
        assert_true(result.claims.nonce.present && !result.claims.user_data.present);
        assert_true(result.time_s == TESTDOC_TIME_S && !result.debug && result.instance_matches_pcr4);
        assert_true(result.leaf_not_before_s == TESTDOC_TIME_S - 3600 &&
                    result.leaf_not_after_s == TESTDOC_TIME_S + 3600);
    }
}

static void test_every_fault_has_its_error(void **state)
{
    static const cs_err want[TESTDOC_NUM] = {
        [TESTDOC_OTHER_ROOT] = CS_E_ATT_CHAIN,
        [TESTDOC_ROOT_SWAPPED] = CS_E_ATT_CHAIN,
        [TESTDOC_ROOT_MISSING] = CS_E_ATT_CHAIN,
        [TESTDOC_CA_NOT_CA] = CS_E_ATT_CHAIN,
        [TESTDOC_CA_NO_CONSTRAINTS] = CS_E_ATT_CHAIN,
        [TESTDOC_CA_NO_CERT_SIGN] = CS_E_ATT_CHAIN,
        [TESTDOC_CA_NO_USAGE] = CS_E_ATT_CHAIN,
        [TESTDOC_CA_PATHLEN] = CS_E_ATT_CHAIN,
        [TESTDOC_CA_CRITICAL] = CS_E_ATT_CHAIN,
        [TESTDOC_CA_EXPIRED] = CS_E_ATT_TIME,
        [TESTDOC_CA_SHA256] = CS_E_ATT_CHAIN,
        [TESTDOC_CA_P256] = CS_E_ATT_CHAIN,
        [TESTDOC_CA_OTHER_ISSUER_NAME] = CS_E_ATT_CHAIN,
        [TESTDOC_CA_OTHER_ISSUER_KEY] = CS_E_ATT_CHAIN,
        [TESTDOC_CA_VERSION_1] = CS_E_ATT_CHAIN,
        [TESTDOC_CA_TRAILING] = CS_E_ATT_FORMAT,
        [TESTDOC_LEAF_IS_CA] = CS_E_ATT_CHAIN,
        [TESTDOC_LEAF_NO_SIGNATURE_USAGE] = CS_E_ATT_CHAIN,
        [TESTDOC_LEAF_NOT_YET] = CS_E_ATT_TIME,
        [TESTDOC_LEAF_EXPIRED] = CS_E_ATT_TIME,
        [TESTDOC_LEAF_GARBAGE] = CS_E_ATT_FORMAT,
        [TESTDOC_BAD_SIGNATURE] = CS_E_ATT_SIGNATURE,
        [TESTDOC_OTHER_SIGNER] = CS_E_ATT_SIGNATURE,
        [TESTDOC_ES256_HEADER] = CS_E_ATT_FORMAT,
        [TESTDOC_ALG_UNPROTECTED] = CS_E_ATT_FORMAT,
    };

    for (int fault = 0; fault < TESTDOC_NUM; fault++) {
        testdoc t = {.fault = (testdoc_fault)fault};
        cs_att_options o = options();
        cs_err err = verify(&t, &o);

        if (err != want[fault]) {
            fail_msg("fault %d: %s", fault, cs_err_code(err));
        }
    }
}

static void test_a_document_does_not_bring_its_own_root(void **state)
{
    cs_att_options o = options();
    testdoc t = {.fault = TESTDOC_GOOD};

    o.root_der = CS_SLICE_NULL; /* AWS */
    assert_int_equal(verify(&t, &o), CS_E_ATT_CHAIN);
}

static void test_the_built_in_root_is_that_of_aws(void **state)
{
    cs_slice root = cs_att_root_g1();
    uint8_t digest[32];
    char hex[65];

    SHA256(root.p, root.len, digest);
    cs_hex_encode(hex, cs_slice_of(digest, 32));
    assert_string_equal(hex, "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b");
}

static void test_without_a_condition_on_pcrs_nothing_is_accepted(void **state)
{
    static cs_att_policy empty;
    cs_att_options o = options();
    testdoc t = {.fault = TESTDOC_GOOD};

    o.any_pcrs = false;
    assert_int_equal(verify(&t, &o), CS_E_ATT_NO_POLICY);
    o.policy = &empty;
    assert_int_equal(verify(&t, &o), CS_E_ATT_NO_POLICY);
    o.any_pcrs = true; /* an empty list is not "any" */
    assert_int_equal(verify(&t, &o), CS_E_ATT_NO_POLICY);
}

static void test_the_policy_is_applied(void **state)
{
    static cs_att_policy p;
    cs_att_tuple tuple = {0};
    cs_att_options o = options();
    testdoc t = {.fault = TESTDOC_GOOD};
    uint8_t pcr3[48];

    memset(pcr3, 0x13, sizeof pcr3);
    assert_int_equal(cs_att_tuple_set(&tuple, 3, cs_slice_of(pcr3, 48)), CS_OK);
    assert_int_equal(cs_att_policy_add(&p, &tuple), CS_OK);
    o.policy = &p;
    o.any_pcrs = false;
    assert_int_equal(verify(&t, &o), CS_OK);
    t.debug = true; /* PCR3 still matches: debug mode must be looked at by itself */
    assert_int_equal(verify(&t, &o), CS_E_ATT_DEBUG);
    p.tuple[0].pcr[3].b[0] ^= 1;
    assert_int_equal(verify(&t, &o), CS_E_ATT_DEBUG);
    t.debug = false;
    assert_int_equal(verify(&t, &o), CS_E_ATT_PCR);
}

static void test_one_zero_pcr_of_the_first_three_is_debug(void **state)
{
    cs_att_options o = options();
    testdoc t = {.zero_pcr1 = true};

    assert_int_equal(verify(&t, &o), CS_E_ATT_DEBUG);
    o.allow_debug = true;
    assert_int_equal(verify(&t, &o), CS_OK);
    assert_true(result.debug);
}

static void test_fixed_times_have_no_leeway(void **state)
{
    cs_att_options o = options();
    testdoc t = {.fault = TESTDOC_GOOD};

    o.time = CS_ATT_TIME_FIXED;
    for (int end = 0; end < 2; end++) {
        o.fixed_s = end ? TESTDOC_TIME_S + 3600 : TESTDOC_TIME_S - 3600;
        assert_int_equal(verify(&t, &o), CS_OK);
        o.fixed_s = end ? o.fixed_s + 1 : o.fixed_s - 1;
        assert_int_equal(verify(&t, &o), CS_E_ATT_TIME);
    }
}

static uint64_t fake_now_s;

static uint64_t fake_wall_ms(void)
{
    return fake_now_s * 1000;
}

static void test_live_verification_has_leeway_before_but_not_after(void **state)
{
    static const cs_clock_source source = {fake_wall_ms, NULL};
    cs_slice nonce = cs_slice_str("mine");
    cs_att_options o = options();
    testdoc t = {.nonce = nonce};

    o.time = CS_ATT_TIME_NOW;
    o.nonce = &nonce; /* fresh by the nonce, so that only the certificates' times count */
    cs_clock_set_for_tests(&source);
    fake_now_s = TESTDOC_TIME_S - 3600 - 300;
    assert_int_equal(verify(&t, &o), CS_OK);
    fake_now_s--;
    assert_int_equal(verify(&t, &o), CS_E_ATT_TIME);
    fake_now_s = TESTDOC_TIME_S + 3600;
    assert_int_equal(verify(&t, &o), CS_OK);
    fake_now_s++;
    assert_int_equal(verify(&t, &o), CS_E_ATT_TIME);
    cs_clock_set_for_tests(NULL);
}

static void test_without_a_nonce_a_live_document_must_be_fresh(void **state)
{
    static const cs_clock_source source = {fake_wall_ms, NULL};
    cs_att_options o = options();
    testdoc t = {.fault = TESTDOC_GOOD};

    o.time = CS_ATT_TIME_NOW;
    cs_clock_set_for_tests(&source);
    fake_now_s = TESTDOC_TIME_S + 300;
    assert_int_equal(verify(&t, &o), CS_OK);
    fake_now_s = TESTDOC_TIME_S + 301;
    assert_int_equal(verify(&t, &o), CS_E_ATT_TIME);
    fake_now_s = TESTDOC_TIME_S - 301;
    assert_int_equal(verify(&t, &o), CS_E_ATT_TIME);
    cs_clock_set_for_tests(NULL);
}

static void test_nonce_and_public_key_are_compared_whole(void **state)
{
    const cs_slice nonce = cs_slice_str("nonce"), key = cs_slice_str("key"), empty = cs_slice_of("", 0);
    const cs_slice others[] = {cs_slice_str("nonc"), cs_slice_str("nonce1"), cs_slice_str("noncE"), empty};
    testdoc t = {.nonce = nonce, .public_key = key}, bare = {.fault = TESTDOC_GOOD};
    cs_att_options o = options();

    o.nonce = &nonce;
    o.public_key = &key;
    assert_int_equal(verify(&t, &o), CS_OK);
    assert_int_equal(verify(&bare, &o), CS_E_ATT_NONCE);
    for (size_t i = 0; i < 4; i++) {
        o.nonce = &others[i];
        assert_int_equal(verify(&t, &o), CS_E_ATT_NONCE);
    }
    o.nonce = NULL;
    o.public_key = &others[0];
    assert_int_equal(verify(&t, &o), CS_E_ATT_BINDING);
    assert_int_equal(verify(&bare, &o), CS_E_ATT_BINDING);
    o.public_key = NULL;
    o.user_data = &empty; /* absent is not empty */
    assert_int_equal(verify(&t, &o), CS_E_ATT_BINDING);
}

static void test_a_refused_document_leaves_the_result(void **state)
{
    cs_att_options o = options();
    testdoc t = {.fault = TESTDOC_BAD_SIGNATURE};
    static cs_att_result before;

    memset(&result, 0x5a, sizeof result);
    before = result;
    assert_int_equal(verify(&t, &o), CS_E_ATT_SIGNATURE);
    assert_memory_equal(&result, &before, sizeof before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_documents_are_accepted_with_their_contents),
        cmocka_unit_test(test_every_fault_has_its_error),
        cmocka_unit_test(test_a_document_does_not_bring_its_own_root),
        cmocka_unit_test(test_the_built_in_root_is_that_of_aws),
        cmocka_unit_test(test_without_a_condition_on_pcrs_nothing_is_accepted),
        cmocka_unit_test(test_the_policy_is_applied),
        cmocka_unit_test(test_one_zero_pcr_of_the_first_three_is_debug),
        cmocka_unit_test(test_fixed_times_have_no_leeway),
        cmocka_unit_test(test_live_verification_has_leeway_before_but_not_after),
        cmocka_unit_test(test_without_a_nonce_a_live_document_must_be_fresh),
        cmocka_unit_test(test_nonce_and_public_key_are_compared_whole),
        cmocka_unit_test(test_a_refused_document_leaves_the_result),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
