/*
 * Properties: under the emulated KMS's own engine a written policy lets exactly its releases through, whole, for its roles; editing it comes
 * to the same as writing it anew; differences are those of diff -u.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "emulator/policy.h"
#include "tools/line_diff.h"
#include "tools/policy_edit.h"
#include "tools/policy_lint.h"
#include "tools/policy_make.h"

#define ACCOUNT "123456789012"
#define ROLE "arn:aws:iam::" ACCOUNT ":role/host"
#define ADMIN "arn:aws:iam::" ACCOUNT ":role/admin"
#define KEY "arn:aws:kms:us-east-1:" ACCOUNT ":key/1234abcd-12ab-34cd-56ef-1234567890ab"
#define ATT "kms:RecipientAttestation:"

static const unsigned pcrs[] = {0, 1, 2, 3, 8};

static cs_pcr value(unsigned v)
{
    cs_pcr p;

    memset(p.b, (int)v, sizeof p.b);
    return p;
}

/* A release by one digit for each of PCR0, 1, 2, 3, 8; '.' is not bound. */
static cs_release release(const char *digits)
{
    cs_release r = {.mask = 0};

    for (size_t i = 0; digits[i] != '\0'; i++) {
        cs_pcr v = value((unsigned)(digits[i] - '0'));
        if (digits[i] != '.') {
            assert_int_equal(cs_release_bind(&r, pcrs[i], &v), CS_OK);
        }
    }
    return r;
}

static cs_policy_plan plan_of(const char *const *digits, size_t num)
{
    cs_policy_plan p = {.partition = "aws", .account = ACCOUNT, .roles = {ROLE}, .num_roles = 1, .admin_role = ADMIN};

    for (size_t i = 0; i < num; i++) {
        p.releases[p.num_releases++] = release(digits[i]);
    }
    return p;
}

static bool allowed(const json_t *policy, const char *arn, const char *action, const char *digits)
{
    static cs_emu_context context;
    const cs_emu_principal who = {.arn = arn, .account = ACCOUNT, .iam_actions = "*"};
    const cs_emu_query q = {&who, action, KEY, &context};
    char hex[2 * CS_PCR_LEN + 1], name[64];

    cs_emu_context_reset(&context);
    for (size_t i = 0; digits != NULL && digits[i] != '\0'; i++) {
        cs_pcr v = value((unsigned)(digits[i] - '0'));
        cs_hex_encode(hex, cs_slice_of(v.b, sizeof v.b));
        (void)snprintf(name, sizeof name, ATT "PCR%u", pcrs[i]);
        assert_int_equal(cs_emu_context_add(&context, name, cs_slice_str(hex)), CS_OK);
        if (i == 0) {
            assert_int_equal(cs_emu_context_add(&context, ATT "ImageSha384", cs_slice_str(hex)), CS_OK);
        }
    }
    return cs_emu_policy_eval(policy, &q).verdict == CS_EMU_ALLOWED;
}

/* As KMS reads it: from text. */
static json_t *stored(json_t *policy)
{
    char *text = json_dumps(policy, JSON_INDENT(2));
    json_t *out = NULL;
    const char *why = NULL;

    assert_non_null(text);
    assert_true(strlen(text) <= CS_KEY_POLICY_MAX);
    if (cs_emu_policy_parse(&out, cs_slice_str(text)) != CS_OK) {
        fail_msg("%s", why != NULL ? why : text);
    }
    free(text);
    return out;
}

static bool listed(const cs_policy_plan *p, const char *digits)
{
    cs_release have = release(digits);

    for (size_t i = 0; i < p->num_releases; i++) {
        bool same = true;
        for (size_t k = 0; k < 5; k++) {
            const cs_release *r = &p->releases[i];
            unsigned n = pcrs[k];
            same = same && ((r->mask >> n & 1) == 0 || memcmp(&r->pcr[n], &have.pcr[n], CS_PCR_LEN) == 0);
        }
        if (same) {
            return true;
        }
    }
    return false;
}

