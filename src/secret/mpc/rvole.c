/* Pads and the vector OLE: c_i + d_i = a_i b for two inputs of Alice and one of Bob [mpc.md 2.4 step 6, 2.5]. */
#include <string.h>

#include "secret/mpc/mpc_int.h"
#include "secret/sc_int.h"

void cs_mpc_gadget(cs_sc g[XI], const uint8_t osid[32])
{
    for (unsigned j = 0; j < XI; j++) {
        cs_sha256 s;
        cs_th_begin(&s, CS_TAG_GADGET);
        cs_th_put(&s, osid, 32);
        cs_th_put_u16(&s, (uint16_t)j);
        cs_th_end_sc(&s, &g[j]);
    }
}

static unsigned beta_bit(const uint8_t *beta, unsigned j)
{
    return beta[j >> 3] >> (j & 7) & 1;
}

void cs_mpc_bob_input(cs_sc *b, const cs_sc g[XI], const uint8_t beta[BETA_LEN])
{
    CS_SECRET(cs_sc_acc) acc = {{0}};
    CS_SECRET(cs_sc) t = {{0}};
    for (unsigned j = 0; j < XI; j++) {
        cs_sci_mask(&t, &g[j], cs_ct_mask(beta_bit(beta, j)));
        cs_sci_acc_add(acc.v, t.v);
    }
    cs_sc_acc_reduce(b, &acc);
}

/* TH("pad", rsid || u16 j || column) is one compression: 50 bytes behind the tag's block, then the padding */
#define PAD_DATA 50u

void cs_mpc_pads(uint8_t *out, scratch *w, const uint8_t rsid[32], const uint8_t *cols)
{
    memset(w->blocks, 0, sizeof w->blocks);
    for (unsigned j = 0; j < XI; j++) {
        uint8_t *b = w->blocks + 64 * j;
        memcpy(b, rsid, 32);
        cs_store_u16(b + 32, (uint16_t)j);
        memcpy(b + 34, cols + 16 * j, 16);
        b[PAD_DATA] = 0x80;
        cs_store_u16(b + 62, (64 + PAD_DATA) * 8);
    }
    cs_accel_get()->sha256_many(w->keys, cs_th_mid(CS_TAG_PAD), w->blocks, XI);
    cs_accel_get()->pads(out, w->keys, XI);
}

static void thetas(cs_sc theta[2], const uint8_t rsid[32], const uint8_t *at)
{
    uint8_t h[32];
    cs_sha256 s;
    cs_th_begin(&s, CS_TAG_AT);
    cs_th_put(&s, rsid, 32);
    cs_th_put(&s, at, AT_LEN);
    cs_th_end(&s, h);
    for (unsigned i = 0; i < 2; i++) {
        cs_th_begin(&s, CS_TAG_THETA);
        cs_th_put(&s, rsid, 32);
        cs_th_put(&s, h, sizeof h);
        cs_th_put_u8(&s, (uint8_t)(i + 1));
        cs_th_end_sc(&s, &theta[i]);
    }
}

/* p[2] + theta_1 p[0] + theta_2 p[1] */
static void combine(cs_sc *out, const cs_sc p[SLOTS], const cs_sc theta[2])
{
    uint64_t acc[9] = {p[2].v[0], p[2].v[1], p[2].v[2], p[2].v[3], 0, 0, 0, 0, 0};
    cs_sci_acc_mul(acc, theta[0].v, p[0].v);
    cs_sci_acc_mul(acc, theta[1].v, p[1].v);
    cs_sci_reduce576(out->v, acc);
}

static void mu_hash(uint8_t out[32], const uint8_t rsid[32], const uint8_t mu[XI * 32])
{
    CS_SECRET(cs_sha256) s;
    cs_th_begin(&s, CS_TAG_MU);
    cs_th_put(&s, rsid, 32);
    cs_th_put(&s, mu, XI * 32);
    cs_th_end(&s, out);
}

/* out[i] = sum_j g_j p[j][i], i = 0, 1 */
static void inner(cs_sc out[2], const cs_sc g[XI], const cs_sc *p)
{
    CS_SECRET(cs_sc_acc) a = {{0}}, b = {{0}};
    for (unsigned j = 0; j < XI; j++) {
        cs_sci_acc_mul(a.v, g[j].v, p[SLOTS * j].v);
        cs_sci_acc_mul(b.v, g[j].v, p[SLOTS * j + 1].v);
    }
    cs_sc_acc_reduce(&out[0], &a);
    cs_sc_acc_reduce(&out[1], &b);
}

