/*
 * Key policies: parsed and evaluated as KMS does, as far as specs/nitro-kms.md 10 needs.
 * A statement without Action or Resource has no effect; Deny beats Allow; nothing that matches is a refusal.
 */
#ifndef CS_EMULATOR_POLICY_H
#define CS_EMULATOR_POLICY_H

#include <jansson.h>

#include "base/bytes.h"

#define CS_EMU_POLICY_MAX 32768u
#define CS_EMU_CONTEXT_MAX 80

/* Condition keys of one request. Names are compared without regard to letter case, as IAM does. */
typedef struct cs_emu_context {
    struct {
        char key[192];
        char value[320];
    } item[CS_EMU_CONTEXT_MAX];
    size_t num;
} cs_emu_context;
/* cs_emu_context_add - CS_E_RANGE when full or too long. */
CS_MUST cs_err cs_emu_context_add(cs_emu_context *c, const char *key, cs_slice value);

typedef struct cs_emu_principal {
    const char *arn;         /* IAM user or role */
    const char *session_arn; /* assumed-role ARN, or NULL */
    const char *account;     /* 12 digits */
    const char *
        iam_actions; /* what the principal's own IAM policy allows: space separated patterns, e.g. "s3:* kms:Decrypt" */
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
    char sid[129]; /* Sid of the statement that decided, "" when none */
} cs_emu_decision;

/*
 * cs_emu_policy_parse - *out is a new reference when the text is a key policy. CS_E_TOO_LARGE | CS_E_FORMAT (not JSON, no Statement,
 * bad Effect, no Principal, NotPrincipal, an operator that IAM does not have, wrong types).
 */
CS_MUST cs_err cs_emu_policy_parse(json_t **out, cs_slice text);
/* cs_emu_policy_eval - policy: from cs_emu_policy_parse. */
cs_emu_decision cs_emu_policy_eval(const json_t *policy, const cs_emu_query *q);
/* cs_emu_iam_allows - whether the principal's own IAM actions allow the action. */
bool cs_emu_iam_allows(const cs_emu_principal *who, const char *action);
/* cs_emu_glob - '*' any run, '?' one character. */
bool cs_emu_glob(const char *pattern, const char *text, bool ignore_case);

#endif
