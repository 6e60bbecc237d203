/*
 * All-but-one OT from four base OTs: a tree of 16 leaves [mpc.md 2.4, mpc-wire.md 5]. Alice's hole y* is secret: she computes
 * every node, also the useless ones below the hole, and selects by masks.
 */
#include <string.h>

#include "secret/mpc/mpc_int.h"

#define LEVELS 4u

/* two children of a node; kids: left 16 || right 16 */
static void children(uint8_t kids[32], const uint8_t osid[32], unsigned tree, unsigned level, unsigned index,
                     const uint8_t node[16])
{
    CS_SECRET(cs_sha256) s;
    cs_th_begin(&s, CS_TAG_PPRF);
    cs_th_put(&s, osid, 32);
    cs_th_put_u8(&s, (uint8_t)tree);
    cs_th_put_u8(&s, (uint8_t)level);
    cs_th_put_u8(&s, (uint8_t)index);
    cs_th_put(&s, node, 16);
    cs_th_end(&s, kids);
}

static void leaf_proof(uint8_t out[32], const uint8_t osid[32], unsigned tree, unsigned y, const uint8_t leaf[16])
{
    CS_SECRET(cs_sha256) s;
    cs_th_begin(&s, CS_TAG_PPRF_PROOF);
    cs_th_put(&s, osid, 32);
    cs_th_put_u8(&s, (uint8_t)tree);
    cs_th_put_u8(&s, (uint8_t)y);
    cs_th_put(&s, leaf, 16);
    cs_th_end(&s, out);
}

static void proofs_hash(uint8_t out[32], const uint8_t osid[32], unsigned tree, const uint8_t proofs[16 * 32])
{
    CS_SECRET(cs_sha256) s;
    cs_th_begin(&s, CS_TAG_PPRF_HASH);
    cs_th_put(&s, osid, 32);
    cs_th_put_u8(&s, (uint8_t)tree);
    cs_th_put(&s, proofs, 16 * 32);
    cs_th_end(&s, out);
}

/* p ^= q under a mask of 0 or 0xff */
static void xor_masked(uint8_t *p, const uint8_t *q, size_t len, uint8_t mask)
{
    for (size_t i = 0; i < len; i++) {
        p[i] ^= q[i] & mask;
    }
}

void cs_pprf_build(uint8_t leaves[TREE_LEN], uint8_t msg[160], const uint8_t osid[32], unsigned tree,
                   const uint8_t keys[8][16])
{
    uint8_t kids[TREE_LEN], proofs[16 * 32];
    memset(leaves, 0, TREE_LEN);
    memcpy(leaves, keys[0], 16);
    memcpy(leaves + 16, keys[1], 16);
    for (unsigned level = 1; level < LEVELS; level++) {
        uint8_t *t = msg + 32 * (level - 1);
        memcpy(t, keys[2 * level], 16);
        memcpy(t + 16, keys[2 * level + 1], 16);
        for (unsigned p = 0; p < 1u << level; p++) {
            children(kids + 32 * p, osid, tree, level, p, leaves + 16 * p);
            xor_masked(t, kids + 32 * p, 32, 0xff);
        }
        memcpy(leaves, kids, 32u << level);
    }
    memset(msg + 96, 0, 32);
    for (unsigned y = 0; y < 16; y++) {
        leaf_proof(proofs + 32 * y, osid, tree, y, leaves + 16 * y);
        xor_masked(msg + 96, proofs + 32 * y, 32, 0xff);
    }
    proofs_hash(msg + 128, osid, tree, proofs);
    CS_CT_PUBLIC(msg, 160, "the message of the tree is sent");
    cs_wipe(kids, sizeof kids);
    cs_wipe(proofs, sizeof proofs);
}

/* 0xff when a == b (both below 2^8), else 0 */
static uint8_t same(unsigned a, unsigned b)
{
    return (uint8_t)cs_ct_mask((((a ^ b) - 1) >> 31) & 1);
}

/*
 * One level: kids of all nodes; those of the hole are zeroed, then the one on side c is filled in from t, the base key and
 * all other kids of that side.
 */
static void open_level(uint8_t nodes[TREE_LEN], unsigned count, unsigned hole, unsigned c, const uint8_t key[16],
                       const uint8_t t[32])
{
    uint8_t missing[16], side0 = same(c, 0), side1 = same(c, 1);
    memcpy(missing, key, 16);
    xor_masked(missing, t, 16, side0);
    xor_masked(missing, t + 16, 16, side1);
    for (unsigned p = 0; p < count; p++) {
        uint8_t keep = (uint8_t)~same(p, hole);
        for (int i = 0; i < 32; i++) {
            nodes[32 * p + (unsigned)i] &= keep;
        }
        xor_masked(missing, nodes + 32 * p, 16, side0);
        xor_masked(missing, nodes + 32 * p + 16, 16, side1);
    }
    for (unsigned p = 0; p < count; p++) {
        uint8_t at = same(p, hole);
        xor_masked(nodes + 32 * p, missing, 16, at & side0);
        xor_masked(nodes + 32 * p + 16, missing, 16, at & side1);
    }
    cs_wipe(missing, sizeof missing);
}

chk cs_pprf_open(uint8_t leaves[TREE_LEN], uint8_t *out_y, const uint8_t osid[32], unsigned tree, unsigned choice,
                 const uint8_t keys[4][16], const uint8_t msg[160])
{
    uint8_t kids[TREE_LEN], proofs[16 * 32], sum[32], hash[32];
    unsigned c = choice & 1, hole = c ^ 1;
    memset(leaves, 0, TREE_LEN);
    xor_masked(leaves, keys[0], 16, same(c, 0));
    xor_masked(leaves + 16, keys[0], 16, same(c, 1));
    for (unsigned level = 1; level < LEVELS; level++) {
        for (unsigned p = 0; p < 1u << level; p++) {
            children(kids + 32 * p, osid, tree, level, p, leaves + 16 * p);
        }
        c = choice >> level & 1;
        open_level(kids, 1u << level, hole, c, keys[level], msg + 32 * (level - 1));
        memcpy(leaves, kids, 32u << level);
        hole = 2 * hole + 1 - c;
    }
    memcpy(sum, msg + 96, 32);
    for (unsigned y = 0; y < 16; y++) {
        leaf_proof(proofs + 32 * y, osid, tree, y, leaves + 16 * y);
        xor_masked(sum, proofs + 32 * y, 32, (uint8_t)~same(y, hole));
    }
    for (unsigned y = 0; y < 16; y++) {
        cs_ct_cmov(proofs + 32 * y, sum, 32, same(y, hole) & 1);
    }
    proofs_hash(hash, osid, tree, proofs);
    int ok = cs_ct_eq(hash, msg + 128, 32);
    CS_CT_PUBLIC(&ok, sizeof ok, "a failure is a ban: the one bit that the peer may learn");
    *out_y = (uint8_t)hole;
    cs_wipe(kids, sizeof kids);
    cs_wipe(proofs, sizeof proofs);
    cs_wipe(sum, sizeof sum);
    cs_wipe(hash, sizeof hash);
    return ok == 1 ? CS_MPC_CHK_NONE : CS_MPC_CHK_PPRF;
}
