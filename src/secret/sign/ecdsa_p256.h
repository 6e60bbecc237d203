/*
 * ECDSA on P-256 over a digest of 32 bytes: nonces by RFC 6979 with HMAC-SHA256, scalars by own constant-time
 * code, points by
 * OpenSSL. Signatures are r || s as computed: s is not folded to the low half. Source: FIPS 186-5, RFC 6979.
 */
#ifndef CS_SECRET_SIGN_ECDSA_P256_H
#define CS_SECRET_SIGN_ECDSA_P256_H

#include "base/bytes.h"
#include "secret/mem.h"

/*
 * cs_ecdsa_p256_public - 33 bytes compressed. CS_E_RANGE (key 0 or >= n) | CS_E_ENTROPY (blinding) |
 * CS_E_NO_MEMORY.
 */
CS_MUST cs_err cs_ecdsa_p256_public(uint8_t out33[33], const cs_secret32 *key);
/*
 * cs_ecdsa_p256_sign - the same bytes for the same key and digest; verified before it is given out. out is
 * written on CS_OK only.
 * CS_E_RANGE (key) | CS_E_ENTROPY | CS_E_NO_MEMORY | CS_E_INTERNAL (a fault: the signature does not verify).
 */
CS_MUST cs_err cs_ecdsa_p256_sign(uint8_t out_rs64[64], const cs_secret32 *key, const uint8_t digest32[32]);
/* cs_ecdsa_p256_unsafe_sign - with the nonce given; for tests. CS_E_RANGE also for a nonce out of range. */
CS_MUST cs_err cs_ecdsa_p256_unsafe_sign(uint8_t out_rs64[64], const cs_secret32 *key, const uint8_t digest32[32],
                                         const cs_secret32 *nonce);
/*
 * cs_ecdsa_p256_verify - point: 33 bytes compressed or 65 uncompressed. CS_OK | CS_E_FORMAT (no point of the
 * curve) | CS_E_AUTH |
 * CS_E_NO_MEMORY. Variable time: all inputs are public.
 */
CS_MUST cs_err cs_ecdsa_p256_verify(const uint8_t rs64[64], const uint8_t digest32[32], cs_slice point);

#endif
