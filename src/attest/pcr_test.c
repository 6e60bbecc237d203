/* Tests of attest/pcr against the values of specs/nitro-kms.md 6 and appendix A.2 (AWS user guide, recomputed). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "attest/pcr.h"
#include "base/text.h"

static void expect(const cs_pcr *pcr, const char *want)
{
    char hex[2 * CS_PCR_LEN + 1];

    cs_hex_encode(hex, cs_slice_of(pcr->b, sizeof pcr->b));
    assert_string_equal(hex, want);
}

static cs_slice str(const char *s)
{
    return cs_slice_str(s);
}

static void test_image_pcrs_of_the_toy_eif(void **state)
{
    const cs_pcr_section sections[] = {{CS_PCR_KERNEL, str("KERNEL")},
                                       {CS_PCR_CMDLINE, str("reboot=k")},
                                       {CS_PCR_RAMDISK, str("RAMDISK0")},
                                       {CS_PCR_RAMDISK, str("RAMDISK1")}};
    cs_pcr pcr[3];

    assert_int_equal(cs_pcr_image(pcr, sections, 4), CS_OK);
    expect(&pcr[0], "c99e06f7cf61cdc63c6defae7cc6db06364ff5b60d5a650c7106576d947567b4b165701349d71a32645bee9eb0cbd18b");
    expect(&pcr[1], "34c02e2c8aa177433fd41cb194e37d9079e14aaca4f1a8a87c0b49ab145f91d535ed8be25542ca2722f572e3b97b6a82");
    expect(&pcr[2], "5f699ae4300525c628f5c96fc521729dd6ca1a2c07cb07b69e7ae9e3fa935cfd7cc83b3e26d89201a486d9db2405c562");
}

static void test_role_and_instance_pcrs_have_no_inner_hash(void **state)
{
    cs_pcr pcr;

    assert_int_equal(cs_pcr_of_string(&pcr, str("arn:aws:iam::123456789012:role/Webserver")), CS_OK);
    expect(&pcr, "78fce75db17cd4e0a3fb8dad3ad128ca5e77edbb2b2c7f75329dccd99aa5f6ef4fc1f1a452e315b9e98f9e312e6921e6");
    assert_int_equal(cs_pcr_of_string(&pcr, str("i-1234567890abcdef0")), CS_OK);
    expect(&pcr, "08f996b5d43e047a9eb51e7f548bfee7e164fd7dc8f65541f2ac09d6545ac812719327281c401a67a10fcba87ae79ce0");
    assert_int_equal(cs_pcr_of_string(&pcr, str("arn:aws:iam::123456789012:role/NitroEnclaveInstanceRole")), CS_OK);
    expect(&pcr, "c76ab95fd1aec932b171f7421b7ea3bddd5d245a4a79ccf1209dc047c067b9c09e68a6ab1403cc91c85b5e30ce8176b2");
}

static void test_extending_twice(void **state)
{
    cs_pcr pcr = {{0}};

    assert_true(cs_pcr_is_zero(&pcr));
    assert_int_equal(cs_pcr_extend(&pcr, str("abc")), CS_OK);
    expect(&pcr, "b1c16eb7634112b7c9d5ebd27e62a2d4528bbfcfd68b62d3afd9ecf98e0f413a84314acce78317fb69fd895155343e09");
    assert_int_equal(cs_pcr_extend(&pcr, str("abc")), CS_OK);
    expect(&pcr, "23a72f79ff6c08f7f5c9ec51ada36adac38a411ab63031ada770d9a4a94f3228e6c217965c1a24e0325a2dd24dd5de0d");
    assert_false(cs_pcr_is_zero(&pcr));
}

static void test_signing_certificate_pcr_has_an_inner_hash(void **state)
{
    cs_pcr pcr;

    assert_int_equal(cs_pcr_of_file(&pcr, str("abc")), CS_OK);
    expect(&pcr, "93732e3733514a841c982cfa75ea76ab55fe011acb9cd980ef4523913c65be1b0998e04d77f8c174f81a82151619ca40");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_image_pcrs_of_the_toy_eif),
        cmocka_unit_test(test_role_and_instance_pcrs_have_no_inner_hash),
        cmocka_unit_test(test_extending_twice),
        cmocka_unit_test(test_signing_certificate_pcr_has_an_inner_hash),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
