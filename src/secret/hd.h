/*
 * Hierarchical keys with a whole private key: BIP-32 (secp256k1) and SLIP-10 (P-256, Ed25519), and the text form of BIP-32's extended keys.
 * The MPC core derives public children only, see cs_mpc_derive; this is for keys that are imported.
 */
#ifndef CS_SECRET_HD_H
#define CS_SECRET_HD_H

#include "base/bytes.h"
#include "secret/mem.h"

#define CS_HD_HARDENED 0x80000000u
#define CS_HD_SEED_MIN 16
#define CS_HD_SEED_MAX 64
#define CS_HD_TEXT_MAX 112 /* characters of an extended key */

typedef enum cs_hd_curve { CS_HD_SECP256K1, CS_HD_P256, CS_HD_ED25519 } cs_hd_curve;

/* An extended key. Secret when has_secret. */
typedef struct cs_hd_key {
    cs_hd_curve curve;
    bool has_secret;
    uint8_t depth;
    uint32_t child;      /* index below the parent, with CS_HD_HARDENED */
    uint8_t parent4[4];  /* the parent's fingerprint; 0 at the root */
    cs_secret32 chain;   /* chain code */
    cs_secret32 secret;  /* private key, big endian; Ed25519: the seed */
    uint8_t point33[33]; /* compressed; Ed25519: 0 and 32 bytes. Public */
} cs_hd_key;
CS_SECRET_DECLARE(cs_hd_key)

/* cs_hmac_sha512 - HMAC-SHA512 over the parts, as BIP-32 and SLIP-10 use it. out is secret when the key or a part is. */
void cs_hmac_sha512(cs_secret64 *out, cs_slice key, const cs_slice *parts, size_t num_parts);
/* cs_hd_master - seed: secret, CS_HD_SEED_MIN..MAX bytes. CS_E_RANGE (length; secp256k1: no key, 2^-127) | CS_E_ENTROPY | CS_E_NO_MEMORY. */
CS_MUST cs_err cs_hd_master(cs_hd_key *out, cs_hd_curve curve, cs_slice seed);
/*
 * cs_hd_child - private from private, public from public; out may be key. CS_E_STATE (hardened or Ed25519 from a public key; Ed25519 not
 * hardened; depth 255) | CS_E_RANGE (secp256k1: no such child, 2^-127: take the next index) | CS_E_UNSUPPORTED (public P-256) |
 * CS_E_ENTROPY | CS_E_NO_MEMORY. On error out is unchanged.
 */
CS_MUST cs_err cs_hd_child(cs_hd_key *out, const cs_hd_key *key, uint32_t index);
/* cs_hd_public - forget the private key. */
void cs_hd_public(cs_hd_key *key);
/* cs_hd_fingerprint - the first 4 bytes of RIPEMD160(SHA256(point)). CS_E_NO_MEMORY. */
CS_MUST cs_err cs_hd_fingerprint(uint8_t out4[4], const cs_hd_key *key);

/*
 * cs_hd_parse - xprv or xpub text of BIP-32 (main network), secret when xprv: strict, as BIP-32's test vector 5. CS_E_FORMAT | CS_E_ENTROPY.
 * cs_hd_put - append the text: xprv when has_secret, else xpub. secp256k1 only: CS_E_UNSUPPORTED. CS_E_RANGE | CS_E_NO_MEMORY.
 * Base58 works in variable time in its digits: for import and export on the owner's machine, not for the enclave.
 */
CS_MUST cs_err cs_hd_parse(cs_hd_key *out, cs_slice text);
CS_MUST cs_err cs_hd_put(cs_buf *out, const cs_hd_key *key);

#endif
