/* Shared by policy_solve.c and policy_keys.c. */
#ifndef CS_TOOLS_POLICY_SOLVE_INT_H
#define CS_TOOLS_POLICY_SOLVE_INT_H

#include "tools/policy_solve.h"

#define CS_PCR_ZEROS "000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"

typedef enum cs_pfix_kind {
    CS_FIX_VALUE,         /* this value; NULL: absent */
    CS_FIX_FREE,          /* absent, a value that the policy lists, or another */
    CS_FIX_PRESENT,       /* a value that the policy lists, zeros, or another */
    CS_FIX_NEW,           /* a value that the policy lists only by a pattern, or another */
    CS_FIX_NEW_OR_ZEROS,  /* the same, or zeros */
    CS_FIX_NEW_OR_ABSENT, /* the same, or absent */
    CS_FIX_AND_OTHERS,    /* this value, alone or with other operations of grants */
} cs_pfix_kind;

typedef struct cs_pfix {
    cs_pfix_kind kind;
    const char *value;
} cs_pfix;

/* cs_pkey_multi - may the key have several values at once? True for keys of other services. */
bool cs_pkey_multi(const char *key);
/* cs_pkey_fix - what is known of a key in a request. */
cs_pfix cs_pkey_fix(const char *key, const cs_prequest *q);

#endif