/* Every combination of three values for each PCR; root: any IAM policy of the account allows everything. */
static void only_its_releases(const cs_policy_plan *plan)
{
    json_t *made = cs_policy_key(plan), *policy;
    char digits[6];

    assert_int_equal(cs_policy_plan_check(plan), CS_OK);
    policy = stored(made);
    for (unsigned k = 0; k < 243; k++) {
        (void)snprintf(digits, sizeof digits, "%u%u%u%u%u", 1 + k % 3, 1 + k / 3 % 3, 1 + k / 9 % 3, 1 + k / 27 % 3,
                       1 + k / 81);
        if (allowed(policy, ROLE, "kms:Decrypt", digits) != listed(plan, digits)) {
            fail_msg("%s", digits);
        }
        if (plan->root_delegation && allowed(policy, ADMIN, "kms:Decrypt", digits) && !listed(plan, digits)) {
            fail_msg("%s by another role", digits);
        }
        assert_int_equal(allowed(policy, ROLE, "kms:GenerateDataKey", digits),
                         (plan->data_keys || plan->root_delegation) && listed(plan, digits));
    }
    assert_false(allowed(policy, ROLE, "kms:Decrypt", NULL));
    assert_false(allowed(policy, ROLE, "kms:Decrypt", "00000"));
    assert_false(allowed(policy, ROLE, "kms:ReEncryptFrom", NULL));
    assert_false(allowed(policy, ADMIN, "kms:ReEncryptFrom", NULL));
    assert_false(allowed(policy, ADMIN, "kms:CreateGrant", NULL));
    assert_true(allowed(policy, ADMIN, "kms:PutKeyPolicy", NULL));
    assert_int_equal(allowed(policy, ROLE, "kms:PutKeyPolicy", NULL), plan->root_delegation);
    json_decref(policy);
    json_decref(made);
}

static void releases_and_nothing_else(void **unused)
{
    static const char *const one[] = {"111"}, *const two[] = {"111", "222"}, *const cross[] = {"111", "212", "221"};
    static const char *const more[] = {"11111", "11122", "22211", "33333"}, *const mixed[] = {"1", "222.1", "31111"};
    static const struct {
        const char *const *digits;
        size_t num;
    } sets[] = {{one, 1}, {two, 2}, {cross, 3}, {more, 4}, {mixed, 3}};

    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
        cs_policy_plan p = plan_of(sets[i].digits, sets[i].num);
        only_its_releases(&p);
        p.data_keys = true;
        only_its_releases(&p);
        p.root_delegation = true; /* the Deny statements hold by themselves */
        only_its_releases(&p);
    }
}

static void plans_are_checked(void **unused)
{
    static const char *const twice[] = {"111", "111"}, *const differently[] = {"111", "11111"},
                             *const same_image[] = {"11111", "11121"};
    cs_policy_plan p = plan_of(twice, 2);

    assert_int_equal(cs_policy_plan_check(&p), CS_E_EXISTS);
    p = plan_of(differently, 2);
    assert_int_equal(cs_policy_plan_check(&p), CS_E_FORMAT);
    p = plan_of(same_image, 2);
    assert_int_equal(cs_policy_plan_check(&p), CS_OK);
    p = plan_of(twice, 0);
    assert_int_equal(cs_policy_plan_check(&p), CS_E_USAGE);
    p.debug = true;
    assert_int_equal(cs_policy_plan_check(&p), CS_OK);
    json_t *made = cs_policy_key(&p), *policy = stored(made);
    assert_true(allowed(policy, ROLE, "kms:Decrypt", "00000"));
    assert_false(allowed(policy, ROLE, "kms:Decrypt", "11111"));
    assert_false(allowed(policy, ROLE, "kms:Decrypt", NULL));
    json_decref(policy);
    json_decref(made);
}

static void sixteen_releases_fit(void **unused)
{
    cs_policy_plan p = plan_of(NULL, 0);

    for (unsigned i = 0; i < CS_RELEASE_MAX; i++) {
        cs_release r = {.mask = 0};
        for (unsigned k = 0; k < 3; k++) {
            cs_pcr v = value(1 + i * 3 + k);
            assert_int_equal(cs_release_bind(&r, k, &v), CS_OK);
        }
        p.releases[p.num_releases++] = r;
    }
    json_t *made = cs_policy_key(&p);
    char *text = json_dumps(made, JSON_COMPACT);
    assert_non_null(text);
    assert_true(strlen(text) <= CS_KEY_POLICY_MAX);
    free(text);
    json_decref(made);
}

