#include "secret/mpc/sign2_math.h"

#include <string.h>

/* k->err = the first failure of our own; chance alone leads to one */
static void keep_err(sign2_work *k, cs_err err)
{
    if (k->err == CS_OK && err != CS_OK) {
        k->err = err == CS_E_RANGE ? CS_E_ABORT_SESSION : err;
    }
}

void cs_sign2_commitment(uint8_t out[32], const cs_mpc_sign2 *s, uint16_t id, const uint8_t nonce[32],
                         const uint8_t r33[33], const uint8_t salt[32])
{
    CS_SECRET(cs_sha256) h;
    cs_th_begin(&h, CS_TAG_COM_R);
    cs_th_put_u16(&h, id);
    cs_th_put(&h, s->rid, 32);
    cs_th_put(&h, nonce, 32);
    cs_th_put(&h, r33, 33);
    cs_th_put(&h, salt, 32);
    cs_th_end(&h, out);
}

void cs_sign2_set_ssid(sign2_work *k)
{
    cs_mpc_sign2 *s = k->s;
    bool first = s->id < s->peer_id;
    cs_sha256 h;
    cs_th_begin(&h, CS_TAG_SSID);
    cs_th_put(&h, s->rid, 32);
    cs_th_put_u16(&h, first ? s->id : s->peer_id);
    cs_th_put(&h, first ? s->nonce : s->peer_nonce, 32);
    cs_th_put_u16(&h, first ? s->peer_id : s->id);
    cs_th_put(&h, first ? s->peer_nonce : s->nonce, 32);
    cs_th_end(&h, s->ssid);
    cs_mpc_zero_term(&s->x.zeta, &s->x.zero, s->ssid, s->peer_id < s->id);
    cs_sc_add(&s->x.sk, &s->x.share, &s->x.zeta);
    keep_err(k, cs_pt_mulg(&s->pk_i, &s->x.sk));
    CS_CT_PUBLIC(&s->pk_i, sizeof s->pk_i, "pk_i is sent");
    cs_pt_ser(s->pk_i33, &s->pk_i);
}

static void xid_of(uint8_t out[32], const uint8_t osid[32], const uint8_t ctr[8], const uint8_t nonce[32])
{
    cs_sha256 h;
    cs_th_begin(&h, CS_TAG_XID);
    cs_th_put(&h, osid, 32);
    cs_th_put(&h, ctr, 8);
    cs_th_put(&h, nonce, 32);
    cs_th_end(&h, out);
}

static void rsid_of(uint8_t out[32], const cs_mpc_sign2 *s, const uint8_t osid[32], bool i_am_alice)
{
    cs_sha256 h;
    cs_th_begin(&h, CS_TAG_RVOLE);
    cs_th_put(&h, s->ssid, 32);
    cs_th_put(&h, osid, 32);
    cs_th_put_u16(&h, i_am_alice ? s->id : s->peer_id);
    cs_th_put_u16(&h, i_am_alice ? s->peer_id : s->id);
    cs_th_put(&h, i_am_alice ? s->xid_alice : s->xid_bob, 32);
    cs_th_end(&h, out);
}

void cs_sign2_bob_block(sign2_work *k, uint8_t *block)
{
    cs_mpc_sign2 *s = k->s;
    const ot_half *ot = k->pair->bob;
    cs_store_u64(block + BOB_CTR, cs_mpc_pair_take_ctr(k->pair));
    xid_of(s->xid_bob, ot->osid, block + BOB_CTR, s->nonce);
    memcpy(block + BOB_XID, s->xid_bob, 32);
    cs_drbg_draw(&s->x.drbg, s->x.xhat, sizeof s->x.xhat, "sign/xhat", s->peer_id);
    cs_ext_bob(block, s->x.v, k->w, ot, s->xid_bob, s->x.xhat);
    cs_mpc_bob_input(&s->x.b, ot->gadget, s->x.xhat);
}

chk cs_sign2_take_bob_block(sign2_work *k, const uint8_t nonce[32], const uint8_t *block)
{
    cs_mpc_sign2 *s = k->s;
    const ot_half *ot = k->pair->alice;
    xid_of(s->xid_alice, ot->osid, block + BOB_CTR, nonce);
    if (!cs_slice_eq(cs_slice_of(s->xid_alice, 32), cs_slice_of(block + BOB_XID, 32))) {
        return CS_MPC_CHK_XID;
    }
    if (!cs_mpc_ctr_add(k->pair, cs_load_u64(block + BOB_CTR))) {
        return CS_MPC_CHK_CTR_REPLAY;
    }
    return cs_ext_alice(k->w, ot, s->xid_alice, block);
}

