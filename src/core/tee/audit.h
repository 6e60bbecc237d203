/*
 * The audit chain of one boot: each entry names the one before, and core signs it with a key that its attestation document vouches for.
 * One thread. Source: docs/formats/tee.md, Audit entry.
 */
#ifndef CS_CORE_TEE_AUDIT_H
#define CS_CORE_TEE_AUDIT_H

#include "rpc/tee_rpc.h"
#include "secret/mem.h"

#define CS_AUDIT_ENTRY_MAX 512u

/* In the arena: it holds the private key. */
typedef struct cs_audit {
    cs_secret32 seed; /* Ed25519 */
    uint8_t public32[32];
    uint8_t boot16[16], pcr_digest32[32];
    uint64_t counter;   /* of the last entry; 0: none */
    uint8_t head32[32]; /* its hash */
} cs_audit;

/* An entry as it leaves. */
typedef struct cs_audit_entry {
    uint8_t bytes[CS_AUDIT_ENTRY_MAX];
    size_t len;
    uint8_t sig64[64];
} cs_audit_entry;

/* cs_audit_init - a fresh key. pcr: PCR0, PCR1, PCR2. CS_E_ENTROPY. */
CS_MUST cs_err cs_audit_init(cs_audit *a, const uint8_t boot16[16], const uint8_t pcr[3][48]);
/*
 * cs_audit_append - e's counter, boot, previous hash and PCR digest are written by this; the others are the caller's. The chain moves on
 * only with CS_OK. CS_E_RANGE (text that is no text).
 */
CS_MUST cs_err cs_audit_append(cs_audit *a, cs_audit_entry *out, cs_tee_entry *e);

#endif
