/* What the operations of execute.c and rotate.c share: opening and sealing rows. On a worker. */
#ifndef CS_CORE_TEE_WORK_H
#define CS_CORE_TEE_WORK_H

#include "core/tee/tee_int.h"
#include "secret/seal.h"
#include "secret/sign/scheme.h"

/* One execution. The result's slices point into it. */
typedef struct cs_tee_work {
    const cs_tee_permit *permit;
    cs_tee_job *job;
    cs_tee_result result;
    cs_scheme_sig sig;
    cs_scheme_public pub;
    cs_buf data; /* arena: a plaintext on its way into the result */
} cs_tee_work;

/*
 * cs_tee_open_row - the plaintext of a row to out. CS_E_SEAL_ROOT | CS_E_SEAL_OPEN | CS_E_SEAL_VERSION | CS_E_NO_MEMORY | the error of the key.
 */
CS_MUST cs_err cs_tee_open_row(const cs_tee_work *w, cs_buf *out, const cs_tee_row *row, const cs_key_want *key);
/* cs_tee_open_key - the private key of a row and its scheme; CS_E_ALGORITHM for data. */
CS_MUST cs_err cs_tee_open_key(const cs_tee_work *w, cs_secret32 *out, const cs_scheme **scheme, const cs_tee_row *row,
                               const cs_key_want *key);
/* cs_tee_seal_row - fills row->kms_key, data_key, blob (in the job's out) and code; the others are the caller's. */
CS_MUST cs_err cs_tee_seal_row(const cs_tee_work *w, cs_tee_row *row, const cs_key_want *key, cs_slice plain);

#endif
