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
#define A12 "a1a1a1a1a1a1"
#define B12 "b2b2b2b2b2b2"
#define C12 "A1B2A1B2A1B2"
#define PCR_A A12 A12 A12 A12 A12 A12 A12 A12
#define PCR_B B12 B12 B12 B12 B12 B12 B12 B12
#define UPPER C12 C12 C12 C12 C12 C12 C12 C12
#define DENY_ALL "\"Effect\":\"Deny\",\"Principal\":\"*\","
#define MATERIAL "\"Decrypt\",\"GenerateDataKey\",\"GenerateDataKeyPair\",\"ReEncryptFrom\",\"DeriveSharedSecret\""
#define NO_PUT "{" DENY_ALL "\"Action\":\"kms:PutKeyPolicy\",\"Resource\":\"*\"}"
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
    hole("{\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"123456789012\"},\"Action\":\"*\",\"Resource\":\"*\"}",
         "root-delegation");
    hole("{" KEY("kms:*", "") "}", "admin-all");
    hole(DECRYPT(""), "unconditioned-decrypt");
    hole("{" KEY("KMS:dE?rypt", "") "}", "unconditioned-decrypt");
    hole("{" KEY("kms:DeriveSharedSecret", "") "}", "unconditioned-decrypt");
    hole("{" KEY("kms:GenerateDataKeyPair", "") "}", "unconditioned-datakey");
    hole("{" KEY("kms:Create*", "") "}", "create-grant");
    hole("{" KEY("kms:ReEncrypt*", "") "}", "re-encrypt");
    hole(DECRYPT("\"StringEquals\":{\"" ATT "PCR0\":\"" PCR_A "\"}") ",{" KEY("kms:Put*", "") "}", "put-key-policy");
    hole("{\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":\"kms:Decrypt\",\"Resource\":\"*\"}",
         "wildcard-principal");
    hole("{\"Effect\":\"Allow\"," ROLE "\"NotAction\":\"kms:Encrypt\",\"Resource\":\"*\"}", "not-action");
    hole("{\"Effect\":\"Allow\",\"Action\":\"kms:Decrypt\",\"Resource\":\"*\"}", "iam-decrypt");
    hole(DECRYPT("\"StringEquals\":{\"" ATT "Os\":\"aa\"}"), "unknown-condition-key");
    hole("{\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"*\"},\"Action\":\"sts:AssumeRole\"}", "wildcard-principal");
}

