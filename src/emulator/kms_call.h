/* One KMS request inside the emulator. Internal to emulator/kms*.c. Source: specs/nitro-kms.md 2, 3.3, 10. */
#ifndef CS_EMULATOR_KMS_CALL_H
#define CS_EMULATOR_KMS_CALL_H

#include "attest/verify.h"
#include "emulator/reply.h"

#define CS_EMU_MAX_PLAINTEXT 4096u
#define CS_EMU_MAX_BLOB 6144u
#define CS_EMU_MAX_AAD 8192u /* an encryption context */

typedef struct cs_emu_kms_call {
    cs_emu_state *s;
    cs_emu_principal who;
    const char *op; /* "Decrypt" */
    const json_t *in;
    cs_emu_request *q;
    cs_emu_key *key;           /* the key that the request is about, when there is one */
    const char *request_alias; /* the alias by which the request named it, or NULL */
    char request_id[37];
    cs_emu_context context;
    cs_buf aad; /* encryption context as bytes */
    bool attested;
    cs_att_result att;
    cs_emu_fault fault; /* that a test asked for */
    bool decided;       /* decision holds */
    cs_emu_decision decision;
    /* refusal: */
    const char *error;
    char message[512]; /* "": null */
} cs_emu_kms_call;

/* Which states of a key an operation bears [KMS developer guide, "Key states"]. */
typedef enum cs_emu_need { CS_EMU_ANY_STATE, CS_EMU_NOT_DYING, CS_EMU_ENABLED } cs_emu_need;

/* cs_emu_kms_fail - set the refusal and return NULL, so that an operation can end with it. */
__attribute__((format(printf, 3, 4))) json_t *cs_emu_kms_fail(cs_emu_kms_call *c, const char *error, const char *fmt,
                                                              ...);
/*
 * Steps of the operations. Each returns false with the refusal set.
 * key: the key that in[member] names to c->key; by alias too when aliases.
 * context: in[member], an encryption context, to c->context and c->aad. recipient: verifies the attestation document, if any.
 * authorise: the policy of c->key (the caller's IAM policy alone without key) for kms:<op>, after context and recipient, then the
 * key's state, then DryRun. authorise_as: the same for another action or, without key, another resource.
 */
bool cs_emu_kms_key(cs_emu_kms_call *c, const char *member, bool aliases);
bool cs_emu_kms_context(cs_emu_kms_call *c, const char *member);
bool cs_emu_kms_recipient(cs_emu_kms_call *c);
bool cs_emu_kms_authorise(cs_emu_kms_call *c, cs_emu_need need);
bool cs_emu_kms_authorise_as(cs_emu_kms_call *c, const char *action, const char *resource, cs_emu_need need);
/* cs_emu_kms_request_context - the condition keys that come of caller, request and c->key. CS_E_RANGE. */
CS_MUST cs_err cs_emu_kms_request_context(cs_emu_kms_call *c);
/* cs_emu_kms_state_ok - refuses by the state of c->key. */
bool cs_emu_kms_state_ok(cs_emu_kms_call *c, cs_emu_need need);
/* cs_emu_kms_saved - answer once c->key is saved; refuses when that fails. The answer is taken. */
json_t *cs_emu_kms_saved(cs_emu_kms_call *c, json_t *answer_take);
/* cs_emu_kms_text - string member of at most max characters; NULL when it is absent. *ok: false with the refusal set. */
const char *cs_emu_kms_text(cs_emu_kms_call *c, const char *member, size_t max, bool *ok);
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
json_t *cs_emu_kms_data_key_sealed(cs_emu_kms_call *c);
json_t *cs_emu_kms_reencrypt(cs_emu_kms_call *c);
json_t *cs_emu_kms_update_description(cs_emu_kms_call *c);
json_t *cs_emu_kms_rotation_status(cs_emu_kms_call *c);
json_t *cs_emu_kms_create_alias(cs_emu_kms_call *c);
json_t *cs_emu_kms_update_alias(cs_emu_kms_call *c);
json_t *cs_emu_kms_delete_alias(cs_emu_kms_call *c);
json_t *cs_emu_kms_list_aliases(cs_emu_kms_call *c);
json_t *cs_emu_kms_list_keys(cs_emu_kms_call *c);
json_t *cs_emu_kms_list_policies(cs_emu_kms_call *c);
json_t *cs_emu_kms_tag(cs_emu_kms_call *c);
json_t *cs_emu_kms_untag(cs_emu_kms_call *c);
json_t *cs_emu_kms_list_tags(cs_emu_kms_call *c);
json_t *cs_emu_kms_create_grant(cs_emu_kms_call *c);
json_t *cs_emu_kms_list_grants(cs_emu_kms_call *c);
json_t *cs_emu_kms_revoke_grant(cs_emu_kms_call *c);

/* cs_emu_kms_tags_merge - the Tags of the request over old, a new reference; NULL with the refusal set. */
json_t *cs_emu_kms_tags_merge(cs_emu_kms_call *c, const json_t *old);

/* cs_emu_trail - append one record of the decision to the trail, like CloudTrail's (docs/emulator.md). */
void cs_emu_trail(const cs_emu_kms_call *c, bool read_only);

/* cs_emu_blob_seal, cs_emu_blob_open - the ciphertext blobs: AES-256-GCM under the key, the context as additional data. */
CS_MUST cs_err cs_emu_blob_seal(cs_buf *out, const cs_emu_key *k, cs_slice plain, cs_slice aad);
/* cs_emu_blob_key - UUID of the key that a blob names. CS_E_FORMAT. */
CS_MUST cs_err cs_emu_blob_key(char out[37], cs_slice blob);
CS_MUST cs_err cs_emu_blob_open(cs_buf *out, const cs_emu_key *k, cs_slice blob, cs_slice aad);

#endif
