/*
 * gRPC length-prefixed messages out of a stream of DATA bytes. Holds at most one message; memory grows with the bytes that
 * have arrived, not with the length that was announced. Pure. Source: gRPC PROTOCOL-HTTP2.md, "Length-Prefixed-Message".
 */
#ifndef CS_NET_H2_UNFRAME_H
#define CS_NET_H2_UNFRAME_H

#include "base/bytes.h"

typedef struct cs_unframer {
    size_t max; /* of one message; set by the caller */
    uint8_t head[5];
    size_t head_len;
    size_t want; /* body length once head_len == 5 */
    uint8_t *body;
    size_t have, cap;
} cs_unframer;

/*
 * cs_unframe - take bytes from *io_data. *out_have: *out_message is complete; it points into *io_data's bytes when it lay there whole,
 * else into u, and is valid until the next call. Not have: everything was taken.
 * CS_E_UNSUPPORTED (compressed) | CS_E_FORMAT (flag) | CS_E_TOO_LARGE (over max) | CS_E_NO_MEMORY; then only cleanup.
 */
CS_MUST cs_err cs_unframe(cs_unframer *u, cs_slice *out_message, bool *out_have, cs_slice *io_data);
/* cs_unframe_idle - no part of a message is held. */
bool cs_unframe_idle(const cs_unframer *u);
void cs_unframe_cleanup(cs_unframer *u);

#endif
