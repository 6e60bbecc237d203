/*
 * The audit chain of one boot: each entry names the one before, and core signs it with a key that its attestation document vouches for.
 * One thread. Source: docs/formats/tee.md, Audit entry.
 */
#ifndef CS_CORE_TEE_AUDIT_H
#define CS_CORE_TEE_AUDIT_H

#include "rpc/tee_rpc.h"
#include "secret/mem.h"

#define CS_AUDIT_ENTRY_MAX 512u
#define CS_AUDIT_KEPT 4096u /* the last entries, for who did not get the reply */

/* An entry as it leaves. */
typedef struct cs_audit_entry {
    uint8_t bytes[CS_AUDIT_ENTRY_MAX];
    size_t len;
    uint8_t sig64[64];
} cs_audit_entry;

/* In the arena: it holds the private key. */
typedef struct cs_audit {
    cs_audit_entry *kept; /* heap: public. Entry n is at n % CS_AUDIT_KEPT */
    cs_secret32 seed;     /* Ed25519 */
    uint8_t public32[32];
    uint8_t boot16[16], pcr_digest32[32];
    uint64_t counter;   /* of the last entry; 0: none */
    uint8_t head32[32]; /* its hash */
} cs_audit;

/* cs_audit_init - a fresh key. pcr: PCR0, PCR1, PCR2. CS_E_ENTROPY | CS_E_NO_MEMORY. cs_audit_cleanup - wipes; the zero state is fine. */
CS_MUST cs_err cs_audit_init(cs_audit *a, const uint8_t boot16[16], const uint8_t pcr[3][48]);
void cs_audit_cleanup(cs_audit *a);
/*
 * cs_audit_append - e's counter, boot, previous hash and PCR digest are written by this; the others are the caller's. The chain moves on
 * only with CS_OK. CS_E_RANGE (text that is no text).
 */
CS_MUST cs_err cs_audit_append(cs_audit *a, cs_audit_entry *out, cs_tee_entry *e);
/*
 * cs_audit_again - append a CBOR array of [entry, signature], from that counter on or from the oldest that is kept, as many as max_len bytes
 * take. CS_E_RANGE.
 */
CS_MUST cs_err cs_audit_again(cs_buf *out, const cs_audit *a, uint64_t from, size_t max_len);

#endif
