/* Principals of policies: who a statement names, and the few callers that stand for all others. */
#ifndef CS_TOOLS_POLICY_WHO_H
#define CS_TOOLS_POLICY_WHO_H

#include "tools/policy_doc.h"

typedef enum cs_pwho_kind {
    CS_WHO_ROLE,    /* also one session of it */
    CS_WHO_USER,    /* also whatever else has an ARN */
    CS_WHO_ROOT,    /* the root user of an account */
    CS_WHO_SERVICE, /* of AWS */
    CS_WHO_OTHER,   /* federated and canonical users */
    CS_WHO_HOLDER,  /* whoever an IAM policy is attached to */
} cs_pwho_kind;

typedef struct cs_pwho {
    cs_pwho_kind kind;
    const char *arn;     /* NULL: not known, or none */
    const char *session; /* ARN of an assumed-role session, or NULL */
    const char *account; /* "" when there is none */
    const char *type;    /* member of Principal: "AWS", "Service", ... */
    bool foreign;        /* of an account that the policy does not name */
    bool unnamed;        /* stands for the roles of a named account that the policy does not name */
} cs_pwho;

typedef struct cs_pwhos {
    cs_pwho *who;
    size_t num, cap;
    json_t *texts; /* owns the strings */
    bool failed;   /* out of memory */
} cs_pwhos;

/*
 * cs_pwhos_collect - everybody whom a document names (Principal, NotPrincipal, aws:PrincipalArn), for each account its root user and a
 * role that is not named, and a role of a foreign account. iam: only whoever holds the policy. CS_E_NO_MEMORY. Free in any case.
 */
CS_MUST cs_err cs_pwhos_collect(cs_pwhos *out, const cs_pdoc *d, bool iam);
void cs_pwhos_free(cs_pwhos *w);

typedef enum cs_pnamed {
    CS_NAMED_NO,
    CS_NAMED_ACCOUNT, /* through its account: an Allow needs an IAM policy beside it */
    CS_NAMED_DIRECT,
} cs_pnamed;

/* cs_pwho_named - does a statement's Principal or NotPrincipal cover who? A statement with neither covers an IAM policy's holder. */
cs_pnamed cs_pwho_named(const cs_pstatement *st, const cs_pwho *who);

#endif
