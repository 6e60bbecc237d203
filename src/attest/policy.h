/*
 * Which enclaves are accepted: sets of PCR tuples, one per release. A document passes when all values of any one tuple match.
 * An empty policy refuses. Source: specs/nitro-kms.md 5.5.
 */
#ifndef CS_ATTEST_POLICY_H
#define CS_ATTEST_POLICY_H

#include "attest/doc.h"

#define CS_ATT_MAX_TUPLES 16

/* PCR values that must hold together. The zero state is empty. */
typedef struct cs_att_tuple {
    uint32_t mask; /* bit n: pcr[n] is required */
    cs_pcr pcr[CS_ATT_NUM_PCRS];
} cs_att_tuple;

typedef struct cs_att_policy {
    cs_att_tuple tuple[CS_ATT_MAX_TUPLES];
    size_t num_tuples;
} cs_att_policy;

/*
 * cs_att_tuple_set - require PCR index (0..31) to be value (48 bytes). An all-zero value is refused: it names debug enclaves
 * (PCR0-2), no role (3) or no signature (8). CS_E_RANGE (index, zero) | CS_E_FORMAT (length) | CS_E_EXISTS (index twice).
 */
CS_MUST cs_err cs_att_tuple_set(cs_att_tuple *t, uint64_t index, cs_slice value);
/* cs_att_tuple_set_text - the same from "N=HEX" (96 hex digits of either case, N decimal). */
CS_MUST cs_err cs_att_tuple_set_text(cs_att_tuple *t, cs_slice text);
/*
 * cs_att_tuple_parse - the values of one image: "PCR0[:PCR1:PCR2][:PCRn=HEX]...", each 96 hex digits, n 0..31. CS_E_FORMAT (also a register
 * twice) | CS_E_ATT_DEBUG (PCR0, 1 or 2 all zero) | CS_E_RANGE (another one all zero). *out is set on CS_OK only; mask 1: PCR0 alone.
 */
CS_MUST cs_err cs_att_tuple_parse(cs_att_tuple *out, cs_slice text);
/* cs_att_policy_add - CS_E_ATT_NO_POLICY (empty tuple) | CS_E_TOO_LARGE. */
CS_MUST cs_err cs_att_policy_add(cs_att_policy *p, const cs_att_tuple *t);
/* cs_att_policy_check - CS_OK | CS_E_ATT_NO_POLICY (no tuple) | CS_E_ATT_PCR. Does not look at debug mode: the caller does, before. */
CS_MUST cs_err cs_att_policy_check(const cs_att_policy *p, const cs_att_claims *claims);

#endif
