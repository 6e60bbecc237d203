/* Policies that bind a KMS key to releases of an enclave image. The caller owns what is returned; NULL is out of memory. */
#ifndef CS_TOOLS_POLICY_MAKE_H
#define CS_TOOLS_POLICY_MAKE_H

#include "tools/release.h"

#define CS_POLICY_ROLES 8
#define CS_KEY_POLICY_MAX 32768u /* bytes that KMS takes */

/* Sids of the statements that cs_policy_other_images makes: kms update replaces them together. */
#define CS_SID_OTHER "DenyOtherImages"
#define CS_SID_RELEASE "AllowEnclaveRelease"

typedef struct cs_policy_plan {
    const char *partition;              /* "aws", "aws-cn" */
    const char *account;                /* 12 digits */
    const char *roles[CS_POLICY_ROLES]; /* ARNs of the instance roles that may decrypt */
    size_t num_roles;
    const char *encrypt_roles[CS_POLICY_ROLES];
    size_t num_encrypt_roles;
    const char *admin_role; /* or NULL */
    cs_release releases[CS_RELEASE_MAX];
    size_t num_releases;
    bool data_keys;       /* GenerateDataKey too */
    bool root_delegation; /* the account root has every right that is not denied */
    bool grants;          /* grants for services of AWS */
    bool debug;           /* a test key: zeros in the place of releases */
} cs_policy_plan;

/*
 * cs_policy_plan_check - releases with equal PCR0 must bind the same PCRs, no two are equal, there is at least one (none with
 * debug). CS_E_FORMAT (bound differently) | CS_E_EXISTS | CS_E_USAGE
 */
CS_MUST cs_err cs_policy_plan_check(const cs_policy_plan *p);
/* cs_policy_key - the key policy of a plan that was checked. */
json_t *cs_policy_key(const cs_policy_plan *p);
/* cs_policy_release - one Allow statement: roles (texts) may use the key from this release. sid is copied. */
json_t *cs_policy_release(const cs_release *r, const char *sid, json_t *principal, bool data_keys);
/*
 * cs_policy_other_images - Deny statements that together hold exactly when a request's PCRs are none of the releases, whole: the
 * values of two releases cannot be mixed, and a request without attestation is none. principal: whom they name, NULL in an IAM policy.
 */
json_t *cs_policy_other_images(const cs_release *r, size_t num, json_t *principal, const char *resource);

typedef struct cs_iam_plan {
    const cs_policy_plan *key;
    const char *key_arn;                  /* or NULL: any key */
    const char *objects[CS_POLICY_ROLES]; /* "BUCKET/PREFIX*" */
    size_t num_objects;
} cs_iam_plan;

/* cs_policy_iam - policy of the instance role: reads its objects, never uses the key but from a release. */
json_t *cs_policy_iam(const cs_iam_plan *p);
/* cs_policy_trust - EC2 may assume the role (seed 001, 5.7). */
json_t *cs_policy_trust(const char *partition);

#endif
