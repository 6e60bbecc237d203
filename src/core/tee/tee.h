/*
 * The TEE service of core (docs/formats/tee.md): Sign, Decrypt, Seal and so on over ciphertext that others keep. For the files of core/ that
 * are not in tee/; inside see tee_int.h.
 *
 * A call is a job. The main thread owns it between the stages, a worker during one:
 *   open (worker) -> admit (main; the only maker of permits) -> data keys (main, KMS) -> execute (worker) -> audit and reply (main)
 */
#ifndef CS_CORE_TEE_H
#define CS_CORE_TEE_H

#include "base/json_out.h"
#include "core/policy/authorise.h"

#define CS_TEE_VOUCH_MAX 128u

typedef struct cs_tee cs_tee;

/*
 * cs_tee_new - keys of this boot, tables, worker threads: before the system call filter. c has its boot id and PCRs.
 * CS_E_NO_MEMORY | CS_E_ENTROPY.
 */
CS_MUST cs_err cs_tee_new(cs_tee **out, cs_core *c);
/*
 * cs_tee_stop - threads end with what they have in hand, calls under way are answered with CLOSED, keys are wiped. cs_tee_free - NULL is
 * fine.
 */
void cs_tee_stop(cs_tee *t);
void cs_tee_free(cs_tee *t);
/* cs_tee_full - as many calls as may are under way. */
bool cs_tee_full(const cs_tee *t);
/* cs_op_tee_call - a job of the permit's frame. */
void cs_op_tee_call(cs_core *c, const cs_permit *p);
/* cs_op_tee_entries - audit entries of this boot once more: a reply may get lost on its way, a chain has no gaps. */
void cs_op_tee_entries(cs_core *c, const cs_permit *p);
/* cs_tee_respond_code - TEE_REPLY that is a code alone. */
void cs_tee_respond_code(cs_core *c, uint64_t id, cs_err code);
/* cs_tee_kms_reply - a KMS_REPLY that is not of a load. cs_tee_kms_down - sign-kms is gone. cs_tee_loaded - a share set is in service. */
void cs_tee_kms_reply(cs_tee *t, const cs_rpc_frame *f);
void cs_tee_kms_down(cs_tee *t);
void cs_tee_loaded(cs_tee *t);
/*
 * cs_tee_fd - readable when workers have done something: then cs_tee_tick; -1 when there are none. cs_tee_deadline - of the clock; UINT64_MAX.
 */
int cs_tee_fd(const cs_tee *t);
void cs_tee_tick(cs_tee *t, uint64_t now_ms);
uint64_t cs_tee_deadline(const cs_tee *t);
/* cs_tee_vouch_of - user_data of attestation documents; borrowed for as long as t is. */
cs_slice cs_tee_vouch_of(const cs_tee *t);
/* cs_tee_status - the object `tee` of status: docs/formats/status.md. */
void cs_tee_status(cs_jw *w, const cs_tee *t);

#endif
