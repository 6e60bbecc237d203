/* Signature check of COSE messages with a given key (RFC 9053 section 2). */
#ifndef CS_ATTEST_COSE_VERIFY_H
#define CS_ATTEST_COSE_VERIFY_H

#include <openssl/evp.h>

#include "codec/cose.h"

/*
 * cs_cose_verify - tbs was signed by key under alg. ES256, ES384, ES512 name the hash, the curve is the key's (P-256, P-384,
 * P-521), r and s have the fixed width of the curve; EdDSA takes an Ed25519 or Ed448 key. A caller that must not accept every
 * pairing checks alg and key before. Returns CS_OK | CS_E_AUTH (wrong signature or length) | CS_E_UNSUPPORTED (alg does not go
 * with the key) | CS_E_NO_MEMORY. Public data only.
 */
CS_MUST cs_err cs_cose_verify(EVP_PKEY *key, int64_t alg, cs_slice tbs, cs_slice signature);

#endif
