/* Text values of gRPC headers: grpc-timeout and grpc-message. Pure. Source: gRPC PROTOCOL-HTTP2.md, "Requests", "Responses". */
#ifndef CS_NET_H2_TEXT_H
#define CS_NET_H2_TEXT_H

#include "base/bytes.h"

/* cs_grpc_timeout_parse - 1..8 digits and one of H M S m u n; rounded up to milliseconds. CS_E_FORMAT. */
CS_MUST cs_err cs_grpc_timeout_parse(uint64_t *out_ms, cs_slice text);
/* cs_grpc_timeout_put - the shortest exact form for ms, or seconds rounded up beyond 99999999 ms. */
CS_MUST cs_err cs_grpc_timeout_put(cs_buf *out, uint64_t ms);
/* cs_percent_put - bytes outside 0x20..0x7e, and '%', become %XX. CS_E_RANGE | CS_E_NO_MEMORY. */
CS_MUST cs_err cs_percent_put(cs_buf *out, cs_slice text);
/* cs_percent_get - the reverse; a '%' that is not followed by two hex digits stays as it is (the specification's wish). */
CS_MUST cs_err cs_percent_get(cs_buf *out, cs_slice text);

#endif
