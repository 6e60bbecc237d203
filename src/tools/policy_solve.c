/* See policy_solve.h. Depth first over the values of keys that are still open, with three-valued evaluation to cut branches. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "tools/policy_solve_int.h"
#include "tools/policy_value.h"

#define MAX_VARS 24
#define MAX_VALUES 1024 /* candidates of one key */
#define MAX_SPENT 20000000u
#define MAX_SET 8    /* values of one key at once */
#define GRINDABLE 24 /* fixed hex digits of a pattern that somebody may hit by trying images */

static const char other_value[] =
    "ffffeeeeddddccccbbbbaaaa999988887777666655554444ffffeeeeddddccccbbbbaaaa999988887777666655554444";

typedef struct var {
    const char *key; /* as some condition writes it */
    const char *got[MAX_SET];
    size_t num;
    char text[512];
} var;

typedef struct search {
    cs_psolver *s;
    const cs_prequest *q;
    const cs_pstatement *allow;
    const cs_pstatement *deny[CS_PDOC_MAX_STATEMENTS];
    size_t num_deny;
    var vars[MAX_VARS];
    size_t num_vars;
} search;

bool cs_psolve_covers(const cs_pstatement *st, const char *action, const char *resource)
{
    const json_t *a = json_object_get(st->json, "Action"), *na = json_object_get(st->json, "NotAction");
    const json_t *r = json_object_get(st->json, "Resource"), *nr = json_object_get(st->json, "NotResource");
    const char *s;
    bool listed = false;

    if ((a == NULL) == (na == NULL) || cs_policy_lists(a != NULL ? a : na, action) != (a != NULL)) {
        return false;
    }
    if (resource == NULL || (r == NULL && nr == NULL)) {
        return resource == NULL; /* [nitro-kms.md 2.4] without Action or Resource: accepted, without effect */
    }
    for (size_t i = 0; !listed && (s = cs_policy_item(r != NULL ? r : nr, i)) != NULL; i++) {
        /* a variable may be anything: it never takes something out, and only an Allow profits of it */
        listed = cs_policy_glob(s, resource, false) || (r != NULL && !st->deny && strstr(s, "${") != NULL);
    }
    return listed == (r != NULL);
}

static bool same_key(const char *a, const char *b)
{
    int n = cs_pkey_pcr(a);

    return strcasecmp(a, b) == 0 || (n >= 0 && n == cs_pkey_pcr(b));
}

static const var *find(const search *x, const char *key)
{
    for (size_t i = 0; i < x->num_vars; i++) {
        if (same_key(x->vars[i].key, key)) {
            return &x->vars[i];
        }
    }
    return NULL;
}

static cs_tri condition(search *x, const cs_pcond *c)
{
    const var *v = find(x, c->key);

    x->s->spent += json_array_size(c->values) + 1;
    if (v != NULL) {
        return cs_policy_holds(c, v->got, v->num, x->s->doc->variables);
    }
    cs_pfix f = cs_pkey_fix(c->key, x->q);
    if (f.kind != CS_FIX_VALUE) {
        return CS_MAYBE;
    }
    return cs_policy_holds(c, &f.value, f.value != NULL ? 1 : 0, x->s->doc->variables);
}

static cs_tri conditions(search *x, const cs_pstatement *st)
{
    cs_tri all = CS_YES;

    for (size_t i = 0; i < st->num_cond && all != CS_NO; i++) {
        cs_tri t = condition(x, &st->cond[i]);
        all = t < all ? t : all;
    }
    return all;
}

/* A key that is still open, of the Allow first. */
static const char *open_key(search *x, const cs_pstatement *st)
{
    for (size_t i = 0; i < st->num_cond; i++) {
        const char *key = st->cond[i].key;
        if (find(x, key) == NULL && cs_pkey_fix(key, x->q).kind != CS_FIX_VALUE) {
            return key;
        }
    }
    return NULL;
}

static bool deeper(search *x);

