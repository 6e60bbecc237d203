/*
 * The client's hello of a signing session (docs/formats/party-session.md): what is to be signed, as core acts on it, and the
 * plaintexts around it. Public data.
 */
#ifndef CS_CODEC_HELLO_H
#define CS_CODEC_HELLO_H

#include "base/bytes.h"

#define CS_HELLO_MAX_PATH 10
#define CS_HELLO_MAX_ACCOUNT 128
#define CS_HELLO_MAX_EXECUTION 64
#define CS_HELLO_MAX 320 /* bytes of the longest hello */

typedef struct cs_hello {
    cs_slice account_id; /* 1..128 bytes, cs_account_id_valid */
    int64_t tx_id;
    cs_slice execution_id; /* 1..64 bytes */
    uint8_t digest32[32];
    uint32_t path[CS_HELLO_MAX_PATH]; /* each < 2^31 */
    size_t path_len;
    uint32_t epoch;
} cs_hello;

/* cs_account_id_valid - 1..128 bytes of printable ASCII without '"', '\' and '/', not beginning with "countersign/". */
bool cs_account_id_valid(cs_slice id);
/* cs_hello_put - append the deterministic CBOR. CS_E_RANGE (a field or out). */
CS_MUST cs_err cs_hello_put(cs_buf *out, const cs_hello *h);
/*
 * cs_hello_parse - strict: exactly the keys 1..6, deterministic CBOR, nothing behind. Slices point into cbor.
 * CS_E_FORMAT | CS_E_DIGEST_LENGTH (the digest is a byte string of another length). *out is written on CS_OK only.
 */
CS_MUST cs_err cs_hello_parse(cs_hello *out, cs_slice cbor);
/*
 * cs_hello_label_input - append what SHA-256 makes the request label of: "countersign/request/1" || u16 len || account_id ||
 * i64 tx_id || u16 len || execution_id. The hash is the caller's (cs_hello_label in secret/share/share.h).
 */
#define CS_HELLO_LABEL_MAX 256
CS_MUST cs_err cs_hello_label_input(cs_buf *out, const cs_hello *h);
/* cs_hello_same_request - digest, path and epoch are equal (the triple is the caller's key). */
bool cs_hello_same_request(const cs_hello *a, const cs_hello *b);

#endif
