/*
 * The only maker of TEE permits: a call is executed with one only. Checks in the order of docs/formats/tee.md: time, id, operation, record,
 * rate, approvals, secrets in the clear, attachments, KMS keys.
 */
#ifndef CS_CORE_TEE_ADMIT_H
#define CS_CORE_TEE_ADMIT_H

#include "base/bytes.h"
#include "core/tee/keys.h"

struct cs_tee_job;
struct cs_tee_row;

/* To execute one call. In the arena. */
typedef struct cs_tee_permit cs_tee_permit;

/*
 * cs_tee_admit - on the main thread, for a job that was opened. On CS_OK j->permit (freed with the job) and j->want are set. CS_E_REQUEST_TIME |
 * CS_E_REQUEST_REPLAY | CS_E_CALLER_OPERATION | CS_E_CALLER_RECORD | CS_E_CALLER_RATE | CS_E_APPROVALS | CS_E_REQUEST_CLEAR | CS_E_FORMAT |
 * CS_E_TOO_LARGE (attachments) | CS_E_KMS_KEY_LIST | CS_E_KMS_CIPHERTEXT (its length) | CS_E_NO_MEMORY.
 */
CS_MUST cs_err cs_tee_admit(struct cs_tee_job *j);
/* cs_tee_permit_job - whose it is. */
struct cs_tee_job *cs_tee_permit_job(const cs_tee_permit *p);
/* cs_tee_permit_rows - how many rows were attached. */
size_t cs_tee_permit_rows(const cs_tee_permit *p);
/*
 * cs_tee_permit_row - row i (< cs_tee_permit_rows), with the KMS key and data key that it inherits. *key: its data key among the job's wants,
 * or NULL. CS_E_SEAL_OPEN (of another record than asked for) | CS_E_KMS_KEY_LIST | CS_E_KMS_CIPHERTEXT: this row cannot be opened.
 */
CS_MUST cs_err cs_tee_permit_row(const cs_tee_permit *p, size_t i, const struct cs_tee_row **row,
                                 const cs_key_want **key);
/* cs_tee_permit_key - the data key without rows: the attached one or the one that seals. NULL when there is none. */
const cs_key_want *cs_tee_permit_key(const cs_tee_permit *p);

#endif
