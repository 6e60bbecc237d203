/*
 * Two signers, sequential profile: the session, its steps and the order of checks [mpc.md 2.9, mpc-wire.md 6]. The algebra of
 * a step is in sign2_math.c. A step: look (DROP changes nothing), leave the state, compute, leave the pair; the ban is tested
 * in that last act, under the lock.
 */
#include <string.h>

#include "secret/mpc/sign2_math.h"

void cs_sign2_wipe(cs_mpc_sign2 *s)
{
    cs_wipe(&s->x, sizeof s->x);
    s->phase = PHASE_OVER;
}

const uint8_t *cs_mpc_sign2_rid(const cs_mpc_sign2 *s)
{
    return s->rid;
}

void cs_mpc_sign2_free(cs_mpc_sign2 *s)
{
    if (s != NULL) {
        cs_sign2_detach(s);
        cs_secret_free(s);
    }
}

static bool idkeys_fit(const cs_mpc_peer *p, const cs_mpc_key *k, uint16_t peer)
{
    return cs_ct_eq(p->me, k->parties->idkey[k->index - 1], 32) == 1 &&
           cs_ct_eq(p->peer, k->parties->idkey[peer - 1], 32) == 1;
}

/* rid, derived key, lambda (s + delta), then the first draws */
static cs_err prepare(cs_mpc_sign2 *s, const cs_mpc_request *r)
{
    CS_SECRET(cs_secret32) share = {{0}};
    const cs_mpc_key *k = r->key;
    uint16_t ids[2] = {k->index < r->peer ? k->index : r->peer, k->index < r->peer ? r->peer : k->index};
    uint8_t cc[32];
    cs_sc delta, lambda;
    CS_TRY(cs_mpc_derive_pt(&s->pk, &delta, cc, k, r->path, r->path_len));
    cs_pt_ser(s->pk33, &s->pk);
    cs_mpc_rid(s->rid, r, ids, 2, s->pk33);
    s->id = k->index;
    s->peer_id = r->peer;
    memcpy(s->digest, r->digest32, 32);
    s->x.zero = *cs_mpc_key_zero(k, r->peer);
    cs_mpc_lagrange(&lambda, s->id, ids, 2);
    cs_sc_add(&s->x.share, &k->s, &delta);
    cs_sc_mul(&s->x.share, &s->x.share, &lambda);
    cs_sc_to_be(share.b, &k->s);
    if (r->unsafe_seed32 != NULL) {
        cs_drbg_seed(&s->x.drbg, r->unsafe_seed32);
    } else {
        CS_TRY(cs_drbg_fresh(&s->x.drbg, share.b, s->rid));
    }
    cs_drbg_draw(&s->x.drbg, s->nonce, sizeof s->nonce, "sign/nonce", -1);
    CS_CT_PUBLIC(s->nonce, sizeof s->nonce, "the nonce is sent");
    cs_drbg_scalar(&s->x.drbg, &s->x.r, "sign/r", -1);
    cs_drbg_scalar(&s->x.drbg, &s->x.phi, "sign/phi", -1);
    CS_TRY(cs_pt_mulg(&s->R_i, &s->x.r));
    CS_CT_PUBLIC(&s->R_i, sizeof s->R_i, "R_i is sent, by the initiator after its commitment");
    cs_pt_ser(s->r33, &s->R_i);
    return CS_OK;
}

cs_err cs_mpc_sign2_new(cs_mpc_sign2 **out, cs_mpc_pair *pair, const cs_mpc_request *r)
{
    const cs_mpc_key *k = r->key;
    if (k->parties == NULL || k->parties->t != 2 || r->peer < 1 || r->peer > k->parties->n || r->peer == k->index) {
        return CS_E_RANGE;
    }
    if (!idkeys_fit(pair->peer, k, r->peer)) {
        return CS_E_KEY_MISMATCH;
    }
    CS_TRY(cs_pt_init());
    cs_mpc_sign2 *s = cs_secret_alloc(sizeof *s);
    if (s == NULL) {
        return CS_E_NO_MEMORY;
    }
    cs_err err = prepare(s, r);
    if (err == CS_OK) {
        err = cs_sign2_attach(s, pair);
    }
    if (err != CS_OK) {
        cs_secret_free(s);
        return err;
    }
    *out = s;
    return CS_OK;
}

