#include "base/err.h"

#include <stddef.h>
#include <string.h>

/* clang-format off */
static const struct row {
    const char *code;
    cs_err_class cls;
    cs_grpc_status grpc;
    bool retry;
    const char *cause;
    const char *fix;
} rows[CS_ERR_COUNT] = {
    [CS_OK] = {"OK", CS_CLASS_OK, CS_GRPC_OK, false, "no error", "nothing to do"},
#define CS_ERR_ROW(name, cls, grpc, retry, cause, fix)                                                                 \
    [CS_E_##name] = {#name, CS_CLASS_##cls, CS_GRPC_##grpc, retry, cause, fix},
    CS_ERR_TABLE(CS_ERR_ROW)
#undef CS_ERR_ROW
};
/* clang-format on */

static const struct row *row_of(cs_err e)
{
    return (unsigned)e < CS_ERR_COUNT ? &rows[e] : &rows[CS_E_INTERNAL];
}

const char *cs_err_code(cs_err e)
{
    return row_of(e)->code;
}

cs_err_class cs_err_class_of(cs_err e)
{
    return row_of(e)->cls;
}

const char *cs_err_class_name(cs_err_class c)
{
    static const char *const names[] = {"ok", "input", "auth", "state", "limit", "peer", "io", "remote", "internal"};
    return (unsigned)c < sizeof names / sizeof *names ? names[c] : "internal";
}

cs_grpc_status cs_err_grpc(cs_err e)
{
    return row_of(e)->grpc;
}

bool cs_err_retry(cs_err e)
{
    return row_of(e)->retry;
}

const char *cs_err_cause(cs_err e)
{
    return row_of(e)->cause;
}

const char *cs_err_fix(cs_err e)
{
    return row_of(e)->fix;
}

cs_err cs_err_from_code(const char *code)
{
    for (size_t i = 0; i < CS_ERR_COUNT; i++) {
        if (strcmp(rows[i].code, code) == 0) {
            return (cs_err)i;
        }
    }
    return CS_E_INTERNAL;
}
