/*
 * Condition elements of policies: the operators of IAM, their IfExists forms and the set operators. See policy_int.h.
 * Source: specs/nitro-kms.md 10; IAM user guide, "IAM JSON policy elements: Condition operators".
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "emulator/policy_int.h"
#include "net/aws/iam_value.h"

typedef enum match_kind { M_EQUAL, M_LIKE, M_ARN, M_BOOL, M_NULL, M_NUMBER, M_DATE, M_IP } match_kind;
typedef enum relation { R_EQ, R_LT, R_LE, R_GT, R_GE } relation;
typedef enum set_kind { S_NONE, S_ALL, S_ANY } set_kind;

typedef struct operator_row {
    const char *name;
    match_kind kind;
    bool ignore_case, negated;
    relation relation;
} operator_row;

static const operator_row operators[] = {
    {"StringEquals", M_EQUAL, false, false, R_EQ},
    {"StringNotEquals", M_EQUAL, false, true, R_EQ},
    {"StringEqualsIgnoreCase", M_EQUAL, true, false, R_EQ},
    {"StringNotEqualsIgnoreCase", M_EQUAL, true, true, R_EQ},
    {"StringLike", M_LIKE, false, false, R_EQ},
    {"StringNotLike", M_LIKE, false, true, R_EQ},
    {"ArnEquals", M_ARN, false, false, R_EQ},
    {"ArnNotEquals", M_ARN, false, true, R_EQ},
    {"ArnLike", M_ARN, false, false, R_EQ},
    {"ArnNotLike", M_ARN, false, true, R_EQ},
    {"Bool", M_BOOL, true, false, R_EQ},
    {"BinaryEquals", M_EQUAL, false, false, R_EQ},
    {"Null", M_NULL, true, false, R_EQ},
    {"NumericEquals", M_NUMBER, false, false, R_EQ},
    {"NumericNotEquals", M_NUMBER, false, true, R_EQ},
    {"NumericLessThan", M_NUMBER, false, false, R_LT},
    {"NumericLessThanEquals", M_NUMBER, false, false, R_LE},
    {"NumericGreaterThan", M_NUMBER, false, false, R_GT},
    {"NumericGreaterThanEquals", M_NUMBER, false, false, R_GE},
    {"DateEquals", M_DATE, false, false, R_EQ},
    {"DateNotEquals", M_DATE, false, true, R_EQ},
    {"DateLessThan", M_DATE, false, false, R_LT},
    {"DateLessThanEquals", M_DATE, false, false, R_LE},
    {"DateGreaterThan", M_DATE, false, false, R_GT},
    {"DateGreaterThanEquals", M_DATE, false, false, R_GE},
    {"IpAddress", M_IP, false, false, R_EQ},
    {"NotIpAddress", M_IP, false, true, R_EQ},
};

/* An operator as written: "ForAllValues:StringNotLikeIfExists". */
typedef struct operator_use {
    const operator_row *row;
    set_kind set;
    bool if_exists;
} operator_use;

static bool parse_operator(operator_use *out, const char *name)
{
    static const char all[] = "ForAllValues:", any[] = "ForAnyValue:", ending[] = "IfExists";
    *out = (operator_use){NULL, S_NONE, false};
    if (strncasecmp(name, all, sizeof all - 1) == 0) {
        out->set = S_ALL;
        name += sizeof all - 1;
    } else if (strncasecmp(name, any, sizeof any - 1) == 0) {
        out->set = S_ANY;
        name += sizeof any - 1;
    }
    size_t n = strlen(name), e = sizeof ending - 1;
    out->if_exists = n > e && strcasecmp(name + n - e, ending) == 0;
    n -= out->if_exists ? e : 0;
    for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++) {
        if (strlen(operators[i].name) == n && strncasecmp(operators[i].name, name, n) == 0) {
            out->row = &operators[i];
        }
    }
    /* whether a key is there: neither "if it exists" nor "for each of its values" makes sense */
    return out->row != NULL && (out->row->kind != M_NULL || (!out->if_exists && out->set == S_NONE));
}

static bool relate(relation r, double got, double want)
{
    switch (r) {
    case R_LT:
        return got < want;
    case R_LE:
        return got <= want;
    case R_GT:
        return got > want;
    case R_GE:
        return got >= want;
    default:
        return got <= want && got >= want;
    }
}

