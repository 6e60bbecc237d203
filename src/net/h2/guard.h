/*
 * What nghttp2 lets pass and RFC 9113 does not: frames on streams that the peer has itself ended, and stream ids that run
 * backwards. nghttp2 forgets a closed stream and then ignores what comes for it. The guard reads the client's bytes before
 * nghttp2 does and judges by them alone (END_STREAM, RST_STREAM, ids), so that no race with the server's own frames can make a
 * well-behaved client look bad: what a client still sends for a stream that the *server* has reset is no error.
 * Memory is fixed: the ends of the last CS_H2_GUARD_ENDED streams and the last CS_H2_GUARD_GAPS gaps between ids are known;
 * what is older is ignored, as by nghttp2. Pure. Source: RFC 9113 5.1, 5.1.1, 4.1.
 */
#ifndef CS_NET_H2_GUARD_H
#define CS_NET_H2_GUARD_H

#include "base/bytes.h"

#define CS_H2_GUARD_ENDED 64u
#define CS_H2_GUARD_GAPS 8u

typedef struct cs_h2_guard {
    uint8_t head[9];
    size_t head_len;
    size_t skip;   /* bytes left of the preface, or of the payload of a frame that was judged */
    bool started;  /* the preface is counted in skip */
    uint32_t last; /* highest id of a HEADERS frame */
    uint32_t ended[CS_H2_GUARD_ENDED];
    struct {
        uint32_t from, to; /* odd ids, both inside; never opened */
    } gaps[CS_H2_GUARD_GAPS];
    unsigned next_ended, next_gap;
} cs_h2_guard;

/*
 * cs_h2_guard_read - bytes of a client, as they come, the preface included; start with a zeroed guard. *out_good: how many of
 * them may go on to nghttp2. CS_OK: all. CS_E_FORMAT: the frame at *out_good (its head may have begun in an earlier piece, which
 * nghttp2 has) is an error of the connection, *out_h2_error its code (STREAM_CLOSED or PROTOCOL_ERROR); feed no more bytes.
 */
CS_MUST cs_err cs_h2_guard_read(cs_h2_guard *g, size_t *out_good, uint32_t *out_h2_error, cs_slice data);

#endif