/* Each way in, and the same policy closed. */
static void conditions(void **unused)
{
    hole(DECRYPT("\"StringEquals\":{\"" ATT "PCR0\":[\"" PCR_A "\",\"" ZEROS ZEROS "\"]}"), "debug-zero");
    tight(DECRYPT("\"StringEquals\":{\"" ATT "PCR0\":[\"" PCR_A "\",\"" PCR_B "\"]}"));
    hole(DECRYPT("\"StringLike\":{\"" ATT "PCR0\":\"*\"}"), "presence-only");
    hole(DECRYPT("\"StringLike\":{\"" ATT "PCR0\":\"a1b2*\"}"), "presence-only");
    hole(DECRYPT("\"StringLike\":{\"" ATT "PCR0\":\"0*\"}"), "debug-zero");
    tight(DECRYPT("\"StringLike\":{\"" ATT "PCR0\":\"" PCR_A "\"}"));
    hole(DECRYPT("\"Null\":{\"" ATT "PCR0\":\"false\"}"), "presence-only");
    hole(DECRYPT("\"Null\":{\"" ATT "PCR0\":\"true\"}"), "unconditioned-decrypt");
    hole(DECRYPT("\"Null\":{\"" ATT "PCR0\":[\"false\",\"true\"]}"), "unconditioned-decrypt");
    hole(DECRYPT("\"StringEquals\":{\"" ATT "PCR3\":\"" PCR_A "\"}"), "debug-zero");
    hole(DECRYPT("\"StringEquals\":{\"" ATT "PCR4\":\"" PCR_A "\"}"), "presence-only");
    hole(DECRYPT("\"StringEquals\":{\"" ATT "PCR16\":\"" PCR_A "\"}"), "presence-only");
    tight(DECRYPT("\"StringEquals\":{\"" ATT "PCR8\":\"" PCR_A "\"}"));
    hole(DECRYPT("\"StringEquals\":{\"" ATT "PCR8\":\"" ZEROS ZEROS "\"}"), "debug-zero");
    tight(DECRYPT("\"StringEquals\":{\"" ATT "PCR1\":\"" PCR_A "\"}"));
    hole(DECRYPT("\"StringEqualsIfExists\":{\"" ATT "PCR0\":\"" PCR_A "\"}"), "unconditioned-decrypt");
    tight(DECRYPT("\"StringEqualsIfExists\":{\"" ATT "PCR0\":\"" PCR_A "\"},\"Null\":{\"" ATT "PCR0\":false}"));
    hole(DECRYPT("\"StringNotEquals\":{\"" ATT "PCR0\":\"" PCR_A "\"}"), "unconditioned-decrypt");
    hole(DECRYPT("\"ForAllValues:StringEquals\":{\"" ATT "PCR0\":\"" PCR_A "\"}"), "unconditioned-decrypt");
    tight(DECRYPT("\"ForAnyValue:StringEquals\":{\"" ATT "PCR0\":\"" PCR_A "\"}"));
    hole(DECRYPT("\"ForAnyValue:StringNotEquals\":{\"" ATT "PCR0\":\"" PCR_A "\"}"), "debug-zero");
    hole(DECRYPT("\"Bool\":{\"aws:MultiFactorAuthPresent\":true}"), "unconditioned-decrypt");
    hole(DECRYPT("\"StringEquals\":{\"kms:ViaService\":\"s3.us-east-1.amazonaws.com\"}"), "unconditioned-decrypt");
    hole(DECRYPT("\"StringEquals\":{\"kms:EncryptionContext:app\":\"sign\"}"), "unconditioned-decrypt");
    hole(DECRYPT("\"StringEquals\":{\"aws:SourceVpce\":\"vpce-1\"},\"ArnLike\":{\"aws:PrincipalArn\":\"arn:aws:iam::*:"
                 "role/r\"}"),
         "unconditioned-decrypt");
    tight(DECRYPT("\"ArnLike\":{\"aws:PrincipalArn\":\"arn:aws:iam::*:role/other\"}"));
    tight(DECRYPT("\"StringEquals\":{\"kms:CallerAccount\":\"999999999999\"}"));
    hole(DECRYPT("\"NumericLessThan\":{\"aws:MultiFactorAuthAge\":3600},\"DateGreaterThan\":{\"aws:CurrentTime\":"
                 "\"2020-01-01T00:00:00Z\"},\"IpAddress\":{\"aws:SourceIp\":\"10.0.0.0/8\"}"),
         "unconditioned-decrypt");
    /* a key with several values may have both, one with a single value may not */
    hole(DECRYPT(
             "\"ForAnyValue:StringEquals\":{\"aws:TagKeys\":\"a\"},\"ForAnyValue:StringLike\":{\"aws:TagKeys\":\"b\"}"),
         "unconditioned-decrypt");
    tight(
        DECRYPT("\"StringEquals\":{\"kms:ViaService\":\"a\"},\"ForAnyValue:StringEquals\":{\"kms:ViaService\":\"b\"}"));
    hole(DECRYPT("\"StringMatches\":{\"" ATT "PCR0\":\"" PCR_A "\"}"), "unconditioned-decrypt");
    /* values that no PCR can have match nothing */
    tight(DECRYPT("\"StringEquals\":{\"" ATT "PCR0\":\"<PCR0>\"}"));
    tight(DECRYPT("\"StringEquals\":{\"" ATT "PCR3\":\"" UPPER "\"}"));
    hole(DECRYPT("\"StringEqualsIgnoreCase\":{\"" ATT "PCR3\":\"" UPPER "\"}"), "debug-zero");
    tight(DECRYPT("\"StringEquals\":{\"" ATT "PCR0\":[]}"));
    hole(DECRYPT("\"StringNotEquals\":{\"" ATT "PCR0\":[]}"), "unconditioned-decrypt");
    /* grants and re-encryption carry no attestation, so a condition on it closes them; a grant for a service is no hole */
    tight("{" KEY("kms:CreateGrant", "\"StringEquals\":{\"" ATT "PCR0\":\"" PCR_A "\"}") "}");
    hole("{" KEY("kms:CreateGrant", "\"StringNotEquals\":{\"" ATT "PCR0\":\"" PCR_A "\"}") "}", "create-grant");
    tight("{" KEY("kms:CreateGrant", "\"Bool\":{\"kms:GrantIsForAWSResource\":true}") "}");
    hole("{" KEY("kms:CreateGrant",
                 "\"ForAllValues:StringEquals\":{\"kms:GrantOperations\":[\"Decrypt\",\"Encrypt\"]}") "}",
         "create-grant");
    tight("{" KEY("kms:CreateGrant", "\"ForAllValues:StringEquals\":{\"kms:GrantOperations\":[\"Encrypt\"]}") "}");
    /* one grant may ask for several operations */
    hole("{" KEY("kms:CreateGrant", "\"ForAnyValue:StringEquals\":{\"kms:GrantOperations\":[\"Encrypt\"]}") "}",
         "create-grant");
    hole("{" KEY("kms:CreateGrant", "") "},{" DENY_ALL
                                        "\"Action\":\"kms:CreateGrant\",\"Resource\":\"*\",\"Condition\":{"
                                        "\"ForAllValues:StringEquals\":{\"kms:GrantOperations\":[" MATERIAL "]}}}",
         "create-grant");
    tight("{" KEY("kms:CreateGrant", "") "},{" DENY_ALL
                                         "\"Action\":\"kms:CreateGrant\",\"Resource\":\"*\",\"Condition\":{"
                                         "\"ForAnyValue:StringEquals\":{\"kms:GrantOperations\":[" MATERIAL "]}}}");
    hole("{" KEY("kms:ReEncryptFrom", "\"StringEquals\":{\"kms:ViaService\":\"v\"}") "}", "re-encrypt");
    tight("{" KEY("kms:ReEncryptFrom", "\"Bool\":{\"kms:ReEncryptOnSameKey\":true}") "}");
    tight("{" KEY("kms:ReEncryptTo", "") "}");
}

