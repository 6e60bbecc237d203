/* Streams of clients: frames to channel set-ups and signing sessions, and every way in which they end. */
#ifndef CS_CORE_PARTY_H
#define CS_CORE_PARTY_H

#include "core/core_int.h"

/* cs_op_party_* - execute the frame of the permit. */
void cs_op_party_open(cs_core *c, const cs_permit *p);
void cs_op_party_data(cs_core *c, const cs_permit *p);
void cs_op_party_close(cs_core *c, const cs_permit *p);

/*
 * cs_party_send - seal kind and payload in the session of s and send it. CS_E_RANGE | CS_E_STATE.
 * cs_party_end - end the stream with the code of why (CS_OK: done); tell: also inside the session, as REFUSED. s is gone.
 */
CS_MUST cs_err cs_party_send(cs_core *c, cs_stream *s, cs_data_kind kind, cs_slice payload);
void cs_party_end(cs_core *c, cs_stream *s, cs_err why, bool tell);
/* cs_party_drop_channel - end its streams with why and remove it. */
void cs_party_drop_channel(cs_core *c, cs_chan *ch, cs_err why);
/*
 * cs_party_ban - record the ban against the static key of liar, in every pair that has it; end its streams as ABORT_SESSION, remove
 * its channels.
 */
void cs_party_ban(cs_core *c, const cs_peer *liar, cs_mpc_check check);
/* cs_party_recheck - after a reload: channels and sessions whose keys are not in the new set end, and who waits for them is told. */
void cs_party_recheck(cs_core *c);
/* cs_party_silence - end the streams that were silent too long. cs_party_end_all - for STOPPED. */
void cs_party_silence(cs_core *c, uint64_t now_ms);
void cs_party_end_all(cs_core *c, cs_err why);

/*
 * One message of a session. CS_OK (go on, or *done: the stream's work is finished) | CS_E_STATE (DROP) | CS_E_ABORT_SESSION,
 * CS_E_PEER_BANNED with *v | any refusal of authorise | CS_E_NO_MEMORY, CS_E_ENTROPY.
 * cs_setup_hs1 - a handshake. cs_setup_message - OT. cs_sign_hello - hello and M1. cs_sign_message - M3.
 */
CS_MUST cs_err cs_setup_hs1(cs_core *c, cs_stream *s, const cs_frame *f, cs_slice body);
CS_MUST cs_err cs_setup_message(cs_core *c, cs_stream *s, cs_slice msg, cs_mpc_verdict *v, bool *done);
CS_MUST cs_err cs_sign_hello(cs_core *c, cs_stream *s, cs_slice payload, cs_mpc_verdict *v, bool *done);
CS_MUST cs_err cs_sign_message(cs_core *c, cs_stream *s, cs_slice msg, cs_mpc_verdict *v, bool *done);

#endif
