/*
 * Property: for policies made at random, the linter says what the emulated KMS does. The emulator's engine (which knows nothing of the
 * linter) is asked with every caller, attestation and value that these policies can tell apart. POLICY_DIFF_RUNS, POLICY_DIFF_SEED.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "emulator/policy.h"
#include "tools/policy_lint.h"

#define A12 "a1a1a1a1a1a1"
#define B12 "b2b2b2b2b2b2"
#define PCR_A A12 A12 A12 A12 A12 A12 A12 A12
#define PCR_B B12 B12 B12 B12 B12 B12 B12 B12
#define ZERO24 "000000000000000000000000"
#define ZEROS ZERO24 ZERO24 ZERO24 ZERO24
#define E24 "eeeeeeeeeeeeeeeeeeeeeeee"
#define EEEE E24 E24 E24 E24
#define FRESH "ffff" E24 E24 E24 "eeeeeeeeeeeeeeeeeeee"
#define A_EEE "a" E24 E24 E24 "eeeeeeeeeeeeeeeeeeeeeee"
#define ATT "kms:RecipientAttestation:"
#define ONE "111111111111"
#define TWO "222222222222"
#define ROLE_A "arn:aws:iam::" ONE ":role/a"
#define ROLE_B "arn:aws:iam::" ONE ":role/b"
#define KEY "arn:aws:kms:us-east-1:" ONE ":key/1234abcd-12ab-34cd-56ef-1234567890ab"

static uint64_t seed;

static unsigned below(unsigned n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)((seed >> 33) % n);
}

#define PICK(list) list[below(sizeof list / sizeof list[0])]

static const char *const principals[] = {
    "\"*\"",
    "{\"AWS\":\"*\"}",
    "{\"AWS\":\"" ROLE_A "\"}",
    "{\"AWS\":\"" ROLE_A "\"}",
    "{\"AWS\":\"" ROLE_B "\"}",
    "{\"AWS\":[\"" ROLE_A "\",\"" ROLE_B "\"]}",
    "{\"AWS\":\"arn:aws:iam::" ONE ":root\"}",
    "{\"AWS\":\"" ONE "\"}",
    "{\"AWS\":\"arn:aws:iam::" TWO ":root\"}",
    "{\"AWS\":\"arn:aws:sts::" ONE ":assumed-role/a/s\"}",
};
static const char *const actions[] = {
    "\"kms:Decrypt\"",
    "\"kms:Decrypt\"",
    "\"KMS:de*\"",
    "\"kms:*\"",
    "\"*\"",
    "\"kms:Generate*\"",
    "\"kms:Create*\"",
    "\"kms:CreateGrant\"",
    "\"kms:ReEncrypt*\"",
    "\"kms:ReEncryptTo\"",
    "\"kms:?e*\"",
    "[\"kms:Decrypt\",\"kms:GenerateDataKey\",\"kms:ReEncryptFrom\"]",
    "\"kms:GenerateDataKey\"",
    "\"kms:Encrypt\"",
    "[\"kms:Decrypt\",\"kms:GenerateDataKey*\",\"kms:ReEncrypt*\",\"kms:DeriveSharedSecret\"]",
};
static const char *const operators[] = {
    "StringEquals",
    "StringEqualsIgnoreCase",
    "StringNotEqualsIgnoreCase",
    "StringNotEquals",
    "StringLike",
    "StringNotLike",
    "StringEqualsIfExists",
    "StringNotEqualsIfExists",
    "ForAnyValue:StringEquals",
    "ForAllValues:StringEquals",
    "ForAnyValue:StringNotEquals",
    "ForAllValues:StringNotEquals",
    "StringEqualsIgnoreCase",
    "StringNotEqualsIgnoreCase",
    "Null",
    "Null",
    "Bool",
    "ArnLike",
};
static const char *const keys[] = {
    ATT "ImageSha384",
    ATT "ImageSha384",
    ATT "PCR0",
    ATT "PCR1",
    ATT "PCR2",
    ATT "PCR3",
    ATT "pcr8",
    ATT "Os",
    "kms:CallerAccount",
    "aws:PrincipalArn",
    "kms:ViaService",
    "aws:SourceVpce",
    "kms:GrantIsForAWSResource",
    "kms:EncryptionContext:app",
    "kms:GrantOperations",
};
static const char *const values[] = {PCR_A, PCR_B,  PCR_A,   ZEROS,    "*",
                                     "a*",  ONE,    TWO,     ROLE_A,   "arn:aws:iam::" ONE ":role/*",
                                     "v1",  "true", "false", "Decrypt"};

/* Accounts only where a caller is named: who is foreign is what the text does not name. */
static const char *value_of(const char *key)
{
    static const char *const accounts[] = {ONE, TWO, "*"};
    const char *v = PICK(values);

    if (strstr(key, "CallerAccount") != NULL) {
        return PICK(accounts);
    }
    while (strstr(key, "PrincipalArn") == NULL && (strstr(v, ONE) != NULL || strstr(v, TWO) != NULL)) {
        v = PICK(values);
    }
    return v;
}

