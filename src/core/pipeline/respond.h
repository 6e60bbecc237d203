/* Last stage: answers as frames. What cannot be sent (a link that is down) is dropped; nothing here can fail for the caller. */
#ifndef CS_CORE_RESPOND_H
#define CS_CORE_RESPOND_H

#include "core/core.h"

#define CS_DETAIL_MAX 128

/* cs_respond_code - answer id with the code of e, in the shape of `type` (PARTY_END, ATTEST_REPLY, REPLY, SIGN_REPLY, TEE_REPLY, TEE_ENTRIES_REPLY; 0: nothing). */
void cs_respond_code(cs_core *c, cs_rpc_type type, uint64_t id, cs_err e);
/* cs_respond_reply - REPLY with a detail: up to CS_DETAIL_MAX printable bytes, others become "?". */
void cs_respond_reply(cs_core *c, uint64_t id, cs_err e, cs_slice detail);
/* cs_respond_frame - any frame. A frame that does not encode is logged as INTERNAL and dropped. */
void cs_respond_frame(cs_core *c, cs_core_link link, const cs_rpc_frame *f);
/*
 * cs_respond_body, cs_respond_send - a frame with one field of bytes, filled in place: *body has len bytes in the core's output
 * frame; send hands it to the link and wipes nothing (what is in it is sealed). CS_E_RANGE (len).
 */
CS_MUST cs_err cs_respond_body(cs_core *c, cs_rpc_type type, uint64_t id, size_t len, uint8_t **body, cs_buf *frame);
void cs_respond_send(cs_core *c, cs_core_link link, const cs_buf *frame);

#endif
