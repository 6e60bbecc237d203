/* Policies: their form, principals, actions, resources, and the verdict. See policy.h. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "emulator/policy_int.h"

void cs_emu_context_reset(cs_emu_context *c)
{
    c->num = 0;
    c->used = 0;
}

cs_err cs_emu_context_add(cs_emu_context *c, const char *key, cs_slice value)
{
    size_t key_len = strlen(key) + 1;
    if (c->num == CS_EMU_CONTEXT_MAX || key_len > sizeof c->text - c->used ||
        value.len >= sizeof c->text - c->used - key_len) {
        return CS_E_RANGE;
    }
    char *at = c->text + c->used;
    memcpy(at, key, key_len);
    if (value.len > 0) {
        memcpy(at + key_len, value.p, value.len);
    }
    at[key_len + value.len] = '\0';
    c->item[c->num].key = at;
    c->item[c->num].value = at + key_len;
    c->num++;
    c->used += key_len + value.len + 1;
    return CS_OK;
}

const char *cs_emu_context_nth(const cs_emu_context *c, const char *key, size_t n)
{
    for (size_t i = 0; c != NULL && i < c->num; i++) {
        if (strcasecmp(c->item[i].key, key) == 0 && n-- == 0) {
            return c->item[i].value;
        }
    }
    return NULL;
}

static bool char_eq(char a, char b, bool ignore_case)
{
    return ignore_case ? tolower((unsigned char)a) == tolower((unsigned char)b) : a == b;
}

/* One character of UTF-8 (text is what JSON or UTF-8 checks let through): the bytes behind its first are 10xxxxxx. */
static const char *next_char(const char *t)
{
    t++;
    while (((unsigned char)*t & 0xc0) == 0x80) {
        t++;
    }
    return t;
}

/* Iterative, so that "*a*a*a*..." costs at most pattern x text. */
bool cs_emu_glob(const char *p, const char *t, bool ignore_case)
{
    const char *star = NULL, *mark = NULL;
    while (*t != '\0') {
        bool literal = *p == CS_EMU_GLOB_LITERAL && p[1] != '\0';
        const char *q = literal ? p + 1 : p;
        if (!literal && *p == '*') {
            star = p++;
            mark = t;
        } else if (!literal && *p == '?') {
            p = q + 1;
            t = next_char(t);
        } else if (*q != '\0' && char_eq(*q, *t, ignore_case)) {
            p = q + 1;
            t++;
        } else if (star != NULL) {
            p = star + 1;
            mark = next_char(mark);
            t = mark;
        } else {
            return false;
        }
    }
    while (*p == '*') {
        p++;
    }
    return *p == '\0';
}

/* Strings: a string, or a list of at least one. */
static bool strings_or_list(const json_t *v)
{
    size_t i;
    json_t *e;
    if (!json_is_array(v)) {
        return json_is_string(v);
    }
    json_array_foreach(v, i, e)
    {
        if (!json_is_string(e)) {
            return false;
        }
    }
    return json_array_size(v) > 0;
}

static size_t list_size(const json_t *v)
{
    return json_is_array(v) ? json_array_size(v) : (v != NULL ? 1 : 0);
}

static const char *list_at(const json_t *v, size_t i)
{
    return json_string_value(json_is_array(v) ? json_array_get(v, i) : v);
}

