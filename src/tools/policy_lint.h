/* Key, IAM and trust policies: may key material leave without attestation, to a debug enclave, by grant or re-encryption? */
#ifndef CS_TOOLS_POLICY_LINT_H
#define CS_TOOLS_POLICY_LINT_H

#include "base/bytes.h"

#define CS_POLICY_MAX ((size_t)64 * 1024)
#define CS_PLINT_MAX 256

/* What may succeed, in cs_plint.possible. */
enum {
    CS_PMAY_DECRYPT = 1,     /* Decrypt or DeriveSharedSecret without attestation */
    CS_PMAY_DATA_KEY = 2,    /* a plaintext data key without attestation */
    CS_PMAY_DEBUG = 4,       /* either by a debug enclave */
    CS_PMAY_OTHER_IMAGE = 8, /* either by an attested image that the policy does not name */
    CS_PMAY_GRANT = 16,      /* a grant of a right to key material */
    CS_PMAY_REENCRYPT = 32,
};

typedef struct cs_plint_finding {
    const char *code; /* static, e.g. "root-delegation" */
    const char *cause, *fix;
    bool hole;        /* false: advice */
    size_t statement; /* from 1; 0: the document */
    char sid[65];     /* cut; "" when there is none */
} cs_plint_finding;

typedef struct cs_plint {
    const char *kind; /* "key-policy", "iam-policy" or "trust-policy"; static */
    cs_plint_finding found[CS_PLINT_MAX];
    size_t num;
    size_t holes; /* all of them, also those beyond CS_PLINT_MAX */
    unsigned possible;
    char why[192]; /* of CS_E_FORMAT and CS_E_TOO_LARGE: which statement, what of it */
} cs_plint;

/*
 * cs_policy_lint - tries the document with every caller that it can tell apart, as IAM evaluates: Deny beats Allow; the account stands
 * for all its principals, whose own IAM policies are taken to allow everything; conditions on anything but the attestation are taken to
 * hold when some value makes them hold. What an unknown operator or a variable decides may be, in an Allow, and is not, in a Deny.
 * CS_E_FORMAT (no JSON, a name twice, not a policy document) | CS_E_TOO_LARGE (> CS_POLICY_MAX, too many statements) | CS_E_NO_MEMORY;
 * then *out is zero but for why.
 */
CS_MUST cs_err cs_policy_lint(cs_plint *out, cs_slice text);
/* cs_plint_codes - the codes of holes in the order of the table, each once; out holds CS_PLINT_CODES. Returns how many. */
#define CS_PLINT_CODES 16
size_t cs_plint_codes(const char *out[CS_PLINT_CODES], const cs_plint *l);

#endif
