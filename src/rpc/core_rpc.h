/*
 * Frames between sign-service and sign-core, and between sign-core and sign-kms: one table.
 *
 * Transport: SOCK_SEQPACKET, one frame a packet, at most CS_RPC_MAX bytes. A frame is a deterministic CBOR array
 * [type, id, fields...]; the fields of each type are the columns of CS_RPC_TABLE in order. `id` names a gRPC stream
 * (PARTY_*) or a request (all others); replies repeat it. Pure: bytes in, bytes out.
 * Source: architecture 2 and 3; docs/formats/core-rpc.md is generated from this table by hand: keep both alike.
 */
#ifndef CS_RPC_CORE_RPC_H
#define CS_RPC_CORE_RPC_H

#include "base/bytes.h"

#define CS_RPC_MAX (256u * 1024u)
#define CS_RPC_CHUNK (192u * 1024u) /* bytes of a share file in one frame */
#define CS_RPC_CONTEXT_MAX 16

/* type, number, fields (in struct order): u = uint, t = text, b = bytes, m = map text->text */
#define CS_RPC_TABLE(X)                                                                                                \
    /* sign-service -> sign-core */                                                                                    \
    X(PARTY_OPEN, 1, "")                                                                                               \
    X(PARTY_DATA, 2, "b") /* body: Frame.body */                                                                       \
    X(PARTY_CLOSE, 3, "") /* the client went away */                                                                   \
    X(ATTEST, 4, "bt")    /* nonce, account id (may be empty) */                                                       \
    X(STATUS, 5, "")                                                                                                   \
    X(INJECT_AGE, 6, "b") /* KMS-encrypted age identity */                                                             \
    X(SHARES_BEGIN, 7, "")                                                                                             \
    X(SHARES_CHUNK, 8, "b")                                                                                            \
    X(SHARES_END, 9, "")                                                                                               \
    X(SHARES_CANCEL, 10, "")  /* the injector broke off */                                                             \
    X(UNBAN, 11, "b")         /* order signed by a publisher */                                                        \
    X(SIGN_WAIT, 12, "tubb")  /* account id, tx id (i64 as u64), execution id, digest: tell me the signature */        \
    X(SIGN_CANCEL, 13, "")    /* nobody waits for it any more */                                                       \
    X(PARTY_ROOM, 14, "tubb") /* PARTY_OPEN in a room: the request it may serve, as in SIGN_WAIT */                    \
    X(TEE_CALL, 16, "ubb")    /* 1: sealed, call, attachments (docs/formats/tee.md) */                                 \
    X(TEE_ENTRIES, 17, "u")   /* audit entries again, from that counter on */                                          \
    /* sign-core -> sign-service */                                                                                    \
    X(PARTY_SEND, 33, "b")                                                                                             \
    X(PARTY_END, 34, "t")          /* error code or "OK"; the stream is closed */                                      \
    X(ATTEST_REPLY, 36, "tb")      /* code, document */                                                                \
    X(STATUS_REPLY, 37, "b")       /* JSON, see docs/formats/status.md */                                              \
    X(REPLY, 38, "tt")             /* code, detail (e.g. KMS's __type), for INJECT_AGE, SHARES_END, UNBAN */           \
    X(SIGN_REPLY, 39, "tbu")       /* code, r || s || recid (empty unless OK), 1: remembered, not signed now */        \
    X(TEE_REPLY, 40, "b")          /* reply (docs/formats/tee.md) */                                                   \
    X(TEE_ENTRIES_REPLY, 41, "tb") /* code, CBOR array of [entry, signature] */                                        \
    /* sign-core -> sign-kms */                                                                                        \
    X(KMS_CALL, 64, "utbbm") /* cs_kms_op, key ARN, ciphertext blob, attestation document, context */                  \
    X(CRED_WIPE, 65, "")     /* the load is over: forget the credentials */                                            \
    /* sign-kms -> sign-core */                                                                                        \
    X(KMS_REPLY, 96, "ttutbb") /* code, KMS __type, HTTP status, KeyId, CiphertextForRecipient, CiphertextBlob */      \
    X(CRED_STATE, 97, "uu")    /* cs_cred_state, expiry in ms since the epoch */

typedef enum cs_rpc_type {
#define CS_RPC_ROW(name, num, fields) CS_RPC_##name = (num),
    CS_RPC_TABLE(CS_RPC_ROW)
#undef CS_RPC_ROW
} cs_rpc_type;

typedef enum cs_kms_op { CS_KMS_DECRYPT = 1, CS_KMS_GENERATE_DATA_KEY = 2, CS_KMS_GENERATE_RANDOM = 3 } cs_kms_op;
typedef enum cs_cred_state { CS_CRED_NONE = 0, CS_CRED_PRESENT = 1, CS_CRED_EXPIRED = 2 } cs_cred_state;

/* One field; which member is valid follows from the table. Slices point into the frame. */
typedef struct cs_rpc_field {
    uint64_t u;
    cs_slice s; /* text and bytes */
    struct {
        cs_slice key[CS_RPC_CONTEXT_MAX], value[CS_RPC_CONTEXT_MAX];
        size_t num;
    } m;
} cs_rpc_field;

#define CS_RPC_MAX_FIELDS 6

typedef struct cs_rpc_frame {
    cs_rpc_type type;
    uint64_t id;
    cs_rpc_field f[CS_RPC_MAX_FIELDS];
} cs_rpc_frame;

/* cs_rpc_name - "PARTY_DATA"; NULL for an unknown number. cs_rpc_fields - the field letters. */
const char *cs_rpc_name(cs_rpc_type t);
const char *cs_rpc_fields(cs_rpc_type t);
/*
 * cs_rpc_decode - one frame, strict: known type, exact fields, nothing behind. Slices point into bytes.
 * CS_E_FORMAT | CS_E_TOO_LARGE.
 */
CS_MUST cs_err cs_rpc_decode(cs_rpc_frame *out, cs_slice bytes);
/*
 * cs_rpc_encode - append to out (capacity CS_RPC_MAX); keys of a map may be in any order. CS_E_RANGE (does not fit, unknown
 * type, text that is not UTF-8, a key twice, more than CS_RPC_CONTEXT_MAX entries) | CS_E_NO_MEMORY; out is then as before.
 */
CS_MUST cs_err cs_rpc_encode(cs_buf *out, const cs_rpc_frame *f);
/*
 * cs_rpc_encode_body - append a frame of a type whose only field is bytes, and leave body_len bytes for the caller to fill at
 * *body (valid until the next write): what is produced in place is not copied. Same errors; CS_E_RANGE for other types.
 */
CS_MUST cs_err cs_rpc_encode_body(cs_buf *out, cs_rpc_type type, uint64_t id, size_t body_len, uint8_t **body);

#endif
