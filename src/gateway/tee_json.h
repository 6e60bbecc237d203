/*
 * The TEE service's messages as JSON (docs/formats/tee-http.md): the members of proto/countersign.proto by their names there, bytes in
 * base64 (RFC 4648 section 4, padded). Strict: unknown members, a member twice, wrong types and anything behind are refused. Pure.
 */
#ifndef CS_GATEWAY_TEE_JSON_H
#define CS_GATEWAY_TEE_JSON_H

#include "gateway/tee_shape.h"

#define CS_TEE_JSON_MAX (256u * 1024u) /* of a request: 128 KiB in base64, and the rest */

/* cs_tee_json_named, cs_tee_json_given - as cs_tee_pb_named and cs_tee_pb_given. *what may be the name of a known member. */
CS_MUST cs_err cs_tee_json_named(cs_tee_ask *out, const char **what, const cs_tee_shape *shape, cs_slice json);
CS_MUST cs_err cs_tee_json_given(cs_tee_ask *out, const char **what, cs_slice json);
/* cs_tee_json_told - append the reply to a named operation. CS_E_UPSTREAM | CS_E_NO_MEMORY | CS_E_RANGE. */
CS_MUST cs_err cs_tee_json_told(cs_buf *out, const cs_tee_ask *ask, cs_slice reply);
/* cs_tee_json_reply - append {"reply": base64}. */
CS_MUST cs_err cs_tee_json_reply(cs_buf *out, cs_slice reply);
/* cs_tee_json_refusal - append {"code","cause","fix","detail","audit"}; detail "" and an empty reply are left out. */
CS_MUST cs_err cs_tee_json_refusal(cs_buf *out, cs_err e, const char *detail, cs_slice reply);
/* cs_tee_json_operation - "sign", "public_key" or "PublicKey" to the operation; NULL: none of that name. */
const cs_tee_op_row *cs_tee_json_operation(cs_slice name);

#endif
