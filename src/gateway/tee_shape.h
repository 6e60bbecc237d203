/*
 * Shapes of the TEE service's named operations at the gateway: which member of a message (protobuf or JSON, the names are the
 * same) is which field of the body or of the result. One table for both ways; the body itself is rpc/tee_rpc.h's. Pure.
 */
#ifndef CS_GATEWAY_TEE_SHAPE_H
#define CS_GATEWAY_TEE_SHAPE_H

#include "net/trace.h"
#include "rpc/tee_rpc.h"

#define CS_TEE_SEALED_MAX (CS_TEE_BODY_MAX + 8192u) /* a call, sealed or not */
#define CS_TEE_DATA_KEY_MAX 6144u                   /* what KMS gives as ciphertext of a data key */
#define CS_TEE_DETAIL_MAX 120

typedef enum cs_tee_member_kind {
    CS_TEE_M_TEXT,
    CS_TEE_M_BYTES,
    CS_TEE_M_UINT,
    CS_TEE_M_ALG,      /* an algorithm's name; its number is in the body */
    CS_TEE_M_BOOL,     /* 0 or 1 in the body */
    CS_TEE_M_DIGEST,   /* one of the two inputs of Sign: this member is 0, and the payload */
    CS_TEE_M_MESSAGE,  /* the other: 1 */
    CS_TEE_M_RECORDS,  /* the list of Rotate */
    CS_TEE_M_DATA_KEY, /* attached, not in the body: bytes */
    CS_TEE_M_KMS_KEY,  /* attached: text */
    CS_TEE_M_SEALED,   /* replies: the result as it came, for the caller's eyes only */
    CS_TEE_M_ASKED,    /* replies: the name of the algorithm that the request had */
    CS_TEE_M_ROTATED,  /* replies: record, code and version of each row */
} cs_tee_member_kind;

typedef struct cs_tee_member {
    const char *name;
    cs_tee_member_kind kind;
    unsigned at; /* position in the body's or result's fields */
} cs_tee_member;

typedef struct cs_tee_shape {
    cs_tee_op op;
    bool auth;                     /* the message has a member `auth` */
    const cs_tee_member *in, *out; /* end with name NULL */
} cs_tee_shape;

/* cs_tee_shape_of - NULL: the operation has no named form (Seal, Import): its request holds a secret. */
const cs_tee_shape *cs_tee_shape_of(cs_tee_op op);

/* A named request, read. Slices borrow from the message. */
typedef struct cs_tee_named {
    const cs_tee_shape *shape;
    cs_tee_field f[CS_TEE_MAX_FIELDS];
    bool has_input; /* Sign: one of its two inputs was there */
    cs_slice records[CS_TEE_ROWS_MAX];
    size_t num_records;
    cs_slice id, caller, signature; /* id empty: none was given */
    uint64_t time_ms;               /* 0: none was given */
    cs_tee_approval approval[CS_TEE_APPROVALS_MAX];
    size_t num_approvals;
    cs_slice data_key, kms_key;
} cs_tee_named;

/* A Call, read. Slices borrow. For a clear one all but call and the attached may be left out: they are read from the body. */
typedef struct cs_tee_given {
    cs_slice call;
    bool sealed;
    cs_slice operation, caller, id;
    cs_slice records[CS_TEE_ROWS_MAX];
    size_t num_records;
    cs_slice data_key, kms_key;
} cs_tee_given;

/* What a request comes to, of its own memory. The zero state is empty. */
typedef struct cs_tee_ask {
    const cs_tee_op_row *op;
    const cs_tee_shape *shape; /* NULL: a Call, answered with the reply's bytes */
    bool sealed;
    uint8_t id[CS_TEE_ID_LEN];
    char caller[CS_TEE_CALLER_MAX + 1]; /* "": nobody */
    uint64_t alg;                       /* Generate */
    bool fresh;                         /* Rotate: core makes a new data key */
    cs_buf call, data_key, kms_key;
    cs_buf records; /* CBOR array for cs_tee_iter_of; empty: about no record */
    size_t num_records;
    bool traced;
    cs_trace trace; /* what the call to core belongs to, when traced */
} cs_tee_ask;

/*
 * cs_tee_ask_named, cs_tee_ask_given - CS_E_FORMAT | CS_E_RANGE | CS_E_TOO_LARGE | CS_E_ALGORITHM | CS_E_DIGEST_LENGTH |
 * CS_E_NO_MEMORY | CS_E_ENTROPY; *what (static text) names the member at fault, or is "". Named operations without a caller get an id and
 * the time when they have none. Given: what is said beside a clear call must be what is in it.
 */
CS_MUST cs_err cs_tee_ask_named(cs_tee_ask *out, const char **what, const cs_tee_named *n);
CS_MUST cs_err cs_tee_ask_given(cs_tee_ask *out, const char **what, const cs_tee_given *g);
void cs_tee_ask_cleanup(cs_tee_ask *a);

/* The reply to a named operation, taken apart. Slices borrow from the reply's bytes. */
typedef struct cs_tee_told {
    cs_tee_reply reply;
    cs_tee_result result; /* unless sealed */
    cs_tee_entry entry;   /* when has_entry */
    bool has_entry;
    uint8_t hash32[32]; /* of the entry */
} cs_tee_told;
/* cs_tee_told_read - CS_E_UPSTREAM: not a reply, or not one to this operation. */
CS_MUST cs_err cs_tee_told_read(cs_tee_told *out, const cs_tee_ask *ask, cs_slice reply);

/* cs_tee_sha256 - of the parts one behind the other. CS_E_INTERNAL. */
CS_MUST cs_err cs_tee_sha256(uint8_t out32[32], const cs_slice *parts, size_t num_parts);

#endif
