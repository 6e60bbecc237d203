/* How a policy's values compare with those of a request, as IAM does; also whether they are known. Pure. */
#ifndef CS_TOOLS_POLICY_VALUE_H
#define CS_TOOLS_POLICY_VALUE_H

#include "tools/policy_doc.h"

typedef enum cs_tri { CS_NO, CS_MAYBE, CS_YES } cs_tri;

/* cs_policy_glob - '*' any run, '?' one character (of UTF-8). */
bool cs_policy_glob(const char *pattern, const char *text, bool fold_case);
/* cs_policy_lists - does a text of v match? Letter case is ignored: for actions. */
bool cs_policy_lists(const json_t *v, const char *text);
/*
 * cs_policy_compares - one value of the policy with one of the request, without negation. CS_MAYBE: the value has a variable
 * (variables: the policy's version knows them) or the operator is none of IAM's.
 */
cs_tri cs_policy_compares(const cs_pcond *c, const char *want, const char *got, bool variables);
/*
 * cs_policy_holds - a condition over all values of its key in the request (num 0: the key is absent).
 * [nitro-kms.md 10] values of the policy OR, negated NOR; a missing key fails a positive operator, passes a negated one and IfExists.
 */
cs_tri cs_policy_holds(const cs_pcond *c, const char *const *got, size_t num, bool variables);
/*
 * cs_policy_samples - up to 3 values of a request that stand for value `want` of a condition: where it holds, below, above. out[i] has
 * 512 bytes; returns how many, 0 when it is too long.
 */
size_t cs_policy_samples(char out[3][512], const cs_pcond *c, const char *want);
/* cs_policy_has_wildcard - '*' or '?' */
bool cs_policy_has_wildcard(const char *text);

#endif
