/*
 * The signature of an enclave image: a COSE_Sign1 of the signing certificate's key over PCR0. The certificate itself is trusted by
 * whoever puts its PCR8 into a key policy, not by a chain. Source: specs/nitro-kms.md 6 and 7.1.
 */
#ifndef CS_ATTEST_EIF_SIGNATURE_H
#define CS_ATTEST_EIF_SIGNATURE_H

#include <openssl/x509.h>

#include "attest/eif.h"

#define CS_EIF_SIGNATURE_MAX 65536u /* bytes of a signature section that is read */

typedef struct cs_eif_signed {
    X509 *certificate; /* owned: cs_eif_signed_cleanup */
    cs_pcr pcr8;
    int64_t alg; /* of COSE, as the message says; 0: it cannot be read */
} cs_eif_signed;

/*
 * cs_eif_signature_check - untrusted section bytes: is it a signature over pcr0, which the caller computed from the image? The payload is
 * made again from pcr0, never taken from the message. CS_OK | CS_E_EIF_SIGNATURE (it is not; *out is filled for showing) |
 * CS_E_EIF_FORMAT (*out is zero) | CS_E_NO_MEMORY. The certificate's validity is not looked at.
 */
CS_MUST cs_err cs_eif_signature_check(cs_eif_signed *out, cs_slice section, const cs_pcr *pcr0);
void cs_eif_signed_cleanup(cs_eif_signed *s);

/* cs_eif_certificate_read - the first certificate of a PEM text (caller frees) and its PCR8. CS_E_EIF_FORMAT | CS_E_NO_MEMORY. */
CS_MUST cs_err cs_eif_certificate_read(X509 **out, cs_pcr *out_pcr8, cs_slice pem);
/* cs_eif_signature_alg - COSE's algorithm for images signed by this key: ES256, ES384 or ES512 by its curve; 0: no such key. */
int64_t cs_eif_signature_alg(EVP_PKEY *key);
/* cs_eif_signature_payload - append what is signed: {"register_index": 0, "register_value": [...]}. */
CS_MUST cs_err cs_eif_signature_payload(cs_buf *out, const cs_pcr *pcr0);
/* cs_eif_signature_put - append a section's bytes, byte strings as the arrays of integers that serde makes of them. */
CS_MUST cs_err cs_eif_signature_put(cs_buf *out, const cs_eif_signature *s);

#endif
