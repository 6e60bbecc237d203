/*
 * COSE messages (RFC 9052): the shape of COSE_Sign1 and COSE_Sign and the bytes that are signed. No cryptography here;
 * signatures are checked in attest/cose_verify.h. The protected header is kept as received, since it is what was signed.
 * CBOR flags (cbor.h) choose strictness; byte strings are always definite. Everything parsed borrows from the input.
 */
#ifndef CS_CODEC_COSE_H
#define CS_CODEC_COSE_H

#include "codec/cbor.h"

/* IANA "COSE Algorithms". */
enum { CS_COSE_ES256 = -7, CS_COSE_EDDSA = -8, CS_COSE_ES384 = -35, CS_COSE_ES512 = -36 };
enum { CS_COSE_TAG_SIGN1 = 18, CS_COSE_TAG_SIGN = 98 };

/* Both header buckets of a message or signer. */
typedef struct cs_cose_headers {
    cs_slice protected_bytes; /* contents of the protected byte string, as received */
    bool
        alg_protected; /* alg stood in the protected bucket; else it came from the unprotected one, or has_alg is false */
    bool has_alg;
    int64_t alg;  /* 0 (reserved by IANA) when alg is text */
    cs_slice kid; /* from either bucket; empty when absent */
} cs_cose_headers;

typedef struct cs_cose_sign1 {
    cs_cose_headers head;
    bool detached; /* payload was null: the caller sets it before cs_cose_sign1_tbs */
    cs_slice payload;
    cs_slice signature;
} cs_cose_sign1;

/*
 * cs_cose_sign1_parse - exactly one COSE_Sign1, untagged or with tag 18.
 * Refused: another tag, trailing bytes, a header map with a duplicate label, alg in both buckets, a critical label outside
 * 0..7 (RFC 9052 section 3.1), an empty signature. CS_E_FORMAT, *out unchanged.
 */
CS_MUST cs_err cs_cose_sign1_parse(cs_cose_sign1 *out, cs_slice bytes, unsigned cbor_flags);
/* cs_cose_sign1_tbs - append Sig_structure ["Signature1", protected, external_aad, payload]. CS_E_RANGE | CS_E_NO_MEMORY. */
CS_MUST cs_err cs_cose_sign1_tbs(cs_buf *out, const cs_cose_sign1 *m, cs_slice external_aad);
/* cs_cose_sign1_put - append an untagged COSE_Sign1 with an empty unprotected map. CS_E_RANGE | CS_E_NO_MEMORY. */
CS_MUST cs_err cs_cose_sign1_put(cs_buf *out, cs_slice protected_bytes, cs_slice payload, cs_slice signature);

#define CS_COSE_MAX_SIGNERS 16

typedef struct cs_cose_signer {
    cs_cose_headers head;
    cs_slice signature;
} cs_cose_signer;

typedef struct cs_cose_sign {
    cs_cose_headers head;
    bool detached;
    cs_slice payload;
    cs_cose_signer signer[CS_COSE_MAX_SIGNERS];
    size_t num_signers; /* >= 1 */
} cs_cose_sign;

/* cs_cose_sign_parse - exactly one COSE_Sign (several signers), untagged or with tag 98. CS_E_FORMAT, *out unchanged. */
CS_MUST cs_err cs_cose_sign_parse(cs_cose_sign *out, cs_slice bytes, unsigned cbor_flags);
/* cs_cose_sign_tbs - append ["Signature", body protected, signer protected, external_aad, payload] of one signer. */
CS_MUST cs_err cs_cose_sign_tbs(cs_buf *out, const cs_cose_sign *m, const cs_cose_signer *signer,
                                cs_slice external_aad);

#endif