/* The value of a PCR is 96 lower-case hex digits: *text as such, or false. */
static bool as_pcr(char *text)
{
    if (strlen(text) != 96 || strspn(text, "0123456789abcdefABCDEF") != 96) {
        return false;
    }
    for (char *p = text; *p != '\0'; p++) {
        *p |= *p >= 'A' && *p <= 'F' ? 0x20 : 0;
    }
    return true;
}

/* The next value of the variable on top; true: the request succeeds with it. */
static bool try_value(search *x, const char *text)
{
    var *v = &x->vars[x->num_vars - 1];

    (void)snprintf(v->text, sizeof v->text, "%.511s", text);
    if (cs_pkey_pcr(v->key) >= 0 && !as_pcr(v->text)) {
        return false;
    }
    v->got[0] = v->text;
    v->num = 1;
    return deeper(x);
}

static bool loose(const char *pattern)
{
    size_t fixed = 0;

    for (const char *p = pattern; *p != '\0'; p++) {
        fixed += *p != '*' && *p != '?';
    }
    return cs_policy_has_wildcard(pattern) && fixed < GRINDABLE;
}

/* Values of one condition of the policy on the variable's key. */
static bool try_listed(search *x, const cs_pcond *c, bool patterns_only)
{
    char sample[3][512];
    const char *want;

    for (size_t i = 0; (want = cs_policy_item(c->values, i)) != NULL; i++) {
        bool pattern = (c->match == CS_PM_LIKE || c->match == CS_PM_ARN) && loose(want);
        size_t n = patterns_only && !pattern ? 0 : cs_policy_samples(sample, c, want);
        x->s->spent++;
        for (size_t k = 0; k < n; k++) {
            if (try_value(x, sample[k])) {
                return true;
            }
        }
    }
    return false;
}

/* Several values of a key at once: all that the policy lists, with and without another. */
static bool try_sets(search *x)
{
    var *v = &x->vars[x->num_vars - 1];
    const cs_pdoc *d = x->s->doc;
    size_t n = 0;

    for (size_t i = 0; i < d->num_cond; i++) {
        const cs_pcond *c = &d->cond[i];
        const char *want;
        if (!same_key(c->key, v->key)) {
            continue;
        }
        for (size_t k = 0; n < MAX_SET && (want = cs_policy_item(c->values, k)) != NULL; k++) {
            v->got[n++] = want;
        }
    }
    v->num = n;
    if (n < 1) {
        return false;
    }
    if (n > 1 && deeper(x)) {
        return true;
    }
    v->got[n < MAX_SET ? n : MAX_SET - 1] = other_value;
    v->num = n < MAX_SET ? n + 1 : MAX_SET;
    return deeper(x);
}

/* Two patterns on one key: what both match may be the one behind the other. */
static bool try_joined(search *x)
{
    const cs_pdoc *d = x->s->doc;
    char one[3][512], two[3][512], both[1024];
    const char *a, *b;

    for (size_t i = 0; i < d->num_cond; i++) {
        const cs_pcond *c = &d->cond[i];
        a = c->match == CS_PM_LIKE && same_key(c->key, x->vars[x->num_vars - 1].key) ? cs_policy_item(c->values, 0)
                                                                                     : NULL;
        for (size_t k = 0; a != NULL && k < d->num_cond; k++) {
            const cs_pcond *e = &d->cond[k];
            b = k != i && e->match == CS_PM_LIKE && same_key(c->key, e->key) ? cs_policy_item(e->values, 0) : NULL;
            x->s->spent++;
            if (b != NULL && cs_policy_samples(one, c, a) > 0 && cs_policy_samples(two, e, b) > 0 &&
                snprintf(both, sizeof both, "%s%s", one[0], two[0]) < 512 && try_value(x, both)) {
                return true;
            }
        }
    }
    return false;
}

/*
 * A grant may ask for more than the operation that matters: one or two others satisfy ForAnyValue, and get round a ForAllValues of a
 * Deny. [KMS API, CreateGrant]
 */
