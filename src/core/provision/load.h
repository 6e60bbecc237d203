/*
 * Provisioning: two sealed files in any order, credentials at sign-kms, one attested Decrypt, a new share set, a swap. One load at a
 * time; whatever fails, the old set serves on. Source: architecture 2, docs/formats/core-rpc.md.
 */
#ifndef CS_CORE_LOAD_H
#define CS_CORE_LOAD_H

#include "core/policy/authorise.h"
#include "core/provision/rsa.h"
#include "core/provision/staging.h"
#include "core/provision/unseal.h"
#include "secret/share/share.h"

#define CS_PAIR_MS 60000u /* between the two files */
#define CS_CRED_MS 30000u /* for credentials to come */
#define CS_KMS_MS 30000u  /* for KMS to answer */
#define CS_LOAD_DETAIL_MAX 96

typedef enum cs_load_stage { CS_LOAD_IDLE, CS_LOAD_HALF, CS_LOAD_CRED, CS_LOAD_KMS, CS_LOAD_OPEN } cs_load_stage;

typedef struct cs_load {
    cs_load_stage stage;
    uint8_t age[CS_AGE_KEY_MAX]; /* the KMS-encrypted identity: ciphertext */
    size_t age_len;              /* 0: not here */
    cs_staging shares;           /* the share file, when it is whole */
    cs_staging upload;           /* one that is coming: a broken one leaves `shares` as it is */
    uint64_t upload_ms;          /* when the last piece of an open upload came */
    uint64_t deadline_ms;        /* of the stage */
    uint64_t waiting_id;         /* the injection that hears the outcome */
    uint64_t call_id;            /* of the KMS call under way */
    cs_cred_state cred;
    uint64_t cred_expiry_ms;
    cs_rsa rsa;
    cs_unseal *work;    /* stage OPEN: the file being opened, a slice at each tick */
    uint64_t cpu_ns[2]; /* of the last load: first pass (check), second pass (parse) */
    cs_err last;        /* outcome of the last load, for status */
    char last_detail[CS_LOAD_DETAIL_MAX];
    uint64_t last_ms; /* wall clock; 0: none yet */
} cs_load;

/* cs_op_* - execute the frame of the permit. */
void cs_op_inject_age(cs_core *c, const cs_permit *p);
void cs_op_shares_begin(cs_core *c, const cs_permit *p);
void cs_op_shares_chunk(cs_core *c, const cs_permit *p);
void cs_op_shares_end(cs_core *c, const cs_permit *p);
void cs_op_shares_cancel(cs_core *c, const cs_permit *p);
void cs_op_kms_reply(cs_core *c, const cs_permit *p);
void cs_op_cred_state(cs_core *c, const cs_permit *p);
/* cs_load_link_down - sign-kms is gone: a load that needs it ends. */
void cs_load_link_down(cs_core *c);
/*
 * cs_load_check_reply - what KMS answered (KMS_REPLY) to a call for key_arn, before anything of it is used: its own code, CS_E_KMS_KEY_ID (another
 * key answered), CS_E_KMS_PLAINTEXT (no CiphertextForRecipient), CS_E_KMS_ANSWER.
 */
CS_MUST cs_err cs_load_check_reply(const cs_rpc_frame *f, cs_slice key_arn);
/* cs_load_policy - what a share file must be now: the measured rules, and not older than the set in service. */
void cs_load_policy(cs_share_policy *out, const cs_core *c);
/* cs_load_remember - the outcome of a load, for status. */
void cs_load_remember(cs_load *l, cs_err err, cs_slice detail);
/*
 * cs_load_tick - deadlines, and one slice of the work. cs_load_deadline - when the next one is, 0: now, UINT64_MAX: none.
 * cs_load_cleanup - wipes.
 */
void cs_load_tick(cs_core *c, uint64_t now_ms);
uint64_t cs_load_deadline(const cs_load *l);
void cs_load_cleanup(cs_load *l);

#endif
