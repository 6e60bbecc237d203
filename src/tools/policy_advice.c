/* See policy_advice.h. */
#include "tools/policy_advice.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "tools/policy_value.h"

static const char *const rows[][3] = {
    [CS_ADVICE_ADMIN] = {"admin-may-change", "an administrator may change the policy",
                         "watch PutKeyPolicy in CloudTrail"},
    [CS_ADVICE_NOBODY] = {"nobody-may-change", "nobody may call PutKeyPolicy: a new release needs a new key",
                          "give PutKeyPolicy to an administrator that does not run the host"},
    [CS_ADVICE_IMAGE] = {"image-not-whole",
                         "kernel, application or signer are bound, not the whole image: others of the kind pass",
                         "bind ImageSha384 (PCR0) too"},
    [CS_ADVICE_REPLICATE] = {"replicate-key", "a replica of a multi-Region key gets a policy of its own",
                             "deny kms:ReplicateKey"},
    [CS_ADVICE_AWS_GRANT] = {"aws-resource-grant", "services of AWS may get grants, without attestation",
                             "remove the statement when no service uses this key"},
    [CS_ADVICE_IFEXISTS] = {"ifexists", "...IfExists holds when no attestation is attached",
                            "use the operator without IfExists"},
    [CS_ADVICE_NEGATED] = {"negated-allow", "a negated operator in an Allow holds when the key is missing",
                           "use StringEqualsIgnoreCase"},
    [CS_ADVICE_PARENT] = {"pcr34-only", "PCR3 and PCR4 are about the host, not the image",
                          "bind ImageSha384 (PCR0) too"},
    [CS_ADVICE_CROSS] = {"cross-product", "lists of several PCRs admit every combination of their values",
                         "write one statement per release"},
    [CS_ADVICE_VALUE] = {"pcr-value", "a PCR value is not 96 hex digits: it matches nothing",
                         "give the value that the build printed"},
    [CS_ADVICE_CASE] = {"pcr-case", "KMS compares with lower-case hex: upper-case digits never match",
                        "use StringEqualsIgnoreCase"},
    [CS_ADVICE_KEY] = {"unknown-key", "a condition key that does not exist is always absent", "remove it"},
    [CS_ADVICE_OPERATOR] = {"unknown-operator", "a condition operator that IAM does not have: the policy is refused",
                            "use StringEqualsIgnoreCase"},
    [CS_ADVICE_ELEMENT] = {"unknown-element", "an element that statements do not have: the policy is refused",
                           "remove or correct it"},
    [CS_ADVICE_NO_EFFECT] = {"no-effect", "without Action or Resource a statement has no effect",
                             "add \"Resource\": \"*\""},
    [CS_ADVICE_PRINCIPAL] = {"principal-form", "this is no principal: KMS refuses the policy, and nobody is named",
                             "use {\"AWS\": \"arn:aws:iam::ACCOUNT:role/NAME\"}, without wildcards"},
    [CS_ADVICE_RESOURCE] = {"resource-arn", "a key policy's statement holds only if this is the ARN of the key itself",
                            "use \"Resource\": \"*\""},
    [CS_ADVICE_FRAGMENT] = {"fragment", "a statement alone; what the other statements deny is not known",
                            "lint the whole policy"},
    [CS_ADVICE_COMPLEX] = {"too-complex", "too many conditions to try all: what was not tried counts as possible",
                           "split or simplify the policy"},
};

void cs_lint_advise(cs_lint *l, size_t statement, cs_advice a)
{
    cs_lint_add(l, statement, rows[a], false);
}

/* One part of an ARN pattern as text without wildcards. */
static void plain(char *out, size_t cap, const char *text, size_t n)
{
    size_t k = 0;

    for (size_t i = 0; i < n && k + 1 < cap; i++) {
        out[k++] = text[i] == '*' || text[i] == '?' ? 'x' : text[i];
    }
    out[k] = '\0';
}

#define KEY_ID "1234abcd-12ab-34cd-56ef-1234567890ab"

/* A key that a resource pattern covers; false when it is none of KMS's keys. */
static bool key_of_pattern(char out[512], const char *pattern)
{
    char id[256];
    size_t start = 0;
    const char *p = pattern;

    if (strncmp(pattern, "arn:", 4) != 0) {
        return false;
    }
    for (int colon = 0; colon < 5; colon++) {
        p = strchr(p, ':');
        if (p == NULL) {
            return false;
        }
        p++;
    }
    start = (size_t)(p - pattern);
    if (start >= 200 || strlen(p) >= 200) {
        return false;
    }
    plain(out, 512, pattern, start);
    if (cs_policy_glob(p, "key/" KEY_ID, false)) {
        (void)snprintf(out + start, 512 - start, "key/" KEY_ID);
    } else {
        plain(id, sizeof id, p, strlen(p));
        (void)snprintf(out + start, 512 - start, "%s", id);
    }
    return cs_policy_glob("arn:*:kms:*:*:key/*", out, false) || cs_policy_glob("arn:*:x:*:*:key/*", out, false);
}

