/*
 * CMS EnvelopedData as AWS KMS returns it in CiphertextForRecipient: one RSA-OAEP (SHA-256) recipient, AES-256-CBC content; BER
 * with definite or indefinite lengths. CBC has no integrity: whoever knows the public key can make a valid envelope, so where it
 * came from must be authenticated otherwise. Source: specs/nitro-kms.md 3, RFC 5652, RFC 4055, X.690.
 */
#ifndef CS_SECRET_CMS_H
#define CS_SECRET_CMS_H

#include <openssl/evp.h>

#include "secret/mem.h"

#define CS_CMS_MAX 8192 /* bytes of an envelope */

/* What an envelope holds. Public; the first three borrow from it, the content may be in several pieces there. */
typedef struct cs_cms_fields {
    cs_slice recipient_id;  /* subject key identifier: opaque */
    cs_slice encrypted_key; /* 256..512 bytes */
    cs_slice iv;            /* 16 bytes */
    uint8_t content[CS_CMS_MAX];
    size_t content_len; /* > 0, a multiple of 16 */
} cs_cms_fields;

/*
 * cs_cms_parse - exactly one envelope of 1..CS_CMS_MAX bytes, untrusted; nothing behind it, nesting <= 10, the algorithms above
 * only. Returns CS_OK | CS_E_CMS; *out is unspecified on error.
 */
CS_MUST cs_err cs_cms_parse(cs_cms_fields *out, cs_slice envelope);
/*
 * cs_cms_open - decrypt: appends the plaintext (< CS_CMS_MAX bytes, secret) to out.
 * key     the RSA private key of the recipient (borrowed)
 * Returns CS_OK | CS_E_CMS - one error for every fault of the envelope, whatever it is; a failed
 *         envelope is not to be tried again and again | CS_E_NO_MEMORY - the arena is full, seen before the envelope is looked
 *         at. out is as before on error.
 * Secret  out, key. Source: specs/nitro-kms.md 3.2
 */
CS_MUST cs_err cs_cms_open(cs_buf *out, cs_slice envelope, EVP_PKEY *key);

#endif
