/*
 * Calls of the TEE service over a link: the same bytes again after what may pass, with back-off and full jitter; never after a refusal
 * that is final. The request id in the bytes makes a repetition safe (docs/formats/tee.md, Idempotency).
 */
#ifndef CS_TEE_RETRY_H
#define CS_TEE_RETRY_H

#include "rpc/tee_rpc.h"
#include "tee/link.h"

typedef struct cs_tee_patience {
    uint32_t timeout_ms; /* of the whole, attempts and waits; > 0 */
    uint32_t attempt_ms; /* of one attempt, cut to what is left; > 0 */
    uint32_t retries;    /* attempts after the first */
} cs_tee_patience;

/*
 * cs_tee_backoff_ms - the longest wait before attempt number `attempt` (2 is the first repetition) after e: by its class, doubled each time,
 * bounded. The wait is uniform between 0 and this ("full jitter").
 */
uint32_t cs_tee_backoff_ms(cs_err e, unsigned attempt);
/* cs_tee_wait - that wait; false: it would not end before deadline_ms (cs_clock_mono_ms), and nothing was waited for. */
bool cs_tee_wait(cs_err e, unsigned attempt, uint64_t deadline_ms);

/* What the gateway is told of a call in clear (countersign.v1.TeeCall). Slices borrow. */
typedef struct cs_tee_envelope {
    cs_slice call; /* the call, or the sealed call */
    bool sealed;
    const cs_tee_op_row *row;
    const cs_slice *records;
    size_t num_records;
    cs_slice caller;
    const uint8_t *id16;
    cs_slice data_key, kms_key; /* may be empty */
    const cs_trace *trace;      /* of all attempts; NULL: none */
} cs_tee_envelope;

/*
 * cs_tee_exchange - the call and its reply (docs/formats/tee.md, Reply), appended to out_reply, whatever its code is: *out_code. *out_attempts
 * (1..) is set always. CS_OK: out_reply is a well-formed reply. Else why there is none: errors of cs_tee_link_call.
 */
CS_MUST cs_err cs_tee_exchange(cs_tee_link *l, cs_buf *out_reply, cs_err *out_code, unsigned *out_attempts,
                               const cs_tee_envelope *envelope, const cs_tee_patience *patience);

#endif
