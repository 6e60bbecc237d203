/* A session of the sequential profile, inside. */
#ifndef CS_SECRET_MPC_SIGN2_INT_H
#define CS_SECRET_MPC_SIGN2_INT_H

#include "secret/mpc/mpc_int.h"

typedef enum sign2_phase {
    PHASE_NEW = 0,
    PHASE_M1_SENT, /* initiator */
    PHASE_M3_SENT,
    PHASE_M2_SENT, /* responder */
    PHASE_STEP,    /* inside a step: left the old state, not yet in the new one */
    PHASE_OVER,
} sign2_phase;

/* What is wiped when the session ends. */
typedef struct sign2_secrets {
    cs_drbg drbg;
    cs_sc r, phi, share; /* share = lambda (s + delta) */
    cs_sc sk;            /* share + zeta, known with ssid */
    cs_sc b;             /* Bob's input, of beta */
    cs_sc zeta;
    cs_secret32 zero; /* zero seed with the peer */
    uint8_t salt[32];
    uint8_t xhat[XHAT_LEN];
    uint8_t v[COLS_LEN];
    rvole_io alice, bob;
    cs_sc big_phi, u_frag, v_frag, w_frag;
} sign2_secrets;

struct cs_mpc_sign2 {
    /* under the lock of peer */
    cs_mpc_peer *peer;
    cs_mpc_pair *pair; /* NULL: killed or over */
    cs_mpc_sign2 *next;
    bool busy, dead, responder;
    /* of the session's own thread */
    sign2_phase phase;
    uint16_t id, peer_id;
    uint8_t rid[32], digest[32], nonce[32], peer_nonce[32], ssid[32], peer_com[32];
    uint8_t xid_bob[32], xid_alice[32], r33[33], pk_i33[33], pk33[33];
    cs_pt pk, R_i, pk_i, R_sum;
    cs_sc rx; /* x(R) mod q */
    unsigned x_high, y_odd;
    sign2_secrets x;
};

/* cs_sign2_wipe - the secrets; phase becomes PHASE_OVER. */
void cs_sign2_wipe(cs_mpc_sign2 *s);
/* cs_sign2_attach - into the live list; CS_E_PEER_BANNED. cs_sign2_detach - before freeing. */
CS_MUST cs_err cs_sign2_attach(cs_mpc_sign2 *s, cs_mpc_pair *p);
void cs_sign2_detach(cs_mpc_sign2 *s);
/* cs_sign2_enter - begin of a step; NULL when the session is over. cs_sign2_leave - end; over: the session ends with it.
 * False when the ban fell meanwhile: nothing may leave. */
cs_mpc_pair *cs_sign2_enter(cs_mpc_sign2 *s);
bool cs_sign2_leave(cs_mpc_sign2 *s, cs_mpc_pair *p, bool over);
/* cs_sign2_supersede - an M1 was accepted: older responder sessions of this pair and rid end. */
void cs_sign2_supersede(cs_mpc_sign2 *s, cs_mpc_pair *p);

#endif
