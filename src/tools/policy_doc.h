/* Policy documents as jansson parsed them: statements, their lists, and conditions taken apart. */
#ifndef CS_TOOLS_POLICY_DOC_H
#define CS_TOOLS_POLICY_DOC_H

#include <jansson.h>
#include <stdbool.h>

#include "base/bytes.h"

#define CS_PDOC_MAX_STATEMENTS 512
#define CS_PDOC_MAX_CONDITIONS 4096

typedef enum cs_pmatch {
    CS_PM_EQUAL,
    CS_PM_LIKE,
    CS_PM_ARN,
    CS_PM_BOOL,
    CS_PM_NULL,
    CS_PM_NUMBER,
    CS_PM_DATE,
    CS_PM_IP,
    CS_PM_UNKNOWN, /* an operator that IAM does not have */
} cs_pmatch;
typedef enum cs_prel { CS_PR_EQ, CS_PR_LT, CS_PR_LE, CS_PR_GT, CS_PR_GE } cs_prel;
typedef enum cs_pset { CS_PS_NONE, CS_PS_ALL, CS_PS_ANY } cs_pset;

/* One operator and key of a Condition. key: as written, borrowed; values: texts in a JSON array, borrowed from the document. */
typedef struct cs_pcond {
    cs_pmatch match;
    cs_prel relation;
    cs_pset set;
    bool fold_case, negated, if_exists;
    const char *key;
    const json_t *values;
} cs_pcond;

typedef struct cs_pstatement {
    json_t *json;
    const char *sid; /* "" when there is none */
    bool deny;
    cs_pcond *cond;
    size_t num_cond;
} cs_pstatement;

typedef struct cs_pdoc {
    json_t *root, *list;
    cs_pstatement st[CS_PDOC_MAX_STATEMENTS];
    size_t num;
    cs_pcond cond[CS_PDOC_MAX_CONDITIONS];
    size_t num_cond;
    bool variables; /* Version 2012-10-17: ${...} are variables */
    bool fragment;  /* a statement alone, not a document */
    char why[192];  /* what was wrong, and where; "" when nothing was */
} cs_pdoc;

/*
 * cs_pdoc_read - a policy document; also {"Policy": "..."} as GetKeyPolicy answers, and one statement alone. Numbers and booleans of
 * conditions become texts, single values lists. Big: not on the stack. CS_E_FORMAT (not JSON, a name twice, not a policy) | CS_E_TOO_LARGE
 * (too many statements or conditions) | CS_E_NO_MEMORY. Close in any case.
 */
CS_MUST cs_err cs_pdoc_read(cs_pdoc *out, cs_slice text);
void cs_pdoc_close(cs_pdoc *d);
/* cs_policy_item - text i of a value or a list of values; true and false as text; NULL behind the last. Borrowed. */
const char *cs_policy_item(const json_t *v, size_t i);

#endif