/* Who administers the key does not use it only because the whole account may. */
static void administrators(void **unused)
{
    static const char admin[] =
        "{\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"arn:aws:iam::123456789012:role/admin\"},\"Action\":"
        "\"kms:PutKeyPolicy\",\"Resource\":\"*\"}";
    static const char attested[] =
        "\"Action\":\"kms:Decrypt\",\"Resource\":\"*\",\"Condition\":{\"StringEquals\":{\"" ATT "PCR0\":\"" PCR_A
        "\"}}}";
    char text[4096];

    (void)snprintf(text, sizeof text, "{\"Effect\":\"Allow\"," ROOT "%s,%s", attested, admin);
    tight(text);
    (void)snprintf(
        text, sizeof text,
        "{\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"123456789012\"},%s,{" KEY("kms:PutKeyPolicy", "") "}",
        attested);
    tight(text);
    (void)snprintf(text, sizeof text,
                   "{\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"123456789012\"},%s,{\"Effect\":\"Allow\"," ROOT
                   "\"Action\":\"kms:PutKeyPolicy\",\"Resource\":\"*\"}",
                   attested);
    hole(text, "put-key-policy");
    (void)snprintf(text, sizeof text, "{\"Effect\":\"Allow\"," ROLE "%s,{" KEY("kms:PutKeyPolicy", "") "}", attested);
    hole(text, "put-key-policy");
}

static void unknown_keys(void **unused)
{
    hole(DECRYPT("\"StringEquals\":{\"" ATT "PCR32\":\"" PCR_A "\"}"), "unknown-condition-key");
    hole(DECRYPT("\"StringEquals\":{\"" ATT "PCR01\":\"" PCR_A "\"}"), "unknown-condition-key");
    hole(DECRYPT("\"StringEquals\":{\"kms:RecipientAttestationImageSha384\":\"" PCR_A "\"}"), "unknown-condition-key");
    hole(DECRYPT("\"StringEquals\":{\"aws:RecipientAttestation:PCR0\":\"" PCR_A "\"}"), "unknown-condition-key");
    hole(DECRYPT("\"Bool\":{\"kms:NitroEnclave\":\"true\"}"), "unknown-condition-key");
    hole(DECRYPT("\"StringEqualsIfExists\":{\"" ATT "Os\":\"x\"}"), "unconditioned-decrypt");
    tight(DECRYPT("\"StringEquals\":{\"" ATT "Os\":\"x\",\"" ATT "PCR0\":\"" PCR_A "\"}"));
    tight(DECRYPT("\"StringEquals\":{\"KMS:recipientattestation:imagesha384\":\"" PCR_A "\"}"));
    tight(DECRYPT("\"StringEquals\":{\"" ATT "NitroTPMPCR4\":\"" PCR_A "\"}"));
}

