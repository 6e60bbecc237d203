/* SoftSpoken OT extension, k = 4 [mpc.md 2.4, mpc-wire.md 5]. */
#include <string.h>

#include "secret/mpc/mpc_int.h"

#define ROW_WORDS (CS_EXT_ROW / 8)

/* total = xor of all 16 streams; side[b] = xor of those whose index has bit b set */
static void sums(uint64_t total[ROW_WORDS], uint64_t side[4][ROW_WORDS], const uint8_t streams[16 * CS_EXT_ROW])
{
    uint64_t s[16][ROW_WORDS];
    memcpy(s, streams, sizeof s);
    for (unsigned b = 0, n = 16; b < 4; b++, n /= 2) {
        for (unsigned w = 0; w < ROW_WORDS; w++) {
            uint64_t odd = 0;
            for (unsigned y = 1; y < n; y += 2) {
                odd ^= s[y][w];
            }
            side[b][w] = odd;
            for (unsigned y = 0; y < n / 2; y++) {
                s[y][w] = s[2 * y][w] ^ s[2 * y + 1][w];
            }
        }
    }
    memcpy(total, s[0], sizeof s[0]);
    cs_wipe(s, sizeof s);
}

/* the streams of one tree for this extension, summed */
static void expand(uint64_t total[ROW_WORDS], uint64_t side[4][ROW_WORDS], scratch *w, const ot_half *ot,
                   const uint8_t xid[32], unsigned tree)
{
    cs_sha256 s;
    uint8_t hiv[32];
    cs_th_begin(&s, CS_TAG_EXT);
    cs_th_put(&s, xid, 32);
    cs_th_put_u8(&s, (uint8_t)tree);
    cs_th_end(&s, hiv);
    cs_accel_get()->leaves(w->streams, ot->leaves + TREE_LEN * tree, hiv);
    sums(total, side, w->streams);
}

void cs_ext_chi(uint8_t chi[64], const uint8_t xid[32], const uint8_t *u)
{
    uint8_t hu[32], d[32];
    cs_sha256 s;
    cs_th_begin(&s, CS_TAG_U);
    cs_th_put(&s, xid, 32);
    cs_th_put(&s, u, U_LEN);
    cs_th_end(&s, hu);
    for (unsigned m = 1; m <= 4; m++) {
        cs_th_begin(&s, CS_TAG_CHI);
        cs_th_put(&s, xid, 32);
        cs_th_put(&s, hu, 32);
        cs_th_put_u8(&s, (uint8_t)m);
        cs_th_end(&s, d);
        memcpy(chi + 16 * (m - 1), d, 16);
    }
}

/* h_t over the 128 folded rows */
static void rows_hash(uint8_t out[32], const uint8_t xid[32], const uint8_t folds[CS_EXT_ROWS * 16])
{
    CS_SECRET(cs_sha256) s;
    cs_th_begin(&s, CS_TAG_T);
    cs_th_put(&s, xid, 32);
    cs_th_put(&s, folds, CS_EXT_ROWS * 16);
    cs_th_end(&s, out);
}

void cs_ext_bob(uint8_t *block, uint8_t *v, scratch *w, const ot_half *ot, const uint8_t xid[32],
                const uint8_t xhat[80])
{
    uint64_t total[ROW_WORDS], side[4][ROW_WORDS], x[ROW_WORDS];
    uint8_t chi[64];
    memcpy(x, xhat, sizeof x);
    for (unsigned j = 0; j < TREES; j++) {
        expand(total, side, w, ot, xid, j);
        for (unsigned i = 0; i < ROW_WORDS; i++) {
            total[i] ^= x[i];
        }
        memcpy(block + BOB_U + CS_EXT_ROW * j, total, CS_EXT_ROW);
        memcpy(w->rows + 4 * CS_EXT_ROW * j, side, sizeof side);
    }
    CS_CT_PUBLIC(block + BOB_U, U_LEN, "U is sent: the choice vector under the pad of the missing leaf");
    cs_ext_chi(chi, xid, block + BOB_U);
    cs_accel_get()->folds(block + BOB_X, chi, xhat, 1);
    cs_accel_get()->folds(w->folds, chi, w->rows, CS_EXT_ROWS);
    rows_hash(block + BOB_HT, xid, w->folds);
    CS_CT_PUBLIC(block + BOB_X, 48, "x' and h_t are sent");
    cs_accel_get()->transpose(v, w->rows);
    cs_wipe(total, sizeof total);
    cs_wipe(side, sizeof side);
    cs_wipe(x, sizeof x);
}

/* rows of Alice: the streams whose index differs from y* in bit b, so never that of y* itself, and u_j where bit b of y* is set */
static void alice_rows(scratch *w, const ot_half *ot, const uint8_t xid[32], const uint8_t *u)
{
    uint64_t total[ROW_WORDS], side[4][ROW_WORDS];
    for (unsigned j = 0; j < TREES; j++) {
        unsigned y = ot->delta[j >> 1] >> (4 * (j & 1)) & 15;
        uint64_t uj[ROW_WORDS];
        expand(total, side, w, ot, xid, j);
        memcpy(uj, u + CS_EXT_ROW * j, sizeof uj);
        for (unsigned b = 0; b < 4; b++) {
            uint64_t m = cs_ct_mask(y >> b & 1);
            for (unsigned i = 0; i < ROW_WORDS; i++) {
                side[b][i] ^= m & (total[i] ^ uj[i]);
            }
        }
        memcpy(w->rows + 4 * CS_EXT_ROW * j, side, sizeof side);
    }
    cs_wipe(total, sizeof total);
    cs_wipe(side, sizeof side);
}

chk cs_ext_alice(scratch *w, const ot_half *ot, const uint8_t xid[32], const uint8_t *block)
{
    uint8_t chi[64], ht[32];
    alice_rows(w, ot, xid, block + BOB_U);
    cs_ext_chi(chi, xid, block + BOB_U);
    cs_accel_get()->folds(w->folds, chi, w->rows, CS_EXT_ROWS);
    for (unsigned i = 0; i < CS_EXT_ROWS; i++) {
        uint8_t m = (uint8_t)cs_ct_mask(ot->delta[i >> 3] >> (i & 7) & 1);
        for (unsigned k = 0; k < 16; k++) {
            w->folds[16 * i + k] ^= block[BOB_X + k] & m;
        }
    }
    rows_hash(ht, xid, w->folds);
    int ok = cs_ct_eq(ht, block + BOB_HT, 32);
    CS_CT_PUBLIC(&ok, sizeof ok, "a failure is a ban: at most the guess that the peer staked on it");
    cs_wipe(ht, sizeof ht);
    if (ok != 1) {
        return CS_MPC_CHK_OT_CHECK;
    }
    cs_accel_get()->transpose(w->cols, w->rows);
    return CS_MPC_CHK_NONE;
}
