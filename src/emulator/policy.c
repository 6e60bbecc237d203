/* Key policies. See policy.h. */
#include "emulator/policy.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

typedef enum match_kind { M_EQUAL, M_LIKE, M_BOOL, M_NULL } match_kind;

typedef struct operator_row {
    const char *name;
    match_kind kind;
    bool ignore_case, negated;
} operator_row;

static const operator_row operators[] = {
    {"StringEquals", M_EQUAL, false, false},
    {"StringNotEquals", M_EQUAL, false, true},
    {"StringEqualsIgnoreCase", M_EQUAL, true, false},
    {"StringNotEqualsIgnoreCase", M_EQUAL, true, true},
    {"StringLike", M_LIKE, false, false},
    {"StringNotLike", M_LIKE, false, true},
    {"ArnEquals", M_LIKE, false, false},
    {"ArnNotEquals", M_LIKE, false, true},
    {"ArnLike", M_LIKE, false, false},
    {"ArnNotLike", M_LIKE, false, true},
    {"Bool", M_BOOL, true, false},
    {"Null", M_NULL, true, false},
};

cs_err cs_emu_context_add(cs_emu_context *c, const char *key, cs_slice value)
{
    if (c->num == CS_EMU_CONTEXT_MAX || strlen(key) >= sizeof c->item[0].key || value.len >= sizeof c->item[0].value) {
        return CS_E_RANGE;
    }
    memcpy(c->item[c->num].key, key, strlen(key) + 1);
    memcpy(c->item[c->num].value, value.p, value.len);
    c->item[c->num].value[value.len] = '\0';
    c->num++;
    return CS_OK;
}

static const char *context_find(const cs_emu_context *c, const char *key)
{
    for (size_t i = 0; c != NULL && i < c->num; i++) {
        if (strcasecmp(c->item[i].key, key) == 0) {
            return c->item[i].value;
        }
    }
    return NULL;
}

static bool char_eq(char a, char b, bool ignore_case)
{
    return ignore_case ? tolower((unsigned char)a) == tolower((unsigned char)b) : a == b;
}

/* Iterative, so that "*a*a*a*..." costs at most pattern x text. */
bool cs_emu_glob(const char *p, const char *t, bool ignore_case)
{
    const char *star = NULL, *mark = NULL;
    while (*t != '\0') {
        if (*p == '*') {
            star = p++;
            mark = t;
        } else if (*p == '?' || (*p != '\0' && char_eq(*p, *t, ignore_case))) {
            p++;
            t++;
        } else if (star != NULL) {
            p = star + 1;
            t = ++mark;
        } else {
            return false;
        }
    }
    while (*p == '*') {
        p++;
    }
    return *p == '\0';
}

