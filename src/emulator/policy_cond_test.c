/* Every condition operator, by table: whether a statement with that Condition allows, given the values of one key. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "emulator/policy.h"

#define ROLE "arn:aws:iam::123456789012:role/enclave-host"

static const cs_emu_principal who = {.arn = ROLE, .account = "123456789012", .iam_actions = ""};

typedef struct row {
    const char *op;
    const char *want;   /* JSON */
    const char *got[3]; /* values of the key in the request; none: it is missing */
    bool allows;
} row;

static cs_err parse(json_t **p, const char *condition, const char *version)
{
    char text[2048];
    snprintf(text, sizeof text,
             "{\"Version\":\"%s\",\"Statement\":{\"Sid\":\"s\",\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"" ROLE
             "\"},\"Action\":\"kms:Decrypt\",\"Resource\":\"*\",\"Condition\":%s}}",
             version, condition);
    return cs_emu_policy_parse(p, cs_slice_str(text));
}

static bool allows(const char *condition, const char *key, const char *const *got, const char *version)
{
    static cs_emu_context c;
    json_t *p = NULL;
    cs_emu_context_reset(&c);
    assert_int_equal(cs_emu_context_add(&c, "aws:PrincipalAccount", cs_slice_str("123456789012")), CS_OK);
    assert_int_equal(cs_emu_context_add(&c, "kms:EncryptionContext:star", cs_slice_str("a*")), CS_OK);
    for (size_t i = 0; i < 3 && got[i] != NULL; i++) {
        assert_int_equal(cs_emu_context_add(&c, key, cs_slice_str(got[i])), CS_OK);
    }
    if (parse(&p, condition, version) != CS_OK) {
        fail_msg("not a policy: %s", condition);
    }
    cs_emu_query q = {&who, "kms:Decrypt", "arn:aws:kms:us-east-1:123456789012:key/k", &c};
    bool yes = cs_emu_policy_eval(p, &q).verdict == CS_EMU_ALLOWED;
    json_decref(p);
    return yes;
}

static void check(const row *rows, size_t num)
{
    for (size_t i = 0; i < num; i++) {
        char condition[1024];
        snprintf(condition, sizeof condition, "{\"%s\":{\"Test:Key\":%s}}", rows[i].op, rows[i].want);
        if (allows(condition, "test:key", rows[i].got, "2012-10-17") != rows[i].allows) {
            fail_msg("row %zu: %s with %s", i, condition, rows[i].got[0] != NULL ? rows[i].got[0] : "(missing)");
        }
    }
}

#define CHECK(rows) check(rows, sizeof(rows) / sizeof((rows)[0]))
#define NOTHING                                                                                                        \
    {                                                                                                                  \
        NULL                                                                                                           \
    }

static void strings(void **state)
{
    static const row rows[] = {
        {"StringEquals", "\"a\"", {"a"}, true},
        {"StringEquals", "\"a\"", {"A"}, false},
        {"StringEquals", "\"a*\"", {"ab"}, false},
        {"StringEquals", "[\"x\",\"a\"]", {"a"}, true},
        {"StringEquals", "\"a\"", NOTHING, false},
        {"StringNotEquals", "\"a\"", {"b"}, true},
        {"StringNotEquals", "\"a\"", {"a"}, false},
        {"StringNotEquals", "[\"a\",\"b\"]", {"b"}, false},
        {"StringNotEquals", "\"a\"", NOTHING, true},
        {"StringEqualsIgnoreCase", "\"aB\"", {"Ab"}, true},
        {"StringEqualsIgnoreCase", "\"a\"", {"b"}, false},
        {"StringNotEqualsIgnoreCase", "\"aB\"", {"Ab"}, false},
        {"StringNotEqualsIgnoreCase", "\"aB\"", {"x"}, true},
        {"StringLike", "\"a*z?\"", {"abczd"}, true},
        {"StringLike", "\"a*z?\"", {"abcz"}, false},
        {"StringLike", "\"A*\"", {"abc"}, false},
        {"StringNotLike", "\"a*\"", {"abc"}, false},
        {"StringNotLike", "\"a*\"", {"bc"}, true},
        {"StringNotLike", "\"a*\"", NOTHING, true},
        {"StringEqualsIfExists", "\"a\"", NOTHING, true},
        {"StringEqualsIfExists", "\"a\"", {"b"}, false},
        {"StringNotEqualsIfExists", "\"a\"", NOTHING, true},
        {"StringEquals", "12", {"12"}, true},
        {"StringEquals", "true", {"true"}, true},
        {"stringequals", "\"a\"", {"a"}, true},
        {"BinaryEquals", "\"QmluYXJ5\"", {"QmluYXJ5"}, true},
        {"BinaryEquals", "\"QmluYXJ5\"", {"qmluyxj5"}, false},
    };
    CHECK(rows);
}

