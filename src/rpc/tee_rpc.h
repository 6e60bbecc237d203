/*
 * Operations of the TEE service and their fields: one table each, from which the body's codec, the gateway's JSON and protobuf
 * shapes and the client's checks are made. Source: docs/formats/tee.md. Pure.
 */
#ifndef CS_RPC_TEE_RPC_H
#define CS_RPC_TEE_RPC_H

#include "base/bytes.h"
#include "codec/cbor.h"

#define CS_TEE_ID_LEN 16
#define CS_TEE_BODY_MAX (128u * 1024u)
#define CS_TEE_DATA_MAX (64u * 1024u) /* plaintext of a Seal */
#define CS_TEE_RECORD_MAX 128
#define CS_TEE_CALLER_MAX 64
#define CS_TEE_KMS_KEY_MAX 2048
#define CS_TEE_ROWS_MAX 256
#define CS_TEE_APPROVALS_MAX 16
#define CS_TEE_MAX_FIELDS 4

/* name, number, request fields, reply fields (letters: t text, u uint, b bytes, T array of text), flags */
#define CS_TEE_OPS(X)                                                                                                  \
    X(SIGN, 1, "Sign", "tuub", "bub", CS_TEE_CALLER | CS_TEE_KEY)                                                      \
    X(DECRYPT, 2, "Decrypt", "tbb", "b", CS_TEE_CALLER | CS_TEE_SECRET_OUT)                                            \
    X(SEAL, 3, "Seal", "tub", "u", CS_TEE_CALLER | CS_TEE_SECRET_IN | CS_TEE_STORES)                                   \
    X(UNSEAL, 4, "Unseal", "tu", "bu", CS_TEE_CALLER | CS_TEE_SECRET_OUT)                                              \
    X(GENERATE, 5, "Generate", "tu", "b", CS_TEE_CALLER | CS_TEE_KEY | CS_TEE_STORES)                                  \
    X(IMPORT, 6, "Import", "tub", "b", CS_TEE_CALLER | CS_TEE_KEY | CS_TEE_SECRET_IN | CS_TEE_STORES)                  \
    X(PUBLIC_KEY, 7, "PublicKey", "t", "bu", CS_TEE_KEY)                                                               \
    X(ROTATE, 8, "Rotate", "Ttu", "u", CS_TEE_CALLER | CS_TEE_STORES)                                                  \
    X(ATTEST, 9, "Attest", "b", "b", 0)                                                                                \
    X(STATS, 10, "Stats", "", "t", 0)

enum {
    CS_TEE_CALLER = 1,     /* a caller's signature is needed */
    CS_TEE_SECRET_IN = 2,  /* the request must be sealed */
    CS_TEE_SECRET_OUT = 4, /* the reply is sealed always */
    CS_TEE_KEY = 8,        /* about a private key, not data */
    CS_TEE_STORES = 16,    /* the reply has rows to store */
};

typedef enum cs_tee_op {
#define CS_TEE_ROW(name, num, text, in, out, flags) CS_TEE_##name = (num),
    CS_TEE_OPS(CS_TEE_ROW)
#undef CS_TEE_ROW
} cs_tee_op;
#define CS_TEE_NUM_OPS 10

typedef enum cs_tee_alg {
    CS_TEE_DATA = 0,
    CS_TEE_ECDSA_K1 = 1,
    CS_TEE_ECDSA_P256 = 2,
    CS_TEE_ED25519 = 3,
    CS_TEE_BIP340 = 4,
} cs_tee_alg;

typedef struct cs_tee_op_row {
    cs_tee_op op;
    const char *name;
    const char *in, *out;
    unsigned flags;
} cs_tee_op_row;

/* cs_tee_op_of - the row of a number; cs_tee_op_named - of "Sign"; NULL when there is none. */
const cs_tee_op_row *cs_tee_op_of(uint64_t number);
const cs_tee_op_row *cs_tee_op_named(cs_slice name);
/*
 * cs_tee_grant_of - what the share file allows a caller by name, as a bit: 1 << number of an operation, 1 << CS_TEE_APPROVE of
 * "Approve"; 0 when there is no such operation. For cs_share_policy.
 */
#define CS_TEE_APPROVE 0
uint32_t cs_tee_grant_of(cs_slice name);
/* cs_tee_alg_name - "ecdsa-secp256k1", "data" for 0; NULL when unknown. cs_tee_alg_of - CS_E_ALGORITHM. */
const char *cs_tee_alg_name(uint64_t alg);
CS_MUST cs_err cs_tee_alg_of(cs_slice name, cs_tee_alg *out);

/*
 * One row: what a gateway keeps of a record, or is to keep. code is "OK" in attachments. kms_key and data_key are both empty
 * when they are those of the row before. Slices borrow.
 */
typedef struct cs_tee_row {
    cs_slice record, code;
    uint64_t version;
    cs_slice kms_key, data_key, blob;
    uint64_t alg; /* cs_tee_alg */
    cs_slice public_key;
} cs_tee_row;

/* One field, request or reply; which member is valid follows from the letter. */
typedef struct cs_tee_field {
    uint64_t u;
    cs_slice s;
} cs_tee_field;

/* A decoded body. Slices point into the bytes. `records` of Rotate is read with cs_tee_records_next. */
typedef struct cs_tee_request {
    const cs_tee_op_row *row;
    const uint8_t *id16;
    uint64_t time_ms;
    cs_slice caller;
    cs_tee_field f[CS_TEE_MAX_FIELDS];
    cs_slice records; /* the CBOR array of Rotate, checked: 1..CS_TEE_ROWS_MAX record ids, no two the same */
} cs_tee_request;

