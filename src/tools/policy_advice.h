/* Inside the linter: its state, and what is no hole but worth saying. */
#ifndef CS_TOOLS_POLICY_ADVICE_H
#define CS_TOOLS_POLICY_ADVICE_H

#include "tools/policy_lint.h"
#include "tools/policy_solve.h"

#define CS_LINT_ZEROS "000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
#define CS_LINT_MATERIAL 4
extern const char *const cs_lint_material[CS_LINT_MATERIAL]; /* actions that give out key material */

typedef enum cs_lint_kind { CS_LINT_KEY, CS_LINT_IAM, CS_LINT_TRUST } cs_lint_kind;

typedef struct cs_lint {
    cs_plint *out;
    const cs_pdoc *doc;
    cs_lint_kind kind;
    cs_psolver solver;
    cs_pwhos whos;
    json_t *keys;    /* ARNs of the keys that are tried */
    bool changeable; /* somebody may call PutKeyPolicy */
} cs_lint;

/* One caller and key tried through statement n (from 1). */
typedef struct cs_lint_try {
    cs_lint *l;
    const cs_pstatement *st;
    size_t n;
    const cs_pwho *who;
    const char *resource;
} cs_lint_try;

typedef enum cs_advice {
    CS_ADVICE_ADMIN,
    CS_ADVICE_NOBODY,
    CS_ADVICE_IMAGE,
    CS_ADVICE_REPLICATE,
    CS_ADVICE_AWS_GRANT,
    CS_ADVICE_IFEXISTS,
    CS_ADVICE_NEGATED,
    CS_ADVICE_PARENT,
    CS_ADVICE_CROSS,
    CS_ADVICE_VALUE,
    CS_ADVICE_CASE,
    CS_ADVICE_KEY,
    CS_ADVICE_OPERATOR,
    CS_ADVICE_ELEMENT,
    CS_ADVICE_NO_EFFECT,
    CS_ADVICE_PRINCIPAL,
    CS_ADVICE_RESOURCE,
    CS_ADVICE_FRAGMENT,
    CS_ADVICE_COMPLEX,
} cs_advice;

/* cs_lint_add - one finding; a code is reported once for a statement. row: code, cause, fix (static). */
void cs_lint_add(cs_lint *l, size_t statement, const char *const row[3], bool hole);
void cs_lint_advise(cs_lint *l, size_t statement, cs_advice a);
/* cs_lint_may - does the request succeed through t->st? */
bool cs_lint_may(const cs_lint_try *t, const char *action, cs_pstate state);
/* cs_lint_uses_key - has the caller any use of the key, attested or not? A named role: in its own name, not by its account alone. */
bool cs_lint_uses_key(const cs_lint_try *t);
/* cs_lint_keys - which keys to try: those that the document names, and one that it does not. CS_E_NO_MEMORY. */
CS_MUST cs_err cs_lint_keys(cs_lint *l);
/* What a statement's form, a caller's possibilities and the document as a whole give reason to say. */
void cs_lint_advise_statement(cs_lint *l, const cs_pstatement *st, size_t n);
void cs_lint_advise_use(const cs_lint_try *t);
void cs_lint_advise_document(cs_lint *l);
/* cs_lint_hint_unattested - why a statement with attestation conditions holds without attestation. */
void cs_lint_hint_unattested(cs_lint *l, size_t n);

#endif
