/*
 * The signature algorithms of the TEE service as one table: a whole private key of 32 bytes, made, checked and used by its
 * algorithm's number. The numbers are those of the table in docs/formats/tee.md and of rpc/tee_rpc.h (cs_tee_alg), which this
 * zone may not include; 0 (data) is none of them.
 * Every function may be called from several threads at once: the tables and libsecp256k1's context are made at first use under a
 * lock, the context is blinded then, and nothing writes to them afterwards.
 */
#ifndef CS_SECRET_SIGN_SCHEME_H
#define CS_SECRET_SIGN_SCHEME_H

#include "base/bytes.h"
#include "secret/mem.h"

enum { CS_SCHEME_ECDSA_K1 = 1, CS_SCHEME_ECDSA_P256 = 2, CS_SCHEME_ED25519 = 3, CS_SCHEME_BIP340 = 4 };
#define CS_SCHEME_PUBLIC_MAX 33
#define CS_SCHEME_SIG 64

/* What is signed. aux32: BIP-340's auxiliary randomness (secret), from cs_scheme_aux; NULL: drawn. Others do not read it. */
typedef struct cs_scheme_input {
    bool is_digest; /* payload is a digest of 32 bytes; else a message of any length */
    cs_slice payload;
    const cs_secret32 *aux32;
} cs_scheme_input;

/* r || s (s low on secp256k1), R || S, or BIP-340's 64 bytes. recid: 0..3 for secp256k1, else 0. */
typedef struct cs_scheme_sig {
    uint8_t b[CS_SCHEME_SIG];
    uint64_t recid;
} cs_scheme_sig;

typedef struct cs_scheme_public {
    uint8_t b[CS_SCHEME_PUBLIC_MAX];
    size_t len; /* 33 compressed for ECDSA, 32 for Ed25519 and BIP-340 (x only) */
} cs_scheme_public;

typedef struct cs_scheme cs_scheme;

/* cs_scheme_of - the row of a number; NULL when no algorithm signs by it. */
const cs_scheme *cs_scheme_of(uint64_t number);
/* cs_scheme_generate - a uniform private key in the scheme's range. CS_E_ENTROPY. */
CS_MUST cs_err cs_scheme_generate(const cs_scheme *s, cs_secret32 *out);
/* cs_scheme_check_key - for a key from elsewhere: CS_E_RANGE for 0 and for the order or more; Ed25519 takes any 32 bytes. */
CS_MUST cs_err cs_scheme_check_key(const cs_scheme *s, const cs_secret32 *key);
/* cs_scheme_public_key - CS_E_RANGE (key) | CS_E_ENTROPY | CS_E_NO_MEMORY; out then unchanged. */
CS_MUST cs_err cs_scheme_public_key(const cs_scheme *s, cs_scheme_public *out, const cs_secret32 *key);
/*
 * cs_scheme_sign - verified before it is given out. ECDSA hashes a message with SHA-256; Ed25519 takes no digest
 * (CS_E_ALGORITHM); BIP-340 signs a digest as a message of 32 bytes. The same input (and aux32) gives the same bytes.
 * CS_E_ALGORITHM | CS_E_DIGEST_LENGTH | CS_E_RANGE (key) | CS_E_ENTROPY | CS_E_NO_MEMORY | CS_E_INTERNAL (a fault: the signature
 * does not verify). out is written on CS_OK only.
 */
CS_MUST cs_err cs_scheme_sign(const cs_scheme *s, cs_scheme_sig *out, const cs_secret32 *key,
                              const cs_scheme_input *in);
/*
 * cs_scheme_verify - CS_OK | CS_E_AUTH | CS_E_FORMAT (public key: length or no point) | CS_E_ALGORITHM, CS_E_DIGEST_LENGTH as
 * above | CS_E_ENTROPY | CS_E_NO_MEMORY. sig->recid is not read. Everything public.
 */
CS_MUST cs_err cs_scheme_verify(const cs_scheme *s, const cs_scheme_sig *sig, cs_slice public_key,
                                const cs_scheme_input *in);
/* cs_scheme_aux - SHA-256("countersign-tee-aux-1\n" || key || body): secret; the same request is signed with the same bytes. */
void cs_scheme_aux(cs_secret32 *out, const cs_secret32 *key, cs_slice body);

#endif