static json_t *statements_sorted(json_t *policy)
{
    json_t *by_sid = json_object(), *st;
    size_t i;

    json_array_foreach(json_object_get(policy, "Statement"), i, st)
    {
        (void)json_object_set(by_sid, json_string_value(json_object_get(st, "Sid")), st);
    }
    assert_int_equal(json_object_size(by_sid), json_array_size(json_object_get(policy, "Statement")));
    return by_sid;
}

static void equal_policies(json_t *a, json_t *b)
{
    json_t *x = statements_sorted(a), *y = statements_sorted(b);

    assert_true(json_equal(x, y));
    json_decref(x);
    json_decref(y);
}

static void editing_is_writing_anew(void **unused)
{
    static const char *const one[] = {"111"}, *const three[] = {"111", "212", "221"};
    cs_policy_plan p1 = plan_of(one, 1), p3 = plan_of(three, 3);
    json_t *policy = cs_policy_key(&p1), *want = cs_policy_key(&p3), *before = json_deep_copy(policy);

    assert_int_equal(cs_policy_add_release(policy, &p3.releases[1]), CS_OK);
    assert_int_equal(cs_policy_add_release(policy, &p3.releases[2]), CS_OK);
    equal_policies(policy, want);
    assert_int_equal(cs_policy_add_release(policy, &p3.releases[2]), CS_E_EXISTS);
    cs_release image = {.mask = 0};
    cs_pcr v = value(2);
    assert_int_equal(cs_release_bind(&image, 0, &v), CS_OK); /* PCR0 alone: both of them */
    assert_int_equal(cs_policy_remove_release(policy, &image), CS_OK);
    equal_policies(policy, before);
    assert_int_equal(cs_policy_remove_release(policy, &image), CS_E_POLICY_NO_RELEASE);
    assert_int_equal(cs_policy_remove_release(policy, &p3.releases[0]), CS_E_POLICY_LAST_RELEASE);
    json_decref(policy);
    json_decref(want);
    json_decref(before);
}

/* The guide's policy: a list of images, and a Deny of somebody's own. */
static void policies_of_others(void **unused)
{
    char hex[3][97], text[4096];
    cs_release r[3];

    for (unsigned i = 0; i < 3; i++) {
        cs_pcr v = value(i + 1);
        r[i] = (cs_release){.mask = 0};
        assert_int_equal(cs_release_bind(&r[i], 0, &v), CS_OK);
        cs_hex_encode(hex[i], cs_slice_of(v.b, sizeof v.b));
    }
    (void)snprintf(
        text, sizeof text,
        "{\"Statement\":[{\"Sid\":\"a\",\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"" ROLE
        "\"},\"Action\":\"kms:Decrypt\","
        "\"Resource\":\"*\",\"Condition\":{\"StringEqualsIgnoreCase\":{\"" ATT "ImageSha384\":[\"%s\",\"%s\"]}}},"
        "{\"Effect\":\"Deny\",\"Principal\":\"*\",\"Action\":\"kms:Decrypt\",\"Resource\":\"*\",\"Condition\":{"
        "\"StringNotEquals\":{\"" ATT "PCR0\":[\"%s\",\"%s\"]}}},{\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"" ADMIN
        "\"},\"Action\":\"kms:Put*\",\"Resource\":\"*\"}]}",
        hex[0], hex[1], hex[0], hex[1]);
    json_t *policy = json_loads(text, 0, NULL), *p;
    assert_non_null(policy);
    assert_int_equal(cs_policy_add_release(policy, &r[1]), CS_E_EXISTS);
    assert_int_equal(cs_policy_add_release(policy, &r[2]), CS_OK);
    assert_int_equal(cs_policy_remove_release(policy, &r[0]), CS_OK);
    p = stored(policy);
    assert_false(allowed(p, ROLE, "kms:Decrypt", "1"));
    assert_true(allowed(p, ROLE, "kms:Decrypt", "2"));
    assert_true(allowed(p, ROLE, "kms:Decrypt", "3"));
    assert_false(allowed(p, ROLE, "kms:Decrypt", NULL));
    json_decref(p);
    assert_int_equal(cs_policy_remove_release(policy, &r[1]), CS_OK);
    assert_int_equal(cs_policy_remove_release(policy, &r[2]), CS_E_POLICY_LAST_RELEASE);
    json_decref(policy);
    policy = json_loads(
        "{\"Statement\":{\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":\"kms:Decrypt\",\"Resource\":\"*\"}}", 0,
        NULL);
    assert_int_equal(cs_policy_add_release(policy, &r[0]), CS_E_POLICY_NO_RELEASE);
    assert_int_equal(cs_policy_remove_release(policy, &r[0]), CS_E_POLICY_NO_RELEASE);
    json_decref(policy);
}