/* "*", an account's 12 digits, an ARN of IAM or STS without wildcards, or the id that IAM puts in place of a deleted principal */
static bool aws_principal_valid(const char *p)
{
    size_t n = strlen(p);
    if (strcmp(p, "*") == 0) {
        return true;
    }
    if (n == 12 && strspn(p, "0123456789") == 12) {
        return true;
    }
    if (n >= 16 && n <= 128 && (strncmp(p, "AIDA", 4) == 0 || strncmp(p, "AROA", 4) == 0) &&
        strspn(p, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == n) {
        return true;
    }
    return strncmp(p, "arn:aws", 7) == 0 && strpbrk(p, "*?") == NULL &&
           (strstr(p, ":iam::") != NULL || strstr(p, ":sts::") != NULL);
}

static const char *principal_valid(const json_t *p)
{
    static const char bad[] = "Policy contains a statement with one or more invalid principals.";
    const char *key;
    json_t *v;
    if (json_is_string(p)) {
        return strcmp(json_string_value(p), "*") == 0 ? NULL : bad;
    }
    if (!json_is_object(p) || json_object_size(p) == 0) {
        return bad;
    }
    json_object_foreach((json_t *)p, key, v)
    {
        bool aws = strcmp(key, "AWS") == 0;
        if ((!aws && strcmp(key, "Service") != 0 && strcmp(key, "Federated") != 0 &&
             strcmp(key, "CanonicalUser") != 0) ||
            !strings_or_list(v)) {
            return bad;
        }
        for (size_t i = 0; aws && i < list_size(v); i++) {
            if (!aws_principal_valid(list_at(v, i))) {
                return bad;
            }
        }
    }
    return NULL;
}

static const char *actions_valid(const json_t *v)
{
    for (size_t i = 0; i < list_size(v); i++) {
        const char *a = list_at(v, i);
        const char *colon = strchr(a, ':');
        if (strcmp(a, "*") != 0 && (colon == NULL || colon == a || colon[1] == '\0')) {
            return "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.";
        }
    }
    return NULL;
}

static const char *lists_valid(const json_t *s)
{
    static const char *const lists[] = {"Action", "NotAction", "Resource", "NotResource"};
    for (size_t i = 0; i < 4; i++) {
        const json_t *v = json_object_get(s, lists[i]);
        if (v != NULL && !strings_or_list(v)) {
            return "Action, NotAction, Resource and NotResource are a string or a list of strings";
        }
        const char *why = i < 2 ? actions_valid(v) : NULL;
        if (why != NULL) {
            return why;
        }
    }
    return NULL;
}

static bool both(const json_t *s, const char *a, const char *b)
{
    return json_object_get(s, a) != NULL && json_object_get(s, b) != NULL;
}

static const char *members_valid(const json_t *o, const char *const *names, size_t num)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)o, key, v)
    {
        size_t i = 0;
        while (i < num && strcmp(names[i], key) != 0) {
            i++;
        }
        if (i == num) {
            return "Syntax errors in policy: an element that policies do not have.";
        }
    }
    return NULL;
}

static const char *statement_valid(json_t *s, cs_emu_policy_kind kind)
{
    static const char *const names[] = {"Sid",         "Effect",    "Action",    "NotAction",   "Resource",
                                        "NotResource", "Condition", "Principal", "NotPrincipal"};
    const char *effect = json_string_value(json_object_get(s, "Effect")), *why = NULL;
    json_t *condition = json_object_get(s, "Condition"), *sid = json_object_get(s, "Sid");
    const json_t *p = json_object_get(s, "Principal"), *np = json_object_get(s, "NotPrincipal");
    if (!json_is_object(s)) {
        return "Syntax errors in policy: a statement is not an object.";
    }
    if ((why = members_valid(s, names, sizeof names / sizeof names[0])) != NULL) {
        return why;
    }
    if (effect == NULL || (strcmp(effect, "Allow") != 0 && strcmp(effect, "Deny") != 0)) {
        return "Syntax errors in policy: Effect is neither Allow nor Deny.";
    }
    if (sid != NULL && !json_is_string(sid)) {
        return "Syntax errors in policy: Sid is not a string.";
    }
    if (both(s, "Action", "NotAction") || both(s, "Resource", "NotResource") || both(s, "Principal", "NotPrincipal")) {
        return "Syntax errors in policy: an element and its Not form in one statement.";
    }
    if (kind == CS_EMU_IDENTITY_POLICY ? (p != NULL || np != NULL) : (p == NULL && np == NULL)) {
        return kind == CS_EMU_IDENTITY_POLICY ? "Policy document should not specify a principal."
                                              : "Policy contains a statement with no principal.";
    }
    if (kind == CS_EMU_KEY_POLICY && (why = principal_valid(p != NULL ? p : np)) != NULL) {
        return why;
    }
    if ((why = lists_valid(s)) != NULL) {
        return why;
    }
    return condition != NULL ? cs_emu_condition_valid(condition) : NULL;
}

