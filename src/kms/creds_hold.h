/*
 * The AWS credentials of sign-kms: one place, in locked pages that are left out of core dumps, wiped when they are replaced, expire or are given back.
 * For several threads: whoever reads them holds the lock, so that a renewal is seen whole or not at all.
 */
#ifndef CS_KMS_CREDS_HOLD_H
#define CS_KMS_CREDS_HOLD_H

#include "net/aws/creds.h"

typedef struct cs_kms_hold cs_kms_hold;

/*
 * cs_kms_hold_new - an empty holder. require_lock: CS_E_NO_MEMORY when the pages cannot be locked; otherwise *out_locked says so.
 */
CS_MUST cs_err cs_kms_hold_new(cs_kms_hold **out, bool require_lock, bool *out_locked);
/*
 * cs_kms_hold_put - parse and take over credentials that have not expired at now_ms. On error the old ones stay.
 * CS_E_CRED_FORMAT | CS_E_TOO_LARGE | CS_E_CRED_EXPIRED
 */
CS_MUST cs_err cs_kms_hold_put(cs_kms_hold *h, cs_slice json, uint64_t now_ms);
/*
 * cs_kms_hold_get - borrowed until cs_kms_hold_done, which must follow soon: everybody else waits. *generation names these
 * credentials. CS_E_CRED_MISSING | CS_E_CRED_EXPIRED (wiped then): cs_kms_hold_done is not called.
 */
CS_MUST cs_err cs_kms_hold_get(const cs_aws_creds **out, uint64_t *generation, cs_kms_hold *h, uint64_t now_ms);
void cs_kms_hold_done(cs_kms_hold *h);
void cs_kms_hold_wipe(cs_kms_hold *h);
/*
 * cs_kms_hold_expire - wipe, and let cs_kms_hold_get say CS_E_CRED_EXPIRED from now on (KMS called them so), if they are still those
 * of that generation. False: others came meanwhile, and stay.
 */
bool cs_kms_hold_expire(cs_kms_hold *h, uint64_t generation);
/* cs_kms_hold_state - CS_OK | CS_E_CRED_MISSING | CS_E_CRED_EXPIRED, and when they expire (0 when there are none). */
cs_err cs_kms_hold_state(uint64_t *out_expires_ms, cs_kms_hold *h, uint64_t now_ms);
void cs_kms_hold_free(cs_kms_hold *h);

#endif
