/* Key, IAM and trust policies: may key material leave without attestation, to a debug enclave, by grant or re-encryption? */
#ifndef CS_TOOLS_POLICY_LINT_H
#define CS_TOOLS_POLICY_LINT_H

#include "base/bytes.h"

#define CS_POLICY_MAX ((size_t)64 * 1024)
#define CS_PLINT_MAX 128

typedef struct cs_plint_finding {
    const char *code; /* static, e.g. "root-delegation" */
    const char *cause, *fix;
    bool hole;        /* false: advice */
    size_t statement; /* from 1 */
} cs_plint_finding;

typedef struct cs_plint {
    const char *kind; /* "key-policy", "iam-policy" or "trust-policy"; static */
    cs_plint_finding found[CS_PLINT_MAX];
    size_t num;
    size_t holes; /* all of them, also those beyond CS_PLINT_MAX */
} cs_plint;

/*
 * cs_policy_lint - evaluate as IAM does: Deny beats Allow; a missing key fails a positive operator and passes a negated one.
 * A condition that cannot be decided here may hold in an Allow and does not count in a Deny. CS_E_FORMAT (no JSON, a duplicate
 * key, not a policy document) | CS_E_TOO_LARGE (> CS_POLICY_MAX).
 */
CS_MUST cs_err cs_policy_lint(cs_plint *out, cs_slice text);

#endif
