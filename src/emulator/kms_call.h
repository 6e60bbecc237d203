/* One KMS request inside the emulator. Internal to emulator/kms*.c. Source: specs/nitro-kms.md 2, 3.3, 10. */
#ifndef CS_EMULATOR_KMS_CALL_H
#define CS_EMULATOR_KMS_CALL_H

#include "attest/verify.h"
#include "emulator/reply.h"

#define CS_EMU_MAX_PLAINTEXT 4096u
#define CS_EMU_MAX_BLOB 6144u

typedef struct cs_emu_kms_call {
    cs_emu_state *s;
    cs_emu_principal who;
    const char *op; /* "Decrypt" */
    const json_t *in;
    cs_emu_key *key; /* the key that the request is about, when there is one */
    cs_emu_context context;
    cs_buf aad; /* encryption context as bytes */
    bool attested;
    cs_att_result att;
    cs_emu_decision decision;
    /* refusal: */
    const char *error;
    char message[512]; /* "": null */
} cs_emu_kms_call;

/* cs_emu_kms_fail - set the refusal and return NULL, so that an operation can end with it. */
__attribute__((format(printf, 3, 4))) json_t *cs_emu_kms_fail(cs_emu_kms_call *c, const char *error, const char *fmt,
                                                              ...);
/*
 * Steps of the operations. Each returns false with the refusal set.
 * key: finds in["KeyId"]; authorise: the policy of c->key (IAM alone without key) for kms:<op>, after context and recipient;
 * context: EncryptionContext to c->context and c->aad; recipient: verifies the attestation document when there is one.
 */
bool cs_emu_kms_key(cs_emu_kms_call *c);
bool cs_emu_kms_context(cs_emu_kms_call *c);
bool cs_emu_kms_recipient(cs_emu_kms_call *c);
bool cs_emu_kms_authorise(cs_emu_kms_call *c, bool need_enabled);
/* cs_emu_kms_blob - base64 member of 1..max bytes into out (heap buffer). */
bool cs_emu_kms_blob(cs_emu_kms_call *c, const char *member, size_t max, cs_buf *out);

/* The operations: the answer (json_null(): empty body), or NULL with the refusal set. */
json_t *cs_emu_kms_create_key(cs_emu_kms_call *c);
json_t *cs_emu_kms_describe_key(cs_emu_kms_call *c);
json_t *cs_emu_kms_put_policy(cs_emu_kms_call *c);
json_t *cs_emu_kms_get_policy(cs_emu_kms_call *c);
json_t *cs_emu_kms_enable(cs_emu_kms_call *c);
json_t *cs_emu_kms_disable(cs_emu_kms_call *c);
json_t *cs_emu_kms_schedule_deletion(cs_emu_kms_call *c);
json_t *cs_emu_kms_cancel_deletion(cs_emu_kms_call *c);
json_t *cs_emu_kms_encrypt(cs_emu_kms_call *c);
json_t *cs_emu_kms_decrypt(cs_emu_kms_call *c);
json_t *cs_emu_kms_data_key(cs_emu_kms_call *c);
json_t *cs_emu_kms_random(cs_emu_kms_call *c);

/* cs_emu_blob_seal, cs_emu_blob_open - the ciphertext blobs: AES-256-GCM under the key, the context as additional data. */
CS_MUST cs_err cs_emu_blob_seal(cs_buf *out, const cs_emu_key *k, cs_slice plain, cs_slice aad);
/* cs_emu_blob_key - UUID of the key that a blob names. CS_E_FORMAT. */
CS_MUST cs_err cs_emu_blob_key(char out[37], cs_slice blob);
CS_MUST cs_err cs_emu_blob_open(cs_buf *out, const cs_emu_key *k, cs_slice blob, cs_slice aad);

#endif
