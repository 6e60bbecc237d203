/*
 * May a request succeed? A request is a caller, an action, a key and what is attested; every other condition key is a variable that
 * takes any value, or is absent. The search is exact over the values that the policy can tell apart.
 */
#ifndef CS_TOOLS_POLICY_SOLVE_H
#define CS_TOOLS_POLICY_SOLVE_H

#include "tools/policy_who.h"

typedef enum cs_pstate {
    CS_ATTESTED_NOT, /* no attestation document */
    CS_ATTESTED_DEBUG, /* a debug enclave of any image: PCR0, 1, 2, 8 are zeros; PCR3, 4, 16.. are what the host or the image makes of them */
    CS_ATTESTED_OTHER,  /* an image that the policy does not know: no value of PCR0, 1, 2, 8 is a listed one */
    CS_ATTESTED_KERNEL, /* such an image on a kernel that the policy lists (PCR1) */
    CS_ATTESTED_APP,    /* such an image with an application that the policy lists (PCR2) */
    CS_ATTESTED_SIGNER, /* such an image of a signer that the policy lists (PCR8) */
    CS_ATTESTED_ANY,    /* any values, also those that the policy lists */
} cs_pstate;

typedef struct cs_prequest {
    const cs_pwho *who;
    const char *action;   /* "kms:Decrypt" */
    const char *resource; /* ARN of the key */
    const char *grant_op; /* operation of the grant: kms:CreateGrant */
    cs_pstate state;
} cs_prequest;

typedef struct cs_psolver {
    const cs_pdoc *doc;
    bool iam;       /* no principals; every statement has a resource */
    uint64_t spent; /* comparisons */
    bool exhausted; /* the search was given up somewhere: "may" is assumed there */
} cs_psolver;

/* cs_psolve - may statement st (an Allow) let the request through, with no Deny of the document in its way? */
bool cs_psolve(cs_psolver *s, const cs_pstatement *st, const cs_prequest *q);
/* cs_psolve_covers - action and resource, without principal and conditions. resource NULL: a trust policy, which has none. */
bool cs_psolve_covers(const cs_pstatement *st, const char *action, const char *resource);

#define CS_PKEY_UNKNOWN (-1)
#define CS_PKEY_OTHER (-2)
/*
 * cs_pkey_pcr - n of kms:RecipientAttestation:PCRn (ImageSha384 is 0); 32..63: NitroTPMPCRn; CS_PKEY_UNKNOWN: a key of attestation that
 * does not exist; CS_PKEY_OTHER: not about attestation.
 */
int cs_pkey_pcr(const char *key);
/* cs_pkey_exists - false for a name with the prefix "kms:" that KMS does not have. */
bool cs_pkey_exists(const char *key);

#endif
