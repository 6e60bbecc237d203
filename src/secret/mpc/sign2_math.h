/* The algebra of the steps of sign2.c. Names follow mpc.md 2.9; "the peer" is the other signer. */
#ifndef CS_SECRET_MPC_SIGN2_MATH_H
#define CS_SECRET_MPC_SIGN2_MATH_H

#include "secret/mpc/sign2_int.h"

/* One step at work. err: a failure of our own (sticky); functions after it do nothing useful, the step is then thrown away. */
typedef struct sign2_work {
    cs_mpc_sign2 *s;
    cs_mpc_pair *pair;
    scratch *w;
    const uint8_t *in;
    uint8_t *out;
    cs_err err;
    cs_mpc_signature sig; /* a verified one */
} sign2_work;

/* What an Alice block says, parsed. */
typedef struct alice_points {
    cs_pt r, gamma_u, gamma_v, pk;
    cs_sc psi;
} alice_points;

void cs_sign2_commitment(uint8_t out[32], const cs_mpc_sign2 *s, uint16_t id, const uint8_t nonce[32],
                         const uint8_t r33[33], const uint8_t salt[32]);
/* cs_sign2_set_ssid - from both nonces: ssid, zeta, sk, pk_i. */
void cs_sign2_set_ssid(sign2_work *k);
/* cs_sign2_bob_block - draws xhat, writes ctr, xid, u, x, ht (BOB_END bytes). */
void cs_sign2_bob_block(sign2_work *k, uint8_t *block);
/* cs_sign2_take_bob_block - XID, CTR_REPLAY (accepted by another session meanwhile), OT_CHECK; w->cols = columns. */
chk cs_sign2_take_bob_block(sign2_work *k, const uint8_t nonce[32], const uint8_t *block);
/* cs_sign2_alice_block - needs w->cols; writes ALICE_END bytes. */
void cs_sign2_alice_block(sign2_work *k, uint8_t *block);
/* cs_sign2_read_alice_block - lengths and ranges: MALFORMED_*. Nothing here depends on a secret. */
chk cs_sign2_read_alice_block(alice_points *p, const uint8_t r33[33], const uint8_t *block);
/* cs_sign2_take_alice_block - MU, GAMMA_U, GAMMA_V. */
chk cs_sign2_take_alice_block(sign2_work *k, const alice_points *p, const uint8_t *block);
/* cs_sign2_close_points - PK_SUM, R. */
chk cs_sign2_close_points(sign2_work *k, const alice_points *p);
/* cs_sign2_fragment - PHI, u, v, w of this party. */
void cs_sign2_fragment(sign2_work *k, const cs_sc *psi_in);
/* cs_sign2_finish - with the peer's fragment: k->sig, verified. BAD_SIGNATURE. */
chk cs_sign2_finish(sign2_work *k, const cs_sc *w, const cs_sc *u);
/* cs_sign2_check_m4 - the finished signature of the peer: k->sig. MALFORMED_SCALAR, BAD_SIGNATURE. */
chk cs_sign2_check_m4(sign2_work *k, const uint8_t r32[32], const uint8_t s32[32], unsigned recid);

#endif
