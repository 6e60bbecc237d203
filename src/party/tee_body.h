/*
 * Requests of the TEE service as a caller makes them: the body, its signature, approvals, the call, sealed to the enclave or not; and results
 * that come sealed to the caller (docs/formats/tee.md). No input or output.
 */
#ifndef CS_PARTY_TEE_BODY_H
#define CS_PARTY_TEE_BODY_H

#include "party/tee_identity.h"

/* A body and its signature. In the arena: a body may hold secrets. The zero state is empty. */
typedef struct cs_tee_body {
    cs_buf signed_text; /* domain || body */
    cs_slice body;      /* within it */
    uint8_t sig64[64];
    bool is_signed;
} cs_tee_body;

/*
 * cs_tee_body_make - encode and sign. identity NULL: nobody's (r->caller is then empty). Errors of cs_tee_request_encode | CS_E_NO_MEMORY.
 * cs_tee_body_free - the zero state is fine.
 */
CS_MUST cs_err cs_tee_body_make(cs_tee_body *out, const cs_tee_request *r, const cs_tee_identity *identity);
void cs_tee_body_free(cs_tee_body *b);

/* cs_tee_body_approve - the signature of an approver over somebody else's body: well formed, else errors of cs_tee_request_decode; CS_E_RANGE: its own. */
CS_MUST cs_err cs_tee_body_approve(uint8_t out64[64], cs_slice body, const cs_tee_identity *approver);

/*
 * cs_tee_body_call - the call, in clear or, with request_key32, sealed to the enclave, appended to out (heap is fine: a sealed call is no secret,
 * and a clear one must hold none). CS_E_RANGE (approvals) | CS_E_AUTH (key of low order) | CS_E_NO_MEMORY | CS_E_ENTROPY.
 */
CS_MUST cs_err cs_tee_body_call(cs_buf *out, const cs_tee_body *b, const cs_tee_approval *approvals,
                                size_t num_approvals, const uint8_t *request_key32);

/* cs_tee_result_open - a sealed result, appended to out (arena). CS_E_AUTH | CS_E_FORMAT | CS_E_NO_MEMORY, CS_E_RANGE. */
CS_MUST cs_err cs_tee_result_open(cs_buf *out, cs_slice sealed, const uint8_t id16[16],
                                  const cs_tee_identity *identity);

#endif