static void releases_as_text(void **unused)
{
    char text[800], zeros[97];
    cs_release r;

    memset(zeros, '0', 96);
    zeros[96] = '\0';
    char a[97];
    memset(a, 'A', 96);
    a[96] = '\0';
    assert_int_equal(cs_release_parse(&r, a), CS_OK);
    assert_int_equal(r.mask, 1);
    (void)snprintf(text, sizeof text, "%s:%s:%s:PCR3=%s:PCR8=%s", a, a, a, a, a);
    assert_int_equal(cs_release_parse(&r, text), CS_OK);
    assert_int_equal(r.mask, 0x10f);
    (void)snprintf(text, sizeof text, "PCR0=%s:PCR2=%s", a, a);
    assert_int_equal(cs_release_parse(&r, text), CS_OK);
    assert_int_equal(r.mask, 5);
    static const char *const bad[] = {"%s:",         "%s:%s:%s:%s", ":%s", "PCR1=%s",
                                      "PCR16=%s:%s", "PCR0%s",      "%s1", "PCR01=%s"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char form[64], *p;
        (void)snprintf(form, sizeof form, "%s", bad[i]);
        text[0] = '\0';
        for (p = form; *p != '\0'; p++) {
            size_t n = strlen(text);
            if (p[0] == '%' && p[1] == 's') {
                (void)snprintf(text + n, sizeof text - n, "%s", a);
                p++;
            } else {
                (void)snprintf(text + n, sizeof text - n, "%c", *p);
            }
        }
        if (cs_release_parse(&r, text) != CS_E_FORMAT) {
            fail_msg("%s", bad[i]);
        }
    }
    (void)snprintf(text, sizeof text, "%s:%s:%s", a, zeros, a);
    assert_int_equal(cs_release_parse(&r, text), CS_E_ATT_DEBUG);
    (void)snprintf(text, sizeof text, "PCR0=%s:PCR0=%s1", a, zeros + 1);
    assert_int_equal(cs_release_parse(&r, text), CS_E_FORMAT);
}

static void differences(void **unused)
{
    static const cs_diff_names names = {"a", "b"};
    cs_buf out = cs_buf_heap(4096);

    assert_int_equal(cs_line_diff(&out, "x\ny\n", "x\ny\n", &names, false), CS_OK);
    assert_int_equal(out.len, 0);
    assert_int_equal(
        cs_line_diff(&out, "1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\nfive\n6\n7\n8\n9\n10\n", &names, false), CS_OK);
    assert_int_equal(cs_put_u8(&out, 0), CS_OK);
    assert_string_equal((const char *)out.p,
                        "--- a\n+++ b\n@@ -2,8 +2,9 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n 9\n+10\n");
    out.len = 0;
    assert_int_equal(
        cs_line_diff(&out, "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n", "0\n1\n2\n3\n4\n5\n6\n7\n8\n10\n", &names, true), CS_OK);
    assert_int_equal(cs_put_u8(&out, 0), CS_OK);
    assert_string_equal(
        (const char *)out.p,
        "--- a\n+++ b\n\x1b[36m@@ -1,3 +1,4 @@\x1b[0m\n\x1b[32m+0\x1b[0m\n 1\n 2\n 3\n\x1b[36m@@ -6,5 +7,4 "
        "@@\x1b[0m\n 6\n 7\n 8\n\x1b[31m-9\x1b[0m\n 10\n");
    out.len = 0;
    assert_int_equal(cs_line_diff(&out, "", "1\n", &names, false), CS_OK);
    assert_int_equal(cs_put_u8(&out, 0), CS_OK);
    assert_string_equal((const char *)out.p, "--- a\n+++ b\n@@ -0,0 +1,1 @@\n+1\n");
    cs_buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(releases_and_nothing_else),
        cmocka_unit_test(plans_are_checked),
        cmocka_unit_test(sixteen_releases_fit),
        cmocka_unit_test(editing_is_writing_anew),
        cmocka_unit_test(policies_of_others),
        cmocka_unit_test(releases_as_text),
        cmocka_unit_test(differences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