static void booleans_and_presence(void **state)
{
    static const row rows[] = {
        {"Bool", "true", {"true"}, true},
        {"Bool", "\"TRUE\"", {"true"}, true},
        {"Bool", "\"true\"", {"false"}, false},
        {"Bool", "\"false\"", NOTHING, false},
        {"BoolIfExists", "\"false\"", NOTHING, true},
        {"Null", "\"true\"", NOTHING, true},
        {"Null", "\"true\"", {"x"}, false},
        {"Null", "false", {"x"}, true},
        {"Null", "false", NOTHING, false},
    };
    CHECK(rows);
}

static void numbers(void **state)
{
    static const row rows[] = {
        {"NumericEquals", "7", {"7"}, true},
        {"NumericEquals", "\"7.0\"", {"7"}, true},
        {"NumericEquals", "7", {"8"}, false},
        {"NumericEquals", "7", {"seven"}, false},
        {"NumericNotEquals", "7", {"8"}, true},
        {"NumericNotEquals", "7", {"7"}, false},
        {"NumericNotEquals", "7", NOTHING, true},
        {"NumericLessThan", "7", {"6"}, true},
        {"NumericLessThan", "7", {"7"}, false},
        {"NumericLessThanEquals", "7", {"7"}, true},
        {"NumericLessThanEquals", "7", {"8"}, false},
        {"NumericGreaterThan", "7", {"8"}, true},
        {"NumericGreaterThan", "7", {"7"}, false},
        {"NumericGreaterThanEquals", "7", {"7"}, true},
        {"NumericGreaterThanEquals", "7", {"6"}, false},
        {"NumericLessThanIfExists", "7", NOTHING, true},
        {"NumericLessThan", "7", {"0x1"}, false},
        {"NumericLessThan", "7", {"nan"}, false},
    };
    CHECK(rows);
}

static void dates(void **state)
{
    static const row rows[] = {
        {"DateEquals", "\"2026-01-02T03:04:05Z\"", {"2026-01-02T03:04:05Z"}, true},
        {"DateEquals", "1767323045", {"2026-01-02T03:04:05Z"}, true},
        {"DateNotEquals", "\"2026-01-02\"", {"2026-01-02T00:00:00Z"}, false},
        {"DateNotEquals", "\"2026-01-02\"", {"2026-01-02T00:00:01Z"}, true},
        {"DateLessThan", "\"2026-01-02T03:04Z\"", {"2026-01-02T03:03:59Z"}, true},
        {"DateLessThan", "\"2026-01-02\"", {"2026-01-02T00:00:00Z"}, false},
        {"DateLessThanEquals", "\"2026-01-02\"", {"2026-01-02T00:00:00Z"}, true},
        {"DateGreaterThan", "\"2026-01-02\"", {"2026-01-03"}, true},
        {"DateGreaterThan", "\"2026-01-02\"", NOTHING, false},
        {"DateGreaterThanEquals", "\"2026-01-02\"", {"2026-01-01T23:59:59Z"}, false},
        {"DateGreaterThanEquals", "\"2026-01-02\"", {"soon"}, false},
    };
    CHECK(rows);
}

static void addresses(void **state)
{
    static const row rows[] = {
        {"IpAddress", "\"127.0.0.0/8\"", {"127.0.0.1"}, true},
        {"IpAddress", "\"127.0.0.1\"", {"127.0.0.1"}, true},
        {"IpAddress", "\"10.0.0.0/8\"", {"127.0.0.1"}, false},
        {"IpAddress", "[\"10.0.0.0/8\",\"0.0.0.0/0\"]", {"127.0.0.1"}, true},
        {"IpAddress", "\"203.0.113.128/25\"", {"203.0.113.127"}, false},
        {"IpAddress", "\"2001:db8::/32\"", {"2001:db8::7"}, true},
        {"IpAddress", "\"::/0\"", {"127.0.0.1"}, false},
        {"IpAddress", "\"127.0.0.0/8\"", {"localhost"}, false},
        {"NotIpAddress", "\"127.0.0.0/8\"", {"127.0.0.1"}, false},
        {"NotIpAddress", "\"10.0.0.0/8\"", {"127.0.0.1"}, true},
        {"NotIpAddress", "\"10.0.0.0/8\"", NOTHING, true},
    };
    CHECK(rows);
}

static void arns(void **state)
{
    static const row rows[] = {
        {"ArnEquals", "\"" ROLE "\"", {ROLE}, true},
        {"ArnEquals", "\"arn:aws:iam::123456789012:role/*\"", {ROLE}, true},
        {"ArnLike", "\"arn:aws:iam::*:role/enclave-?ost\"", {ROLE}, true},
        {"ArnLike", "\"arn:*:role/enclave-host\"", {ROLE}, false}, /* a wildcard stays in its part */
        {"ArnLike", "\"arn:aws:iam::210987654321:role/*\"", {ROLE}, false},
        {"ArnLike", "\"arn:aws:iam::123456789012:role/*\"", {"no arn"}, false},
        {"ArnNotEquals", "\"" ROLE "\"", {ROLE}, false},
        {"ArnNotLike", "\"arn:aws:iam::123456789012:user/*\"", {ROLE}, true},
        {"ArnNotLike", "\"arn:aws:iam::123456789012:user/*\"", NOTHING, true},
        {"ArnLikeIfExists", "\"arn:aws:iam::123456789012:user/*\"", NOTHING, true},
    };
    CHECK(rows);
}

