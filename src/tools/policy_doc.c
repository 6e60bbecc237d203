/* The grammar of policy documents: every element that the linter reads has the type that IAM demands. See policy_doc.h. */
#include "tools/policy_doc.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

const char *cs_policy_item(const json_t *v, size_t i)
{
    const json_t *x = json_is_array(v) ? json_array_get(v, i) : i == 0 ? v : NULL;

    return json_is_true(x) ? "true" : json_is_false(x) ? "false" : json_string_value(x);
}

static bool texts(const json_t *v)
{
    for (size_t i = 0; json_is_array(v) && i < json_array_size(v); i++) {
        if (cs_policy_item(v, i) == NULL) {
            return false;
        }
    }
    return json_is_array(v) || cs_policy_item(v, 0) != NULL;
}

static bool principal_ok(const json_t *p)
{
    const char *key;
    json_t *v;

    json_object_foreach((json_t *)p, key, v)
    {
        if (!texts(v)) {
            return false;
        }
    }
    return p == NULL || json_is_object(p) || json_is_string(p);
}

static bool both(const json_t *st, const char *a, const char *b)
{
    return json_object_get(st, a) != NULL && json_object_get(st, b) != NULL;
}

/* What is wrong with a statement, or NULL. */
static const char *statement_fault(const json_t *st)
{
    static const char *const lists[][2] = {{"Action", "Action is neither a text nor a list of texts"},
                                           {"NotAction", "NotAction is neither a text nor a list of texts"},
                                           {"Resource", "Resource is neither a text nor a list of texts"},
                                           {"NotResource", "NotResource is neither a text nor a list of texts"}};
    static const char *const pairs[][3] = {{"Action", "NotAction", "it has both Action and NotAction"},
                                           {"Resource", "NotResource", "it has both Resource and NotResource"},
                                           {"Principal", "NotPrincipal", "it has both Principal and NotPrincipal"}};
    const char *effect = json_string_value(json_object_get(st, "Effect"));
    const json_t *c = json_object_get(st, "Condition");

    if (!json_is_object(st)) {
        return "it is no object";
    }
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        const json_t *v = json_object_get(st, lists[i][0]);
        if (v != NULL && !texts(v)) {
            return lists[i][1];
        }
    }
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        if (both(st, pairs[i][0], pairs[i][1])) {
            return pairs[i][2];
        }
    }
    if (effect == NULL || (strcmp(effect, "Allow") != 0 && strcmp(effect, "Deny") != 0)) {
        return "Effect is neither Allow nor Deny";
    }
    if (!principal_ok(json_object_get(st, "Principal")) || !principal_ok(json_object_get(st, "NotPrincipal"))) {
        return "Principal is neither a text nor an object of texts and lists";
    }
    return c == NULL || json_is_object(c) ? NULL : "Condition is no object";
}

typedef struct operator_row {
    const char *name;
    cs_pmatch match;
    bool fold_case, negated;
    cs_prel relation;
} operator_row;