static cs_err add_key(cs_lint *l, const char *arn)
{
    for (size_t i = 0; i < json_array_size(l->keys); i++) {
        if (strcmp(json_string_value(json_array_get(l->keys, i)), arn) == 0) {
            return CS_OK;
        }
    }
    return json_array_append_new(l->keys, json_string(arn)) == 0 ? CS_OK : CS_E_NO_MEMORY;
}

cs_err cs_lint_keys(cs_lint *l)
{
    const char *account = "111122223333", *s;
    char arn[512];

    l->keys = json_array();
    if (l->keys == NULL) {
        return CS_E_NO_MEMORY;
    }
    for (size_t i = 0; i < l->doc->num; i++) {
        for (int not = 0; not < 2; not ++) {
            const json_t *r = json_object_get(l->doc->st[i].json, not ? "NotResource" : "Resource");
            for (size_t k = 0; (s = cs_policy_item(r, k)) != NULL; k++) {
                if (strstr(s, "${") == NULL && key_of_pattern(arn, s)) {
                    CS_TRY(add_key(l, arn));
                }
            }
        }
    }
    /* the ARN in a key policy is taken to be that of its key; an IAM policy is about every key */
    if (l->kind == CS_LINT_KEY && json_array_size(l->keys) > 0) {
        return CS_OK;
    }
    for (size_t i = 0; i < l->whos.num && l->kind == CS_LINT_KEY; i++) {
        if (l->whos.who[i].account[0] != '\0' && !l->whos.who[i].foreign) {
            account = l->whos.who[i].account;
            break;
        }
    }
    (void)snprintf(arn, sizeof arn, "arn:aws:kms:us-east-1:%.64s:key/" KEY_ID, account);
    return add_key(l, arn);
}

static bool is_pcr(const char *v)
{
    return strlen(v) == 96 && strspn(v, "0123456789abcdefABCDEF") == 96;
}

static void advise_value(cs_lint *l, const cs_pcond *c, size_t n)
{
    const char *v;

    for (size_t i = 0; (v = cs_policy_item(c->values, i)) != NULL; i++) {
        if (strstr(v, "${") != NULL || c->match == CS_PM_NULL ||
            (c->match == CS_PM_LIKE && cs_policy_has_wildcard(v))) {
            continue;
        }
        if (!is_pcr(v)) {
            cs_lint_advise(l, n, CS_ADVICE_VALUE);
        } else if (!c->fold_case && strpbrk(v, "ABCDEF") != NULL) {
            cs_lint_advise(l, n, CS_ADVICE_CASE);
        }
    }
}

static void advise_conditions(cs_lint *l, const cs_pstatement *st, size_t n)
{
    unsigned lists = 0;

    for (size_t i = 0; i < st->num_cond; i++) {
        const cs_pcond *c = &st->cond[i];
        int pcr = cs_pkey_pcr(c->key);
        lists += pcr >= 0 && !st->deny && !c->negated && json_array_size(c->values) > 1;
        if (c->match == CS_PM_UNKNOWN) {
            cs_lint_advise(l, n, CS_ADVICE_OPERATOR);
        } else if (pcr >= 0) {
            advise_value(l, c, n);
        } else if (!cs_pkey_exists(c->key)) {
            cs_lint_advise(l, n, CS_ADVICE_KEY);
        }
    }
    if (lists > 1) {
        cs_lint_advise(l, n, CS_ADVICE_CROSS);
    }
}

static void advise_principals(cs_lint *l, const json_t *p, size_t n)
{
    const json_t *v = json_object_get(p, "AWS");
    const char *s, *key;
    json_t *other;

    if (json_is_string(p) && strcmp(json_string_value(p), "*") != 0) {
        cs_lint_advise(l, n, CS_ADVICE_PRINCIPAL);
    }
    for (size_t i = 0; (s = cs_policy_item(v, i)) != NULL; i++) {
        if (strcmp(s, "*") != 0 && cs_policy_has_wildcard(s)) {
            cs_lint_advise(l, n, CS_ADVICE_PRINCIPAL);
        }
    }
    json_object_foreach((json_t *)p, key, other)
    {
        if (strcmp(key, "AWS") != 0 && strcmp(key, "Service") != 0 && strcmp(key, "Federated") != 0 &&
            strcmp(key, "CanonicalUser") != 0) {
            cs_lint_advise(l, n, CS_ADVICE_PRINCIPAL);
        }
    }
}