static void deny_precedence(void **unused)
{
    tight(DECRYPT("") "," DENY);
    tight("{" KEY("kms:*", "") "}," DENY "," NO_GRANT "," NO_PUT);
    hole("{" KEY("kms:*", "") "}," DENY, "create-grant");
    /* a Deny that may not apply closes nothing */
    hole(DECRYPT("") ",{" DENY_ALL "\"Action\":\"kms:Decrypt\",\"Resource\":\"*\",\"Condition\":{\"StringEquals\":{"
                     "\"aws:SourceVpc\":\"v\"}}}",
         "unconditioned-decrypt");
    /* nor one with a positive operator, which a missing key fails, nor one for somebody else */
    hole(DECRYPT("") ",{" DENY_ALL
                     "\"Action\":\"kms:Decrypt\",\"Resource\":\"*\",\"Condition\":{\"StringEquals\":{\"" ATT
                     "PCR0\":\"" PCR_A "\"}}}",
         "unconditioned-decrypt");
    hole(DECRYPT("") ",{\"Effect\":\"Deny\",\"Principal\":{\"AWS\":\"arn:aws:iam::999999999999:root\"},\"NotAction\":"
                     "\"kms:Encrypt\","
                     "\"Resource\":\"*\"}",
         "unconditioned-decrypt");
    tight(DECRYPT("") ",{\"Effect\":\"Deny\"," ROLE "\"NotAction\":\"kms:Encrypt\",\"Resource\":\"*\"}");
    /* the account in a Deny is everybody of the account */
    tight(DECRYPT("") ",{\"Effect\":\"Deny\"," ROOT "\"Action\":\"kms:De*\",\"Resource\":\"*\"}");
    tight(DECRYPT(
        "") ",{\"Effect\":\"Deny\",\"Principal\":{\"AWS\":[\"123456789012\"]},\"Action\":\"*\",\"Resource\":\"*\"}");
    /* a Deny for all but some */
    tight(DECRYPT("") ",{\"Effect\":\"Deny\",\"NotPrincipal\":{\"AWS\":\"arn:aws:iam::123456789012:role/"
                      "admin\"},\"Action\":\"kms:*\","
                      "\"Resource\":\"*\"}");
    hole(DECRYPT("") ",{\"Effect\":\"Deny\",\"NotPrincipal\":{\"AWS\":\"arn:aws:iam::123456789012:role/"
                     "r\"},\"Action\":\"kms:*\","
                     "\"Resource\":\"*\"}",
         "unconditioned-decrypt");
    tight(DECRYPT("") ",{" DENY_ALL "\"Action\":\"kms:*\",\"NotResource\":\"arn:aws:s3:::b\"}");
    hole(DECRYPT("") ",{" DENY_ALL "\"Action\":\"kms:*\",\"NotResource\":\"*\"}", "unconditioned-decrypt");
    /* conditions of Allow and Deny that exclude each other */
    tight(
        DECRYPT("\"StringEquals\":{\"kms:CallerAccount\":\"123456789012\"}") ",{" DENY_ALL
                                                                             "\"Action\":\"kms:*\",\"Resource\":\"*\","
                                                                             "\"Condition\":{\"StringEquals\":{\"kms:"
                                                                             "CallerAccount\":\"123456789012\"}}}");
    tight(DECRYPT("\"StringEquals\":{\"aws:SourceVpce\":\"a\"}") ",{" DENY_ALL
                                                                 "\"Action\":\"kms:*\",\"Resource\":\"*\","
                                                                 "\"Condition\":{\"StringNotEquals\":{\"aws:"
                                                                 "SourceVpce\":\"b\"}}}");
    hole(DECRYPT("\"StringEquals\":{\"aws:SourceVpce\":\"a\"}") ",{" DENY_ALL "\"Action\":\"kms:*\",\"Resource\":\"*\","
                                                                "\"Condition\":{\"StringNotEquals\":{\"aws:"
                                                                "SourceVpce\":[\"a\",\"b\"]}}}",
         "unconditioned-decrypt");
    /* Deny of zeros closes the debug enclaves of a presence test, but not the other images */
    hole(DECRYPT("\"Null\":{\"" ATT "PCR0\":false}") ",{" DENY_ALL
                                                     "\"Action\":\"kms:*\",\"Resource\":\"*\",\"Condition\":{"
                                                     "\"StringEquals\":{\"" ATT "PCR0\":\"" ZEROS ZEROS "\"}}}",
         "presence-only");
    tight("{" KEY("kms:Decrypt", "") "},{" DENY_ALL "\"Action\":\"kms:Decrypt\",\"Resource\":\"*\",\"Condition\":{"
                                     "\"ForAllValues:StringNotEquals\":{\"" ATT "PCR0\":\"" PCR_A "\"}}}");
    hole("{" KEY("kms:Decrypt", "") "},{" DENY_ALL "\"Action\":\"kms:Decrypt\",\"Resource\":\"*\",\"Condition\":{"
                                    "\"ForAnyValue:StringNotEquals\":{\"" ATT "PCR0\":\"" PCR_A "\"}}}",
         "unconditioned-decrypt");
}

