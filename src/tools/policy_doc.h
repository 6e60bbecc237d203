/* Statements of policy documents, as jansson parsed them. */
#ifndef CS_TOOLS_POLICY_DOC_H
#define CS_TOOLS_POLICY_DOC_H

#include <jansson.h>
#include <stdbool.h>

/* cs_policy_item - text i of a value or a list of values; true and false as text; NULL behind the last. Borrowed. */
const char *cs_policy_item(const json_t *v, size_t i);
/* cs_policy_statement_ok - elements have their types: Effect, one of Action and NotAction, principals, conditions. */
bool cs_policy_statement_ok(const json_t *st);

#endif
