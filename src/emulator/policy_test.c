#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "emulator/policy.h"

#define ROLE "arn:aws:iam::123456789012:role/enclave-host"
#define KEY "arn:aws:kms:us-east-1:123456789012:key/k"
#define A96 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B96 "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define IMAGE "kms:RecipientAttestation:ImageSha384"

static cs_emu_principal role = {.arn = ROLE,
                                .session_arn = "arn:aws:sts::123456789012:assumed-role/enclave-host/i-1",
                                .account = "123456789012",
                                .iam_actions = "s3:GetObject"};

/* The verdict of statements over a Decrypt of the role with ImageSha384 = image (NULL: no attestation). */
static cs_emu_decision decide(const char *statements, const char *image)
{
    static cs_emu_context c;
    char text[8192];
    json_t *p = NULL;
    cs_emu_context_reset(&c);
    snprintf(text, sizeof text, "{\"Version\":\"2012-10-17\",\"Statement\":%s}", statements);
    assert_int_equal(cs_emu_policy_parse(&p, cs_slice_str(text)), CS_OK);
    if (image != NULL) {
        assert_int_equal(cs_emu_context_add(&c, IMAGE, cs_slice_str(image)), CS_OK);
        assert_int_equal(cs_emu_context_add(&c, "kms:RecipientAttestation:PCR3", cs_slice_str(B96)), CS_OK);
    }
    assert_int_equal(cs_emu_context_add(&c, "kms:EncryptionContext:app", cs_slice_str("Sign")), CS_OK);
    cs_emu_query q = {&role, "kms:Decrypt", KEY, &c};
    cs_emu_decision d = cs_emu_policy_eval(p, &q);
    json_decref(p);
    return d;
}

static cs_emu_verdict verdict(const char *statements, const char *image)
{
    return decide(statements, image).verdict;
}

#define ALLOW(cond)                                                                                                    \
    "{\"Sid\":\"a\",\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"" ROLE "\"},\"Action\":\"kms:Decrypt\","             \
    "\"Resource\":\"*\"" cond "}"
#define IF(op, key, values) ",\"Condition\":{\"" op "\":{\"" key "\":" values "}}"

static void nothing_that_matches_is_a_refusal(void **state)
{
    assert_int_equal(verdict("[{\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"arn:aws:iam::123456789012:role/other\"},"
                             "\"Action\":\"kms:*\",\"Resource\":\"*\"}]",
                             A96),
                     CS_EMU_DENIED_BY_DEFAULT);
    assert_int_equal(
        verdict("[{\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":\"kms:Encrypt\",\"Resource\":\"*\"}]", A96),
        CS_EMU_DENIED_BY_DEFAULT);
    assert_int_equal(verdict("[{\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":\"kms:*\"}]", A96),
                     CS_EMU_DENIED_BY_DEFAULT);
    assert_int_equal(verdict("[{\"Effect\":\"Allow\",\"Principal\":\"*\",\"Resource\":\"*\"}]", A96),
                     CS_EMU_DENIED_BY_DEFAULT);
    assert_int_equal(
        verdict("[{\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":\"kms:*\",\"Resource\":\"arn:x\"}]", A96),
        CS_EMU_DENIED_BY_DEFAULT);
}

static void the_image_must_be_one_of_the_values(void **state)
{
    assert_int_equal(verdict(ALLOW(IF("StringEqualsIgnoreCase", IMAGE, "\"" A96 "\"")), A96), CS_EMU_ALLOWED);
    assert_string_equal(decide(ALLOW(IF("StringEqualsIgnoreCase", IMAGE, "\"" A96 "\"")), A96).sid, "a");
    assert_int_equal(verdict(ALLOW(IF("StringEqualsIgnoreCase", IMAGE, "[\"x\",\"" A96 "\"]")), A96), CS_EMU_ALLOWED);
    assert_int_equal(verdict(ALLOW(IF("StringEqualsIgnoreCase", IMAGE, "\"" A96 "\"")), B96), CS_EMU_DENIED_BY_DEFAULT);
    assert_int_equal(verdict(ALLOW(IF("StringEqualsIgnoreCase", IMAGE, "\"" A96 "\"")), NULL),
                     CS_EMU_DENIED_BY_DEFAULT);
}

