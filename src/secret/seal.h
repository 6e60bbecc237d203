/*
 * Envelopes of the TEE service [docs/formats/tee.md, Envelope]: what a store keeps of a record, AES-256-GCM under a key that needs
 * both the data key of KMS and a sealing root of the share file. The associated data names record, version, KMS key, algorithm
 * and purpose, so that no blob opens as another's.
 * Every function may be called from several threads at once. Output buffers for plaintext wrap memory of the arena
 * (cs_secret_buf); they are appended to, and on error wiped from where they stood. Inputs and outputs do not overlap.
 */
#ifndef CS_SECRET_SEAL_H
#define CS_SECRET_SEAL_H

#include "base/bytes.h"
#include "secret/mem.h"

#define CS_SEAL_ROOT_ID 4
#define CS_SEAL_ROOTS_MAX 8
#define CS_SEAL_KEY 32                  /* plaintext of purpose CS_SEAL_PRIVATE_KEY, exactly */
#define CS_SEAL_DATA_MAX (64u * 1024u)  /* plaintext of purpose CS_SEAL_DATA, at most */
#define CS_SEAL_OVERHEAD (10 + 12 + 16) /* a blob is so much longer than its plaintext */
#define CS_SEAL_RAW_OVERHEAD (12 + 16)
#define CS_SEAL_RECORD_MAX 128
#define CS_SEAL_KMS_KEY_MAX 2048

/* A sealing root. secret: 32 bytes. id: public, first 4 bytes of SHA-256("countersign-root-1" || secret). */
typedef struct cs_seal_root {
    cs_secret32 secret;
    uint8_t id[CS_SEAL_ROOT_ID];
} cs_seal_root;
CS_SECRET_DECLARE(cs_seal_root)

/* cs_seal_root_init - copies the secret and computes its id. */
void cs_seal_root_init(cs_seal_root *out, const uint8_t secret32[32]);

typedef struct cs_seal_roots {
    const cs_seal_root *root;
    size_t num; /* 1..CS_SEAL_ROOTS_MAX; the first seals, each opens */
} cs_seal_roots;

typedef enum cs_seal_purpose { CS_SEAL_PRIVATE_KEY = 1, CS_SEAL_DATA = 2 } cs_seal_purpose;

/* What an envelope is bound to. All of it public. */
typedef struct cs_seal_about {
    cs_slice kms_key; /* 1..CS_SEAL_KMS_KEY_MAX bytes */
    cs_slice record;  /* 1..CS_SEAL_RECORD_MAX bytes */
    cs_seal_purpose purpose;
    uint8_t algorithm; /* number of the table in tee.md: 0 for data and only for it. Not read by cs_seal_open */
    uint32_t version;  /* 1..2^32-1; for cs_seal_open 0 means any */
} cs_seal_about;

/* The head of a blob: what it says of itself, not yet authenticated. */
typedef struct cs_seal_head {
    uint8_t root_id[CS_SEAL_ROOT_ID];
    uint8_t algorithm;
    uint32_t version;
} cs_seal_head;

/*
 * cs_seal_put - plain.len + CS_SEAL_OVERHEAD bytes to out, under the first root, with a nonce of cs_random.
 * CS_E_SEAL_ROOT (no root) | CS_E_RANGE (about; length of plain; out full) | CS_E_ENTROPY | CS_E_NO_MEMORY.
 */
CS_MUST cs_err cs_seal_put(cs_buf *out, const cs_seal_roots *roots, const cs_secret32 *data_key,
                           const cs_seal_about *about, cs_slice plain);
/*
 * cs_seal_open - the plaintext to out; *head (may be NULL), written on CS_OK only, is then authentic. CS_E_FORMAT (length, first
 * byte) | CS_E_RANGE (about; out full) | CS_E_SEAL_ROOT (no root has the blob's root id) | CS_E_SEAL_OPEN (changed, or another
 * record, KMS key, purpose, data key, algorithm or version than it was sealed for) | CS_E_SEAL_VERSION (authentic, but another
 * version than about->version) | CS_E_NO_MEMORY.
 */
CS_MUST cs_err cs_seal_open(cs_buf *out, cs_seal_head *head, const cs_seal_roots *roots, const cs_secret32 *data_key,
                            const cs_seal_about *about, cs_slice blob);
/*
 * cs_seal_head_parse - the head alone: which version and root a row has, without any key. CS_E_FORMAT when it cannot be a blob
 * (length, first byte).
 */
CS_MUST cs_err cs_seal_head_parse(cs_seal_head *out, cs_slice blob);
/*
 * cs_seal_open_raw - `nonce 12 || ciphertext || tag 16` under the data key itself, with the caller's associated data: what others
 * sealed before. At most CS_SEAL_DATA_MAX of plaintext and of aad. CS_E_FORMAT | CS_E_RANGE | CS_E_SEAL_OPEN | CS_E_NO_MEMORY.
 */
CS_MUST cs_err cs_seal_open_raw(cs_buf *out, const cs_secret32 *data_key, cs_slice aad, cs_slice sealed);

#endif
