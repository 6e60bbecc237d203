/*
 * Ed25519 (RFC 8032, pure) by libsodium. Verification is strict and has one answer for each input: s < L, A
 * canonical, neither A nor R
 * of small order, R compared as bytes, no cofactor.
 */
#ifndef CS_SECRET_SIGN_ED25519_H
#define CS_SECRET_SIGN_ED25519_H

#include "base/bytes.h"
#include "secret/mem.h"

/* seed: the private key of RFC 8032, 32 bytes. */
void cs_ed25519_public(uint8_t out32[32], const cs_secret32 *seed);
void cs_ed25519_sign(uint8_t out64[64], const cs_secret32 *seed, cs_slice message);
/* cs_ed25519_verify - CS_OK | CS_E_AUTH. */
CS_MUST cs_err cs_ed25519_verify(const uint8_t public32[32], const uint8_t sig64[64], cs_slice message);

#endif