static void letter_case_counts_only_without_ignorecase(void **state)
{
    assert_int_equal(verdict(ALLOW(IF("StringEquals", "kms:EncryptionContext:app", "\"sign\"")), A96),
                     CS_EMU_DENIED_BY_DEFAULT);
    assert_int_equal(verdict(ALLOW(IF("StringEquals", "kms:EncryptionContext:app", "\"Sign\"")), A96), CS_EMU_ALLOWED);
    assert_int_equal(verdict(ALLOW(IF("StringEqualsIgnoreCase", "KMS:encryptioncontext:app", "\"sIGN\"")), A96),
                     CS_EMU_ALLOWED);
}

static void all_keys_and_operators_must_hold(void **state)
{
    assert_int_equal(verdict(ALLOW(",\"Condition\":{\"StringEquals\":{\"" IMAGE "\":\"" A96 "\","
                                   "\"kms:RecipientAttestation:PCR3\":\"" A96 "\"}}"),
                             A96),
                     CS_EMU_DENIED_BY_DEFAULT);
    assert_int_equal(verdict(ALLOW(",\"Condition\":{\"StringEquals\":{\"" IMAGE "\":\"" A96 "\"},"
                                   "\"StringLike\":{\"kms:RecipientAttestation:PCR3\":\"bb*\"}}"),
                             A96),
                     CS_EMU_ALLOWED);
}

static void a_missing_key_is_false_or_true_by_operator(void **state)
{
    assert_int_equal(verdict(ALLOW(IF("StringEquals", "kms:RecipientAttestation:Os", "\"Linux\"")), A96),
                     CS_EMU_DENIED_BY_DEFAULT);
    assert_int_equal(verdict(ALLOW(IF("StringNotEquals", "kms:RecipientAttestation:Os", "\"Linux\"")), A96),
                     CS_EMU_ALLOWED);
    assert_int_equal(verdict(ALLOW(IF("StringEqualsIfExists", "kms:RecipientAttestation:Os", "\"Linux\"")), A96),
                     CS_EMU_ALLOWED);
    assert_int_equal(verdict(ALLOW(IF("StringEqualsIfExists", IMAGE, "\"x\"")), A96), CS_EMU_DENIED_BY_DEFAULT);
    assert_int_equal(verdict(ALLOW(IF("Null", IMAGE, "\"true\"")), NULL), CS_EMU_ALLOWED);
    assert_int_equal(verdict(ALLOW(IF("Null", IMAGE, "true")), A96), CS_EMU_DENIED_BY_DEFAULT);
    assert_int_equal(verdict(ALLOW(IF("Bool", "kms:GrantIsForAWSResource", "true")), A96), CS_EMU_DENIED_BY_DEFAULT);
}

static void negated_lists_are_nor(void **state)
{
    assert_int_equal(verdict(ALLOW(IF("StringNotEqualsIgnoreCase", IMAGE, "[\"x\",\"y\"]")), A96), CS_EMU_ALLOWED);
    assert_int_equal(verdict(ALLOW(IF("StringNotEqualsIgnoreCase", IMAGE, "[\"x\",\"" A96 "\"]")), A96),
                     CS_EMU_DENIED_BY_DEFAULT);
    assert_int_equal(verdict(ALLOW(IF("StringNotLike", IMAGE, "\"aa*\"")), A96), CS_EMU_DENIED_BY_DEFAULT);
}

#define DENY                                                                                                           \
    "{\"Sid\":\"d\",\"Effect\":\"Deny\",\"Principal\":\"*\",\"Action\":[\"kms:Decrypt\",\"kms:GenerateDataKey*\"],"    \
    "\"Resource\":\"*\"" IF("StringNotEqualsIgnoreCase", IMAGE, "\"" A96 "\"") "}"

static void deny_beats_allow_and_fires_without_attestation(void **state)
{
    assert_int_equal(verdict("[" ALLOW("") "," DENY "]", A96), CS_EMU_ALLOWED);
    assert_int_equal(verdict("[" ALLOW("") "," DENY "]", B96), CS_EMU_DENIED_EXPLICITLY);
    assert_int_equal(verdict("[" DENY "," ALLOW("") "]", NULL), CS_EMU_DENIED_EXPLICITLY);
    assert_string_equal(decide("[" ALLOW("") "," DENY "]", B96).sid, "d");
}

#define ROOT                                                                                                           \
    "{\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"arn:aws:iam::123456789012:root\"},\"Action\":\"kms:*\","           \
    "\"Resource\":\"*\"}"