static void put_condition(char *out, size_t cap)
{
    const char *op = PICK(operators), *key = PICK(keys);
    size_t n = 0;

    if (strcmp(op, "Bool") == 0 && strstr(key, "CallerAccount") != NULL) {
        key = "kms:GrantIsForAWSResource"; /* an account is neither true nor false */
    }
    if (strcmp(op, "Null") == 0 || strcmp(op, "Bool") == 0) {
        (void)snprintf(out, cap, "\"%s\":{\"%s\":\"%s\"}", op, key, below(2) ? "true" : "false");
        return;
    }
    unsigned num = below(3) == 0 ? 2 : 1;
    n += (size_t)snprintf(out + n, cap - n, "\"%s\":{\"%s\":[", op, key);
    for (unsigned i = 0; i < num; i++) {
        n += (size_t)snprintf(out + n, cap - n, "%s\"%s\"", i > 0 ? "," : "", value_of(key));
    }
    (void)snprintf(out + n, cap - n, "]}");
}

static void put_statement(char *out, size_t cap, bool deny)
{
    char one[700] = "", two[700] = "";
    bool more = false;

    if (below(4) > 0) {
        put_condition(one, sizeof one);
        if (below(3) == 0) {
            put_condition(two, sizeof two);
            /* an operator twice is not JSON with unique names */
            more = strcspn(one, ":") != strcspn(two, ":") || strncmp(one, two, strcspn(one, "{")) != 0;
        }
    }
    (void)snprintf(out, cap, "{\"Effect\":\"%s\",\"%s\":%s,\"%s\":%s%s,\"Condition\":{%s%s%s}}",
                   deny ? "Deny" : "Allow", below(12) == 0 ? "NotPrincipal" : "Principal", PICK(principals),
                   below(8) == 0 ? "NotAction" : "Action", PICK(actions), below(20) == 0 ? "" : ",\"Resource\":\"*\"",
                   one, more ? "," : "", more ? two : "");
}

static void put_policy(char *out, size_t cap)
{
    unsigned num = 1 + below(4);
    size_t n = (size_t)snprintf(out, cap, "{\"Version\":\"2012-10-17\",\"Statement\":[");

    for (unsigned i = 0; i < num; i++) {
        if (i > 0) {
            n += (size_t)snprintf(out + n, cap - n, ",");
        }
        put_statement(out + n, cap - n, i > 0 && below(2) == 0);
        n += strlen(out + n);
    }
    (void)snprintf(out + n, cap - n, "]}");
}

/* Everybody that these policies can tell apart; their own IAM policies allow everything. */
static const cs_emu_principal callers[] = {
    {.arn = ROLE_A, .account = ONE, .iam_actions = "*"},
    {.arn = ROLE_A, .session_arn = "arn:aws:sts::" ONE ":assumed-role/a/s", .account = ONE, .iam_actions = "*"},
    {.arn = ROLE_B, .account = ONE, .iam_actions = "*"},
    {.arn = "arn:aws:iam::" ONE ":role/other", .account = ONE, .iam_actions = "*"},
    {.arn = "arn:aws:iam::" ONE ":root", .account = ONE, .iam_actions = "*"},
    {.arn = "arn:aws:iam::" TWO ":role/other", .account = TWO, .iam_actions = "*"},
    {.arn = "arn:aws:iam::" TWO ":root", .account = TWO, .iam_actions = "*"},
    {.arn = "arn:aws:iam::333333333333:role/other", .account = "333333333333", .iam_actions = "*"},
};

