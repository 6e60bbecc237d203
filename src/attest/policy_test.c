/* Tests of attest/policy: tuples hold together, empty and zero are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "attest/policy.h"

#define HEX_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define HEX_ZERO "000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"

static cs_att_claims claims_of(uint8_t pcr0, uint8_t pcr1)
{
    cs_att_claims c = {.pcr_mask = 3};

    memset(c.pcr[0].b, pcr0, CS_PCR_LEN);
    memset(c.pcr[1].b, pcr1, CS_PCR_LEN);
    return c;
}

static cs_att_tuple tuple_of(uint8_t pcr0, uint8_t pcr1)
{
    cs_att_claims c = claims_of(pcr0, pcr1);
    cs_att_tuple t = {0};

    assert_int_equal(cs_att_tuple_set(&t, 0, cs_slice_of(c.pcr[0].b, CS_PCR_LEN)), CS_OK);
    assert_int_equal(cs_att_tuple_set(&t, 1, cs_slice_of(c.pcr[1].b, CS_PCR_LEN)), CS_OK);
    return t;
}

#define HEX_B "BBbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static cs_err parse(cs_att_tuple *t, const char *text)
{
    return cs_att_tuple_parse(t, cs_slice_str(text));
}

static void test_an_image_is_read_from_text(void **state)
{
    static cs_att_tuple t;

    assert_int_equal(parse(&t, HEX_A), CS_OK);
    assert_int_equal(t.mask, 1);
    assert_int_equal(parse(&t, HEX_A ":" HEX_B ":" HEX_A ":PCR3=" HEX_B ":PCR8=" HEX_A), CS_OK);
    assert_int_equal(t.mask, 0x10f);
    assert_int_equal(t.pcr[1].b[0], 0xbb);
    assert_int_equal(t.pcr[8].b[47], 0xaa);
    assert_int_equal(parse(&t, "PCR0=" HEX_A ":PCR8=" HEX_B), CS_OK);
    assert_int_equal(t.mask, 0x101);
    static const char *const bad[] = {"",
                                      HEX_A ":",
                                      ":" HEX_A,
                                      HEX_A "::" HEX_A,
                                      HEX_A ":" HEX_A ":" HEX_A ":" HEX_A,
                                      HEX_A ":PCR0=" HEX_A,
                                      HEX_A "0",
                                      "PCR8=" HEX_A,
                                      HEX_A ":PCR8",
                                      "PCR0=",
                                      "PCR0x=" HEX_A};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(parse(&t, bad[i]), CS_E_FORMAT);
    }
    assert_int_equal(parse(&t, HEX_A ":PCR32=" HEX_A), CS_E_RANGE);
    assert_int_equal(parse(&t, HEX_A ":PCR8=" HEX_ZERO), CS_E_RANGE);
    assert_int_equal(parse(&t, HEX_ZERO), CS_E_ATT_DEBUG);
    assert_int_equal(parse(&t, HEX_A ":" HEX_ZERO), CS_E_ATT_DEBUG);
    assert_int_equal(parse(&t, "PCR0=" HEX_ZERO), CS_E_ATT_DEBUG);
    assert_int_equal(t.mask, 0x101); /* as before */
}

static void test_an_empty_policy_or_tuple_refuses(void **state)
{
    static cs_att_policy p;
    cs_att_claims c = claims_of(1, 2);
    cs_att_tuple t = {0};

    assert_int_equal(cs_att_policy_check(&p, &c), CS_E_ATT_NO_POLICY);
    assert_int_equal(cs_att_policy_add(&p, &t), CS_E_ATT_NO_POLICY);
}

static void test_any_whole_tuple_matches_but_not_a_mixture(void **state)
{
    static cs_att_policy p;
    cs_att_tuple a = tuple_of(1, 2), b = tuple_of(3, 4);
    cs_att_claims c;

    assert_int_equal(cs_att_policy_add(&p, &a), CS_OK);
    assert_int_equal(cs_att_policy_add(&p, &b), CS_OK);
    c = claims_of(1, 2);
    assert_int_equal(cs_att_policy_check(&p, &c), CS_OK);
    c = claims_of(3, 4);
    assert_int_equal(cs_att_policy_check(&p, &c), CS_OK);
    c = claims_of(1, 4); /* PCR0 of one release, PCR1 of the other */
    assert_int_equal(cs_att_policy_check(&p, &c), CS_E_ATT_PCR);
    c = claims_of(1, 2);
    c.pcr_mask = 1; /* PCR1 is not in the document */
    assert_int_equal(cs_att_policy_check(&p, &c), CS_E_ATT_PCR);
}

static void test_conditions_are_read_from_text(void **state)
{
    cs_att_tuple t = {0};

    assert_int_equal(cs_att_tuple_set_text(&t, cs_slice_str("31=" HEX_A)), CS_OK);
    assert_true(t.mask == 0x80000000 && t.pcr[31].b[47] == 0xaa);
    assert_int_equal(cs_att_tuple_set_text(&t, cs_slice_str("31=" HEX_A)), CS_E_EXISTS);
    assert_int_equal(cs_att_tuple_set_text(&t, cs_slice_str("32=" HEX_A)), CS_E_RANGE);
    assert_int_equal(cs_att_tuple_set_text(&t, cs_slice_str("0=" HEX_ZERO)), CS_E_RANGE);
    assert_int_equal(cs_att_tuple_set_text(&t, cs_slice_str("0=aa")), CS_E_FORMAT);
    assert_int_equal(cs_att_tuple_set_text(&t, cs_slice_str("0=" HEX_A "aa")), CS_E_FORMAT);
    assert_int_equal(cs_att_tuple_set_text(&t, cs_slice_str("=" HEX_A)), CS_E_FORMAT);
    assert_int_equal(cs_att_tuple_set_text(&t, cs_slice_str("x=" HEX_A)), CS_E_FORMAT);
    assert_int_equal(cs_att_tuple_set_text(&t, cs_slice_str(HEX_A)), CS_E_FORMAT);
    assert_int_equal(cs_att_tuple_set(&t, 3, cs_slice_of(t.pcr[31].b, 47)), CS_E_FORMAT);
    assert_true(t.mask == 0x80000000);
}

static void test_too_many_tuples_are_refused(void **state)
{
    static cs_att_policy p;
    cs_att_tuple t = tuple_of(1, 2);

    for (int i = 0; i < CS_ATT_MAX_TUPLES; i++) {
        assert_int_equal(cs_att_policy_add(&p, &t), CS_OK);
    }
    assert_int_equal(cs_att_policy_add(&p, &t), CS_E_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_image_is_read_from_text),
        cmocka_unit_test(test_an_empty_policy_or_tuple_refuses),
        cmocka_unit_test(test_any_whole_tuple_matches_but_not_a_mixture),
        cmocka_unit_test(test_conditions_are_read_from_text),
        cmocka_unit_test(test_too_many_tuples_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