static void the_account_root_delegates_to_iam(void **state)
{
    assert_int_equal(verdict(ROOT, NULL), CS_EMU_DENIED_BY_DEFAULT);
    role.iam_actions = "s3:GetObject kms:Decrypt";
    assert_int_equal(verdict(ROOT, NULL), CS_EMU_ALLOWED);
    role.iam_actions = "s3:GetObject";
}

static void an_assumed_role_matches_by_either_arn(void **state)
{
    assert_int_equal(
        verdict("{\"Effect\":\"Allow\",\"Principal\":{\"AWS\":[\"210987654321\",\"arn:aws:sts::123456789012:assumed-"
                "role/enclave-host/i-1\"]},"
                "\"NotAction\":\"kms:Encrypt\",\"Resource\":\"" KEY "\"}",
                NULL),
        CS_EMU_ALLOWED);
}

#define NOT_PRINCIPAL(who)                                                                                             \
    "{\"Effect\":\"Deny\",\"NotPrincipal\":{\"AWS\":[" who "]},\"Action\":\"kms:*\",\"Resource\":\"*\"}"

static void a_deny_with_notprincipal_spares_those_named(void **state)
{
    assert_int_equal(verdict("[" ALLOW("") "," NOT_PRINCIPAL("\"" ROLE "\"") "]", NULL), CS_EMU_ALLOWED);
    assert_int_equal(verdict("[" ALLOW("") "," NOT_PRINCIPAL("\"arn:aws:iam::123456789012:role/other\"") "]", NULL),
                     CS_EMU_DENIED_EXPLICITLY);
    /* the account named there is its root, not everybody in it */
    assert_int_equal(verdict("[" ALLOW("") "," NOT_PRINCIPAL("\"123456789012\"") "]", NULL), CS_EMU_DENIED_EXPLICITLY);
}

static void an_identity_policy_delegates_and_denies(void **state)
{
    static const char text[] =
        "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Sid\":\"d\",\"Effect\":\"Allow\",\"Action\":\"kms:Decrypt\","
        "\"Resource\":\"" KEY "\"},{\"Sid\":\"no\",\"Effect\":\"Deny\",\"Action\":\"kms:Decrypt\",\"Resource\":\"*\","
        "\"Condition\":{\"StringEquals\":{\"kms:RecipientAttestation:PCR3\":\"" B96 "\"}}}]}";
    json_t *iam = NULL;
    assert_int_equal(cs_emu_policy_read(&iam, cs_slice_str(text), CS_EMU_IDENTITY_POLICY, NULL), CS_OK);
    role.iam_policy = iam;
    assert_int_equal(verdict(ROOT, NULL), CS_EMU_ALLOWED);
    assert_true(decide(ROOT, NULL).by_identity);
    assert_int_equal(verdict(ALLOW(""), NULL), CS_EMU_ALLOWED);
    assert_int_equal(verdict(ALLOW(""), A96), CS_EMU_DENIED_EXPLICITLY); /* with an attestation, PCR3 is there */
    assert_string_equal(decide(ALLOW(""), A96).sid, "no");
    /* alone it is not enough: the key policy does not name the account */
    assert_int_equal(verdict("{\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"210987654321\"},\"Action\":\"kms:*\","
                             "\"Resource\":\"*\"}",
                             NULL),
                     CS_EMU_DENIED_BY_DEFAULT);
    role.iam_policy = NULL;
    json_decref(iam);
}

static void principals_that_never_call_do_not_match(void **state)
{
    assert_int_equal(verdict("{\"Effect\":\"Allow\",\"Principal\":{\"Service\":\"ec2.amazonaws.com\",\"Federated\":"
                             "\"cognito-identity.amazonaws.com\"},\"Action\":\"kms:*\",\"Resource\":\"*\"}",
                             NULL),
                     CS_EMU_DENIED_BY_DEFAULT);
    assert_int_equal(verdict("{\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"*\"},\"Action\":\"KMS:decr*\","
                             "\"Resource\":\"arn:aws:kms:*:*:key/?\"}",
                             NULL),
                     CS_EMU_ALLOWED);
}

