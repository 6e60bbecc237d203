/* Files with the public description of callers of the TEE service, as `signctl caller public` prints it: one object or several. */
#ifndef CS_TOOLS_CALLER_FILE_H
#define CS_TOOLS_CALLER_FILE_H

#include "base/opts.h"
#include "codec/sharefile.h"

typedef struct cs_caller_list {
    cs_sharefile_caller *caller; /* heap; slices point into text */
    size_t num;
    cs_buf text[CS_OPT_MAX_MANY]; /* heap */
    size_t num_files;
    char detail[320]; /* of an error: file, place, reason; never a value */
} cs_caller_list;

/*
 * cs_caller_list_add - the objects of a text, which is taken over (transferred, also on an error); name is for detail. At least one.
 * CS_E_SHARES_FORMAT | CS_E_SHARES_ACCOUNT (a number, an operation that is none) | CS_E_SHARES_LIMIT (more than a file may have) |
 * CS_E_NO_MEMORY.
 */
CS_MUST cs_err cs_caller_list_add(cs_caller_list *l, cs_buf text, const char *name);
/* cs_caller_list_read - the files of the option --caller. As above, and CS_E_NOT_FOUND | CS_E_IO | CS_E_TOO_LARGE. */
CS_MUST cs_err cs_caller_list_read(cs_caller_list *l, const cs_args *a);
void cs_caller_list_free(cs_caller_list *l);

#endif
