/*
 * The identity of a caller of the TEE service: its name, the Ed25519 seed that signs its requests, the X25519 secret that opens answers.
 * File: one JSON object {"id": "...", "ed25519_seed": "<64 hex>", "x25519_secret": "<64 hex>"}, readable by its owner only.
 */
#ifndef CS_PARTY_TEE_IDENTITY_H
#define CS_PARTY_TEE_IDENTITY_H

#include "rpc/tee_rpc.h"
#include "secret/mem.h"

/* In the arena. */
typedef struct cs_tee_identity {
    char id[CS_TEE_CALLER_MAX + 1]; /* public */
    cs_secret32 ed25519_seed, x25519_secret;
} cs_tee_identity;

/* cs_tee_identity_parse - text is secret. out is arena memory; wiped on error. CS_E_FORMAT. */
CS_MUST cs_err cs_tee_identity_parse(cs_tee_identity *out, cs_slice text);
/*
 * cs_tee_identity_read - from a file, through the arena. CS_E_IO (no such regular file, or its mode lets others than the owner in: chmod 600) |
 * CS_E_FORMAT | CS_E_TOO_LARGE | CS_E_NO_MEMORY. *out: cs_secret_free.
 */
CS_MUST cs_err cs_tee_identity_read(cs_tee_identity **out, const char *path);

#endif
