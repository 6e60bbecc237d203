/*
 * Policies: parsed and evaluated as IAM and KMS do. Key policies (of a resource, with principals) and identity policies (of a
 * user or role, without). A statement without Action or Resource has no effect; Deny beats Allow; nothing that matches is a
 * refusal. Source: specs/nitro-kms.md 2.4, 10 and the IAM user guide's "Policy evaluation logic" and "condition operators".
 */
#ifndef CS_EMULATOR_POLICY_H
#define CS_EMULATOR_POLICY_H

#include <jansson.h>

#include "base/bytes.h"

#define CS_EMU_POLICY_MAX 32768u
#define CS_EMU_CONTEXT_MAX 512 /* values */
#define CS_EMU_CONTEXT_TEXT                                                                                            \
    262144u /* bytes of all names and values: 50 tags of a key and 50 of a request, in 4-byte characters */
#define CS_EMU_GLOB_LITERAL ((char)1) /* in a pattern: the next character is no wildcard */

/*
 * Condition keys of one request. Names are compared without regard to letter case, as IAM does. A name that is added twice has
 * several values. Points into itself: not to be copied. All zero is empty.
 */
typedef struct cs_emu_context {
    struct {
        const char *key, *value;
    } item[CS_EMU_CONTEXT_MAX];
    size_t num, used;
    char text[CS_EMU_CONTEXT_TEXT];
} cs_emu_context;
void cs_emu_context_reset(cs_emu_context *c);
/* cs_emu_context_add - CS_E_RANGE when full, then nothing is added. */
CS_MUST cs_err cs_emu_context_add(cs_emu_context *c, const char *key, cs_slice value);
/* cs_emu_context_nth - n-th value (from 0) of a key, or NULL. c may be NULL. */
const char *cs_emu_context_nth(const cs_emu_context *c, const char *key, size_t n);

typedef struct cs_emu_principal {
    const char *arn;         /* IAM user or role */
    const char *session_arn; /* assumed-role ARN, or NULL */
    const char *account;     /* 12 digits */
    /* what the principal's own IAM policy allows: space separated patterns, e.g. "s3:* kms:Decrypt"; not used with a document */
    const char *iam_actions;
    const json_t *iam_policy;              /* from cs_emu_policy_read(CS_EMU_IDENTITY_POLICY), or NULL */
    const char *access_key_id, *id, *name; /* for records; may be NULL */
} cs_emu_principal;

typedef struct cs_emu_query {
    const cs_emu_principal *who;
    const char *action;   /* "kms:Decrypt" */
    const char *resource; /* ARN */
    const cs_emu_context *context;
} cs_emu_query;

typedef enum cs_emu_verdict { CS_EMU_ALLOWED, CS_EMU_DENIED_BY_DEFAULT, CS_EMU_DENIED_EXPLICITLY } cs_emu_verdict;

typedef struct cs_emu_decision {
    cs_emu_verdict verdict;
    bool by_identity; /* an identity policy's statement decided (alone or through a delegation) */
    char sid[129];    /* Sid of the statement that decided, "" when none */
} cs_emu_decision;

typedef enum cs_emu_policy_kind { CS_EMU_KEY_POLICY, CS_EMU_IDENTITY_POLICY } cs_emu_policy_kind;

/*
 * cs_emu_policy_read - *out is a new reference when the text is a policy of that kind; *why (may be NULL): a static text, when it
 * is not. CS_E_TOO_LARGE | CS_E_FORMAT (not JSON, an element that IAM does not have, no Statement, bad Effect, Action and NotAction
 * together, a principal that is none, an operator that IAM does not have, a value that is no number, date or address of its
 * operator) | CS_E_NO_MEMORY
 */
CS_MUST cs_err cs_emu_policy_read(json_t **out, cs_slice text, cs_emu_policy_kind kind, const char **why);
/* cs_emu_policy_parse - the same for a key policy. */
CS_MUST cs_err cs_emu_policy_parse(json_t **out, cs_slice text);
/*
 * cs_emu_policy_eval - a key policy together with the caller's identity policy: a Deny of either refuses; the key policy allows
 * by naming the principal, or by naming the account when the identity policy allows too.
 */
cs_emu_decision cs_emu_policy_eval(const json_t *policy, const cs_emu_query *q);
/* cs_emu_identity_eval - the caller's identity policy alone (requests that are about no key; S3). */
cs_emu_decision cs_emu_identity_eval(const cs_emu_query *q);
/* cs_emu_glob - '*' any run, '?' one character. */
bool cs_emu_glob(const char *pattern, const char *text, bool ignore_case);

#endif