static void sets(void **state)
{
    static const row rows[] = {
        {"ForAnyValue:StringEquals", "[\"a\",\"b\"]", {"b", "z"}, true},
        {"ForAnyValue:StringEquals", "[\"a\",\"b\"]", {"y", "z"}, false},
        {"ForAnyValue:StringEquals", "\"a\"", NOTHING, false},
        {"ForAnyValue:StringNotEquals", "\"a\"", {"a", "z"}, true},
        {"ForAnyValue:StringNotEquals", "\"a\"", {"a", "a"}, false},
        {"ForAnyValue:StringNotEquals", "\"a\"", NOTHING, false},
        {"ForAllValues:StringEquals", "[\"a\",\"b\"]", {"b", "a"}, true},
        {"ForAllValues:StringEquals", "[\"a\",\"b\"]", {"b", "z"}, false},
        {"ForAllValues:StringEquals", "\"a\"", NOTHING, true}, /* vacuous, as IAM warns */
        {"ForAllValues:StringNotEquals", "\"a\"", {"b", "z"}, true},
        {"ForAllValues:StringNotEquals", "\"a\"", {"b", "a"}, false},
        {"ForAllValues:StringLike", "\"a*\"", {"ab", "ac"}, true},
        {"ForAnyValue:StringLikeIfExists", "\"a*\"", NOTHING, true},
        {"StringEquals", "\"a\"", {"b", "a"}, true},     /* one of the values */
        {"StringNotEquals", "\"a\"", {"b", "a"}, false}, /* none of the values */
    };
    CHECK(rows);
}

static void variables_are_replaced_in_the_newer_version(void **state)
{
    static const char *const self[] = {"123456789012", NULL}, *const star[] = {"abc", NULL},
                             *const lit[] = {"a*", NULL}, *const raw[] = {"${aws:PrincipalAccount}", NULL};
    const char *var = "{\"StringEquals\":{\"test:key\":\"${aws:PrincipalAccount}\"}}";
    assert_true(allows(var, "test:key", self, "2012-10-17"));
    assert_false(allows(var, "test:key", self, "2008-10-17"));
    assert_true(allows(var, "test:key", raw, "2008-10-17"));
    assert_false(allows("{\"StringEquals\":{\"test:key\":\"${no:such}\"}}", "test:key", self, "2012-10-17"));
    /* a value's wildcard is no wildcard */
    assert_false(
        allows("{\"StringLike\":{\"test:key\":\"${kms:EncryptionContext:star}\"}}", "test:key", star, "2012-10-17"));
    assert_true(
        allows("{\"StringLike\":{\"test:key\":\"${kms:EncryptionContext:star}\"}}", "test:key", lit, "2012-10-17"));
    assert_true(allows("{\"StringEquals\":{\"test:key\":\"a${*}\"}}", "test:key", lit, "2012-10-17"));
}

static void malformed_conditions_are_refused(void **state)
{
    static const char *const bad[] = {
        "[]",
        "{\"StringMatches\":{\"k\":\"v\"}}",
        "{\"StringEquals\":\"v\"}",
        "{\"StringEquals\":{\"k\":{}}}",
        "{\"StringEquals\":{\"k\":null}}",
        "{\"StringEquals\":{\"k\":[]}}",
        "{\"StringEquals\":{\"k\":[[\"v\"]]}}",
        "{\"StringEquals\":{\"\":\"v\"}}",
        "{\"StringEquals\":{\"k\":\"a\\u0001b\"}}",
        "{\"NullIfExists\":{\"k\":\"true\"}}",
        "{\"ForAllValues:Null\":{\"k\":\"true\"}}",
        "{\"ForSomeValues:StringEquals\":{\"k\":\"true\"}}",
        "{\"IfExists\":{\"k\":\"true\"}}",
        "{\"NumericEquals\":{\"k\":\"seven\"}}",
        "{\"NumericEquals\":{\"k\":\"1e999\"}}",
        "{\"DateLessThan\":{\"k\":\"tomorrow\"}}",
        "{\"IpAddress\":{\"k\":\"10.0.0.0/33\"}}",
        "{\"IpAddress\":{\"k\":\"10.0.0\"}}",
        "{\"Bool\":{\"k\":\"yes\"}}",
    };
    json_t *p = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (parse(&p, bad[i], "2012-10-17") != CS_E_FORMAT) {
            fail_msg("taken: %s", bad[i]);
        }
    }
    assert_int_equal(parse(&p, "{}", "2012-10-17"), CS_OK);
    json_decref(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings),
        cmocka_unit_test(booleans_and_presence),
        cmocka_unit_test(numbers),
        cmocka_unit_test(dates),
        cmocka_unit_test(addresses),
        cmocka_unit_test(arns),
        cmocka_unit_test(sets),
        cmocka_unit_test(variables_are_replaced_in_the_newer_version),
        cmocka_unit_test(malformed_conditions_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
