/* signctl errors: the error table for people who met a code in a log. */
#include <stdio.h>
#include <string.h>

#include "tools/cmds.h"

static void print_row(cs_err e)
{
    printf("%s\n    class %s, gRPC status %d%s\n    cause: %s\n    fix:   %s\n", cs_err_code(e),
           cs_err_class_name(cs_err_class_of(e)), (int)cs_err_grpc(e), cs_err_retry(e) ? ", may be retried" : "",
           cs_err_cause(e), cs_err_fix(e));
}

static int run(const cs_args *a)
{
    bool found = false;
    for (int e = CS_OK + 1; e < CS_ERR_COUNT; e++) {
        if (a->num_pos == 0 || strcmp(a->pos[0], cs_err_code((cs_err)e)) == 0) {
            print_row((cs_err)e);
            found = true;
        }
    }
    return found ? 0 : cs_refuse(a, CS_E_NOT_FOUND, false, "no error has this code");
}

const cs_cmd cs_cmds_errors[] = {
    {"errors", "[CODE]", "what an error code means and what to do",
     "Every refusal of every program has one stable code, a cause and a fix.\n\nexample:\n    signctl errors "
     "INJECT_BUSY",
     NULL, 0, 1, run},
    {0},
};