static void put_point(sign2_work *k, uint8_t out[33], const cs_sc *c)
{
    cs_pt p;
    keep_err(k, cs_pt_mulg(&p, c));
    if (k->err == CS_OK) {
        CS_CT_PUBLIC(&p, sizeof p, "Gamma is sent");
        cs_pt_ser(out, &p);
    }
}

void cs_sign2_alice_block(sign2_work *k, uint8_t *block)
{
    cs_mpc_sign2 *s = k->s;
    const ot_half *ot = k->pair->alice;
    CS_SECRET(cs_sc) psi = {{0}};
    uint8_t rsid[32];
    rsid_of(rsid, s, ot->osid, true);
    s->x.alice.in[0] = s->x.r;
    s->x.alice.in[1] = s->x.sk;
    cs_drbg_scalar(&s->x.drbg, &s->x.alice.in[2], "sign/ahat", s->peer_id);
    cs_rvole_alice(block, &s->x.alice, k->w, ot, rsid);
    put_point(k, block + ALICE_GU, &s->x.alice.out[0]);
    put_point(k, block + ALICE_GV, &s->x.alice.out[1]);
    cs_sc_sub(&psi, &s->x.phi, &s->x.b);
    cs_sc_to_be(block + ALICE_PSI, &psi);
    CS_CT_PUBLIC(block + ALICE_PSI, 32, "psi is sent: phi under Bob's input");
    memcpy(block + ALICE_PK, s->pk_i33, 33);
}

chk cs_sign2_read_alice_block(alice_points *p, const uint8_t r33[33], const uint8_t *block)
{
    CHK(cs_rvole_ranges(block));
    if (cs_pt_parse(&p->r, r33) != CS_OK || cs_pt_parse(&p->gamma_u, block + ALICE_GU) != CS_OK ||
        cs_pt_parse(&p->gamma_v, block + ALICE_GV) != CS_OK || cs_pt_parse(&p->pk, block + ALICE_PK) != CS_OK) {
        return CS_MPC_CHK_MALFORMED_POINT;
    }
    return cs_sc_from_be(&p->psi, block + ALICE_PSI) == CS_OK ? CS_MPC_CHK_NONE : CS_MPC_CHK_MALFORMED_SCALAR;
}

/* b P = d G + Gamma? */
static bool gamma_fits(sign2_work *k, const cs_sc *d, const cs_pt *p, const cs_pt *gamma)
{
    CS_SECRET(cs_secret64) left = {{0}}, right = {{0}};
    cs_pt dg;
    keep_err(k, cs_pt_mul_xy(left.b, &k->s->x.b, p));
    keep_err(k, cs_pt_mulg(&dg, d));
    if (k->err != CS_OK) {
        return true; /* thrown away with the session */
    }
    CS_CT_PUBLIC(&dg, sizeof dg, "the addition branches only on equality and infinity");
    bool fits = cs_pt_add(&dg, &dg, gamma) == CS_OK;
    if (fits) {
        cs_pt_ser64(right.b, &dg);
        int eq = cs_ct_eq(left.b, right.b, 64);
        CS_CT_PUBLIC(&eq, sizeof eq, "a failure is a ban");
        fits = eq == 1;
    }
    cs_wipe(&dg, sizeof dg);
    return fits;
}

chk cs_sign2_take_alice_block(sign2_work *k, const alice_points *p, const uint8_t *block)
{
    cs_mpc_sign2 *s = k->s;
    const ot_half *ot = k->pair->bob;
    uint8_t rsid[32];
    /* the columns of the extension in w->cols stay: the step that answers needs them */
    rsid_of(rsid, s, ot->osid, false);
    CHK(cs_rvole_bob(&s->x.bob, k->w, ot, rsid, s->x.v, s->x.xhat, block));
    if (!gamma_fits(k, &s->x.bob.out[0], &p->r, &p->gamma_u)) {
        return CS_MPC_CHK_GAMMA_U;
    }
    return gamma_fits(k, &s->x.bob.out[1], &p->pk, &p->gamma_v) ? CS_MPC_CHK_NONE : CS_MPC_CHK_GAMMA_V;
}