typedef enum state { NONE, DEBUG, OTHER } state;

typedef struct asked {
    const json_t *policy;
    const char *text;
    const cs_emu_principal *who;
    const char *action, *grant_op;
    state state;
} asked;

static cs_emu_context context;

static void give(const char *key, const char *value)
{
    if (value != NULL) {
        assert_int_equal(cs_emu_context_add(&context, key, cs_slice_str(value)), CS_OK);
    }
}

static void base_context(const asked *q)
{
    cs_emu_context_reset(&context);
    give("kms:CallerAccount", q->who->account);
    give("aws:PrincipalAccount", q->who->account);
    give("aws:PrincipalArn", q->who->arn);
    if (q->grant_op != NULL) {
        give("kms:GrantIsForAWSResource", "false");
        give("kms:GrantOperations", q->grant_op);
    }
}

static void attested_context(state s, const char *image, const char *pcr1, const char *pcr2, const char *pcr3)
{
    if (s == NONE) {
        return;
    }
    give(ATT "ImageSha384", image);
    give(ATT "PCR0", image);
    give(ATT "PCR1", pcr1);
    give(ATT "PCR2", pcr2);
    give(ATT "PCR3", pcr3);
}

static const char *const free_values[] = {NULL,
                                          FRESH,
                                          EEEE,
                                          PCR_A,
                                          PCR_B,
                                          ZEROS,
                                          A_EEE,
                                          ONE,
                                          TWO,
                                          ROLE_A,
                                          "arn:aws:iam::" ONE ":role/",
                                          "v1",
                                          "true",
                                          "false",
                                          "Decrypt",
                                          "a",
                                          "a*",
                                          "*",
                                          "arn:aws:iam::" ONE ":role/*"};
#define NUM_FREE (sizeof free_values / sizeof free_values[0])

static bool mentions(const asked *q, const char *key)
{
    return strstr(q->text, key) != NULL;
}

static size_t choices(const asked *q, const char *key)
{
    return mentions(q, key) ? NUM_FREE : 1;
}

/* With every value of the keys that a caller chooses. */
static bool with_free_keys(const asked *q)
{
    cs_emu_query e = {q->who, q->action, KEY, &context};
    size_t num = context.num, used = context.used;
    bool foreign = strstr(q->text, q->who->account) == NULL;
    size_t vpces = foreign && choices(q, "SourceVpce") > 1 ? 2 : choices(q, "SourceVpce");

    for (size_t v = 0; v < choices(q, "ViaService"); v++) {
        for (size_t p = 0; p < vpces; p++) {
            for (size_t c = 0; c < choices(q, "EncryptionContext"); c++) {
                context.num = num;
                context.used = used;
                give("kms:ViaService", free_values[v]);
                /* a foreigner has no place that the policy lists, but can make one that a pattern does */
                give("aws:SourceVpce", free_values[p]);
                give("kms:EncryptionContext:app", free_values[c]);
                if (cs_emu_policy_eval(q->policy, &e).verdict == CS_EMU_ALLOWED) {
                    return true;
                }
            }
        }
    }
    return false;
}

static bool attested_values(const asked *q)
{
    static const char *const images[] = {FRESH, EEEE, A_EEE}, *const roles[] = {FRESH, ZEROS, PCR_A,
                                                                                PCR_B, EEEE,  A_EEE};
    static const char *const signers[] = {FRESH, ZEROS, EEEE, A_EEE};
    size_t num_images = q->state == OTHER ? 3 : 1, num_signers = q->state == OTHER && mentions(q, "pcr8") ? 4 : 1;

    for (size_t i = 0; i < num_images * num_images * num_images; i++) {
        for (size_t r = 0; r < (mentions(q, "PCR3") ? 6u : 1u); r++) {
            for (size_t s = 0; s < num_signers; s++) {
                base_context(q);
                attested_context(q->state, q->state == DEBUG ? ZEROS : images[i % 3],
                                 q->state == DEBUG ? ZEROS : images[i / 3 % 3],
                                 q->state == DEBUG ? ZEROS : images[i / 9], roles[r]);
                give(ATT "PCR8", q->state == DEBUG ? ZEROS : signers[s]);
                if (with_free_keys(q)) {
                    return true;
                }
            }
        }
    }
    return false;
}

