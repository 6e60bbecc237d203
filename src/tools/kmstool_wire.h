/*
 * kmstool_enclave_cli as bytes: requests to KMS and to the Nitro Security Module, and their answers. Pure.
 * Source: specs/nitro-kms.md 1, 2, 4.2.
 */
#ifndef CS_TOOLS_KMSTOOL_WIRE_H
#define CS_TOOLS_KMSTOOL_WIRE_H

#include "base/bytes.h"

#define CS_KMSTOOL_BLOB_MAX 6144u
#define CS_KMSTOOL_DOCUMENT_MAX 12288u
#define CS_KMSTOOL_BODY_MAX 65536u
#define CS_KMSTOOL_ANSWER_MAX 65536u

typedef enum cs_kmstool_op { CS_KMSTOOL_DECRYPT, CS_KMSTOOL_GENKEY, CS_KMSTOOL_GENRANDOM } cs_kmstool_op;

typedef struct cs_kmstool_ask {
    cs_kmstool_op op;
    cs_slice ciphertext;   /* decrypt: 1..CS_KMSTOOL_BLOB_MAX bytes */
    const char *key_id;    /* or NULL (decrypt: KMS reads the key from the ciphertext) */
    const char *algorithm; /* decrypt with key_id */
    const char *key_spec;  /* genkey: "AES_256" or "AES_128" */
    uint32_t length;       /* genrandom: 1..1024 */
} cs_kmstool_ask;

/* cs_kmstool_target - "TrentService.Decrypt" */
const char *cs_kmstool_target(cs_kmstool_op op);
/* cs_kmstool_put_body - append the JSON; document: of the attestation. CS_E_RANGE | CS_E_NO_MEMORY. */
CS_MUST cs_err cs_kmstool_put_body(cs_buf *out, const cs_kmstool_ask *ask, cs_slice document);

typedef struct cs_kmstool_answer {
    char type[65];     /* KMS's __type, "" when there is none; letters, digits and '.' only */
    char message[513]; /* of KMS, without account numbers, long tokens and control characters; "" when there is none */
    uint8_t envelope[CS_KMSTOOL_BLOB_MAX];
    size_t envelope_len;
    uint8_t ciphertext[CS_KMSTOOL_BLOB_MAX]; /* genkey */
    size_t ciphertext_len;
} cs_kmstool_answer;

/*
 * cs_kmstool_read_answer - the body of an HTTP answer. status 200: the envelope (and ciphertext); an answer in plaintext is refused,
 * and so is another key than key_id when that is an ARN. Else type and message; error_type: header x-amzn-ErrorType.
 * CS_OK | the KMS_* row of the type | CS_E_KMS_PLAINTEXT | CS_E_KMS_KEY_ID | CS_E_KMS_ANSWER
 */
CS_MUST cs_err cs_kmstool_read_answer(cs_kmstool_answer *out, const cs_kmstool_ask *ask, int status,
                                      cs_slice error_type, cs_slice body);
/* cs_kmstool_redact - message without account numbers (12 digits), words of 40 or more letters and digits, control characters. */
void cs_kmstool_redact(char *out, size_t cap, cs_slice message);

/* cs_kmstool_put_attestation - append NSM's request for a document with this public key (DER). CS_E_RANGE. */
CS_MUST cs_err cs_kmstool_put_attestation(cs_buf *out, cs_slice public_key);
/* cs_kmstool_read_document - append the document of NSM's response. CS_E_NSM (an error, or no such response) | CS_E_RANGE (out). */
CS_MUST cs_err cs_kmstool_read_document(cs_buf *out, cs_slice response);

#endif
