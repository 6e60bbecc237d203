/*
 * A model of one enclave's Nitro Security Module: PCRs, locks, and the requests of specs/nitro-kms.md 4.2 as bytes in, bytes out.
 * Attestation documents are real COSE ES384 documents below the emulator's own root.
 */
#ifndef CS_EMULATOR_NSM_MODEL_H
#define CS_EMULATOR_NSM_MODEL_H

#include "emulator/pki.h"

#define CS_NSM_MAX_PCRS 32
#define CS_NSM_PCR_LEN 48
#define CS_NSM_MAX_REQUEST 4096u
#define CS_NSM_MAX_RESPONSE 12288u
#define CS_NSM_MAX_USER_DATA 512u
#define CS_NSM_MAX_NONCE 512u
#define CS_NSM_MAX_PUBLIC_KEY 1024u

typedef struct cs_nsm_model {
    char module_id[65];
    uint8_t pcr[CS_NSM_MAX_PCRS][CS_NSM_PCR_LEN];
    uint32_t locked;         /* bit n: PCR n */
    const cs_emu_cert *root; /* borrowed */
    cs_emu_chain chain;      /* issued at the first document and again 15 minutes before the leaf ends */
} cs_nsm_model;

/*
 * cs_nsm_model_init - PCRs start at zero, 0..15 are locked once the caller has set them (the lock is set here, the values are the
 * caller's to write before the first request). module_id: 1..64 characters.
 */
void cs_nsm_model_init(cs_nsm_model *m, const char *module_id, const cs_emu_cert *root);
void cs_nsm_model_cleanup(cs_nsm_model *m);
/*
 * cs_nsm_model_handle - answer one request; every request gets a response, {"Error": code} when it is refused.
 * response: empty buffer of CS_NSM_MAX_RESPONSE bytes. CS_OK, or an error only when not even the refusal could be written.
 */
CS_MUST cs_err cs_nsm_model_handle(cs_nsm_model *m, cs_slice request, cs_buf *response);

/* cs_nsm_attest - append a document (used by cs_nsm_model_handle). p == NULL in a slice: the field is null. */
typedef struct cs_nsm_attest_fields {
    cs_slice user_data, nonce, public_key;
} cs_nsm_attest_fields;
CS_MUST cs_err cs_nsm_attest(cs_buf *out, cs_nsm_model *m, const cs_nsm_attest_fields *f);

#endif