static void advise_resource(cs_lint *l, const json_t *st, size_t n)
{
    const json_t *r = json_object_get(st, "Resource");
    const char *s;

    for (size_t i = 0; (s = cs_policy_item(r, i)) != NULL; i++) {
        if (strcmp(s, "*") != 0) {
            cs_lint_advise(l, n, CS_ADVICE_RESOURCE);
        }
    }
}

void cs_lint_advise_statement(cs_lint *l, const cs_pstatement *st, size_t n)
{
    static const char *const names[] = {"Sid",         "Effect",    "Action",    "NotAction",   "Resource",
                                        "NotResource", "Condition", "Principal", "NotPrincipal"};
    const char *key;
    json_t *v;

    json_object_foreach(st->json, key, v)
    {
        size_t i = 0;
        while (i < sizeof names / sizeof names[0] && strcmp(names[i], key) != 0) {
            i++;
        }
        if (i == sizeof names / sizeof names[0]) {
            cs_lint_advise(l, n, CS_ADVICE_ELEMENT);
        }
    }
    bool action = json_object_get(st->json, "Action") != NULL || json_object_get(st->json, "NotAction") != NULL;
    bool resource = json_object_get(st->json, "Resource") != NULL || json_object_get(st->json, "NotResource") != NULL;
    if (l->kind != CS_LINT_TRUST && (!action || !resource)) {
        cs_lint_advise(l, n, CS_ADVICE_NO_EFFECT);
    }
    if (l->kind == CS_LINT_KEY) {
        advise_resource(l, st->json, n);
    }
    advise_principals(l, json_object_get(st->json, "Principal"), n);
    advise_principals(l, json_object_get(st->json, "NotPrincipal"), n);
    advise_conditions(l, st, n);
}

void cs_lint_hint_unattested(cs_lint *l, size_t n)
{
    const cs_pstatement *st = &l->doc->st[n - 1];

    for (size_t i = 0; i < st->num_cond; i++) {
        int pcr = cs_pkey_pcr(st->cond[i].key);
        if (pcr != CS_PKEY_OTHER && st->cond[i].if_exists) {
            cs_lint_advise(l, n, CS_ADVICE_IFEXISTS);
        }
        if (pcr != CS_PKEY_OTHER && st->cond[i].negated) {
            cs_lint_advise(l, n, CS_ADVICE_NEGATED);
        }
    }
}

void cs_lint_advise_use(const cs_lint_try *t)
{
    static const cs_pstate parts[] = {CS_ATTESTED_KERNEL, CS_ATTESTED_APP, CS_ATTESTED_SIGNER};
    bool image = false, parent = false;

    for (size_t i = 0; i < t->st->num_cond; i++) {
        int pcr = cs_pkey_pcr(t->st->cond[i].key);
        image = image || (pcr >= 0 && pcr <= 2) || pcr == 8;
        parent = parent || pcr == 3 || pcr == 4;
    }
    if (parent && !image) {
        cs_lint_advise(t->l, t->n, CS_ADVICE_PARENT);
    }
    for (size_t i = 0; i < 3 && !cs_lint_may(t, "kms:Decrypt", CS_ATTESTED_NOT); i++) {
        if (!cs_lint_may(t, "kms:Decrypt", CS_ATTESTED_OTHER) && cs_lint_may(t, "kms:Decrypt", parts[i])) {
            cs_lint_advise(t->l, t->n, CS_ADVICE_IMAGE);
        }
    }
    if (t->l->kind == CS_LINT_KEY && cs_lint_may(t, "kms:ReplicateKey", CS_ATTESTED_NOT)) {
        cs_lint_advise(t->l, t->n, CS_ADVICE_REPLICATE);
    }
    for (size_t i = 0; i < t->st->num_cond; i++) {
        if (strcasecmp(t->st->cond[i].key, "kms:GrantIsForAWSResource") == 0 && !t->st->deny &&
            cs_psolve_covers(t->st, "kms:CreateGrant", t->resource)) {
            cs_lint_advise(t->l, t->n, CS_ADVICE_AWS_GRANT);
        }
    }
}

void cs_lint_advise_document(cs_lint *l)
{
    if (l->kind == CS_LINT_KEY && !l->changeable && !l->doc->fragment) {
        cs_lint_advise(l, 0, CS_ADVICE_NOBODY);
    }
    if (l->doc->fragment) {
        cs_lint_advise(l, 0, CS_ADVICE_FRAGMENT);
    }
    if (l->solver.exhausted) {
        cs_lint_advise(l, 0, CS_ADVICE_COMPLEX);
    }
}