/* [IAM user guide, "Condition operators"] */
static const operator_row operators[] = {
    {"StringEquals", CS_PM_EQUAL, false, false, CS_PR_EQ},
    {"StringNotEquals", CS_PM_EQUAL, false, true, CS_PR_EQ},
    {"StringEqualsIgnoreCase", CS_PM_EQUAL, true, false, CS_PR_EQ},
    {"StringNotEqualsIgnoreCase", CS_PM_EQUAL, true, true, CS_PR_EQ},
    {"StringLike", CS_PM_LIKE, false, false, CS_PR_EQ},
    {"StringNotLike", CS_PM_LIKE, false, true, CS_PR_EQ},
    {"ArnEquals", CS_PM_ARN, false, false, CS_PR_EQ},
    {"ArnNotEquals", CS_PM_ARN, false, true, CS_PR_EQ},
    {"ArnLike", CS_PM_ARN, false, false, CS_PR_EQ},
    {"ArnNotLike", CS_PM_ARN, false, true, CS_PR_EQ},
    {"Bool", CS_PM_BOOL, true, false, CS_PR_EQ},
    {"BinaryEquals", CS_PM_EQUAL, false, false, CS_PR_EQ},
    {"Null", CS_PM_NULL, true, false, CS_PR_EQ},
    {"NumericEquals", CS_PM_NUMBER, false, false, CS_PR_EQ},
    {"NumericNotEquals", CS_PM_NUMBER, false, true, CS_PR_EQ},
    {"NumericLessThan", CS_PM_NUMBER, false, false, CS_PR_LT},
    {"NumericLessThanEquals", CS_PM_NUMBER, false, false, CS_PR_LE},
    {"NumericGreaterThan", CS_PM_NUMBER, false, false, CS_PR_GT},
    {"NumericGreaterThanEquals", CS_PM_NUMBER, false, false, CS_PR_GE},
    {"DateEquals", CS_PM_DATE, false, false, CS_PR_EQ},
    {"DateNotEquals", CS_PM_DATE, false, true, CS_PR_EQ},
    {"DateLessThan", CS_PM_DATE, false, false, CS_PR_LT},
    {"DateLessThanEquals", CS_PM_DATE, false, false, CS_PR_LE},
    {"DateGreaterThan", CS_PM_DATE, false, false, CS_PR_GT},
    {"DateGreaterThanEquals", CS_PM_DATE, false, false, CS_PR_GE},
    {"IpAddress", CS_PM_IP, false, false, CS_PR_EQ},
    {"NotIpAddress", CS_PM_IP, false, true, CS_PR_EQ},
};

static void parse_operator(cs_pcond *c, const char *name)
{
    static const char all[] = "ForAllValues:", any[] = "ForAnyValue:", ending[] = "IfExists";

    if (strncasecmp(name, all, sizeof all - 1) == 0) {
        c->set = CS_PS_ALL;
        name += sizeof all - 1;
    } else if (strncasecmp(name, any, sizeof any - 1) == 0) {
        c->set = CS_PS_ANY;
        name += sizeof any - 1;
    }
    size_t n = strlen(name), e = sizeof ending - 1;
    c->if_exists = n > e && strcasecmp(name + n - e, ending) == 0;
    n -= c->if_exists ? e : 0;
    c->match = CS_PM_UNKNOWN;
    for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++) {
        const operator_row *r = &operators[i];
        if (strlen(r->name) == n && strncasecmp(r->name, name, n) == 0) {
            c->match = r->match;
            c->fold_case = r->fold_case;
            c->negated = r->negated;
            c->relation = r->relation;
        }
    }
}

/* A new reference to the scalar as text, or NULL. */
static json_t *as_text(json_t *v)
{
    if (json_is_string(v)) {
        return json_incref(v);
    }
    if (json_is_boolean(v)) {
        return json_string(json_is_true(v) ? "true" : "false");
    }
    if (json_is_integer(v)) {
        return json_sprintf("%lld", (long long)json_integer_value(v));
    }
    return json_is_real(v) ? json_sprintf("%.15g", json_real_value(v)) : NULL;
}

/* The values of one key as an array of texts, in their place. */
static cs_err normalise(const json_t **out, json_t *keys, const char *key, json_t *v)
{
    json_t *list = json_array(), *text;
    size_t n = json_is_array(v) ? json_array_size(v) : 1;
    cs_err err = CS_OK;

    for (size_t i = 0; i < n && err == CS_OK; i++) {
        text = as_text(json_is_array(v) ? json_array_get(v, i) : v);
        err = text == NULL ? CS_E_FORMAT : json_array_append_new(list, text) != 0 ? CS_E_NO_MEMORY : CS_OK;
    }
    if (err == CS_OK && json_object_set(keys, key, list) != 0) {
        err = CS_E_NO_MEMORY;
    }
    *out = list; /* the document holds it */
    json_decref(list);
    return err;
}