void cs_rvole_alice(uint8_t *block, rvole_io *io, scratch *w, const ot_half *ot, const uint8_t rsid[32])
{
    CS_SECRET(cs_sc) t = {{0}}, eta = {{0}};
    for (unsigned k = 0; k < COLS_LEN; k++) {
        w->other[k] = w->cols[k] ^ ot->delta[k & 15];
    }
    cs_mpc_pads(w->pads, w, rsid, w->cols);
    cs_mpc_pads(w->pads1, w, rsid, w->other);
    for (unsigned k = 0; k < XI * SLOTS; k++) {
        (void)cs_sci_from_be(&w->p0[k], w->pads + 32 * k);
        (void)cs_sci_from_be(&t, w->pads1 + 32 * k);
        cs_sci_sub(&t, &w->p0[k], &t);
        cs_sci_add(&t, &t, &io->in[k % SLOTS]);
        cs_sci_to_be(block + ALICE_AT + 32 * k, &t);
    }
    CS_CT_PUBLIC(block + ALICE_AT, AT_LEN, "a-tilde is sent: one of its two pads is unknown to Bob");
    thetas(io->theta, rsid, block + ALICE_AT);
    combine(&eta, io->in, io->theta);
    cs_sci_to_be(block + ALICE_ETA, &eta);
    for (unsigned j = 0; j < XI; j++) {
        combine(&t, w->p0 + SLOTS * j, io->theta);
        cs_sci_to_be(w->mu + 32 * j, &t);
    }
    mu_hash(block + ALICE_MU, rsid, w->mu);
    CS_CT_PUBLIC(block + ALICE_ETA, 64, "eta (masked by a-hat) and mu are sent");
    inner(io->out, ot->gadget, w->p0);
    cs_sc_neg(&io->out[0], &io->out[0]);
    cs_sc_neg(&io->out[1], &io->out[1]);
}

chk cs_rvole_ranges(const uint8_t *block)
{
    unsigned ok = 1;
    cs_sc t;
    for (unsigned k = 0; k < XI * SLOTS; k++) {
        ok &= cs_sci_from_be(&t, block + ALICE_AT + 32 * k);
    }
    ok &= cs_sc_from_be_check(&t, block + ALICE_ETA);
    return ok == 1 ? CS_MPC_CHK_NONE : CS_MPC_CHK_MALFORMED_SCALAR;
}

chk cs_rvole_bob(rvole_io *io, scratch *w, const ot_half *ot, const uint8_t rsid[32], const uint8_t *v,
                 const uint8_t beta[BETA_LEN], const uint8_t *block)
{
    CS_SECRET(cs_sc) t = {{0}}, m = {{0}};
    cs_sc eta;
    uint8_t mu[32];
    cs_mpc_pads(w->pads, w, rsid, v);
    thetas(io->theta, rsid, block + ALICE_AT);
    cs_sc_from_be_mod(&eta, block + ALICE_ETA);
    for (unsigned j = 0; j < XI; j++) {
        uint64_t mask = cs_ct_mask(beta_bit(beta, j));
        for (unsigned i = 0; i < SLOTS; i++) {
            unsigned k = SLOTS * j + i;
            (void)cs_sci_from_be(&t, block + ALICE_AT + 32 * k);
            cs_sci_mask(&t, &t, mask);
            (void)cs_sci_from_be(&m, w->pads + 32 * k);
            cs_sci_add(&w->p0[k], &m, &t);
        }
        combine(&m, w->p0 + SLOTS * j, io->theta);
        cs_sci_mask(&t, &eta, mask);
        cs_sci_sub(&m, &m, &t);
        cs_sci_to_be(w->mu + 32 * j, &m);
    }
    mu_hash(mu, rsid, w->mu);
    int ok = cs_ct_eq(mu, block + ALICE_MU, 32);
    CS_CT_PUBLIC(&ok, sizeof ok, "a failure is a ban: at most the guess that the peer staked on it");
    cs_wipe(mu, sizeof mu);
    if (ok != 1) {
        return CS_MPC_CHK_MU;
    }
    inner(io->out, ot->gadget, w->p0);
    return CS_MPC_CHK_NONE;
}