/* cs_tee_record_valid - 1..128 bytes of printable ASCII without quote, backslash and space. */
bool cs_tee_record_valid(cs_slice record);
/*
 * cs_tee_request_decode - strict: exact fields of the operation, ranges of records, callers, algorithms, digests (32 bytes when input is 0),
 * nothing behind. CS_E_FORMAT | CS_E_RANGE | CS_E_TOO_LARGE | CS_E_ALGORITHM.
 * cs_tee_request_encode - append; the same checks.
 */
CS_MUST cs_err cs_tee_request_decode(cs_tee_request *out, cs_slice body);
CS_MUST cs_err cs_tee_request_encode(cs_buf *out, const cs_tee_request *r);

/* cs_tee_records_encode - the array of Rotate, for `records`: 1..CS_TEE_ROWS_MAX, no two the same. CS_E_RANGE; out is then as before. */
CS_MUST cs_err cs_tee_records_encode(cs_buf *out, const cs_slice *records, size_t num);

/* The call: body, signature (empty or 64 bytes), approvals. */
typedef struct cs_tee_approval {
    cs_slice approver;
    const uint8_t *sig64;
} cs_tee_approval;
typedef struct cs_tee_call {
    cs_slice body, signature;
    cs_tee_approval approval[CS_TEE_APPROVALS_MAX];
    size_t num_approvals;
} cs_tee_call;
CS_MUST cs_err cs_tee_call_decode(cs_tee_call *out, cs_slice bytes);
CS_MUST cs_err cs_tee_call_encode(cs_buf *out, const cs_tee_call *call);

/* Attachments: rows are read one by one with cs_tee_rows_next from `rows` (empty when absent). */
typedef struct cs_tee_attached {
    cs_slice data_key, kms_key, fresh; /* "new" */
    cs_slice rows;
    size_t num_rows;
} cs_tee_attached;
CS_MUST cs_err cs_tee_attached_decode(cs_tee_attached *out, cs_slice bytes);
/* cs_tee_attached_encode - rows from an array. */
CS_MUST cs_err cs_tee_attached_encode(cs_buf *out, const cs_tee_attached *a, const cs_tee_row *rows, size_t num_rows);

/* An iterator over records or rows that were checked by decode; false at the end. */
typedef struct cs_tee_iter {
    cs_cbor rest;
    cs_cbor_iter left;
} cs_tee_iter;
cs_tee_iter cs_tee_iter_of(cs_slice checked_array);
bool cs_tee_records_next(cs_tee_iter *it, cs_slice *record);
bool cs_tee_rows_next(cs_tee_iter *it, cs_tee_row *row);

/* The reply. rows: a checked array for cs_tee_iter_of, empty array when there are none. */
typedef struct cs_tee_reply {
    cs_slice code, result, rows, entry, entry_sig;
    size_t num_rows;
    bool sealed;
} cs_tee_reply;
CS_MUST cs_err cs_tee_reply_decode(cs_tee_reply *out, cs_slice bytes);
/* cs_tee_reply_encode - rows from an array; r->rows and r->num_rows are not read. */
CS_MUST cs_err cs_tee_reply_encode(cs_buf *out, const cs_tee_reply *r, const cs_tee_row *rows, size_t num_rows);
/* The result of an operation by its reply letters. */
typedef struct cs_tee_result {
    cs_tee_field f[CS_TEE_MAX_FIELDS];
} cs_tee_result;
CS_MUST cs_err cs_tee_result_decode(cs_tee_result *out, const cs_tee_op_row *row, cs_slice bytes);
CS_MUST cs_err cs_tee_result_encode(cs_buf *out, const cs_tee_op_row *row, const cs_tee_result *r);

/*
 * The decoders below and above are strict: the documented items in their one encoding, nothing behind. CS_E_FORMAT | CS_E_TOO_LARGE;
 * *out is then zero. *out borrows from bytes. The encoders append what decodes. CS_E_RANGE | CS_E_NO_MEMORY; out is then as before.
 */
/*
 * One audit entry (docs/formats/tee.md, Reply). What is signed is SHA-256(CS_TEE_AUDIT_SIGNED || entry); the hash of an entry, previous32
 * of the next one and the head, is SHA-256(CS_TEE_AUDIT_LINK || entry || signature).
 */
#define CS_TEE_AUDIT_SIGNED "countersign-audit-1\n"
#define CS_TEE_AUDIT_LINK "countersign-audit-link-1\n"
typedef struct cs_tee_entry {
    uint64_t counter, time_ms;
    const uint8_t *boot16, *previous32, *request_id16, *request_hash32, *pcr_digest32, *result_hash32;
    cs_slice caller, record, code;
    uint64_t op;
} cs_tee_entry;
CS_MUST cs_err cs_tee_entry_decode(cs_tee_entry *out, cs_slice bytes);
CS_MUST cs_err cs_tee_entry_encode(cs_buf *out, const cs_tee_entry *e);

/* What core vouches for: user_data of its attestation document. */
typedef struct cs_tee_vouch {
    const uint8_t *request_key32, *audit_key32, *boot16;
} cs_tee_vouch;
CS_MUST cs_err cs_tee_vouch_decode(cs_tee_vouch *out, cs_slice user_data);
CS_MUST cs_err cs_tee_vouch_encode(cs_buf *out, const cs_tee_vouch *v);

#endif
