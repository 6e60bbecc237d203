/* Shared by policy.c and policy_cond.c. */
#ifndef CS_EMULATOR_POLICY_INT_H
#define CS_EMULATOR_POLICY_INT_H

#include "emulator/policy.h"

/* cs_emu_condition_valid - NULL, or why the Condition element is malformed. Numbers and booleans become strings. */
const char *cs_emu_condition_valid(json_t *condition);
/* cs_emu_condition_holds - condition: valid. variables: whether ${...} is replaced (Version 2012-10-17). */
bool cs_emu_condition_holds(const json_t *condition, const cs_emu_context *c, bool variables);
/* cs_emu_policy_expand - replace ${key}, ${*}, ${?}, ${$}; what comes of it has no wildcards. false: a key has no value, or too long. */
bool cs_emu_policy_expand(char *out, size_t cap, const char *text, const cs_emu_context *c);

#endif
