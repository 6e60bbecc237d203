/*
 * Requests whose signature sign-service wants to hear (unary SignTx, docs/formats/core-rpc.md). The client makes the signature on
 * some stream; whoever waits for the same request is told. Public data; nothing here decides what is signed.
 */
#ifndef CS_CORE_WAITS_H
#define CS_CORE_WAITS_H

#include "core/policy/answers.h"
#include "core/policy/authorise.h"

#define CS_WAIT_BUCKETS 1024u

typedef struct cs_wait {
    uint64_t id; /* of the frame SIGN_WAIT */
    char account[CS_HELLO_MAX_ACCOUNT + 1];
    uint8_t label32[32], data32[32], pk33[33]; /* pk33: the account's key when it came */
    struct cs_wait *by_id, *by_label;
} cs_wait;

typedef struct cs_waits {
    cs_wait *by_id[CS_WAIT_BUCKETS], *by_label[CS_WAIT_BUCKETS];
    size_t num;
} cs_waits;

/* cs_waits_add - a copy of w (links are set here; the account's id was checked). CS_E_EXISTS (id) | CS_E_NO_MEMORY. */
CS_MUST cs_err cs_waits_add(cs_waits *t, const cs_wait *w);
/* cs_waits_cancel - unknown ids are ignored. */
void cs_waits_cancel(cs_waits *t, uint64_t id);
void cs_waits_cleanup(cs_waits *t);
/* cs_waits_tell - answer all that wait for this label: those with other data hear CS_E_EXECUTION_CONFLICT. */
void cs_waits_tell(cs_core *c, const uint8_t label32[32], const uint8_t data32[32],
                   const uint8_t answer65[CS_ANSWER_LEN]);
/*
 * cs_waits_recheck - after a ban or a reload: those who would wait in vain hear why at once. CS_E_PEER_BANNED (no client of the account
 * that is not banned) | CS_E_ACCOUNT_UNKNOWN (it is in the shares no more) | CS_E_ABORT_SESSION (it has another key now: ask again).
 */
void cs_waits_recheck(cs_core *c);
/* cs_wait_reply - SIGN_REPLY. answer65 NULL unless err is CS_OK. */
void cs_wait_reply(cs_core *c, uint64_t id, cs_err err, const uint8_t *answer65, bool remembered);

/* cs_op_sign_wait, cs_op_sign_cancel - the operations. */
void cs_op_sign_wait(cs_core *c, const cs_permit *p);
void cs_op_sign_cancel(cs_core *c, const cs_permit *p);

#endif
