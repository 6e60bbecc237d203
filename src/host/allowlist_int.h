/* Inside of allow-lists: allowlist.c reads the file, allowlist_find.c decides, allowlist_aws.c has the list that is built in. */
#ifndef CS_HOST_ALLOWLIST_INT_H
#define CS_HOST_ALLOWLIST_INT_H

#include "host/allowlist.h"

struct cs_allowlist {
    cs_allowed *entries;
    size_t num, cap;
};
/* cs_allowlist_add - a copy. CS_E_NO_MEMORY | CS_E_TOO_LARGE. */
CS_MUST cs_err cs_allowlist_add(cs_allowlist *a, const cs_allowed *entry);

#endif
