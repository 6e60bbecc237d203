/*
 * The shape of a Nitro attestation document: COSE_Sign1 around a CBOR map. Nothing here is verified: see attest/verify.h.
 * Source: specs/nitro-kms.md 5.1, 5.2.
 */
#ifndef CS_ATTEST_DOC_H
#define CS_ATTEST_DOC_H

#include "attest/pcr.h"
#include "codec/cose.h"

#define CS_ATT_MAX_DOC 16384
#define CS_ATT_NUM_PCRS 32
#define CS_ATT_MAX_FIELD 1024 /* public_key, user_data, nonce when verifying (a producer is held to 1024, 512, 512) */
#define CS_ATT_MAX_CERT 1024
#define CS_ATT_MAX_CABUNDLE 8
#define CS_ATT_MAX_MODULE_ID 255

/* An optional byte string. An empty one is present with len 0. */
typedef struct cs_att_bytes {
    bool present;
    uint16_t len;
    uint8_t b[CS_ATT_MAX_FIELD];
} cs_att_bytes;

/* What a document says. Copyable; holds no pointers. */
typedef struct cs_att_claims {
    char module_id[CS_ATT_MAX_MODULE_ID + 1]; /* NUL-terminated, printable ASCII */
    uint64_t timestamp_ms;                    /* since 1970 UTC, > 0 */
    uint32_t pcr_mask;                        /* bit n: PCR n is in the document */
    cs_pcr pcr[CS_ATT_NUM_PCRS];              /* zero when absent */
    cs_att_bytes public_key, user_data, nonce;
} cs_att_claims;

typedef struct cs_att_cert {
    uint16_t len; /* 1..1024 */
    uint8_t der[CS_ATT_MAX_CERT];
} cs_att_cert;

/* A parsed, unverified document. */
typedef struct cs_att_doc {
    cs_att_claims claims;
    cs_att_cert leaf;
    cs_att_cert cabundle[CS_ATT_MAX_CABUNDLE]; /* root first */
    size_t num_cabundle;                       /* 1..CS_ATT_MAX_CABUNDLE */
    cs_cose_sign1 cose;                        /* borrows from the parsed bytes */
} cs_att_doc;

/*
 * cs_att_doc_parse - bytes: 1..16384, untrusted, a whole document, untagged or with tag 18; alg ES384 in the protected header.
 * Definite and indefinite maps, arrays and strings; absent or null public_key, user_data, nonce; unknown keys (text) are
 * skipped, a key twice is refused. Returns CS_OK | CS_E_ATT_FORMAT; *out is unspecified on error.
 */
CS_MUST cs_err cs_att_doc_parse(cs_att_doc *out, cs_slice bytes);
/* cs_att_is_debug - PCR0, PCR1 or PCR2 is zero or absent: the enclave's memory and console are open to its parent. */
bool cs_att_is_debug(const cs_att_claims *claims);

#endif
