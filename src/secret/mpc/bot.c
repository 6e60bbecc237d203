/* Base OT: batched endemic OT with proof of Bob's point [mpc.md 2.2, 2.3]. */
#include <string.h>

#include "secret/mpc/mpc_int.h"

/* e = H2S("pok/ot-a", osid, Y, T) */
static void pok_challenge(cs_sc *e, const uint8_t osid[32], const uint8_t y[33], const uint8_t t[33])
{
    cs_sha256 s;
    cs_th_begin(&s, CS_TAG_POK_OT_A);
    cs_th_put(&s, osid, 32);
    cs_th_put(&s, y, 33);
    cs_th_put(&s, t, 33);
    cs_th_end_sc(&s, e);
}

cs_err cs_bot_sender_start(bot_sender *b, uint8_t out_a[33], uint8_t out_pok[65], const cs_drbg *d,
                           const uint8_t osid[32])
{
    CS_SECRET(cs_sc) rho = {{0}}, s = {{0}};
    cs_sc e;
    cs_pt p;
    cs_drbg_scalar(d, &b->a, "ot/a", -1);
    cs_drbg_scalar(d, &rho, "ot/pok", -1);
    CS_TRY(cs_pt_mulg(&p, &b->a));
    CS_CT_PUBLIC(&p, sizeof p, "A = aG is sent");
    cs_pt_ser(b->a33, &p);
    memcpy(out_a, b->a33, 33);
    CS_TRY(cs_pt_mulg(&p, &rho));
    CS_CT_PUBLIC(&p, sizeof p, "T of the proof is sent");
    cs_pt_ser(out_pok, &p);
    pok_challenge(&e, osid, b->a33, out_pok);
    cs_sc_mul(&s, &e, &b->a);
    cs_sc_add(&s, &s, &rho);
    cs_sc_to_be(out_pok + 33, &s);
    CS_CT_PUBLIC(out_pok, 65, "the proof is sent");
    return CS_OK;
}

static chk pok_verify(cs_pt *a, const uint8_t osid[32], const uint8_t *a_pok)
{
    const uint8_t *t33 = a_pok + 33;
    cs_pt t, lhs, rhs;
    cs_sc s, e;
    if (cs_pt_parse(a, a_pok) != CS_OK || cs_pt_parse(&t, t33) != CS_OK) {
        return CS_MPC_CHK_MALFORMED_POINT;
    }
    if (cs_sc_from_be(&s, t33 + 33) != CS_OK) {
        return CS_MPC_CHK_MALFORMED_SCALAR;
    }
    pok_challenge(&e, osid, a_pok, t33);
    if (cs_pt_mulg(&lhs, &s) != CS_OK || cs_pt_mul_var(&rhs, &e, a) != CS_OK || cs_pt_add(&rhs, &rhs, &t) != CS_OK ||
        !cs_pt_eq(&lhs, &rhs)) {
        return CS_MPC_CHK_POK;
    }
    return CS_MPC_CHK_NONE;
}

static void slot_hash(cs_pt *out, const uint32_t mid[8], const uint8_t osid[32], unsigned i, const uint8_t slot[33])
{
    cs_sha256 s;
    cs_th_begin_mid(&s, mid);
    cs_th_put(&s, osid, 32);
    cs_th_put_u16(&s, (uint16_t)i);
    cs_th_put(&s, slot, 33);
    cs_pt_h2p(out, &s);
}

static void base_key(uint8_t out[16], const uint8_t osid[32], unsigned i, unsigned c, const uint8_t a33[33],
                     const uint8_t slots[66], const uint8_t xy[64])
{
    CS_SECRET(cs_sha256) s;
    CS_SECRET(cs_secret32) k;
    cs_th_begin(&s, CS_TAG_OT_KEY);
    cs_th_put(&s, osid, 32);
    cs_th_put_u16(&s, (uint16_t)i);
    cs_th_put_u8(&s, (uint8_t)c);
    cs_th_put(&s, a33, 33);
    cs_th_put(&s, slots, 66);
    cs_th_put(&s, xy, 64);
    cs_th_end(&s, k.b);
    memcpy(out, k.b, 16);
}

