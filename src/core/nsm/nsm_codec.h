/*
 * Requests to and responses of the Nitro Security Module: CBOR as /dev/nsm takes it. Pure.
 * Source: specs/nitro-kms.md 4.2.
 */
#ifndef CS_CORE_NSM_CODEC_H
#define CS_CORE_NSM_CODEC_H

#include "base/bytes.h"

#define CS_NSM_REQUEST_MAX 4096u
#define CS_NSM_RESPONSE_MAX 12288u
#define CS_NSM_PCR_BYTES 48u
#define CS_NSM_NONCE_MAX 512u
#define CS_NSM_PUBLIC_KEY_MAX 1024u
#define CS_NSM_USER_DATA_MAX 512u

typedef struct cs_nsm_pcr {
    bool locked;
    uint8_t value[CS_NSM_PCR_BYTES];
} cs_nsm_pcr;

/* What goes into a document; p == NULL: the field is null. nonce and user_data 0..512 bytes, public_key 0..1024. */
typedef struct cs_nsm_doc_args {
    cs_slice nonce;
    cs_slice public_key;
    cs_slice user_data;
} cs_nsm_doc_args;

/* cs_nsm_put_describe_pcr, cs_nsm_put_attestation - append a request. CS_E_RANGE (a field or out too long, index > 31). */
CS_MUST cs_err cs_nsm_put_describe_pcr(cs_buf *out, unsigned index);
CS_MUST cs_err cs_nsm_put_attestation(cs_buf *out, const cs_nsm_doc_args *args);
/*
 * cs_nsm_read_pcr - the response to DescribePCR. cs_nsm_read_document - append the document of a response to Attestation.
 * Both: CS_E_NSM for {"Error": code} and for anything that is not the response; code (may be NULL) is then the error's name
 * when it has one of letters only, else empty. cs_nsm_read_document also CS_E_RANGE (out too small).
 */
#define CS_NSM_CODE_MAX 32
CS_MUST cs_err cs_nsm_read_pcr(cs_nsm_pcr *out, char code[CS_NSM_CODE_MAX], cs_slice response);
CS_MUST cs_err cs_nsm_read_document(cs_buf *out, char code[CS_NSM_CODE_MAX], cs_slice response);

#endif
