/* Shared by the files of suite mpc-model. */
#ifndef CS_TESTS_MPC_MODEL_H
#define CS_TESTS_MPC_MODEL_H

#include "secret/mpc/mpc.h"
#include "suite.h"

/* cs_mm_fixed - exactly len bytes of hex at obj[key]; zeros and false otherwise. _text: of a JSON string. */
bool cs_mm_fixed(uint8_t *out, size_t len, const json_t *obj, const char *key);
bool cs_mm_fixed_text(uint8_t *out, size_t len, const json_t *str);
/* cs_mm_same - hex at obj[key] equals got; false when absent. */
bool cs_mm_same(const json_t *obj, const char *key, cs_slice got);
bool cs_mm_same_text(const json_t *str, cs_slice got);
/* cs_mm_u - the integer at obj[key], 0 when absent. */
unsigned cs_mm_u(const json_t *obj, const char *key);
/* cs_mm_path - number of indices. */
size_t cs_mm_path(uint32_t out[CS_MPC_MAX_PATH], const json_t *array);
/* cs_mm_key - a share as the model shows it. */
bool cs_mm_key(cs_mpc_key *out, cs_mpc_parties *parties, const json_t *share);
void cs_mm_primitives(cs_suite *s, const json_t *root);

#endif