/* Six parts between colons, the last with the rest; a wildcard does not reach over a colon. */
static bool arn_matches(const char *want, const char *got)
{
    char pattern[512];
    for (int part = 0; part < 6; part++) {
        size_t w = part < 5 ? strcspn(want, ":") : strlen(want), g = part < 5 ? strcspn(got, ":") : strlen(got);
        char text[2048];
        if (w >= sizeof pattern || g >= sizeof text || (part < 5 && (want[w] != ':' || got[g] != ':'))) {
            return false;
        }
        memcpy(pattern, want, w);
        pattern[w] = '\0';
        memcpy(text, got, g);
        text[g] = '\0';
        if (!cs_emu_glob(pattern, text, false)) {
            return false;
        }
        want += w + (part < 5 ? 1 : 0);
        got += g + (part < 5 ? 1 : 0);
    }
    return true;
}

static bool value_matches(const operator_row *row, const char *want, const char *got)
{
    double a, b;
    switch (row->kind) {
    case M_LIKE:
        return cs_emu_glob(want, got, row->ignore_case);
    case M_ARN:
        return arn_matches(want, got) || strcmp(want, "*") == 0;
    case M_NUMBER:
        return cs_iam_number(got, &a) && cs_iam_number(want, &b) && relate(row->relation, a, b);
    case M_DATE:
        return cs_iam_date(got, &a) && cs_iam_date(want, &b) && relate(row->relation, a, b);
    case M_IP:
        return cs_iam_ip_in(want, got);
    default:
        return row->ignore_case ? strcasecmp(want, got) == 0 : strcmp(want, got) == 0;
    }
}

bool cs_emu_policy_expand(char *out, size_t cap, const char *text, const cs_emu_context *c)
{
    size_t n = 0;
    while (*text != '\0') {
        const char *end = text[0] == '$' && text[1] == '{' ? strchr(text, '}') : NULL;
        char name[256];
        if (end == NULL) {
            if (n + 2 > cap) {
                return false;
            }
            out[n++] = *text++;
            continue;
        }
        size_t len = (size_t)(end - text) - 2;
        if (len == 0 || len >= sizeof name) {
            return false;
        }
        memcpy(name, text + 2, len);
        name[len] = '\0';
        bool literal = len == 1 && strchr("*?$", name[0]) != NULL;
        const char *value = literal ? name : cs_emu_context_nth(c, name, 0);
        for (; value != NULL && *value != '\0'; value++) {
            if (n + 3 > cap) {
                return false;
            }
            if (*value == '*' || *value == '?') {
                out[n++] = CS_EMU_GLOB_LITERAL;
            }
            out[n++] = *value;
        }
        if (value == NULL) {
            return false;
        }
        text = end + 1;
    }
    out[n] = '\0';
    return true;
}

/* Undo the marks of literals, for operators without wildcards. */
static void unmark(char *text)
{
    char *to = text;
    for (; *text != '\0'; text++) {
        if (*text != CS_EMU_GLOB_LITERAL) {
            *to++ = *text;
        }
    }
    *to = '\0';
}

static bool any_matches(const operator_row *row, const json_t *values, const char *got, const cs_emu_context *vars)
{
    static char expanded[4096]; /* one thread */
    size_t n = json_is_array(values) ? json_array_size(values) : 1;
    for (size_t i = 0; i < n; i++) {
        const char *want = json_string_value(json_is_array(values) ? json_array_get(values, i) : values);
        if (want != NULL && vars != NULL && strstr(want, "${") != NULL) {
            if (!cs_emu_policy_expand(expanded, sizeof expanded, want, vars)) {
                continue;
            }
            if (row->kind != M_LIKE && row->kind != M_ARN) {
                unmark(expanded);
            }
            want = expanded;
        }
        if (want != NULL && value_matches(row, want, got)) {
            return true;
        }
    }
    return false;
}

/*
 * [nitro-kms.md 10] values of the policy OR, negated NOR; a key that is missing: false, negated true, IfExists true.
 * Without a set operator a key with several values holds when one matches (negated: none does).
 */