static bool succeeds(const asked *q)
{
    if (q->state == NONE) {
        base_context(q);
        return with_free_keys(q);
    }
    return attested_values(q);
}

/* What the engine lets through: CS_PMAY_* */
static unsigned tried(const json_t *policy, const char *text)
{
    static const struct {
        const char *action, *grant_op;
        unsigned bit;
    } asks[] = {
        {"kms:Decrypt", NULL, CS_PMAY_DECRYPT},          {"kms:DeriveSharedSecret", NULL, CS_PMAY_DECRYPT},
        {"kms:GenerateDataKey", NULL, CS_PMAY_DATA_KEY}, {"kms:GenerateDataKeyPair", NULL, CS_PMAY_DATA_KEY},
        {"kms:CreateGrant", "Decrypt", CS_PMAY_GRANT},   {"kms:CreateGrant", "GenerateDataKey", CS_PMAY_GRANT},
        {"kms:ReEncryptFrom", NULL, CS_PMAY_REENCRYPT},
    };
    unsigned bits = 0;

    for (size_t w = 0; w < sizeof callers / sizeof callers[0]; w++) {
        for (size_t i = 0; i < sizeof asks / sizeof asks[0]; i++) {
            asked q = {policy, text, &callers[w], asks[i].action, asks[i].grant_op, NONE};
            bits |= (bits & asks[i].bit) == 0 && succeeds(&q) ? asks[i].bit : 0;
            for (q.state = DEBUG; i < 4 && q.state <= OTHER; q.state++) {
                unsigned bit = q.state == DEBUG ? CS_PMAY_DEBUG : CS_PMAY_OTHER_IMAGE;
                bits |= (bits & bit) == 0 && succeeds(&q) ? bit : 0;
            }
        }
    }
    return bits;
}

static void compare(const char *text)
{
    static cs_plint l;
    const unsigned direct = CS_PMAY_DECRYPT | CS_PMAY_DATA_KEY | CS_PMAY_GRANT | CS_PMAY_REENCRYPT;
    const unsigned open = CS_PMAY_DECRYPT | CS_PMAY_DATA_KEY;
    json_t *policy = NULL;
    const char *why = NULL;

    if (cs_emu_policy_read(&policy, cs_slice_str(text), CS_EMU_KEY_POLICY, &why) != CS_OK) {
        fail_msg("%s: %s", why, text);
    }
    assert_int_equal(cs_policy_lint(&l, cs_slice_str(text)), CS_OK);
    unsigned real = tried(policy, text), said = l.possible;
    json_decref(policy);
    /* where no attestation is needed, the linter does not ask further */
    bool same = (real & direct) == (said & direct) && ((said & CS_PMAY_DEBUG & ~real) == 0) &&
                ((said & CS_PMAY_OTHER_IMAGE & ~real) == 0) &&
                ((real & (open | CS_PMAY_DEBUG)) != 0) == ((said & (open | CS_PMAY_DEBUG)) != 0) &&
                ((real & (open | CS_PMAY_OTHER_IMAGE)) != 0) == ((said & (open | CS_PMAY_OTHER_IMAGE)) != 0);
    if (!same) {
        fail_msg("engine %02x, linter %02x: %s", real, said, text);
    }
    if (real != 0 && l.holes == 0) {
        fail_msg("engine %02x, no hole: %s", real, text);
    }
}

static void linter_and_engine_agree(void **unused)
{
    const char *runs = getenv("POLICY_DIFF_RUNS"), *from = getenv("POLICY_DIFF_SEED");
    static char text[16384];
    unsigned long num = runs != NULL ? strtoul(runs, NULL, 10) : 60;
    unsigned long first = from != NULL ? strtoul(from, NULL, 10) : 1;

    for (unsigned long i = 0; i < num; i++) {
        seed = (first + i) * 0x9e3779b97f4a7c15u;
        put_policy(text, sizeof text);
        compare(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(linter_and_engine_agree)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
