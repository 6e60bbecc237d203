/*
 * Proof of an exported audit log, offline (docs/formats/audit.md): lines are whole, in order, and of boots whose attestation documents verify.
 * Everything is public. No input or output.
 */
#ifndef CS_TEE_AUDIT_H
#define CS_TEE_AUDIT_H

#include "tee/trust.h"

#define CS_TEE_AUDIT_LINE_MAX (64u * 1024u)
#define CS_TEE_AUDIT_HEADS_MAX 64u

typedef struct cs_tee_audit cs_tee_audit;

/* Counter and hash of an entry: of one that must be there, or of the one before the first that is shown. */
typedef struct cs_tee_head {
    uint64_t counter;
    uint8_t hash32[32];
} cs_tee_head;

typedef struct cs_tee_audit_options {
    const cs_att_options
        *att;                /* policy and root; each document is verified at its own time, without a nonce; borrowed */
    const cs_tee_head *from; /* the log begins behind this entry; NULL: each boot begins with its first */
    const cs_tee_head *heads; /* must be there; at most CS_TEE_AUDIT_HEADS_MAX; copied */
    size_t num_heads;
    bool
        all_signatures; /* verify each; else one for each boot and those around a fault. Slow: for the name of the line */
} cs_tee_audit_options;

typedef struct cs_tee_audit_fault {
    uint64_t line;       /* from 1; 0: not of a line */
    cs_err err;          /* AUDIT_CHAIN, or why a document does not verify: ATT_* */
    const char *what;    /* static */
    bool line_uncertain; /* an earlier line may be the one that was changed: all_signatures tells */
} cs_tee_audit_fault;

typedef struct cs_tee_audit_sum {
    uint64_t lines, entries, boots, documents;
    cs_tee_head head; /* of the last entry */
    uint8_t boot16[16];
} cs_tee_audit_sum;

/* cs_tee_audit_new - CS_E_RANGE (heads) | CS_E_NO_MEMORY. cs_tee_audit_free - NULL is fine. */
CS_MUST cs_err cs_tee_audit_new(cs_tee_audit **out, const cs_tee_audit_options *options);
void cs_tee_audit_free(cs_tee_audit *a);
/* cs_tee_audit_document - a document that came beside the log. CS_E_ATT_* | CS_E_NO_MEMORY. */
CS_MUST cs_err cs_tee_audit_document(cs_tee_audit *a, cs_slice document);
/*
 * cs_tee_audit_line - the next line, without LF; untrusted. cs_tee_audit_end - there are no more. CS_OK | the error of the fault, which *fault then
 * describes | CS_E_NO_MEMORY. After an error only cs_tee_audit_free. A jump of the counters is reported at the end, when it is known whether
 * what is missing stands elsewhere.
 */
CS_MUST cs_err cs_tee_audit_line(cs_tee_audit *a, cs_slice line, cs_tee_audit_fault *fault);
CS_MUST cs_err cs_tee_audit_end(cs_tee_audit *a, cs_tee_audit_sum *out, cs_tee_audit_fault *fault);

#endif
