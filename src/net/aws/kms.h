/*
 * AWS KMS from inside the enclave: the three operations that sign-kms may ask for, as bytes. Pure: no I/O, no clock.
 * Source: specs/nitro-kms.md 2.
 */
#ifndef CS_NET_AWS_KMS_H
#define CS_NET_AWS_KMS_H

#include "net/aws/sigv4.h"

#define CS_KMS_MAX_BLOB 6144u
#define CS_KMS_MAX_DOCUMENT 16384u
#define CS_KMS_MAX_KEY_ID 2048u
#define CS_KMS_MAX_CONTEXT 16
#define CS_KMS_MAX_REQUEST 65536u
#define CS_KMS_MAX_ANSWER 65536u

typedef enum cs_kms_action {
    CS_KMS_ACT_DECRYPT = 1,
    CS_KMS_ACT_GENERATE_DATA_KEY = 2,
    CS_KMS_ACT_GENERATE_RANDOM = 3,
} cs_kms_action;

typedef struct cs_kms_params {
    cs_kms_action action;
    cs_slice key_id;     /* key ARN; not for GENERATE_RANDOM */
    cs_slice ciphertext; /* DECRYPT: 1..CS_KMS_MAX_BLOB bytes */
    cs_slice document;   /* attestation document, always: no answer in plaintext is ever asked for */
    uint32_t num_bytes;  /* GENERATE_RANDOM: 1..1024; GENERATE_DATA_KEY is AES_256 */
    cs_slice context_key[CS_KMS_MAX_CONTEXT], context_value[CS_KMS_MAX_CONTEXT];
    size_t num_context;
} cs_kms_params;

/* cs_kms_target - "TrentService.Decrypt"; NULL for a number that is no action. */
const char *cs_kms_target(cs_kms_action a);
/* cs_kms_put_body - append the JSON of the request. CS_E_RANGE (a length or the action) | CS_E_NO_MEMORY */
CS_MUST cs_err cs_kms_put_body(cs_buf *out, const cs_kms_params *p);
/* A POST whose body is made already. */
typedef struct cs_kms_post {
    const char *target; /* as above */
    cs_slice body, host;
    bool close; /* "Connection: close": the only request of its connection */
} cs_kms_post;
/* cs_kms_put_signed - append it whole, HTTP/1.1, signed; signer and errors as below. */
CS_MUST cs_err cs_kms_put_signed(cs_buf *out, const cs_kms_post *post, const cs_sigv4_signer *signer);
/*
 * cs_kms_put_request - append a whole signed HTTP/1.1 request; its connection may be kept. signer: service "kms"; secret_key and token
 * are secret, the token is in the request: wipe out. CS_E_RANGE | CS_E_NO_MEMORY | CS_E_FORMAT | CS_E_INTERNAL
 */
CS_MUST cs_err cs_kms_put_request(cs_buf *out, const cs_kms_params *p, cs_slice host, const cs_sigv4_signer *signer);

typedef struct cs_kms_answer {
    char type[65]; /* KMS's __type, "" on success or when there is none; letters, digits and '.' only */
    char key_id[CS_KMS_MAX_KEY_ID + 1];
    uint8_t for_recipient[CS_KMS_MAX_BLOB];
    size_t for_recipient_len;
    uint8_t ciphertext[CS_KMS_MAX_BLOB]; /* GENERATE_DATA_KEY */
    size_t ciphertext_len;
} cs_kms_answer;

/*
 * cs_kms_parse_answer - an HTTP answer. error_type: value of x-amzn-ErrorType, or empty. want_key: the ARN that KeyId must be.
 * Decides on __type, never on the status alone. Nothing of the message is kept.
 * CS_OK | the KMS_* row of the type | CS_E_KMS_PLAINTEXT (Plaintext present, or no CiphertextForRecipient) |
 * CS_E_KMS_KEY_ID (another key) | CS_E_KMS_ANSWER (not an answer). On error only out->type is set.
 */
typedef struct cs_kms_reply {
    int status;
    cs_slice error_type;
    cs_slice body;
} cs_kms_reply;
CS_MUST cs_err cs_kms_parse_answer(cs_kms_answer *out, const cs_kms_reply *reply, cs_kms_action action,
                                   cs_slice want_key);
/* cs_kms_err_of_type - error row of a type name without prefix; CS_E_KMS_VALIDATION or _UNAVAILABLE by status when unknown. */
cs_err cs_kms_err_of_type(cs_slice type, int status);

#endif
