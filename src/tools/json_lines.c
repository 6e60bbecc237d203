#include "tools/json_lines.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

static void print_value(const char *key, const json_t *v)
{
    char *nested;

    if (json_is_string(v)) {
        printf("%-16s %s\n", key, json_string_value(v));
    } else if (json_is_integer(v)) {
        printf("%-16s %" JSON_INTEGER_FORMAT "\n", key, json_integer_value(v));
    } else if (json_is_number(v)) {
        printf("%-16s %g\n", key, json_number_value(v));
    } else {
        nested = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);
        printf("%-16s %s\n", key, nested != NULL ? nested : "");
        free(nested);
    }
}

cs_err cs_json_print(cs_slice json, bool lines)
{
    json_t *o, *v;
    const char *key;

    if (!lines) {
        printf("%.*s\n", (int)json.len, (const char *)json.p);
        return fflush(stdout) == 0 ? CS_OK : CS_E_IO;
    }
    o = json_loadb((const char *)json.p, json.len, 0, NULL);
    if (!json_is_object(o)) {
        json_decref(o);
        return CS_E_FORMAT;
    }
    json_object_foreach(o, key, v)
    {
        print_value(key, v);
    }
    json_decref(o);
    return fflush(stdout) == 0 ? CS_OK : CS_E_IO;
}
