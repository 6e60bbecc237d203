/* PCR values of key policies: the forms in which they are written, which statement is nearest, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "host/doctor_policy.h"

#define SIX(x) x x x x x x
#define A48 SIX("aaaaaaaaaaaaaaaa")
#define A48_UPPER SIX("AAAAAAAAAAAAAAAA")
#define B48 SIX("bbbbbbbbbbbbbbbb")
#define C48 SIX("cccccccccccccccc")
#define ZERO48 SIX("0000000000000000")
#define POLICY(s) "{\"Version\":\"2012-10-17\",\"Statement\":" s "}"
#define ALLOW(cond) "{\"Effect\":\"Allow\",\"Action\":\"kms:Decrypt\",\"Resource\":\"*\",\"Condition\":{" cond "}}"
#define DENY(cond)                                                                                                     \
    "{\"Condition\":{" cond "},\"Effect\":\"Deny\",\"Principal\":\"*\",\"Action\":[\"kms:Decrypt\"],\"Resource\":\"*"  \
    "\"}"
#define IS(key, v) "\"StringEqualsIgnoreCase\":{\"kms:RecipientAttestation:" key "\":" v "}"
#define ISNT(key, v) "\"StringNotEqualsIgnoreCase\":{\"kms:RecipientAttestation:" key "\":" v "}"

static cs_doctor_policy p;
/* PCR0 a, PCR1 b, PCR2 c; PCR8 is not known */
static cs_doctor_pcrs image = {.known = 7};

static cs_doctor_match match(const char *json)
{
    cs_doctor_match m;

    memset(image.pcr[0].b, 0xaa, CS_PCR_LEN);
    memset(image.pcr[1].b, 0xbb, CS_PCR_LEN);
    memset(image.pcr[2].b, 0xcc, CS_PCR_LEN);
    assert_int_equal(cs_doctor_policy_parse(&p, cs_slice_str(json)), CS_OK);
    cs_doctor_policy_match(&m, &p, &image);
    return m;
}

static void policy_names_the_image(void **state)
{
    (void)state;
    assert_int_equal(match(POLICY("[" ALLOW(IS("ImageSha384", "\"" A48 "\"")) "]")).allowed_by, 1);
    assert_int_equal(match(POLICY(ALLOW(IS("PCR0", "[\"" B48 "\",\"" A48_UPPER "\"]")))).allowed_by, 1);
    assert_int_equal(match(POLICY("[" ALLOW(IS("imagesha384", "\"" A48 "\"")) "]")).allowed_by,
                     1); /* keys have no case */
    cs_doctor_match m =
        match(POLICY("[" ALLOW("") "," ALLOW("\"StringEquals\":{\"kms:RecipientAttestation:PCR0\":\"" A48 "\","
                                             "\"kms:RecipientAttestation:PCR1\":\"" B48 "\","
                                             "\"kms:RecipientAttestation:PCR2\":\"" C48 "\","
                                             "\"kms:RecipientAttestation:PCR8\":\"" C48 "\","
                                             "\"aws:PrincipalOrgID\":\"o-1\"}") "]"));
    assert_int_equal(m.allowed_by, 2);
    assert_int_equal(m.named, 7);
    assert_int_equal(m.num_allow, 1);
}

static void policy_names_another_image(void **state)
{
    (void)state;
    cs_doctor_match m = match(POLICY("[" ALLOW(IS("PCR0", "\"" B48 "\"")) "]"));
    assert_int_equal(m.allowed_by, 0);
    assert_int_equal(m.nearest, 1);
    assert_int_equal(m.differ, 1);
    /* the statement with the fewest that differ */
    m = match(POLICY("[" ALLOW(IS("PCR0", "\"" B48 "\"") "," IS("PCR1", "\"" C48 "\"")) "," ALLOW(
        "\"StringEquals\":{\"kms:RecipientAttestation:PCR0\":\"" B48 "\",\"kms:RecipientAttestation:PCR1\":\"" B48
        "\"}") "]"));
    assert_int_equal(m.nearest, 2);
    assert_int_equal(m.named, 3);
    assert_int_equal(m.differ, 1);
    m = match(POLICY("[" ALLOW(IS("PCR0", "\"short\"")) "]")); /* no value of 96 digits matches nothing */
    assert_int_equal(m.differ, 1);
    m = match(POLICY("[" ALLOW("") "]"));
    assert_int_equal(m.num_allow, 0);
    assert_int_equal(m.nearest, 0);
    m = match(POLICY("[" ALLOW(IS("PCR8", "\"" A48 "\"")) "]")); /* not known of the image */
    assert_int_equal(m.num_allow, 0);
}