static const char *document_valid(const json_t *p, cs_emu_policy_kind kind)
{
    static const char *const names[] = {"Version", "Id", "Statement"};
    const json_t *version = json_object_get(p, "Version"), *id = json_object_get(p, "Id");
    json_t *statements = json_object_get(p, "Statement");
    const char *v = json_string_value(version), *why = members_valid(p, names, 3);
    if (!json_is_object(p) || statements == NULL) {
        return "Syntax errors in policy: no JSON object with a Statement.";
    }
    if (why != NULL) {
        return why;
    }
    if (version != NULL && (v == NULL || (strcmp(v, "2012-10-17") != 0 && strcmp(v, "2008-10-17") != 0))) {
        return "The policy must contain a valid version string";
    }
    if (id != NULL && !json_is_string(id)) {
        return "Syntax errors in policy: Id is not a string.";
    }
    if (!json_is_array(statements)) {
        return statement_valid(statements, kind);
    }
    for (size_t i = 0; i < json_array_size(statements) && why == NULL; i++) {
        why = statement_valid(json_array_get(statements, i), kind);
    }
    return json_array_size(statements) > 0 ? why : "Policy statement must contain at least one statement.";
}

cs_err cs_emu_policy_read(json_t **out, cs_slice text, cs_emu_policy_kind kind, const char **why)
{
    const char *unused;
    why = why != NULL ? why : &unused;
    if (text.len > CS_EMU_POLICY_MAX) {
        *why = "The policy is longer than 32 KiB.";
        return CS_E_TOO_LARGE;
    }
    json_t *p = json_loadb((const char *)text.p, text.len, JSON_REJECT_DUPLICATES, NULL);
    *why = p == NULL ? "Syntax errors in policy: this is not JSON, or a name is there twice." : document_valid(p, kind);
    if (*why != NULL) {
        json_decref(p);
        return CS_E_FORMAT;
    }
    *out = p; /* transferred */
    return CS_OK;
}

cs_err cs_emu_policy_parse(json_t **out, cs_slice text)
{
    return cs_emu_policy_read(out, text, CS_EMU_KEY_POLICY, NULL);
}

/* One evaluation: the request, and whether the policy's version has variables. */
typedef struct evaluation {
    const cs_emu_query *q;
    bool variables;
} evaluation;

static bool list_matches(const json_t *v, const char *text, bool ignore_case, const evaluation *e)
{
    static char expanded[4096]; /* one thread */
    for (size_t i = 0; i < list_size(v); i++) {
        const char *want = list_at(v, i);
        if (e != NULL && e->variables && strstr(want, "${") != NULL) {
            want = cs_emu_policy_expand(expanded, sizeof expanded, want, e->q->context) ? expanded : NULL;
        }
        if (want != NULL && cs_emu_glob(want, text, ignore_case)) {
            return true;
        }
    }
    return false;
}

typedef enum principal_match { P_NO, P_DIRECT, P_DELEGATED } principal_match;

/* The account (its root ARN or number) stands for whoever the account's IAM lets: delegated. */
static principal_match match_one(const char *want, const cs_emu_principal *who)
{
    char root[64];
    if (strcmp(want, "*") == 0 || strcmp(want, who->arn) == 0 ||
        (who->session_arn != NULL && strcmp(want, who->session_arn) == 0)) {
        return P_DIRECT;
    }
    snprintf(root, sizeof root, "arn:aws:iam::%.12s:root", who->account);
    return strcmp(want, root) == 0 || strcmp(want, who->account) == 0 ? P_DELEGATED : P_NO;
}

/* Services, federated and canonical users are never a caller here. */
static principal_match match_list(const json_t *p, const cs_emu_principal *who)
{
    principal_match best = P_NO;
    if (json_is_string(p)) {
        return P_DIRECT; /* only "*" was let in */
    }
    const json_t *v = json_object_get(p, "AWS");
    for (size_t i = 0; i < list_size(v); i++) {
        principal_match m = match_one(list_at(v, i), who);
        if (m == P_DIRECT) {
            return m;
        }
        best = m != P_NO ? m : best;
    }
    return best;
}

/* NotPrincipal: everybody but those named themselves; the account named there excludes its root only. */
static principal_match match_principal(const json_t *s, const cs_emu_principal *who)
{
    const json_t *p = json_object_get(s, "Principal");
    if (p != NULL) {
        return match_list(p, who);
    }
    return match_list(json_object_get(s, "NotPrincipal"), who) == P_DIRECT ? P_NO : P_DIRECT;
}