static void principals(void **unused)
{
    hole("{\"Effect\":\"Allow\",\"Principal\":{\"Service\":\"ec2.amazonaws.com\"},\"Action\":\"kms:Decrypt\","
         "\"Resource\":\"*\"}",
         "unconditioned-decrypt");
    hole("{\"Effect\":\"Allow\",\"Principal\":{\"Federated\":\"cognito-identity.amazonaws.com\"},\"Action\":\"kms:"
         "Decrypt\","
         "\"Resource\":\"*\"}",
         "unconditioned-decrypt");
    hole("{\"Effect\":\"Allow\",\"Principal\":\"arn:aws:iam::123456789012:root\",\"Action\":\"kms:Decrypt\","
         "\"Resource\":\"*\"}",
         "root-delegation");
    hole("{\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"*\"},\"Action\":\"kms:Decrypt\",\"Resource\":\"*\","
         "\"Condition\":{\"StringEquals\":"
         "{\"kms:CallerAccount\":\"123456789012\"}}}",
         "unconditioned-decrypt");
    hole("{\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"arn:aws:sts::123456789012:assumed-role/r/"
         "s\"},\"Action\":\"kms:Decrypt\","
         "\"Resource\":\"*\"}",
         "unconditioned-decrypt");
    /* the Deny names the role of the session */
    tight("{\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"arn:aws:sts::123456789012:assumed-role/r/"
          "s\"},\"Action\":\"kms:Decrypt\","
          "\"Resource\":\"*\"},{\"Effect\":\"Deny\"," ROLE "\"Action\":\"kms:*\",\"Resource\":\"*\"}");
    hole("{\"Effect\":\"Allow\",\"NotPrincipal\":{\"AWS\":\"arn:aws:iam::123456789012:role/"
         "r\"},\"Action\":\"kms:Decrypt\",\"Resource\":\"*\"}",
         "wildcard-principal");
    tight("{\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"*\"},\"Action\":\"kms:Decrypt\",\"Resource\":\"*\","
          "\"Condition\":{\"StringEquals\":"
          "{\"kms:CallerAccount\":\"123456789012\",\"" ATT "PCR0\":\"" PCR_A "\"}}}");
    /* the account may give PutKeyPolicy to the role that uses the key */
    hole(DECRYPT("\"StringEquals\":{\"" ATT "PCR0\":\"" PCR_A
                 "\"}") ",{\"Effect\":\"Allow\"," ROOT "\"Action\":\"kms:PutKeyPolicy\",\"Resource\":\"*\"}",
         "put-key-policy");
    tight(DECRYPT("\"StringEquals\":{\"" ATT "PCR0\":\"" PCR_A
                  "\"}") ",{\"Effect\":\"Allow\",\"Principal\":{\"AWS\":"
                         "\"arn:aws:iam::123456789012:role/admin\"},\"Action\":\"kms:Put*\",\"Resource\":\"*\"}");
}