static void malformed_policies_are_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "{\"Statement\":[]}",
        "{\"Statement\":1}",
        "{\"Version\":\"2020-01-01\",\"Statement\":" ROOT "}",
        "{\"Statement\":[{\"Effect\":\"Maybe\",\"Principal\":\"*\"}]}",
        "{\"Statement\":[{\"Effect\":\"Allow\"}]}",
        "{\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":\"role\"}]}",
        "{\"Statement\":[{\"Effect\":\"Allow\",\"NotPrincipal\":{\"AWS\":\"*\"},\"Principal\":\"*\"}]}",
        "{\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"AWS\":[1]}}]}",
        "{\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":{}}]}",
        "{\"Statement\":" ROOT ",\"Comment\":\"x\"}",
        "{\"Statement\":" ROOT ",\"Id\":1}",
        "{\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":\"*\",\"Actions\":\"kms:*\"}]}",
        "{\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":\"Decrypt\"}]}",
        "{\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":[]}]}",
        "{\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":\"kms:*\",\"NotAction\":\"kms:*\"}]}",
        "{\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":\"*\",\"Resource\":\"*\",\"NotResource\":\"*\"}]}",
        "{\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"arn:aws:iam::123456789012:role/*\"}}]}",
        "{\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"1234\"}}]}",
        "{\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"Aws\":\"*\"}}]}",
        "{\"Statement\":[1]}",
        "{\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":\"*\",\"Sid\":1}]}",
        "{\"Statement\":" ALLOW(IF("StringMatches", "k", "\"v\"")) "}",
        "{\"Statement\":" ALLOW(IF("StringEquals", "k", "{}")) "}",
        "{\"Statement\":" ALLOW(",\"Condition\":[]") "}",
        "{\"Statement\":" ROOT ",\"Statement\":" ROOT "}",
    };
    json_t *p = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(cs_emu_policy_parse(&p, cs_slice_str(bad[i])), CS_E_FORMAT);
    }
    static char big[CS_EMU_POLICY_MAX + 1];
    memset(big, ' ', sizeof big);
    assert_int_equal(cs_emu_policy_parse(&p, cs_slice_of(big, sizeof big)), CS_E_TOO_LARGE);
}

static void globs_match(void **state)
{
    assert_true(cs_emu_glob("kms:Generate*", "kms:GenerateDataKey", true));
    assert_true(cs_emu_glob("*a*b?", "xxaxxbc", false));
    assert_false(cs_emu_glob("*a*b?", "xxaxxb", false));
    assert_true(cs_emu_glob("", "", false));
    /* ? is one character, however many bytes it has */
    assert_true(cs_emu_glob("\xc3\xa9?\xc3\xa9", "\xc3\xa9\xc3\xbc\xc3\xa9", false));
    assert_false(cs_emu_glob("??", "\xc3\xbc", false));
    assert_true(cs_emu_glob("*?x", "\xe2\x82\xac\xe2\x82\xacx", false));
    assert_false(cs_emu_glob("*??x", "\xe2\x82\xacx", false));
    assert_false(cs_emu_glob("a", "", false));
    assert_true(cs_emu_glob("KMS:*", "kms:x", true));
    assert_false(cs_emu_glob("KMS:*", "kms:x", false));
}

static void context_is_bounded(void **state)
{
    static cs_emu_context c;
    static char big[CS_EMU_CONTEXT_TEXT];
    memset(big, 'a', sizeof big);
    assert_int_equal(cs_emu_context_add(&c, "k", cs_slice_of(big, sizeof big)), CS_E_RANGE);
    for (int i = 0; i < CS_EMU_CONTEXT_MAX; i++) {
        assert_int_equal(cs_emu_context_add(&c, "k", cs_slice_str("v")), CS_OK);
    }
    assert_int_equal(cs_emu_context_add(&c, "k", cs_slice_str("v")), CS_E_RANGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_that_matches_is_a_refusal),
        cmocka_unit_test(the_image_must_be_one_of_the_values),
        cmocka_unit_test(letter_case_counts_only_without_ignorecase),
        cmocka_unit_test(all_keys_and_operators_must_hold),
        cmocka_unit_test(a_missing_key_is_false_or_true_by_operator),
        cmocka_unit_test(negated_lists_are_nor),
        cmocka_unit_test(deny_beats_allow_and_fires_without_attestation),
        cmocka_unit_test(the_account_root_delegates_to_iam),
        cmocka_unit_test(an_assumed_role_matches_by_either_arn),
        cmocka_unit_test(a_deny_with_notprincipal_spares_those_named),
        cmocka_unit_test(an_identity_policy_delegates_and_denies),
        cmocka_unit_test(principals_that_never_call_do_not_match),
        cmocka_unit_test(malformed_policies_are_refused),
        cmocka_unit_test(globs_match),
        cmocka_unit_test(context_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