static void policy_denies_what_is_no_exception(void **state)
{
    (void)state;
    assert_int_equal(match(POLICY("[" DENY(ISNT("ImageSha384", "[\"" A48 "\",\"" B48 "\"]")) "]")).denied_by, 0);
    assert_int_equal(
        match(POLICY("[" ALLOW(IS("PCR0", "\"" A48 "\"")) "," DENY(ISNT("ImageSha384", "\"" B48 "\"")) "]")).denied_by,
        2);
    /* both keys must be others for the operator to hold */
    assert_int_equal(match(POLICY("[" DENY("\"StringNotEquals\":{\"kms:RecipientAttestation:PCR0\":\"" A48 "\","
                                           "\"kms:RecipientAttestation:PCR1\":\"" A48 "\"}") "]"))
                         .denied_by,
                     0);
}

static void policy_takes_debug_enclaves(void **state)
{
    (void)state;
    assert_int_equal(
        match(POLICY("[" ALLOW(IS("PCR0", "\"" A48 "\"")) "," ALLOW(IS("PCR0", "\"" ZERO48 "\"")) "]")).zero, 2);
    assert_int_equal(match(POLICY("[" DENY(ISNT("PCR0", "\"" ZERO48 "\"")) "]")).zero, 0);
    assert_int_equal(match(POLICY("[" ALLOW(IS("PCR3", "\"" ZERO48 "\"")) "]")).zero, 0);
}

static void policy_refuses(void **state)
{
    static const char *const bad[] = {
        "",
        "{}",
        "[]",
        "{\"Version\":\"2012-10-17\"}",
        "{\"Statement\":[{}]}",
        "{\"Statement\":[{\"Action\":\"*\"}]}", /* no effect */
        "{\"Statement\":[{\"Effect\":\"Maybe\"}]}",
        "{\"Statement\":[{\"Effect\":\"Allow\"}]} x",
        "{\"Statement\":[],\"Statement\":[]}",
        "{\"Statement\":[{\"Effect\":\"Allow\",\"Condition\":[]}]}",
        "{\"Statement\":[{\"Effect\":\"Allow\",\"Condition\":{\"StringEquals\":[]}}]}",
        POLICY("[" ALLOW(IS("PCR0", "7")) "]"),
        "{\"Statement\":[{\"Effect\":\"Allow\"}",
        "{\"Statement\":\"x\"}",
    };
    static char large[CS_DOCTOR_POLICY_MAX + 2];
    char *at = large;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(cs_doctor_policy_parse(&p, cs_slice_str(bad[i])), CS_E_FORMAT);
    }
    memset(large, ' ', sizeof large - 1);
    assert_int_equal(cs_doctor_policy_parse(&p, cs_slice_str(large)), CS_E_TOO_LARGE);
    at += sprintf(at, "{\"Statement\":{\"Effect\":\"Allow\",\"Condition\":{\"StringEquals\":{\"kms:"
                      "RecipientAttestation:PCR0\":[\"0\"");
    for (unsigned i = 1; i <= CS_DOCTOR_RULES; i++) {
        at += sprintf(at, ",\"0\"");
    }
    (void)sprintf(at, "]}}}}");
    assert_int_equal(cs_doctor_policy_parse(&p, cs_slice_str(large)), CS_E_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(policy_names_the_image),
        cmocka_unit_test(policy_names_another_image),
        cmocka_unit_test(policy_denies_what_is_no_exception),
        cmocka_unit_test(policy_takes_debug_enclaves),
        cmocka_unit_test(policy_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
