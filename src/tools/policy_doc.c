/* The grammar of policy statements: every element that the linter reads has the type that IAM demands. */
#include "tools/policy_doc.h"

#include <string.h>

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

static bool condition_ok(const json_t *c)
{
    json_t *keys, *v;
    const char *op, *key;

    json_object_foreach((json_t *)c, op, keys)
    {
        if (!json_is_object(keys)) {
            return false;
        }
        json_object_foreach(keys, key, v)
        {
            /* numbers are values too; they never equal a PCR */
            if (!texts(v) && !json_is_number(v)) {
                return false;
            }
        }
    }
    return c == NULL || json_is_object(c);
}

static bool principal_ok(const json_t *p)
{
    const char *s = json_string_value(p), *key;
    json_t *v;

    json_object_foreach((json_t *)p, key, v)
    {
        if (!texts(v)) {
            return false;
        }
    }
    return p == NULL || json_is_object(p) || (s != NULL && strcmp(s, "*") == 0);
}

bool cs_policy_statement_ok(const json_t *st)
{
    const char *effect = json_string_value(json_object_get(st, "Effect"));
    const json_t *a = json_object_get(st, "Action"), *na = json_object_get(st, "NotAction");
    const json_t *r = json_object_get(st, "Resource");

    return effect != NULL && (strcmp(effect, "Allow") == 0 || strcmp(effect, "Deny") == 0) &&
           (a == NULL) != (na == NULL) && texts(a != NULL ? a : na) && (r == NULL || texts(r)) &&
           principal_ok(json_object_get(st, "Principal")) && principal_ok(json_object_get(st, "NotPrincipal")) &&
           condition_ok(json_object_get(st, "Condition"));
}
