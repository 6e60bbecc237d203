/* First stage: bytes of a link to a request, which only says what is asked. Nothing is authorised yet. */
#ifndef CS_CORE_REQUEST_H
#define CS_CORE_REQUEST_H

#include "core/core.h"

/*
 * Every operation of core: the frame, the link it must come from, the phases it is allowed in, the refusal in other phases, how
 * a refusal is answered (NONE: it is dropped, the peer hears of it in another way or not at all).
 */
#define CS_OPS(X)                                                                                                      \
    X(PARTY_OPEN, SERVICE, CS_IN(SERVING) | CS_IN(RELOADING), NOT_SERVING, PARTY_END)                                  \
    X(PARTY_ROOM, SERVICE, CS_IN(SERVING) | CS_IN(RELOADING), NOT_SERVING, PARTY_END)                                  \
    X(PARTY_DATA, SERVICE, CS_IN(SERVING) | CS_IN(RELOADING), NOT_SERVING, NONE)                                       \
    X(PARTY_CLOSE, SERVICE, CS_IN_ANY, STATE, NONE)                                                                    \
    X(ATTEST, SERVICE, CS_IN_ANY, STATE, ATTEST_REPLY)                                                                 \
    X(STATUS, SERVICE, CS_IN_ANY | CS_IN(STOPPED), STATE, NONE)                                                        \
    X(INJECT_AGE, SERVICE, CS_IN(WAITING) | CS_IN(SERVING), INJECT_PHASE, REPLY)                                       \
    X(SHARES_BEGIN, SERVICE, CS_IN(WAITING) | CS_IN(SERVING), INJECT_PHASE, NONE)                                      \
    X(SHARES_CHUNK, SERVICE, CS_IN(WAITING) | CS_IN(SERVING), INJECT_PHASE, NONE)                                      \
    X(SHARES_END, SERVICE, CS_IN(WAITING) | CS_IN(SERVING), INJECT_PHASE, REPLY)                                       \
    X(SHARES_CANCEL, SERVICE, CS_IN_ANY, STATE, NONE)                                                                  \
    X(UNBAN, SERVICE, CS_IN(SERVING) | CS_IN(RELOADING), NOT_SERVING, REPLY)                                           \
    X(SIGN_WAIT, SERVICE, CS_IN(SERVING) | CS_IN(RELOADING), NOT_SERVING, SIGN_REPLY)                                  \
    X(SIGN_CANCEL, SERVICE, CS_IN_ANY, STATE, NONE)                                                                    \
    X(TEE_CALL, SERVICE, CS_IN(SERVING) | CS_IN(RELOADING), NOT_SERVING, TEE_REPLY)                                    \
    X(TEE_ENTRIES, SERVICE, CS_IN_ANY, STATE, TEE_ENTRIES_REPLY)                                                       \
    X(KMS_REPLY, KMS, CS_IN(UNSEALING) | CS_IN(SERVING) | CS_IN(RELOADING), STATE, NONE)                               \
    X(CRED_STATE, KMS, CS_IN_ANY, STATE, NONE)

typedef enum cs_op {
#define CS_OP_ROW(name, link, phases, refusal, answer) CS_OP_##name,
    CS_OPS(CS_OP_ROW)
#undef CS_OP_ROW
        CS_NUM_OPS
} cs_op;

typedef struct cs_op_row {
    cs_rpc_type type;
    cs_core_link link;
    unsigned phases;
    cs_err refusal;
    cs_rpc_type answer; /* 0: none */
} cs_op_row;

extern const cs_op_row cs_op_table[CS_NUM_OPS];

typedef struct cs_request {
    cs_op op;
    cs_rpc_frame frame; /* points into the bytes of the link */
} cs_request;

/* cs_request_of_frame - the request that SIGN_WAIT and PARTY_ROOM name; no path, epoch 0. The frame's fields were checked. */
struct cs_hello;
void cs_request_of_frame(struct cs_hello *out, const cs_rpc_frame *f);
/* cs_request_decode - CS_E_FORMAT (no frame, or not one that this link may carry) | CS_E_TOO_LARGE. */
CS_MUST cs_err cs_request_decode(cs_request *out, cs_core_link link, cs_slice bytes);

#endif
