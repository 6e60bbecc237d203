/* Fuzz target.
 * Target: cs_trace_parent_read cs_trace_state_read cs_trace_take
 * Lines: a traceparent, then tracestate headers. What is taken goes out again as a well-formed traceparent of the same trace, and its
 * tracestate reads back to itself. */
#include <stdlib.h>
#include <string.h>

#include "net/trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cs_trace_headers h = {0};
    cs_trace given, taken, again;
    cs_slice rest = cs_slice_of(data, size);
    uint8_t mem[CS_TRACE_PARENT_LEN];
    cs_buf text = cs_buf_wrap(mem, sizeof mem);

    if (size == 0) {
        return 0;
    }
    for (bool first = true; rest.len > 0; first = false) {
        const uint8_t *end = memchr(rest.p, '\n', rest.len);
        size_t len = end != NULL ? (size_t)(end - rest.p) : rest.len;
        cs_trace_header(&h, cs_slice_str(first ? "traceparent" : "TraceState"), cs_slice_of(rest.p, len));
        len += end != NULL ? 1 : 0;
        rest = cs_slice_of(rest.p + len, rest.len - len);
    }
    if (cs_trace_take(&taken, &h) != CS_OK || cs_trace_parent_put(&text, &taken) != CS_OK ||
        cs_trace_parent_read(&again, cs_buf_slice(&text)) != CS_OK || memcmp(again.id, taken.id, 16) != 0 ||
        memcmp(again.parent, taken.span, 8) != 0 || taken.state_len > CS_TRACE_STATE_MAX) {
        abort();
    }
    if (cs_trace_parent_read(&given, h.parent) == CS_OK &&
        (memcmp(given.id, taken.id, 16) != 0 || memcmp(given.parent, taken.parent, 8) != 0)) {
        abort();
    }
    cs_slice state = cs_trace_state(&taken);
    if (cs_trace_state_read(&again, &state, 1) != CS_OK || !cs_slice_eq(cs_trace_state(&again), state)) {
        abort();
    }
    return 0;
}
