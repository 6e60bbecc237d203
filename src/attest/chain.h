/* The certificate chain of an attestation document. Internal to attest/. Source: specs/nitro-kms.md 5.3, 5.4. */
#ifndef CS_ATTEST_CHAIN_H
#define CS_ATTEST_CHAIN_H

#include <openssl/x509.h>

#include "attest/doc.h"

typedef struct cs_att_chain_args {
    cs_slice root_der;
    uint64_t time_s;
    uint64_t leeway_s; /* on notBefore only */
} cs_att_chain_args;

typedef struct cs_att_leaf {
    X509 *cert; /* owned by the caller: X509_free */
    uint64_t not_before_s, not_after_s;
} cs_att_leaf;

/*
 * cs_att_chain_verify - leaf <- cabundle[n-1] <- ... <- cabundle[1] <- root, where cabundle[0] must be the pinned root byte by
 * byte and is then not used. CS_E_ATT_FORMAT (no certificate, trailing bytes) | CS_E_ATT_CHAIN | CS_E_ATT_TIME | CS_E_NO_MEMORY.
 */
CS_MUST cs_err cs_att_chain_verify(cs_att_leaf *out, const cs_att_doc *doc, const cs_att_chain_args *args);

#endif
