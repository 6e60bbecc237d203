/*
 * Schnorr signatures of BIP-340 by libsecp256k1, and the key tweak of BIP-341 for an output without or with a
 * script tree.
 */
#ifndef CS_SECRET_SIGN_BIP340_H
#define CS_SECRET_SIGN_BIP340_H

#include "base/bytes.h"
#include "secret/mem.h"

/* cs_bip340_public - the x coordinate. CS_E_RANGE (key 0 or >= q) | CS_E_ENTROPY. */
CS_MUST cs_err cs_bip340_public(uint8_t out_x32[32], const cs_secret32 *key);
/*
 * cs_bip340_sign - message of any length; aux32: fresh random bytes, or NULL for 32 of cs_random. Verified
 * before it is given out.
 * CS_E_RANGE (key) | CS_E_ENTROPY | CS_E_INTERNAL (a fault).
 */
CS_MUST cs_err cs_bip340_sign(uint8_t out64[64], const cs_secret32 *key, cs_slice message, const uint8_t *aux32);
/* cs_bip340_verify - CS_OK | CS_E_FORMAT (no x coordinate of the curve) | CS_E_AUTH | CS_E_ENTROPY. */
CS_MUST cs_err cs_bip340_verify(const uint8_t x32[32], const uint8_t sig64[64], cs_slice message);
/*
 * cs_bip340_tweak - the private key of a Taproot output [BIP-341]: key (its negative when y is odd) + TapTweak(x
 * || root). root: 32 bytes,
 * or empty for an output without scripts. CS_E_RANGE (key; root's length) | CS_E_ENTROPY.
 */
CS_MUST cs_err cs_bip340_tweak(cs_secret32 *out, const cs_secret32 *key, cs_slice root);

#endif