static void iam_policies(void **unused)
{
    hole("{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"*\"}", "iam-decrypt");
    hole("{\"Effect\":\"Allow\",\"Action\":\"kms:Decrypt\",\"Resource\":\"arn:aws:kms:us-east-1:1:key/a\"}",
         "iam-decrypt");
    hole("{\"Effect\":\"Allow\",\"Action\":\"kms:GenerateDataKey\",\"Resource\":\"arn:aws:kms:*:*:key/*\"}",
         "unconditioned-datakey");
    tight("{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"arn:aws:s3:::bucket/*\"}");
    tight("{\"Effect\":\"Allow\",\"Action\":\"kms:*\",\"Resource\":\"arn:aws:kms:us-east-1:1:alias/a\"}");
    tight("{\"Effect\":\"Allow\",\"Action\":[\"kms:GenerateRandom\",\"kms:Encrypt\",\"s3:GetObject\"],\"Resource\":\"*"
          "\"}");
    tight("{\"Effect\":\"Allow\",\"Action\":\"kms:Decrypt\",\"Resource\":\"*\",\"Condition\":{\"StringEquals\":{\"" ATT
          "PCR0\":\"" PCR_A "\"}}}");
    /* a Deny for another key does not help */
    hole("{\"Effect\":\"Allow\",\"Action\":\"kms:Decrypt\",\"Resource\":\"*\"},{\"Effect\":\"Deny\",\"Action\":\"kms:*"
         "\",\"Resource\":"
         "\"arn:aws:kms:us-east-1:1:key/a\"}",
         "iam-decrypt");
    tight("{\"Effect\":\"Allow\",\"Action\":\"kms:Decrypt\",\"Resource\":\"arn:aws:kms:us-east-1:1:key/"
          "a\"},{\"Effect\":\"Deny\","
          "\"Action\":\"kms:*\",\"Resource\":\"arn:aws:kms:*:*:key/*\"}");
    assert_string_equal(l.kind, "iam-policy");
}

static void other_forms(void **unused)
{
    static const char one[] =
        "{\"Statement\":{\"Effect\":\"Allow\"," ROLE "\"Action\":\"kms:Decrypt\",\"Resource\":\"*\"}}";
    static const char fragment[] = "{\"Effect\":\"Allow\"," ROLE "\"Action\":\"kms:Decrypt\",\"Resource\":\"*\"}";
    static const char wrapped[] =
        "{\"PolicyName\":\"default\",\"Policy\":\"{\\\"Statement\\\":{\\\"Effect\\\":\\\"Allow\\\",\\\"Principal\\\":"
        "\\\"*\\\",\\\"Action\\\":\\\"kms:*\\\",\\\"Resource\\\":\\\"*\\\"}}\"}";

    assert_int_equal(cs_policy_lint(&l, cs_slice_str(one)), CS_OK);
    assert_true(has("unconditioned-decrypt"));
    assert_int_equal(cs_policy_lint(&l, cs_slice_str(fragment)), CS_OK);
    assert_true(has("unconditioned-decrypt"));
    assert_int_equal(cs_policy_lint(&l, cs_slice_str(wrapped)), CS_OK);
    assert_true(has("create-grant"));
    /* [nitro-kms.md 2.4] without Action or Resource: no effect */
    tight("{\"Effect\":\"Allow\"," ROLE "\"Action\":\"kms:Decrypt\"}");
    tight("{\"Effect\":\"Allow\"," ROLE "\"Resource\":\"*\"}");
    hole(DECRYPT("") ",{" DENY_ALL "\"Action\":\"kms:*\"}", "unconditioned-decrypt");
    tight("{\"Effect\":\"Allow\"," ROLE "\"Action\":[],\"Resource\":\"*\"}");
    hole("{\"Effect\":\"Allow\"," ROLE "\"NotAction\":[],\"Resource\":\"*\"}", "not-action");
    tight("{\"Effect\":\"Allow\",\"Principal\":{\"Service\":\"ec2.amazonaws.com\"},\"Action\":\"sts:AssumeRole\"}");
    assert_string_equal(l.kind, "trust-policy");
    tight("{" KEY("kms:Encrypt", "") "}");
}

/* Every statement and every key of a large policy is tried, and an end is found. */
static void large_policies(void **unused)
{
    static char text[CS_POLICY_MAX];
    size_t n = (size_t)snprintf(text, sizeof text, "{\"Version\":\"2012-10-17\",\"Statement\":[" DECRYPT(""));

    for (int i = 0; i < 100; i++) {
        n += (size_t)snprintf(
            text + n, sizeof text - n,
            ",{" DENY_ALL
            "\"Action\":\"kms:Decrypt\",\"Resource\":\"*\",\"Condition\":{\"StringEquals\":{\"aws:PrincipalTag/"
            "a%d\":[\"x\",\"y\"],\"aws:PrincipalTag/b%d\":\"z\"}}}",
            i % 12, i % 7);
    }
    (void)snprintf(text + n, sizeof text - n, "]}");
    assert_int_equal(cs_policy_lint(&l, cs_slice_str(text)), CS_OK);
    assert_true(has("unconditioned-decrypt"));
}

static void refused(void **unused)
{
    static char big[CS_POLICY_MAX + 1];
    static const char *const bad[] = {"",
                                      "[]",
                                      "{}",
                                      "{\"Statement\":[]}",
                                      "{\"Statement\":[1]}",
                                      "{\"Statement\":{},\"Statement\":{}}",
                                      "{\"Policy\":\"x\"}"};

    static const char *const why[][2] = {
        {"{\n\"Statement\": [,]}", "no JSON, line 2"},
        {"{\"Policy\":\"x\"}", "the text of Policy is no JSON"},
        {"{\"Statement\":[]}", "Statement is missing, empty"},
        {"{\"Statement\":[{\"Effect\":\"Deny\"},1]}", "statement 2: it is no object"},
        {"{\"Statement\":{\"Effect\":\"allow\"}}", "statement 1: Effect is neither"},
        {"{\"Statement\":{\"Effect\":\"Allow\",\"NotAction\":1}}", "statement 1: NotAction is neither"},
        {"{\"Statement\":{\"Effect\":\"Allow\",\"Principal\":1}}", "statement 1: Principal"},
        {"{\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"a\",\"NotAction\":\"a\"}}", "both Action and NotAction"},
        {"{\"Statement\":{\"Effect\":\"Allow\",\"Condition\":[]}}", "Condition is no object"},
        {"{\"Statement\":{\"Effect\":\"Allow\",\"Condition\":{\"Bool\":1}}}", "Condition is not operators"},
    };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(cs_policy_lint(&l, cs_slice_str(bad[i])), CS_E_FORMAT);
    }
    assert_int_equal(lint("{\"Effect\":\"allow\",\"Action\":\"kms:Decrypt\"}"), CS_E_FORMAT);
    assert_int_equal(lint("{\"Effect\":\"Allow\",\"Action\":[1]}"), CS_E_FORMAT);
    assert_int_equal(lint("{\"Effect\":\"Allow\",\"Action\":\"a\",\"NotAction\":\"b\"}"), CS_E_FORMAT);
    assert_int_equal(lint("{\"Effect\":\"Allow\",\"Action\":\"a\",\"Principal\":1}"), CS_E_FORMAT);
    assert_int_equal(lint("{\"Effect\":\"Allow\",\"Action\":\"a\",\"Condition\":{\"Bool\":1}}"), CS_E_FORMAT);
    assert_int_equal(lint("{\"Effect\":\"Allow\",\"Action\":\"a\",\"Condition\":{\"Bool\":{\"k\":null}}}"),
                     CS_E_FORMAT);
    assert_int_equal(l.num, 0);
    for (size_t i = 0; i < sizeof why / sizeof why[0]; i++) {
        assert_int_equal(cs_policy_lint(&l, cs_slice_str(why[i][0])), CS_E_FORMAT);
        if (strstr(l.why, why[i][1]) == NULL) {
            fail_msg("%s: %s", why[i][0], l.why);
        }
    }
    assert_int_equal(cs_policy_lint(&l, cs_slice_of(big, sizeof big)), CS_E_TOO_LARGE);
}

static void codes_are_in_order(void **unused)
{
    const char *list[CS_PLINT_CODES];

    assert_int_equal(lint("{" KEY("kms:ReEncrypt*", "") "},{\"Effect\":\"Allow\"," ROOT
                                                        "\"Action\":\"kms:Decrypt\",\"Resource\":\"*\"}"),
                     CS_OK);
    assert_int_equal(cs_plint_codes(list, &l), 3);
    assert_string_equal(list[0], "root-delegation");
    assert_string_equal(list[1], "unconditioned-decrypt");
    assert_string_equal(list[2], "re-encrypt");
    assert_int_equal(l.possible, CS_PMAY_DECRYPT | CS_PMAY_REENCRYPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes),          cmocka_unit_test(conditions),
        cmocka_unit_test(unknown_keys),   cmocka_unit_test(deny_precedence),
        cmocka_unit_test(principals),     cmocka_unit_test(iam_policies),
        cmocka_unit_test(other_forms),    cmocka_unit_test(large_policies),
        cmocka_unit_test(refused),        cmocka_unit_test(codes_are_in_order),
        cmocka_unit_test(administrators),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
