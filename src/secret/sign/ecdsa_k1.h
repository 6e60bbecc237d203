/*
 * ECDSA on secp256k1 over a digest of 32 bytes, with a whole key (the MPC core has none): nonces by RFC 6979 as
 * libsecp256k1 draws
 * them, s always in the low half.
 */
#ifndef CS_SECRET_SIGN_ECDSA_K1_H
#define CS_SECRET_SIGN_ECDSA_K1_H

#include "base/bytes.h"
#include "secret/mem.h"

/* cs_ecdsa_k1_public - 33 bytes compressed. CS_E_RANGE (key 0 or >= q) | CS_E_ENTROPY. */
CS_MUST cs_err cs_ecdsa_k1_public(uint8_t out33[33], const cs_secret32 *key);
/*
 * cs_ecdsa_k1_sign - r || s and the recovery id (0..3; may be NULL), the same bytes for the same input; verified
 * before it is given
 * out. extra32: more input for the nonce [RFC6979 3.6], may be NULL. CS_E_RANGE (key) | CS_E_ENTROPY |
 * CS_E_INTERNAL (a fault).
 */
CS_MUST cs_err cs_ecdsa_k1_sign(uint8_t out_rs64[64], unsigned *out_recid, const cs_secret32 *key,
                                const uint8_t digest32[32], const uint8_t *extra32);
/*
 * cs_ecdsa_k1_verify - point: 33 or 65 bytes. CS_OK | CS_E_FORMAT (no point) | CS_E_AUTH (also for a high s) |
 * CS_E_ENTROPY.
 */
CS_MUST cs_err cs_ecdsa_k1_verify(const uint8_t rs64[64], const uint8_t digest32[32], cs_slice point);
/* cs_ecdsa_k1_fold - s to the low half, for signatures of others; CS_E_FORMAT (r or s >= q). Public data. */
CS_MUST cs_err cs_ecdsa_k1_fold(uint8_t rs64[64]);

#endif