chk cs_sign2_close_points(sign2_work *k, const alice_points *p)
{
    cs_mpc_sign2 *s = k->s;
    cs_pt sum;
    if (cs_pt_add(&sum, &s->pk_i, &p->pk) != CS_OK || !cs_pt_eq(&sum, &s->pk)) {
        return CS_MPC_CHK_PK_SUM;
    }
    if (cs_pt_add(&s->R_sum, &s->R_i, &p->r) != CS_OK) {
        return CS_MPC_CHK_R;
    }
    cs_pt_x_mod(&s->rx, &s->x_high, &s->y_odd, &s->R_sum);
    return cs_sc_is_zero(&s->rx) ? CS_MPC_CHK_R : CS_MPC_CHK_NONE;
}

void cs_sign2_fragment(sign2_work *k, const cs_sc *psi_in)
{
    sign2_secrets *x = &k->s->x;
    CS_SECRET(cs_sc) t = {{0}};
    cs_sc m;
    cs_sc_from_be_mod(&m, k->s->digest);
    cs_sc_add(&x->big_phi, &x->phi, psi_in);
    cs_sc_mul(&t, &x->r, &x->big_phi);
    cs_sc_add(&t, &t, &x->alice.out[0]);
    cs_sc_add(&x->u_frag, &t, &x->bob.out[0]);
    cs_sc_mul(&t, &x->sk, &x->big_phi);
    cs_sc_add(&t, &t, &x->alice.out[1]);
    cs_sc_add(&x->v_frag, &t, &x->bob.out[1]);
    cs_sc_mul(&t, &m, &x->phi);
    cs_sc_mul(&x->w_frag, &k->s->rx, &x->v_frag);
    cs_sc_add(&x->w_frag, &x->w_frag, &t);
}

static void sig_put(sign2_work *k, const cs_sc *r, const cs_sc *s, unsigned recid)
{
    cs_sc_to_be(k->sig.r, r);
    cs_sc_to_be(k->sig.s, s);
    k->sig.recid = (uint8_t)recid;
    memcpy(k->sig.pk33, k->s->pk33, 33);
}

chk cs_sign2_finish(sign2_work *k, const cs_sc *w, const cs_sc *u)
{
    cs_mpc_sign2 *s = k->s;
    cs_sc sum_w, sum_u, sig;
    cs_sc_add(&sum_w, &s->x.w_frag, w);
    cs_sc_add(&sum_u, &s->x.u_frag, u);
    CS_CT_PUBLIC(&sum_w, sizeof sum_w, "s U, both public with the signature");
    CS_CT_PUBLIC(&sum_u, sizeof sum_u, "U = phi k is uniform and independent of the key [mpc.md 2.9]");
    if (cs_sc_is_zero(&sum_w) || cs_sc_is_zero(&sum_u)) {
        return CS_MPC_CHK_BAD_SIGNATURE;
    }
    cs_sc_inv(&sum_u, &sum_u);
    cs_sc_mul(&sig, &sum_w, &sum_u);
    unsigned high = cs_sc_is_high(&sig);
    if (high) {
        cs_sc_neg(&sig, &sig);
    }
    sig_put(k, &s->rx, &sig, (s->y_odd ^ high) | s->x_high << 1);
    uint8_t rs[64];
    memcpy(rs, k->sig.r, 32);
    memcpy(rs + 32, k->sig.s, 32);
    if (!cs_ecdsa_verify(rs, s->digest, &s->pk)) {
        cs_wipe(&k->sig, sizeof k->sig);
        return CS_MPC_CHK_BAD_SIGNATURE;
    }
    return CS_MPC_CHK_NONE;
}

chk cs_sign2_check_m4(sign2_work *k, const uint8_t r32[32], const uint8_t s32[32], unsigned recid)
{
    cs_mpc_sign2 *s = k->s;
    cs_sc r, sig;
    cs_pt q;
    uint8_t rs[64];
    if (cs_sc_from_be(&r, r32) != CS_OK || cs_sc_from_be(&sig, s32) != CS_OK) {
        return CS_MPC_CHK_MALFORMED_SCALAR;
    }
    memcpy(rs, r32, 32);
    memcpy(rs + 32, s32, 32);
    /* a recovered key is one under which (r, s) verifies, so with low s no separate verification is needed */
    if (!cs_sc_eq(&r, &s->rx) || cs_sc_is_zero(&sig) || cs_sc_is_high(&sig) || recid >> 1 != s->x_high ||
        cs_ecdsa_recover(&q, rs, recid, s->digest) != CS_OK || !cs_pt_eq(&q, &s->pk)) {
        return CS_MPC_CHK_BAD_SIGNATURE;
    }
    sig_put(k, &r, &sig, recid);
    return CS_MPC_CHK_NONE;
}
