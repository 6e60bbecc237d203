#include "tools/caller_file.h"

#include <stdio.h>
#include <stdlib.h>

#include "codec/json.h"
#include "rpc/tee_rpc.h"
#include "tools/tool_file.h"

#define FILE_MAX_BYTES ((size_t)32 << 20) /* of all callers that a share file may have */

static cs_err fail(cs_caller_list *l, cs_err err, const char *name, const char *what)
{
    (void)snprintf(l->detail, sizeof l->detail, "%.120s: %s", name, what);
    return err;
}

static cs_err add_one(cs_caller_list *l, cs_slice object, size_t offset, const char *name)
{
    cs_sharefile_fault fault;
    char what[160];

    if (l->num == CS_SHAREFILE_MAX_CALLERS) {
        return fail(l, CS_E_SHARES_LIMIT, name, "more than 4096 callers");
    }
    cs_sharefile_caller *more = reallocarray(l->caller, l->num + 1, sizeof *more);
    if (more == NULL) {
        return CS_E_NO_MEMORY;
    }
    l->caller = more;
    cs_err err = cs_sharefile_caller_parse(&more[l->num], object, &fault);
    if (err != CS_OK) {
        (void)snprintf(what, sizeof what, "at byte %zu: %s", offset + fault.offset, fault.what);
        return fail(l, err, name, what);
    }
    const cs_sharefile_caller *c = &more[l->num];
    for (size_t i = 0; i < c->num_operations; i++) {
        if (cs_tee_grant_of(c->operation[i]) == 0) {
            (void)snprintf(what, sizeof what, "%.*s is no operation", (int)c->operation[i].len,
                           (const char *)c->operation[i].p);
            return fail(l, CS_E_SHARES_ACCOUNT, name, what);
        }
    }
    l->num++;
    return CS_OK;
}

cs_err cs_caller_list_add(cs_caller_list *l, cs_buf text, const char *name)
{
    cs_json j = cs_json_of(cs_buf_slice(&text));

    if (l->num_files == CS_OPT_MAX_MANY) {
        cs_buf_free(&text);
        return fail(l, CS_E_SHARES_LIMIT, name, "too many files");
    }
    l->text[l->num_files++] = text; /* transferred */
    do {
        cs_json_space(&j);
        const uint8_t *start = j.r.p;
        const size_t offset = text.len - j.r.left;
        /* what cs_json_skip does not take has its fault found by the parser */
        const size_t len = cs_json_skip(&j) == CS_OK ? (size_t)(j.r.p - start) : j.r.left;
        CS_TRY(add_one(l, cs_slice_of(start, len), offset, name));
    } while (cs_json_end(&j) != CS_OK);
    return CS_OK;
}

cs_err cs_caller_list_read(cs_caller_list *l, const cs_args *a)
{
    const char *path;

    for (size_t i = 0; (path = cs_args_many(a, "caller", i)) != NULL; i++) {
        cs_buf text = cs_buf_heap(FILE_MAX_BYTES);
        cs_err err = cs_tfile_read(&text, path);
        if (err != CS_OK) {
            cs_buf_free(&text);
            return fail(l, err, path, "cannot be read");
        }
        CS_TRY(cs_caller_list_add(l, text, path));
    }
    return CS_OK;
}

void cs_caller_list_free(cs_caller_list *l)
{
    for (size_t i = 0; i < l->num_files; i++) {
        cs_buf_free(&l->text[i]);
    }
    free(l->caller);
    *l = (cs_caller_list){0};
}