static bool try_operations(search *x, const char *op)
{
    static const char *const others[] = {"Encrypt",
                                         "Decrypt",
                                         "DescribeKey",
                                         "CreateGrant",
                                         "RetireGrant",
                                         "GenerateDataKey",
                                         "GenerateDataKeyWithoutPlaintext",
                                         "GenerateDataKeyPair",
                                         "GenerateDataKeyPairWithoutPlaintext",
                                         "ReEncryptFrom",
                                         "ReEncryptTo",
                                         "Sign",
                                         "Verify",
                                         "GetPublicKey",
                                         "GenerateMac",
                                         "VerifyMac",
                                         "DeriveSharedSecret"};
    const size_t num = sizeof others / sizeof others[0];
    var *v = &x->vars[x->num_vars - 1];

    for (size_t a = 0; a <= num; a++) {
        for (size_t b = a; b <= num; b++) {
            v->num = 0;
            v->got[v->num++] = op;
            if (a < num) {
                v->got[v->num++] = others[a];
            }
            if (a < b && b < num) {
                v->got[v->num++] = others[b];
            }
            if (deeper(x)) {
                return true;
            }
        }
    }
    return false;
}

static bool try_all(search *x, cs_pfix f)
{
    const cs_pdoc *d = x->s->doc;
    var *v = &x->vars[x->num_vars - 1];
    cs_pfix_kind kind = f.kind;
    bool only_patterns = kind == CS_FIX_NEW || kind == CS_FIX_NEW_OR_ZEROS || kind == CS_FIX_NEW_OR_ABSENT;

    if (kind == CS_FIX_AND_OTHERS) {
        return try_operations(x, f.value);
    }
    v->num = 0;
    if ((kind == CS_FIX_FREE || kind == CS_FIX_NEW_OR_ABSENT) && deeper(x)) {
        return true;
    }
    if (try_value(x, other_value)) {
        return true;
    }
    if ((kind == CS_FIX_NEW_OR_ZEROS || kind == CS_FIX_PRESENT) && try_value(x, CS_PCR_ZEROS)) {
        return true;
    }
    for (size_t i = 0; i < d->num_cond; i++) {
        if (same_key(d->cond[i].key, v->key) && try_listed(x, &d->cond[i], only_patterns)) {
            return true;
        }
    }
    if (kind == CS_FIX_FREE && cs_pkey_pcr(v->key) < 0 &&
        (try_value(x, "true") || try_value(x, "false") || (cs_pkey_multi(v->key) && try_sets(x)))) {
        return true;
    }
    return try_joined(x);
}

/* One level: decided, cut off, or one more key gets its values. */
static bool deeper(search *x)
{
    const char *key = NULL;
    cs_tri allow = conditions(x, x->allow);

    if (x->s->spent > MAX_SPENT || x->num_vars == MAX_VARS) {
        x->s->exhausted = true;
        return true;
    }
    if (allow == CS_NO) {
        return false;
    }
    key = open_key(x, x->allow);
    for (size_t i = 0; i < x->num_deny; i++) {
        cs_tri t = conditions(x, x->deny[i]);
        if (t == CS_YES) {
            return false;
        }
        if (key == NULL && t == CS_MAYBE) {
            key = open_key(x, x->deny[i]);
        }
    }
    if (key == NULL) {
        return true; /* what is still undecided has variables or unknown operators: may be */
    }
    x->vars[x->num_vars++] = (var){.key = key};
    bool found = try_all(x, cs_pkey_fix(key, x->q));
    x->num_vars--;
    return found;
}

bool cs_psolve(cs_psolver *s, const cs_pstatement *st, const cs_prequest *q)
{
    search x = {.s = s, .q = q, .allow = st};

    if (st->deny || !cs_psolve_covers(st, q->action, q->resource) || cs_pwho_named(st, q->who) == CS_NAMED_NO) {
        return false;
    }
    if (s->exhausted) {
        return true;
    }
    s->spent += 1 + s->doc->num / 8;
    for (size_t i = 0; i < s->doc->num; i++) {
        const cs_pstatement *d = &s->doc->st[i];
        if (d->deny && cs_psolve_covers(d, q->action, q->resource) && cs_pwho_named(d, q->who) != CS_NAMED_NO) {
            x.deny[x.num_deny++] = d;
        }
    }
    return deeper(&x);
}