static bool covers(const json_t *s, const char *list, const char *not_list, const char *text, const evaluation *e)
{
    const json_t *v = json_object_get(s, list), *nv = json_object_get(s, not_list);
    bool ignore_case = e == NULL; /* actions: no case, no variables */
    if (v != NULL) {
        return list_matches(v, text, ignore_case, e);
    }
    return nv != NULL && !list_matches(nv, text, ignore_case, e);
}

static bool content_applies(const json_t *s, const evaluation *e)
{
    const json_t *condition = json_object_get(s, "Condition");
    return covers(s, "Action", "NotAction", e->q->action, NULL) &&
           covers(s, "Resource", "NotResource", e->q->resource, e) &&
           (condition == NULL || cs_emu_condition_holds(condition, e->q->context, e->variables));
}

/* Statement i of a policy, or NULL; *deny: its effect. */
static const json_t *statement_at(const json_t *policy, size_t i, bool *deny)
{
    const json_t *all = json_object_get(policy, "Statement");
    const json_t *s = i < list_size(all) ? (json_is_array(all) ? json_array_get(all, i) : all) : NULL;
    if (s != NULL) {
        *deny = strcmp(json_string_value(json_object_get(s, "Effect")), "Deny") == 0;
    }
    return s;
}

static bool has_variables(const json_t *policy)
{
    const char *v = json_string_value(json_object_get(policy, "Version"));
    return v != NULL && strcmp(v, "2012-10-17") == 0;
}

static void decide(cs_emu_decision *d, const json_t *s, bool deny)
{
    const char *sid = json_string_value(json_object_get(s, "Sid"));
    d->verdict = deny ? CS_EMU_DENIED_EXPLICITLY : CS_EMU_ALLOWED;
    snprintf(d->sid, sizeof d->sid, "%s", sid != NULL ? sid : "");
}

static bool actions_allow(const char *patterns, const char *action)
{
    char pattern[128];
    for (const char *p = patterns; p != NULL && *p != '\0';) {
        size_t n = strcspn(p, " ");
        if (n > 0 && n < sizeof pattern) {
            memcpy(pattern, p, n);
            pattern[n] = '\0';
            if (cs_emu_glob(pattern, action, true)) {
                return true;
            }
        }
        p += n + (p[n] == ' ' ? 1 : 0);
    }
    return false;
}

cs_emu_decision cs_emu_identity_eval(const cs_emu_query *q)
{
    const json_t *policy = q->who->iam_policy, *s;
    cs_emu_decision d = {.verdict = CS_EMU_DENIED_BY_DEFAULT, .by_identity = true};
    evaluation e = {q, has_variables(policy)};
    bool deny = false;
    if (policy == NULL) {
        d.verdict = actions_allow(q->who->iam_actions, q->action) ? CS_EMU_ALLOWED : CS_EMU_DENIED_BY_DEFAULT;
        return d;
    }
    for (size_t i = 0; (s = statement_at(policy, i, &deny)) != NULL; i++) {
        if ((deny || d.verdict != CS_EMU_ALLOWED) && content_applies(s, &e)) {
            decide(&d, s, deny);
            if (deny) {
                break;
            }
        }
    }
    return d;
}

cs_emu_decision cs_emu_policy_eval(const json_t *policy, const cs_emu_query *q)
{
    cs_emu_decision d = {.verdict = CS_EMU_DENIED_BY_DEFAULT}, iam = cs_emu_identity_eval(q);
    evaluation e = {q, has_variables(policy)};
    const json_t *s;
    bool deny = false;
    if (iam.verdict == CS_EMU_DENIED_EXPLICITLY) {
        return iam;
    }
    for (size_t i = 0; (s = statement_at(policy, i, &deny)) != NULL; i++) {
        principal_match m = match_principal(s, q->who);
        bool delegated = m == P_DELEGATED && !deny;
        if (m == P_NO || (delegated && iam.verdict != CS_EMU_ALLOWED) || (!deny && d.verdict == CS_EMU_ALLOWED) ||
            !content_applies(s, &e)) {
            continue;
        }
        decide(&d, s, deny);
        d.by_identity = delegated;
        if (deny) {
            break;
        }
    }
    return d;
}