bool cs_emu_iam_allows(const cs_emu_principal *who, const char *action)
{
    char pattern[128];
    for (const char *p = who->iam_actions; p != NULL && *p != '\0';) {
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

/* A condition operator's row; *if_exists says whether the name had that ending. */
static const operator_row *find_operator(const char *name, bool *if_exists)
{
    char base[64];
    size_t n = strlen(name);
    *if_exists = n > 8 && strcmp(name + n - 8, "IfExists") == 0;
    if (*if_exists) {
        n -= 8;
    }
    if (n >= sizeof base) {
        return NULL;
    }
    memcpy(base, name, n);
    base[n] = '\0';
    for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++) {
        if (strcmp(operators[i].name, base) == 0) {
            return *if_exists && operators[i].kind == M_NULL ? NULL : &operators[i];
        }
    }
    return NULL;
}

static const char *scalar_text(const json_t *v)
{
    if (json_is_boolean(v)) {
        return json_is_true(v) ? "true" : "false";
    }
    return json_string_value(v);
}

static bool strings_or_list(const json_t *v)
{
    size_t i;
    json_t *e;
    if (!json_is_array(v)) {
        return scalar_text(v) != NULL;
    }
    json_array_foreach(v, i, e)
    {
        if (scalar_text(e) == NULL) {
            return false;
        }
    }
    return json_array_size(v) > 0;
}

static bool condition_valid(json_t *condition)
{
    const char *op, *key;
    json_t *keys, *values;
    bool if_exists;
    if (!json_is_object(condition)) {
        return false;
    }
    json_object_foreach(condition, op, keys)
    {
        if (find_operator(op, &if_exists) == NULL || !json_is_object(keys)) {
            return false;
        }
        json_object_foreach(keys, key, values)
        {
            if (!strings_or_list(values)) {
                return false;
            }
        }
    }
    return true;
}

static bool principal_valid(json_t *p)
{
    const char *key;
    json_t *v;
    if (json_is_string(p)) {
        return strcmp(json_string_value(p), "*") == 0;
    }
    if (!json_is_object(p) || json_object_size(p) == 0) {
        return false;
    }
    json_object_foreach(p, key, v)
    {
        if ((strcmp(key, "AWS") != 0 && strcmp(key, "Service") != 0 && strcmp(key, "Federated") != 0) ||
            !strings_or_list(v)) {
            return false;
        }
    }
    return true;
}

static bool statement_valid(json_t *s)
{
    static const char *const lists[] = {"Action", "NotAction", "Resource", "NotResource"};
    const char *effect = json_string_value(json_object_get(s, "Effect"));
    json_t *condition = json_object_get(s, "Condition"), *sid = json_object_get(s, "Sid");
    if (!json_is_object(s) || effect == NULL || (strcmp(effect, "Allow") != 0 && strcmp(effect, "Deny") != 0) ||
        json_object_get(s, "NotPrincipal") != NULL || !principal_valid(json_object_get(s, "Principal")) ||
        (sid != NULL && !json_is_string(sid)) || (condition != NULL && !condition_valid(condition))) {
        return false;
    }
    for (size_t i = 0; i < 4; i++) {
        json_t *v = json_object_get(s, lists[i]);
        if (v != NULL && !strings_or_list(v)) {
            return false;
        }
    }
    return true;
}

cs_err cs_emu_policy_parse(json_t **out, cs_slice text)
{
    size_t i;
    json_t *e;
    if (text.len > CS_EMU_POLICY_MAX) {
        return CS_E_TOO_LARGE;
    }
    json_t *p = json_loadb((const char *)text.p, text.len, JSON_REJECT_DUPLICATES, NULL);
    json_t *statements = json_object_get(p, "Statement");
    const char *version = json_string_value(json_object_get(p, "Version"));
    bool ok = statements != NULL &&
              (json_object_get(p, "Version") == NULL ||
               (version != NULL && (strcmp(version, "2012-10-17") == 0 || strcmp(version, "2008-10-17") == 0)));
    if (ok && json_is_array(statements)) {
        ok = json_array_size(statements) > 0;
        json_array_foreach(statements, i, e)
        {
            ok = ok && statement_valid(e);
        }
    } else {
        ok = ok && statement_valid(statements);
    }
    if (!ok) {
        json_decref(p);
        return CS_E_FORMAT;
    }
    *out = p; /* transferred */
    return CS_OK;
}

static bool any_matches(const json_t *v, const char *text, match_kind kind, bool ignore_case)
{
    size_t n = json_is_array(v) ? json_array_size(v) : 1;
    for (size_t i = 0; i < n; i++) {
        const char *want = scalar_text(json_is_array(v) ? json_array_get(v, i) : v);
        if (want == NULL) {
            continue;
        }
        bool hit = kind == M_LIKE ? cs_emu_glob(want, text, ignore_case)
                                  : (ignore_case ? strcasecmp(want, text) == 0 : strcmp(want, text) == 0);
        if (hit) {
            return true;
        }
    }
    return false;
}

/* [nitro-kms.md 10] operators AND, keys AND, values OR; negated: NOR; missing: false, negated true, IfExists true */
static bool condition_holds(json_t *condition, const cs_emu_context *c)
{
    const char *op, *key;
    json_t *keys, *values;
    bool if_exists;
    json_object_foreach(condition, op, keys)
    {
        const operator_row *row = find_operator(op, &if_exists);
        json_object_foreach(keys, key, values)
        {
            const char *got = context_find(c, key);
            bool holds;
            if (row->kind == M_NULL) {
                holds = any_matches(values, got == NULL ? "true" : "false", M_EQUAL, true);
            } else if (got == NULL) {
                holds = row->negated || if_exists;
            } else {
                holds = any_matches(values, got, row->kind, row->ignore_case) != row->negated;
            }
            if (!holds) {
                return false;
            }
        }
    }
    return true;
}

static bool list_matches(const json_t *v, const char *text, bool ignore_case)
{
    return any_matches(v, text, M_LIKE, ignore_case);
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

static principal_match match_principal(const json_t *p, const cs_emu_principal *who)
{
    principal_match best = P_NO;
    if (json_is_string(p)) {
        return P_DIRECT; /* only "*" was let in */
    }
    const json_t *v = json_object_get(p, "AWS");
    size_t n = json_is_array(v) ? json_array_size(v) : (v != NULL ? 1 : 0);
    for (size_t i = 0; i < n; i++) {
        const char *want = json_string_value(json_is_array(v) ? json_array_get(v, i) : v);
        principal_match m = want != NULL ? match_one(want, who) : P_NO;
        if (m == P_DIRECT) {
            return m;
        }
        best = m != P_NO ? m : best;
    }
    return best;
}

static bool covers(const json_t *s, const char *list, const char *not_list, const char *text, bool ignore_case)
{
    const json_t *v = json_object_get(s, list), *nv = json_object_get(s, not_list);
    if (v != NULL) {
        return list_matches(v, text, ignore_case);
    }
    return nv != NULL && !list_matches(nv, text, ignore_case);
}

static bool statement_applies(const json_t *s, const cs_emu_query *q, bool deny)
{
    json_t *condition = json_object_get(s, "Condition");
    principal_match m = match_principal(json_object_get(s, "Principal"), q->who);
    if (m == P_NO || (m == P_DELEGATED && !deny && !cs_emu_iam_allows(q->who, q->action))) {
        return false;
    }
    return covers(s, "Action", "NotAction", q->action, true) &&
           covers(s, "Resource", "NotResource", q->resource, false) &&
           (condition == NULL || condition_holds(condition, q->context));
}

cs_emu_decision cs_emu_policy_eval(const json_t *policy, const cs_emu_query *q)
{
    cs_emu_decision d = {CS_EMU_DENIED_BY_DEFAULT, ""};
    const json_t *statements = json_object_get(policy, "Statement");
    size_t n = json_is_array(statements) ? json_array_size(statements) : 1;
    for (size_t i = 0; i < n; i++) {
        const json_t *s = json_is_array(statements) ? json_array_get(statements, i) : statements;
        const char *sid = json_string_value(json_object_get(s, "Sid"));
        bool deny = strcmp(json_string_value(json_object_get(s, "Effect")), "Deny") == 0;
        if (!statement_applies(s, q, deny) || (!deny && d.verdict == CS_EMU_ALLOWED)) {
            continue;
        }
        d.verdict = deny ? CS_EMU_DENIED_EXPLICITLY : CS_EMU_ALLOWED;
        snprintf(d.sid, sizeof d.sid, "%s", sid != NULL ? sid : "");
        if (deny) {
            break;
        }
    }
    return d;
}