/* ---------------------------------------------------------------- steps */

typedef struct sign2_step {
    sign2_phase phase, next;
    unsigned type_in, type_out; /* 0: none */
    size_t len_in, len_out;
    bool has_ssid; /* at HEADER_LEN, known before this message */
    size_t ctr;    /* place of a counter; 0: none */
    chk (*run)(sign2_work *k);
} sign2_step;

static chk run_m1(sign2_work *k)
{
    cs_mpc_sign2 *s = k->s;
    cs_drbg_draw(&s->x.drbg, s->x.salt, sizeof s->x.salt, "sign/salt", -1);
    memcpy(k->out + M1_NONCE, s->nonce, 32);
    cs_sign2_commitment(k->out + M1_COM, s, s->id, s->nonce, s->r33, s->x.salt);
    CS_CT_PUBLIC(k->out + M1_COM, 32, "the commitment is sent");
    cs_sign2_bob_block(k, k->out + M1_BOB);
    return CS_MPC_CHK_NONE;
}

static chk run_on_m1(sign2_work *k)
{
    cs_mpc_sign2 *s = k->s;
    const uint8_t *m = k->in;
    cs_sign2_supersede(s, k->pair);
    CHK(cs_sign2_take_bob_block(k, m + M1_NONCE, m + M1_BOB));
    memcpy(s->peer_com, m + M1_COM, 32);
    memcpy(s->peer_nonce, m + M1_NONCE, 32);
    cs_sign2_set_ssid(k);
    cs_sign2_bob_block(k, k->out + M2_BOB);
    memcpy(k->out + M2_SSID, s->ssid, 32);
    memcpy(k->out + M2_NONCE, s->nonce, 32);
    memcpy(k->out + M2_R, s->r33, 33);
    cs_sign2_alice_block(k, k->out + M2_ALICE);
    return CS_MPC_CHK_NONE;
}

/* Everything that the responder contributes is checked before the fragment is made. */
static chk run_on_m2(sign2_work *k)
{
    cs_mpc_sign2 *s = k->s;
    const uint8_t *m = k->in;
    alice_points p;
    memcpy(s->peer_nonce, m + M2_NONCE, 32);
    cs_sign2_set_ssid(k);
    if (!cs_slice_eq(cs_slice_of(m + M2_SSID, 32), cs_slice_of(s->ssid, 32))) {
        return CS_MPC_CHK_SSID;
    }
    CHK(cs_sign2_read_alice_block(&p, m + M2_R, m + M2_ALICE));
    CHK(cs_sign2_take_bob_block(k, m + M2_NONCE, m + M2_BOB));
    CHK(cs_sign2_take_alice_block(k, &p, m + M2_ALICE));
    CHK(cs_sign2_close_points(k, &p));
    memcpy(k->out + M3_SSID, s->ssid, 32);
    memcpy(k->out + M3_R, s->r33, 33);
    memcpy(k->out + M3_SALT, s->x.salt, 32);
    CS_CT_PUBLIC(k->out + M3_SALT, 32, "the commitment is opened");
    cs_sign2_alice_block(k, k->out + M3_ALICE);
    cs_sign2_fragment(k, &p.psi);
    cs_sc_to_be(k->out + M3_W, &s->x.w_frag);
    cs_sc_to_be(k->out + M3_U, &s->x.u_frag);
    CS_CT_PUBLIC(k->out + M3_W, 64, "the fragments are sent");
    return CS_MPC_CHK_NONE;
}