static bool key_holds(const operator_use *op, const char *key, const json_t *values, const cs_emu_context *c,
                      const cs_emu_context *vars)
{
    const char *got = cs_emu_context_nth(c, key, 0);
    bool negated = op->row->negated, every = op->set == S_ALL || (op->set == S_NONE && negated);
    if (op->row->kind == M_NULL) {
        return any_matches(op->row, values, got == NULL ? "true" : "false", NULL);
    }
    if (got == NULL) {
        return op->if_exists || op->set == S_ALL || (op->set == S_NONE && negated);
    }
    for (size_t i = 0; got != NULL; got = cs_emu_context_nth(c, key, ++i)) {
        bool holds = any_matches(op->row, values, got, vars) != negated;
        if (holds != every) {
            return holds;
        }
    }
    return every;
}

bool cs_emu_condition_holds(const json_t *condition, const cs_emu_context *c, bool variables)
{
    const char *name, *key;
    json_t *keys, *values;
    operator_use op;
    json_object_foreach((json_t *)condition, name, keys)
    {
        if (!parse_operator(&op, name)) {
            return false; /* not reached: checked when it was read */
        }
        json_object_foreach(keys, key, values)
        {
            if (!key_holds(&op, key, values, c, variables ? c : NULL)) {
                return false;
            }
        }
    }
    return true;
}

/* A scalar as the text that it is compared as; NULL when it is none. */
static json_t *as_text(const json_t *v)
{
    char number[64];
    if (json_is_boolean(v)) {
        return json_string(json_is_true(v) ? "true" : "false");
    }
    if (json_is_integer(v)) {
        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(v));
        return json_string(number);
    }
    if (json_is_real(v)) {
        snprintf(number, sizeof number, "%.15g", json_real_value(v));
        return json_string(number);
    }
    return NULL;
}

static const char *check_value(const operator_row *row, const char *text)
{
    double d;
    for (const char *p = text; *p != '\0'; p++) {
        if ((unsigned char)*p < 0x20) {
            return "a condition value has a control character";
        }
    }
    if (strstr(text, "${") != NULL) {
        return NULL;
    }
    switch (row->kind) {
    case M_NUMBER:
        return cs_iam_number(text, &d) ? NULL : "a value of a Numeric operator is not a number";
    case M_DATE:
        return cs_iam_date(text, &d) ? NULL : "a value of a Date operator is not a date";
    case M_IP:
        return cs_iam_ip(text) ? NULL : "a value of an IpAddress operator is not an address";
    case M_BOOL:
    case M_NULL:
        return strcasecmp(text, "true") == 0 || strcasecmp(text, "false") == 0
                   ? NULL
                   : "a value of Bool or Null is not true or false";
    default:
        return NULL;
    }
}

static const char *check_values(const operator_row *row, json_t *keys, const char *key, json_t *values)
{
    bool list = json_is_array(values);
    size_t n = list ? json_array_size(values) : 1;
    if (n == 0) {
        return "a condition key has an empty list of values";
    }
    for (size_t i = 0; i < n; i++) {
        json_t *v = list ? json_array_get(values, i) : values, *text = as_text(v);
        if (text != NULL) {
            v = text;
            if ((list ? json_array_set_new(values, i, text) : json_object_set_new(keys, key, text)) != 0) {
                return "out of memory";
            }
        }
        const char *why = json_is_string(v) ? check_value(row, json_string_value(v)) : "a condition value is no scalar";
        if (why != NULL) {
            return why;
        }
    }
    return NULL;
}

const char *cs_emu_condition_valid(json_t *condition)
{
    const char *name, *key;
    json_t *keys, *values;
    void *next;
    operator_use op;
    if (!json_is_object(condition)) {
        return "Condition is not an object";
    }
    json_object_foreach(condition, name, keys)
    {
        if (!parse_operator(&op, name)) {
            return "Invalid Condition type";
        }
        if (!json_is_object(keys)) {
            return "a condition operator has no object of keys";
        }
        json_object_foreach_safe(keys, next, key, values)
        {
            const char *why = key[0] != '\0' ? check_values(op.row, keys, key, values) : "a condition key is empty";
            if (why != NULL) {
                return why;
            }
        }
    }
    return NULL;
}