/* One instance; c (0 or 1) is secret: tags and places are chosen by masks, both hashes are always computed. */
static cs_err receive_one(uint8_t key[16], uint8_t slots[66], const cs_drbg *d, const uint8_t osid[32], unsigned i,
                          unsigned c, const cs_pt *a, const uint8_t a33[33])
{
    CS_SECRET(cs_sc) b = {{0}};
    CS_SECRET(cs_secret64) xy = {{0}};
    cs_sha256 head;
    cs_pt other, hash, chosen;
    uint8_t seed[32], o33[33], ch33[33];
    uint32_t mid[8], mid_not[8];
    cs_drbg_scalar(d, &b, "ot/b", (int)i);
    cs_drbg_draw(d, seed, sizeof seed, "ot/other", (int)i);
    cs_th_begin(&head, CS_TAG_OT_OTHER);
    cs_th_put(&head, osid, 32);
    cs_th_put_u16(&head, (uint16_t)i);
    cs_th_put(&head, seed, sizeof seed);
    cs_pt_h2p(&other, &head);
    cs_pt_ser(o33, &other);

    memcpy(mid, cs_th_mid(CS_TAG_OT_H0), sizeof mid);
    memcpy(mid_not, cs_th_mid(CS_TAG_OT_H1), sizeof mid_not);
    cs_ct_cmov(mid, cs_th_mid(CS_TAG_OT_H1), sizeof mid, c);
    cs_ct_cmov(mid_not, cs_th_mid(CS_TAG_OT_H0), sizeof mid_not, c);
    slot_hash(&hash, mid, osid, i, o33);
    cs_pt_neg(&hash);
    CS_TRY(cs_pt_mulg(&chosen, &b));
    CS_CT_PUBLIC(&chosen, sizeof chosen, "the addition branches only on equality and infinity, which chance excludes");
    CS_TRY(cs_pt_add(&chosen, &chosen, &hash));
    cs_pt_ser(ch33, &chosen);
    slot_hash(&hash, mid_not, osid, i, ch33); /* not needed: makes the number of tries independent of c */

    memcpy(slots, ch33, 33);
    memcpy(slots + 33, o33, 33);
    cs_ct_cmov(slots, o33, 33, c);
    cs_ct_cmov(slots + 33, ch33, 33, c);
    CS_TRY(cs_pt_mul_xy(xy.b, &b, a));
    base_key(key, osid, i, c, a33, slots, xy.b);
    CS_CT_PUBLIC(slots, 66, "the slots are sent");
    cs_wipe(seed, sizeof seed);
    cs_wipe(mid, sizeof mid);
    cs_wipe(mid_not, sizeof mid_not);
    cs_wipe(o33, sizeof o33); /* which slot is which is the choice bit */
    cs_wipe(ch33, sizeof ch33);
    cs_wipe(&other, sizeof other);
    cs_wipe(&chosen, sizeof chosen);
    cs_wipe(&hash, sizeof hash);
    cs_wipe(&head, sizeof head);
    return CS_OK;
}

cs_err cs_bot_receiver_run(chk *c, bot_receiver *r, uint8_t *out_slots, const cs_drbg *d, const uint8_t osid[32],
                           const uint8_t *a_pok)
{
    cs_pt a;
    *c = pok_verify(&a, osid, a_pok);
    if (*c != CS_MPC_CHK_NONE) {
        return CS_OK;
    }
    cs_drbg_draw(d, r->choice, sizeof r->choice, "ot/c", -1);
    for (unsigned i = 0; i < LAMBDA; i++) {
        unsigned bit = r->choice[i >> 3] >> (i & 7) & 1;
        CS_TRY(receive_one(r->keys[i], out_slots + 66 * i, d, osid, i, bit, &a, a_pok));
    }
    return CS_OK;
}

/* Both keys of one instance; the points are public, a is not. */
static chk send_one(uint8_t keys[2][16], const bot_sender *b, const uint8_t osid[32], unsigned i,
                    const uint8_t slots[66])
{
    static const cs_tag tags[2] = {CS_TAG_OT_H0, CS_TAG_OT_H1};
    CS_SECRET(cs_secret64) xy = {{0}};
    cs_pt p[2], h;
    if (cs_pt_parse(&p[0], slots) != CS_OK || cs_pt_parse(&p[1], slots + 33) != CS_OK) {
        return CS_MPC_CHK_MALFORMED_POINT;
    }
    if (cs_slice_eq(cs_slice_of(slots, 33), cs_slice_of(slots + 33, 33))) {
        return CS_MPC_CHK_SLOTS_EQUAL;
    }
    for (unsigned c = 0; c < 2; c++) {
        slot_hash(&h, cs_th_mid(tags[c]), osid, i, slots + 33 * (1 - c));
        if (cs_pt_add(&p[c], &p[c], &h) != CS_OK || cs_pt_mul_xy(xy.b, &b->a, &p[c]) != CS_OK) {
            return CS_MPC_CHK_SLOT_INFINITY;
        }
        base_key(keys[c], osid, i, c, b->a33, slots, xy.b);
    }
    return CS_MPC_CHK_NONE;
}

chk cs_bot_sender_finish(uint8_t keys[2 * LAMBDA][16], const bot_sender *b, const uint8_t osid[32],
                         const uint8_t *slots)
{
    for (unsigned i = 0; i < LAMBDA; i++) {
        CHK(send_one(keys + 2 * i, b, osid, i, slots + 66 * i));
    }
    return CS_MPC_CHK_NONE;
}
