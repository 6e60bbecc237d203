/*
 * What a client of the TEE service believes: attestation documents of sign-core (which keys a boot has), and the audit entry of each reply
 * (docs/formats/tee.md). Pure: no input or output, no locks. Everything here is public.
 */
#ifndef CS_TEE_TRUST_H
#define CS_TEE_TRUST_H

#include "attest/verify.h"
#include "rpc/tee_rpc.h"

#define CS_TEE_SEEN 64u /* counters remembered of a boot */

/* A boot of sign-core whose document was verified. */
typedef struct cs_tee_boot {
    uint8_t boot16[16], request_key32[32], audit_key32[32], pcr_digest32[32];
    uint64_t top; /* the highest counter seen */
    struct {
        uint64_t counter;
        uint8_t hash32[32];
    } seen[CS_TEE_SEEN]; /* by counter modulo CS_TEE_SEEN */
} cs_tee_boot;

/*
 * cs_tee_boot_verify - a document of operation Attest: cs_att_verify with these options (the nonce among them), then its user_data. *out is set on
 * CS_OK only. Errors of cs_att_verify | CS_E_ATT_BINDING (user_data is not that of a TEE service).
 */
CS_MUST cs_err cs_tee_boot_verify(cs_tee_boot *out, cs_slice document, const cs_att_options *options);

/* cs_tee_entry_signed - what core signs; cs_tee_entry_hash - the hash of an entry, the head (docs/formats/tee.md). */
CS_MUST cs_err cs_tee_entry_signed(uint8_t out32[32], cs_slice entry);
CS_MUST cs_err cs_tee_entry_hash(uint8_t out32[32], cs_slice entry, cs_slice signature);
/* cs_tee_entry_verify - signature: 64 bytes. CS_OK | CS_E_AUDIT_CHAIN | CS_E_NO_MEMORY. */
CS_MUST cs_err cs_tee_entry_verify(const uint8_t audit_key32[32], cs_slice entry, cs_slice signature);

/* What a reply's entry must say. */
typedef struct cs_tee_expect {
    const cs_tee_op_row *row;
    cs_slice body, caller, code, result; /* result: as it stands in the reply */
    const uint8_t *id16;
    uint64_t above; /* the counter must be higher; 0 for a request that may have been answered before */
} cs_tee_expect;

/* cs_tee_entry_boot - whose entry it is: 16 bytes within entry. CS_E_AUDIT_CHAIN: not an entry. */
CS_MUST cs_err cs_tee_entry_boot(const uint8_t **out_boot16, cs_slice entry);
/*
 * cs_tee_entry_check - the entry of a reply: well formed, signed by the boot's audit key, about this very request and result, by the attested
 * image, and the chain moves on: no counter twice with another entry. out_head32 is its hash. CS_OK (the boot then remembers it) |
 * CS_E_AUDIT_CHAIN | CS_E_NO_MEMORY.
 */
CS_MUST cs_err cs_tee_entry_check(cs_tee_boot *boot, cs_tee_entry *out, uint8_t out_head32[32], cs_slice entry,
                                  cs_slice signature, const cs_tee_expect *expect);

#endif
