/* Releases of a key policy that is in use: found, added, removed. Statements that are about something else stay as they are. */
#ifndef CS_TOOLS_POLICY_EDIT_H
#define CS_TOOLS_POLICY_EDIT_H

#include "tools/release.h"

/*
 * A statement of a release is an Allow of kms:Decrypt whose only condition is StringEquals or StringEqualsIgnoreCase on PCR0..15 (or
 * ImageSha384), with one value for each, or with a list for PCR0 alone.
 *
 * cs_policy_add_release - a copy of the last such statement with the PCRs of r, behind it; Deny statements of signctl kms policy are made
 * anew, others that list images (a negated operator on ImageSha384 or PCR0) get the value too.
 * CS_E_EXISTS | CS_E_POLICY_NO_RELEASE (no statement to follow) | CS_E_FORMAT (PCR0 is there with other PCRs bound) | CS_E_TOO_LARGE | CS_E_NO_MEMORY
 */
CS_MUST cs_err cs_policy_add_release(json_t *policy, const cs_release *r);
/*
 * cs_policy_remove_release - every release that has the values that r binds (PCR0 alone is enough).
 * CS_E_POLICY_NO_RELEASE | CS_E_POLICY_LAST_RELEASE | CS_E_NO_MEMORY. On error the policy is half changed: drop it.
 */
CS_MUST cs_err cs_policy_remove_release(json_t *policy, const cs_release *r);

#endif
