/* The TEE service's messages of proto/countersign.proto, by the table of gateway/tee_shape.h and the descriptors of protobuf-c. Pure. */
#ifndef CS_GATEWAY_TEE_PB_H
#define CS_GATEWAY_TEE_PB_H

#include "gateway/tee_shape.h"

/*
 * cs_tee_pb_named, cs_tee_pb_given - one request message to what it asks for. CS_E_FORMAT (*what names the member, or is "protobuf") and the
 * errors of cs_tee_ask_named and cs_tee_ask_given.
 */
CS_MUST cs_err cs_tee_pb_named(cs_tee_ask *out, const char **what, const cs_tee_shape *shape, cs_slice message);
CS_MUST cs_err cs_tee_pb_given(cs_tee_ask *out, const char **what, cs_slice message);
/* cs_tee_pb_told - append the reply message of a named operation. CS_E_UPSTREAM (the reply is not one to it) | CS_E_NO_MEMORY | CS_E_RANGE. */
CS_MUST cs_err cs_tee_pb_told(cs_buf *out, const cs_tee_ask *ask, cs_slice reply);
/* cs_tee_pb_reply - append TeeReply. cs_tee_pb_core_call - append TeeCoreCall. */
CS_MUST cs_err cs_tee_pb_reply(cs_buf *out, cs_slice reply);
CS_MUST cs_err cs_tee_pb_core_call(cs_buf *out, cs_slice call, bool sealed, cs_slice attachments);
/* cs_tee_pb_core_reply - append the bytes of a TeeCoreReply. CS_E_UPSTREAM. */
CS_MUST cs_err cs_tee_pb_core_reply(cs_buf *out, cs_slice message);

#endif