static cs_err read_conditions(cs_pdoc *d, cs_pstatement *st)
{
    const char *op, *key;
    json_t *keys, *v;
    void *next;

    st->cond = &d->cond[d->num_cond];
    json_object_foreach(json_object_get(st->json, "Condition"), op, keys)
    {
        if (!json_is_object(keys)) {
            return CS_E_FORMAT;
        }
        json_object_foreach_safe(keys, next, key, v)
        {
            if (d->num_cond == CS_PDOC_MAX_CONDITIONS) {
                return CS_E_TOO_LARGE;
            }
            cs_pcond *c = &d->cond[d->num_cond++];
            *c = (cs_pcond){.key = key};
            parse_operator(c, op);
            CS_TRY(normalise(&c->values, keys, key, v));
            st->num_cond++;
        }
    }
    return CS_OK;
}

static cs_err read_statements(cs_pdoc *d)
{
    json_t *st;
    size_t i;

    if (!json_is_array(d->list) || json_array_size(d->list) == 0) {
        (void)snprintf(d->why, sizeof d->why, "Statement is missing, empty or no list");
        return CS_E_FORMAT;
    }
    if (json_array_size(d->list) > CS_PDOC_MAX_STATEMENTS) {
        (void)snprintf(d->why, sizeof d->why, "more than %d statements", CS_PDOC_MAX_STATEMENTS);
        return CS_E_TOO_LARGE;
    }
    json_array_foreach(d->list, i, st)
    {
        const char *fault = statement_fault(st);
        if (fault != NULL) {
            (void)snprintf(d->why, sizeof d->why, "statement %zu: %s", i + 1, fault);
            return CS_E_FORMAT;
        }
        const char *sid = json_string_value(json_object_get(st, "Sid"));
        d->st[d->num] = (cs_pstatement){.json = st, .sid = sid != NULL ? sid : ""};
        d->st[d->num].deny = strcmp(json_string_value(json_object_get(st, "Effect")), "Deny") == 0;
        cs_err err = read_conditions(d, &d->st[d->num]);
        if (err != CS_OK) {
            (void)snprintf(d->why, sizeof d->why, "statement %zu: %s", i + 1,
                           err == CS_E_FORMAT ? "Condition is not operators with keys and values"
                                              : "too many conditions");
            return err;
        }
        d->num++;
    }
    return CS_OK;
}

/* jansson's word and place; its text quotes a little of the document. */
static cs_err no_json(cs_pdoc *d, const char *what, const json_error_t *e)
{
    (void)snprintf(d->why, sizeof d->why, "%s, line %d, column %d: %.100s", what, e->line, e->column, e->text);
    return CS_E_FORMAT;
}

cs_err cs_pdoc_read(cs_pdoc *out, cs_slice text)
{
    const char *inner;
    json_error_t e;

    memset(out, 0, sizeof *out);
    out->root = json_loadb((const char *)text.p, text.len, JSON_REJECT_DUPLICATES, &e);
    if (out->root == NULL) {
        return no_json(out, "no JSON", &e);
    }
    inner = json_string_value(json_object_get(out->root, "Policy"));
    if (inner != NULL) {
        json_t *doc = json_loads(inner, JSON_REJECT_DUPLICATES, &e);
        json_decref(out->root);
        out->root = doc;
        if (doc == NULL) {
            return no_json(out, "the text of Policy is no JSON", &e);
        }
    }
    json_t *list = json_object_get(out->root, "Statement");
    const char *version = json_string_value(json_object_get(out->root, "Version"));
    out->fragment = list == NULL && json_object_get(out->root, "Effect") != NULL;
    list = out->fragment ? out->root : list;
    out->variables = out->fragment || (version != NULL && strcmp(version, "2012-10-17") == 0);
    out->list = json_is_object(list) ? json_pack("[O]", list) : json_incref(list);
    return read_statements(out);
}

void cs_pdoc_close(cs_pdoc *d)
{
    json_decref(d->list);
    json_decref(d->root);
    d->list = d->root = NULL;
}
