/*
 * Protobuf by hand where a copy would hurt, the one bytes field of countersign.v1.Frame, or would hide something: protobuf-c's
 * strings end at their first NUL. Everything else goes through protobuf-c (net/countersign.pb-c.h). Follows proto3: unknown
 * fields are skipped, the last value wins.
 */
#ifndef CS_NET_H2_WIRE_H
#define CS_NET_H2_WIRE_H

#include "base/bytes.h"

#define CS_FRAME_HEAD_MAX 11

/* cs_frame_head - writes tag and length that precede a body of body_len bytes; returns their length. */
size_t cs_frame_head(uint8_t out[CS_FRAME_HEAD_MAX], size_t body_len);
/* cs_pb_field - the bytes of a string or bytes field (empty when absent), pointing into message. CS_E_FORMAT. */
CS_MUST cs_err cs_pb_field(cs_slice *out, cs_slice message, uint32_t field);
/* cs_frame_body - the body inside an encoded Frame (empty when absent), pointing into message. CS_E_FORMAT. */
CS_MUST cs_err cs_frame_body(cs_slice *out, cs_slice message);

#endif
