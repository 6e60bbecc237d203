/*
 * AES-GCM with a nonce of 12 and a tag of 16 bytes, one call for one message, by OpenSSL. Callable from several threads at once.
 * Who calls sees to it that no nonce comes twice under one key.
 */
#ifndef CS_SECRET_GCM_H
#define CS_SECRET_GCM_H

#include "base/bytes.h"

#define CS_GCM_NONCE 12
#define CS_GCM_TAG 16
#define CS_GCM_MAX ((size_t)1 << 30) /* message or associated data: OpenSSL counts in int */

typedef struct cs_gcm {
    cs_slice key; /* 16 or 32 bytes, secret */
    const uint8_t *nonce12;
    cs_slice aad;
} cs_gcm;

/*
 * cs_gcm_seal - plain.len + 16 bytes at out (ciphertext || tag); no overlap. CS_E_RANGE (key's length; more than CS_GCM_MAX) |
 * CS_E_NO_MEMORY. On error out is wiped, or as it was on CS_E_RANGE.
 */
CS_MUST cs_err cs_gcm_seal(uint8_t *out, const cs_gcm *g, cs_slice plain);
/*
 * cs_gcm_open - sealed.len - 16 bytes at out. CS_E_FORMAT (under 16 bytes) | CS_E_AUTH | CS_E_RANGE | CS_E_NO_MEMORY; out then
 * as with cs_gcm_seal.
 */
CS_MUST cs_err cs_gcm_open(uint8_t *out, const cs_gcm *g, cs_slice sealed);

#endif