static chk run_on_m3(sign2_work *k)
{
    cs_mpc_sign2 *s = k->s;
    const uint8_t *m = k->in;
    uint8_t com[32];
    alice_points p;
    cs_sc w, u;
    CHK(cs_sign2_read_alice_block(&p, m + M3_R, m + M3_ALICE));
    if (cs_sc_from_be(&w, m + M3_W) != CS_OK || cs_sc_from_be(&u, m + M3_U) != CS_OK) {
        return CS_MPC_CHK_MALFORMED_SCALAR;
    }
    cs_sign2_commitment(com, s, s->peer_id, s->peer_nonce, m + M3_R, m + M3_SALT);
    if (cs_ct_eq(com, s->peer_com, 32) != 1) {
        return CS_MPC_CHK_COM;
    }
    CHK(cs_sign2_take_alice_block(k, &p, m + M3_ALICE));
    CHK(cs_sign2_close_points(k, &p));
    cs_sign2_fragment(k, &p.psi);
    CHK(cs_sign2_finish(k, &w, &u));
    memcpy(k->out + M4_SSID, s->ssid, 32);
    memcpy(k->out + M4_R, k->sig.r, 32);
    memcpy(k->out + M4_S, k->sig.s, 32);
    k->out[M4_RECID] = k->sig.recid;
    return CS_MPC_CHK_NONE;
}

static chk run_on_m4(sign2_work *k)
{
    return cs_sign2_check_m4(k, k->in + M4_R, k->in + M4_S, k->in[M4_RECID]);
}

static const sign2_step step_m1 = {PHASE_NEW, PHASE_M1_SENT, 0, TYPE_M1, 0, M1_END, false, 0, run_m1};
static const sign2_step step_on_m1 = {PHASE_NEW, PHASE_M2_SENT, TYPE_M1,          TYPE_M2,  M1_END,
                                      M2_END,    false,         M1_BOB + BOB_CTR, run_on_m1};
static const sign2_step step_on_m2 = {PHASE_M1_SENT, PHASE_M3_SENT, TYPE_M2,          TYPE_M3,  M2_END,
                                      M3_END,        false,         M2_BOB + BOB_CTR, run_on_m2};
static const sign2_step step_on_m3 = {PHASE_M2_SENT, PHASE_OVER, TYPE_M3, TYPE_M4, M3_END, M4_END, true, 0, run_on_m3};
static const sign2_step step_on_m4 = {PHASE_M3_SENT, PHASE_OVER, TYPE_M4, 0, M4_END, 0, true, 0, run_on_m4};

static bool ssid_fits(const cs_mpc_sign2 *s, const uint8_t *m)
{
    return cs_slice_eq(cs_slice_of(m + HEADER_LEN, 32), cs_slice_of(s->ssid, 32));
}

/* Checks before the state is left; a DROP among them leaves everything as it was. */
static chk look(const cs_mpc_sign2 *s, cs_mpc_pair *pair, const sign2_step *st, cs_slice m)
{
    if (s->phase != st->phase) {
        return CS_MPC_CHK_PHASE;
    }
    if (st->type_in == 0) {
        return CS_MPC_CHK_NONE;
    }
    CHK(cs_mpc_header_check(m, st->type_in, s->peer_id, s->id, s->rid, st->len_in));
    if (st->has_ssid && !ssid_fits(s, m.p)) {
        return CS_MPC_CHK_SSID;
    }
    if (st->ctr != 0 && cs_mpc_ctr_seen(pair, cs_load_u64(m.p + st->ctr))) {
        return CS_MPC_CHK_CTR_REPLAY;
    }
    return CS_MPC_CHK_NONE;
}

