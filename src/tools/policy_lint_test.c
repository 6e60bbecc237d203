/* Properties: Deny precedence, what a missing key does to each operator, every code, and refusals of what is no policy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "tools/policy_lint.h"

#define ROLE "\"Principal\":{\"AWS\":\"arn:aws:iam::123456789012:role/r\"},"
#define ROOT "\"Principal\":{\"AWS\":\"arn:aws:iam::123456789012:root\"},"
#define KEY(a, cond) "\"Effect\":\"Allow\"," ROLE "\"Action\":\"" a "\",\"Resource\":\"*\",\"Condition\":{" cond "}"
#define DECRYPT(cond) "{" KEY("kms:Decrypt", cond) "}"
#define ATT "kms:RecipientAttestation:"
#define ZEROS "000000000000000000000000000000000000000000000000"
#define DENY                                                                                                           \
    "{\"Effect\":\"Deny\",\"Principal\":\"*\",\"Resource\":\"*\",\"Action\":[\"kms:Decrypt\",\"kms:GenerateDataKey*"   \
    "\","                                                                                                              \
    "\"kms:ReEncrypt*\",\"kms:DeriveSharedSecret\"],\"Condition\":{\"StringNotEqualsIgnoreCase\":{\"" ATT              \
    "ImageSha384\":[\"aa\",\"bb\"]}}}"
#define NO_GRANT "{\"Effect\":\"Deny\",\"Principal\":{\"AWS\":\"*\"},\"Action\":\"kms:CreateGrant\",\"Resource\":\"*\"}"

static cs_plint l;

static cs_err lint(const char *statements)
{
    static char text[8192];
    int n = snprintf(text, sizeof text, "{\"Version\":\"2012-10-17\",\"Statement\":[%s]}", statements);

    return cs_policy_lint(&l, cs_slice_of(text, (size_t)n));
}

static bool has(const char *code)
{
    for (size_t i = 0; i < l.num; i++) {
        if (l.found[i].hole && strcmp(l.found[i].code, code) == 0) {
            return true;
        }
    }
    return false;
}

static void hole(const char *statements, const char *code)
{
    assert_int_equal(lint(statements), CS_OK);
    if (!has(code)) {
        fail_msg("no %s in %s", code, statements);
    }
}

static void tight(const char *statements)
{
    assert_int_equal(lint(statements), CS_OK);
    if (l.holes != 0) {
        fail_msg("%s in %s", l.found[0].code, statements);
    }
}

static void codes(void **unused)
{
    hole("{\"Effect\":\"Allow\"," ROOT "\"Action\":\"kms:*\",\"Resource\":\"*\"}", "root-delegation");
    hole("{" KEY("kms:*", "") "}", "admin-all");
    hole(DECRYPT(""), "unconditioned-decrypt");
    hole("{" KEY("kms:DeriveSharedSecret", "") "}", "unconditioned-decrypt");
    hole("{" KEY("kms:GenerateDataKeyPair", "") "}", "unconditioned-datakey");
    hole("{" KEY("kms:Create*", "") "}", "create-grant");
    hole("{" KEY("kms:ReEncrypt*", "") "}", "re-encrypt");
    hole(DECRYPT("\"StringEquals\":{\"" ATT "PCR0\":\"aa\"}") ",{" KEY("kms:Put*", "") "}", "put-key-policy");
    hole(DECRYPT("\"StringEquals\":{\"" ATT "PCR0\":[\"aa\",\"" ZEROS ZEROS "\"]}"), "debug-zero");
    hole(DECRYPT("\"StringLike\":{\"" ATT "PCR0\":\"*\"}"), "presence-only");
    hole(DECRYPT("\"Null\":{\"" ATT "PCR0\":\"false\"}"), "presence-only");
    hole(DECRYPT("\"StringEquals\":{\"" ATT "PCR3\":\"aa\"}"), "pcr34-only");
    hole(DECRYPT("\"StringEqualsIfExists\":{\"" ATT "PCR0\":\"aa\"}"), "ifexists");
    hole(DECRYPT("\"StringNotEquals\":{\"" ATT "PCR0\":\"aa\"}"), "negated-allow");
    hole(DECRYPT("\"StringEquals\":{\"" ATT "Os\":\"aa\"}"), "unknown-condition-key");
    hole("{\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":\"kms:Decrypt\"}", "wildcard-principal");
    hole("{\"Effect\":\"Allow\"," ROLE "\"NotAction\":\"kms:Encrypt\"}", "not-action");
    hole("{\"Effect\":\"Allow\",\"Action\":\"kms:Decrypt\",\"Resource\":\"*\"}", "iam-decrypt");
}

static void deny_precedence(void **unused)
{
    tight(DECRYPT("") "," DENY);
    tight("{" KEY("kms:*",
                  "") "}," DENY "," NO_GRANT
                      ",{\"Effect\":\"Deny\",\"Principal\":\"*\",\"Action\":\"kms:PutKeyPolicy\",\"Resource\":\"*\"}");
    hole("{" KEY("kms:*", "") "}," DENY, "create-grant");
    /* a Deny that may not apply closes nothing */
    hole(
        DECRYPT(
            "") ",{\"Effect\":\"Deny\",\"Principal\":\"*\",\"Action\":\"kms:Decrypt\",\"Condition\":{\"StringEquals\":{"
                "\"aws:SourceVpc\":\"v\"}}}",
        "unconditioned-decrypt");
    /* nor one with a positive operator, which a missing key fails, nor one for somebody else */
    hole(DECRYPT("") ",{\"Effect\":\"Deny\",\"Principal\":\"*\",\"Action\":\"kms:Decrypt\",\"Condition\":{"
                     "\"StringEquals\":{\"" ATT "PCR0\":\"aa\"}}}",
         "unconditioned-decrypt");
    hole(DECRYPT("") ",{\"Effect\":\"Deny\"," ROOT "\"NotAction\":\"kms:Encrypt\"}", "unconditioned-decrypt");
    tight(DECRYPT("") ",{\"Effect\":\"Deny\"," ROLE "\"NotAction\":\"kms:Encrypt\"}");
}

