/*
 * W3C Trace Context: which trace a request belongs to, and from which span it comes. What others send is taken when it is exactly what the
 * specification has; else a new trace begins. Pure but for cs_trace_new and cs_trace_child, which draw random ids (public, no secrets).
 * Source: https://www.w3.org/TR/trace-context-2/ (W3C Trace Context Level 2), keys of tracestate by its grammar.
 */
#ifndef CS_NET_TRACE_H
#define CS_NET_TRACE_H

#include "base/bytes.h"

#define CS_TRACE_PARENT_LEN 55 /* 00-TRACE(32)-SPAN(16)-FLAGS(2) */
#define CS_TRACE_STATE_MAX 512 /* what of tracestate goes on, at most; the specification asks for that much */
#define CS_TRACE_MEMBERS_MAX 32
#define CS_TRACE_SAMPLED 1u
#define CS_TRACE_RANDOM 2u /* the right 7 bytes of the trace id are random */

/* A span of a trace: its own id in span, the one that it comes from in parent (zero: none). */
typedef struct cs_trace {
    uint8_t id[16], span[8], parent[8];
    uint8_t flags; /* CS_TRACE_* */
    uint16_t state_len;
    char state[CS_TRACE_STATE_MAX]; /* tracestate as it goes on; not NUL-terminated */
} cs_trace;

/*
 * cs_trace_parent_read - the value of one traceparent, without white space around: id, parent and flags of *out; span is zero, state
 * empty. Version 00 has exactly four parts; of later ones (not ff) the first four count and more may follow behind "-".
 * CS_E_FORMAT: *out is as before.
 */
CS_MUST cs_err cs_trace_parent_read(cs_trace *out, cs_slice value);
/*
 * cs_trace_state_read - the values of all tracestate headers in their order: members go into io->state, of one key the first. At most
 * CS_TRACE_MEMBERS_MAX; over CS_TRACE_STATE_MAX bytes those longer than 128 go first, then the last ones. CS_E_FORMAT | CS_E_RANGE
 * (too many members): the state is empty.
 */
CS_MUST cs_err cs_trace_state_read(cs_trace *io, const cs_slice *values, size_t num);

/* cs_trace_new - a trace that begins here: id and span drawn, sampled. CS_E_ENTROPY. */
CS_MUST cs_err cs_trace_new(cs_trace *out);
/* cs_trace_child - a span of the same trace that comes from `of`; out may be of. CS_E_ENTROPY. */
CS_MUST cs_err cs_trace_child(cs_trace *out, const cs_trace *of);
/*
 * cs_trace_take - what arrived with a request: its trace goes on in a span of ours when there is exactly one traceparent and it can be
 * read, else a new one begins; tracestate without that, or one that cannot be read, is dropped. CS_E_ENTROPY.
 */
#define CS_TRACE_HEADERS_MAX 16
typedef struct cs_trace_headers {
    size_t num_parents, num_states; /* num_states above CS_TRACE_HEADERS_MAX: too many */
    cs_slice parent, states[CS_TRACE_HEADERS_MAX];
} cs_trace_headers;
/* cs_trace_header - notes one header of a request, if it is one of the two (names in any case); white space around the value goes. */
void cs_trace_header(cs_trace_headers *io, cs_slice name, cs_slice value);
CS_MUST cs_err cs_trace_take(cs_trace *out, const cs_trace_headers *h);

/* cs_trace_parent_put - append the traceparent under which the span sends requests on. CS_E_RANGE | CS_E_NO_MEMORY. */
CS_MUST cs_err cs_trace_parent_put(cs_buf *out, const cs_trace *t);
static inline cs_slice cs_trace_state(const cs_trace *t)
{
    return cs_slice_of(t->state, t->state_len);
}

#endif