/* The session is left by its own failure: wiped, and the peer banned if the check says so. */
static cs_err fail(cs_mpc_sign2 *s, cs_mpc_pair *pair, chk c, cs_err err, cs_mpc_verdict *v)
{
    /* a counter that another session accepted meanwhile: this one has left its state, so it ends */
    cs_mpc_class cls = cs_mpc_check_class(c) == CS_MPC_DROP ? CS_MPC_ABORT : cs_mpc_check_class(c);
    unsigned culprit = c == CS_MPC_CHK_R ? 0 : s->peer_id;
    (void)cs_sign2_leave(s, pair, true);
    if (err != CS_OK) {
        return err == CS_E_ABORT_SESSION ? cs_mpc_verdict_set(v, CS_MPC_ABORT, CS_MPC_CHK_NONE, 0) : err;
    }
    if (cls == CS_MPC_BAN) {
        cs_mpc_pair_ban(s->peer, c);
    }
    return cs_mpc_verdict_set(v, cls, c, culprit);
}

static cs_err run_step(cs_mpc_sign2 *s, const sign2_step *st, cs_slice m, uint8_t *out, cs_mpc_signature *sig,
                       cs_mpc_verdict *v)
{
    (void)cs_mpc_verdict_set(v, CS_MPC_FINE, CS_MPC_CHK_NONE, 0);
    sign2_work k = {.s = s, .pair = cs_sign2_enter(s), .in = m.p, .out = out};
    if (k.pair == NULL) {
        return cs_mpc_verdict_set(v, CS_MPC_DROP, CS_MPC_CHK_PHASE, s->peer_id);
    }
    chk c = look(s, k.pair, st, m);
    if (c != CS_MPC_CHK_NONE && cs_mpc_check_class(c) == CS_MPC_DROP) {
        (void)cs_sign2_leave(s, k.pair, false);
        return cs_mpc_verdict_set(v, CS_MPC_DROP, c, s->peer_id);
    }
    s->phase = PHASE_STEP;
    if (c == CS_MPC_CHK_NONE) {
        k.w = cs_secret_alloc(sizeof *k.w);
        k.err = k.w == NULL ? CS_E_NO_MEMORY : CS_OK;
        c = k.err == CS_OK ? st->run(&k) : CS_MPC_CHK_NONE;
        cs_secret_free(k.w);
    }
    if (c != CS_MPC_CHK_NONE || k.err != CS_OK) {
        cs_wipe(out, st->len_out);
        return fail(s, k.pair, c, k.err, v);
    }
    if (out != NULL) {
        cs_mpc_header(out, st->type_out, s->id, s->peer_id, s->rid);
    }
    s->phase = st->next;
    if (!cs_sign2_leave(s, k.pair, st->next == PHASE_OVER)) {
        cs_wipe(out, st->len_out);
        return cs_mpc_verdict_set(v, CS_MPC_ABORT, CS_MPC_CHK_BANNED, 0);
    }
    if (sig != NULL) {
        *sig = k.sig;
    }
    return CS_OK;
}

cs_err cs_mpc_sign2_m1(cs_mpc_sign2 *s, uint8_t out[CS_MPC_M1_LEN], cs_mpc_verdict *v)
{
    return run_step(s, &step_m1, CS_SLICE_NULL, out, NULL, v);
}

cs_err cs_mpc_sign2_on_m1(cs_mpc_sign2 *s, cs_slice m1, uint8_t out[CS_MPC_M2_LEN], cs_mpc_verdict *v)
{
    return run_step(s, &step_on_m1, m1, out, NULL, v);
}

cs_err cs_mpc_sign2_on_m2(cs_mpc_sign2 *s, cs_slice m2, uint8_t out[CS_MPC_M3_LEN], cs_mpc_verdict *v)
{
    return run_step(s, &step_on_m2, m2, out, NULL, v);
}

cs_err cs_mpc_sign2_on_m3(cs_mpc_sign2 *s, cs_slice m3, uint8_t out[CS_MPC_M4_LEN], cs_mpc_signature *sig,
                          cs_mpc_verdict *v)
{
    return run_step(s, &step_on_m3, m3, out, sig, v);
}

cs_err cs_mpc_sign2_on_m4(cs_mpc_sign2 *s, cs_slice m4, cs_mpc_signature *sig, cs_mpc_verdict *v)
{
    return run_step(s, &step_on_m4, m4, NULL, sig, v);
}
