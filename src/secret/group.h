/*
 * Points of secp256k1 by the public API of libsecp256k1. Never infinity: every operation that would give it fails.
 * Secret scalars only go through ec_pubkey_create and ecdh, which are constant time; tweak_* take public ones only.
 * The one context is made and blinded on first use. Source: specs mpc.md 3.1.
 */
#ifndef CS_SECRET_GROUP_H
#define CS_SECRET_GROUP_H

#include <secp256k1.h>

#include "secret/sc.h"
#include "secret/th.h"

typedef secp256k1_pubkey cs_pt;

/* cs_pt_init - makes the context; CS_E_ENTROPY when it cannot be blinded. Every entry point of the MPC code calls it. */
CS_MUST cs_err cs_pt_init(void);
/* cs_pt_context - the context, after cs_pt_init; for secret/sign/ only. */
const secp256k1_context *cs_pt_context(void);

/* cs_pt_parse - 33 bytes SEC1 compressed, strictly; CS_E_FORMAT. cs_pt_ser, cs_pt_ser64 - compressed; x || y. */
CS_MUST cs_err cs_pt_parse(cs_pt *out, const uint8_t b[33]);
void cs_pt_ser(uint8_t out[33], const cs_pt *p);
void cs_pt_ser64(uint8_t out[64], const cs_pt *p);

/* cs_pt_mulg - k G, secret k; CS_E_RANGE when k is 0. The result is marked public only by the caller. */
CS_MUST cs_err cs_pt_mulg(cs_pt *out, const cs_sc *k);
/* cs_pt_mul_xy - x || y of k P, secret k; CS_E_RANGE when k is 0. */
CS_MUST cs_err cs_pt_mul_xy(uint8_t out[64], const cs_sc *k, const cs_pt *p);
/* cs_pt_mul_var - k P in variable time: public k and P only; CS_E_RANGE when k is 0. */
CS_MUST cs_err cs_pt_mul_var(cs_pt *out, const cs_sc *k, const cs_pt *p);
/* cs_pt_add - P + Q; CS_E_RANGE when that is infinity. Branches only on infinity and on P = +-Q. */
CS_MUST cs_err cs_pt_add(cs_pt *out, const cs_pt *p, const cs_pt *q);
void cs_pt_neg(cs_pt *p);
bool cs_pt_eq(const cs_pt *p, const cs_pt *q);
/* cs_pt_x_mod - x(P) mod q and whether x(P) >= q and y(P) is odd (each 0 or 1). */
void cs_pt_x_mod(cs_sc *out, unsigned *high, unsigned *odd, const cs_pt *p);

/*
 * cs_pt_h2p - H2P [mpc-wire.md 3]: a uniform point of unknown logarithm. head: state after cs_th_begin (or _begin_mid) and the
 * data; it is not changed. The number of tries depends on the hash: the caller says why that is no secret.
 */
void cs_pt_h2p(cs_pt *out, const cs_sha256 *head);

/* cs_ecdsa_verify - r || s against the digest; false for high s. cs_ecdsa_recover - the key; CS_E_FORMAT. */
bool cs_ecdsa_verify(const uint8_t rs[64], const uint8_t digest[32], const cs_pt *pk);
CS_MUST cs_err cs_ecdsa_recover(cs_pt *out, const uint8_t rs[64], unsigned recid, const uint8_t digest[32]);

#endif