static void tight_ones(void **unused)
{
    tight(DECRYPT("\"StringEqualsIgnoreCase\":{\"" ATT "ImageSha384\":\"aa\",\"" ATT "PCR3\":\"bb\"}"));
    tight("{" KEY("kms:*", "\"StringEquals\":{\"KMS:recipientattestation:pcr2\":\"aa\"}") "}");
    tight("{" KEY("kms:CreateGrant", "\"Bool\":{\"kms:GrantIsForAWSResource\":true}") "}");
    tight("{" KEY("kms:Put*", "") "}," DECRYPT(
        "\"StringEquals\":{\"" ATT
        "PCR0\":\"aa\"}") ","
                          "{\"Effect\":\"Deny\",\"Principal\":\"*\",\"Action\":\"kms:PutKeyPolicy\"}");
    tight("{" KEY("kms:Encrypt", "") "}");
    tight("{\"Effect\":\"Allow\",\"Principal\":{\"Service\":\"ec2.amazonaws.com\"},\"Action\":\"sts:AssumeRole\"}");
    assert_string_equal(l.kind, "trust-policy");
    tight("{\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"*\"},\"Action\":\"kms:Decrypt\",\"Condition\":{"
          "\"StringEquals\":{"
          "\"kms:CallerAccount\":\"1\",\"" ATT "PCR0\":\"aa\"}}}");
}

static void refused(void **unused)
{
    static char big[CS_POLICY_MAX + 1];
    static const char *const bad[] = {
        "", "[]", "{}", "{\"Statement\":[]}", "{\"Statement\":[1]}", "{\"Statement\":{},\"Statement\":{}}"};

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(cs_policy_lint(&l, cs_slice_str(bad[i])), CS_E_FORMAT);
    }
    assert_int_equal(lint("{\"Effect\":\"allow\",\"Action\":\"kms:Decrypt\"}"), CS_E_FORMAT);
    assert_int_equal(lint("{\"Effect\":\"Allow\"}"), CS_E_FORMAT);
    assert_int_equal(lint("{\"Effect\":\"Allow\",\"Action\":[1]}"), CS_E_FORMAT);
    assert_int_equal(lint("{\"Effect\":\"Allow\",\"Action\":\"a\",\"Principal\":\"x\"}"), CS_E_FORMAT);
    assert_int_equal(lint("{\"Effect\":\"Allow\",\"Action\":\"a\",\"Condition\":{\"Bool\":1}}"), CS_E_FORMAT);
    assert_int_equal(cs_policy_lint(&l, cs_slice_of(big, sizeof big)), CS_E_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes),
        cmocka_unit_test(deny_precedence),
        cmocka_unit_test(tight_ones),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
