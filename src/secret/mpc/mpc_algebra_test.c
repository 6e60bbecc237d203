/* The pieces by their algebra, and what a cheat inside them can learn: exactly what mpc.md 7.3 allows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "secret/mpc/fixture.h"
#include "secret/rng.h"

static fixture fx;
static scratch *w;
static uint8_t block_bob[BOB_END], block_alice[ALICE_END], v[COLS_LEN], xhat[XHAT_LEN], xid[32], rsid[32];

static int setup(void **state)
{
    (void)state;
    if (cs_arena_init((size_t)16 << 20, false) != CS_OK) {
        return -1;
    }
    fx_init(&fx);
    w = cs_secret_alloc(sizeof *w);
    return w != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    cs_secret_free(w);
    fx_cleanup(&fx);
    return cs_arena_used() == 0 ? 0 : -1;
}

static void fill(void *p, size_t len)
{
    assert_int_equal(cs_random(p, len), CS_OK);
}

static unsigned bit(const uint8_t *b, unsigned i)
{
    return b[i >> 3] >> (i & 7) & 1;
}

/* party 0 is Alice, party 1 Bob */
static const ot_half *alice(void)
{
    return fx.pair[0]->alice;
}

static const ot_half *bob(void)
{
    return fx.pair[1]->bob;
}

static void extend(void)
{
    fill(xid, 32);
    fill(rsid, 32);
    fill(xhat, sizeof xhat);
    cs_ext_bob(block_bob, v, w, bob(), xid, xhat);
}

/* ---------------------------------------------------------------- algebra */

static void halves_of_a_direction_agree_outside_the_hole(void **state)
{
    (void)state;
    assert_memory_equal(alice()->osid, bob()->osid, 32);
    for (unsigned j = 0; j < TREES; j++) {
        unsigned hole = alice()->delta[j >> 1] >> (4 * (j & 1)) & 15;
        for (unsigned y = 0; y < 16; y++) {
            const uint8_t *a = alice()->leaves + TREE_LEN * j + 16 * y, *b = bob()->leaves + TREE_LEN * j + 16 * y;
            assert_int_equal(cs_ct_eq(a, b, 16), y != hole);
            assert_int_equal(cs_ct_is_zero(a, 16), y == hole);
        }
    }
}

static void columns_differ_by_delta_where_the_choice_is_one(void **state)
{
    (void)state;
    extend();
    assert_int_equal(cs_ext_alice(w, alice(), xid, block_bob), CS_MPC_CHK_NONE);
    for (unsigned j = 0; j < XI; j++) {
        for (unsigned k = 0; k < 16; k++) {
            uint8_t d = bit(xhat, j) ? alice()->delta[k] : 0;
            assert_int_equal(w->cols[16 * j + k], v[16 * j + k] ^ d);
        }
    }
}

static void pads_agree_on_the_chosen_side_only(void **state)
{
    (void)state;
    static uint8_t gamma[XI * CS_PAD_LEN];
    extend();
    assert_int_equal(cs_ext_alice(w, alice(), xid, block_bob), CS_MPC_CHK_NONE);
    for (unsigned k = 0; k < COLS_LEN; k++) {
        w->other[k] = w->cols[k] ^ alice()->delta[k & 15];
    }
    cs_mpc_pads(gamma, w, rsid, v);
    cs_mpc_pads(w->pads, w, rsid, w->cols);
    cs_mpc_pads(w->pads1, w, rsid, w->other);
    for (unsigned j = 0; j < XI; j++) {
        const uint8_t *side[2] = {w->pads + CS_PAD_LEN * j, w->pads1 + CS_PAD_LEN * j};
        unsigned b = bit(xhat, j);
        assert_memory_equal(gamma + CS_PAD_LEN * j, side[b], CS_PAD_LEN);
        assert_memory_not_equal(gamma + CS_PAD_LEN * j, side[1 - b], CS_PAD_LEN);
    }
}

static void random_scalar(cs_sc *s)
{
    uint8_t b[32];
    fill(b, 32);
    cs_sc_from_be_mod(s, b);
}

/* a run of the RVOLE with Alice's block passed through `change` */
static chk rvole(rvole_io *a, rvole_io *d, cs_sc *b, void (*change)(uint8_t *block))
{
    extend();
    assert_int_equal(cs_ext_alice(w, alice(), xid, block_bob), CS_MPC_CHK_NONE);
    for (int i = 0; i < 3; i++) {
        random_scalar(&a->in[i]);
    }
    cs_rvole_alice(block_alice, a, w, alice(), rsid);
    if (change != NULL) {
        change(block_alice);
    }
    cs_mpc_bob_input(b, bob()->gadget, xhat);
    return cs_rvole_bob(d, w, bob(), rsid, v, xhat, block_alice);
}

static void rvole_shares_the_products(void **state)
{
    (void)state;
    for (int run = 0; run < 8; run++) {
        rvole_io a = {0}, d = {0};
        cs_sc b, sum, product;
        assert_int_equal(rvole(&a, &d, &b, NULL), CS_MPC_CHK_NONE);
        for (int i = 0; i < 2; i++) {
            cs_sc_add(&sum, &a.out[i], &d.out[i]);
            cs_sc_mul(&product, &a.in[i], &b);
            assert_true(cs_sc_eq(&sum, &product));
        }
    }
}

static void zero_shares_cancel(void **state)
{
    (void)state;
    cs_sc a, b;
    const uint16_t ids[2] = {1, 2};
    fill(rsid, 32);
    cs_mpc_zero_share(&a, &fx.key[0], rsid, ids, 2);
    cs_mpc_zero_share(&b, &fx.key[1], rsid, ids, 2);
    assert_false(cs_sc_is_zero(&a));
    cs_sc_add(&a, &a, &b);
    assert_true(cs_sc_is_zero(&a));
}

static void lagrange_coefficients_interpolate_at_zero(void **state)
{
    (void)state;
    static const uint16_t sets[4][3] = {{1, 2, 3}, {1, 3, 5}, {2, 7, 16}, {4, 5, 9}};
    for (int k = 0; k < 4; k++) {
        cs_sc c[3], total = {{0}}, want;
        for (int i = 0; i < 3; i++) {
            random_scalar(&c[i]);
        }
        for (int i = 0; i < 3; i++) { /* f = c0 + c1 x + c2 x^2 */
            cs_sc x, y, l;
            cs_sc_from_u64(&x, sets[k][i]);
            cs_sc_mul(&y, &c[2], &x);
            cs_sc_add(&y, &y, &c[1]);
            cs_sc_mul(&y, &y, &x);
            cs_sc_add(&y, &y, &c[0]);
            cs_mpc_lagrange(&l, sets[k][i], sets[k], 3);
            cs_sc_mul(&y, &y, &l);
            cs_sc_add(&total, &total, &y);
        }
        want = c[0];
        assert_true(cs_sc_eq(&total, &want));
    }
}

/* ---------------------------------------------------------------- trees */

static void open_tree(uint8_t leaves[TREE_LEN], uint8_t *y, chk *c, unsigned choice, const uint8_t keys[8][16],
                      const uint8_t msg[160])
{
    uint8_t mine[4][16];
    for (unsigned k = 0; k < 4; k++) {
        memcpy(mine[k], keys[2 * k + (choice >> k & 1)], 16);
    }
    *c = cs_pprf_open(leaves, y, xid, 9, choice, (const uint8_t(*)[16])mine, msg);
}

static void trees_open_for_every_digit(void **state)
{
    (void)state;
    uint8_t keys[8][16], leaves[TREE_LEN], opened[TREE_LEN], msg[160], y;
    chk c;
    fill(keys, sizeof keys);
    fill(xid, 32);
    cs_pprf_build(leaves, msg, xid, 9, (const uint8_t(*)[16])keys);
    for (unsigned choice = 0; choice < 16; choice++) {
        unsigned want = 0;
        for (unsigned k = 0; k < 4; k++) {
            want = 2 * want + 1 - (choice >> k & 1);
        }
        open_tree(opened, &y, &c, choice, (const uint8_t(*)[16])keys, msg);
        assert_int_equal(c, CS_MPC_CHK_NONE);
        assert_int_equal(y, want);
        for (unsigned k = 0; k < 16; k++) {
            assert_int_equal(cs_ct_eq(opened + 16 * k, leaves + 16 * k, 16), k != want);
        }
    }
}

static void a_wrong_correction_passes_for_half_of_the_digits(void **state)
{
    (void)state;
    uint8_t keys[8][16], leaves[TREE_LEN], opened[TREE_LEN], msg[160], y;
    chk c;
    fill(keys, sizeof keys);
    fill(xid, 32);
    cs_pprf_build(leaves, msg, xid, 9, (const uint8_t(*)[16])keys);
    for (unsigned level = 1; level < 4; level++) {
        for (unsigned side = 0; side < 2; side++) {
            uint8_t *at = msg + 32 * (level - 1) + 16 * side;
            *at ^= 1;
            for (unsigned choice = 0; choice < 16; choice++) {
                open_tree(opened, &y, &c, choice, (const uint8_t(*)[16])keys, msg);
                assert_int_equal(c, (choice >> level & 1) == side ? CS_MPC_CHK_PPRF : CS_MPC_CHK_NONE);
            }
            *at ^= 1;
        }
    }
}

/* ---------------------------------------------------------------- selective failure */

/* Bob changes u_j and bets that Alice's digit is `guess`: he corrects his t' for the rows that such a digit would change. */
static void cheat_extension(unsigned tree, unsigned guess)
{
    uint8_t e[CS_EXT_ROW] = {0}, chi[64], fold_e[16];
    cs_sha256 s;
    e[3] = 0x10;
    extend(); /* leaves the true rows in w->rows */
    block_bob[BOB_U + CS_EXT_ROW * tree + 3] ^= 0x10;
    cs_ext_chi(chi, xid, block_bob + BOB_U);
    cs_accel_get()->folds(block_bob + BOB_X, chi, xhat, 1);
    cs_accel_get()->folds(fold_e, chi, e, 1);
    cs_accel_get()->folds(w->folds, chi, w->rows, CS_EXT_ROWS);
    for (unsigned b = 0; b < 4; b++) {
        for (unsigned k = 0; k < 16 && (guess >> b & 1) != 0; k++) {
            w->folds[16 * (4 * tree + b) + k] ^= fold_e[k];
        }
    }
    cs_th_begin(&s, CS_TAG_T);
    cs_th_put(&s, xid, 32);
    cs_th_put(&s, w->folds, sizeof w->folds);
    cs_th_end(&s, block_bob + BOB_HT);
}

static void a_cheating_bob_passes_for_one_digit_of_sixteen(void **state)
{
    (void)state;
    for (unsigned tree = 0; tree < TREES; tree += 31) {
        unsigned y = alice()->delta[tree >> 1] >> (4 * (tree & 1)) & 15;
        for (unsigned guess = 0; guess < 16; guess++) {
            cheat_extension(tree, guess);
            assert_int_equal(cs_ext_alice(w, alice(), xid, block_bob),
                             guess == y ? CS_MPC_CHK_NONE : CS_MPC_CHK_OT_CHECK);
        }
    }
}

/* Alice changes one row and makes eta and mu fit again as far as she can: mu from her true alpha0. */
static unsigned cheat_row;

static void theta_of(cs_sc t[2], const uint8_t *at)
{
    uint8_t h[32];
    cs_sha256 s;
    cs_th_begin(&s, CS_TAG_AT);
    cs_th_put(&s, rsid, 32);
    cs_th_put(&s, at, AT_LEN);
    cs_th_end(&s, h);
    for (uint8_t i = 0; i < 2; i++) {
        cs_th_begin(&s, CS_TAG_THETA);
        cs_th_put(&s, rsid, 32);
        cs_th_put(&s, h, 32);
        cs_th_put_u8(&s, (uint8_t)(i + 1));
        cs_th_end_sc(&s, &t[i]);
    }
}

static rvole_io cheat_io;

static void cheat_rvole(uint8_t *block)
{
    cs_sc t[2], x, y;
    cs_sha256 s;
    uint8_t be[32];
    uint8_t *at = block + ALICE_AT + 96 * cheat_row;
    cs_sc_from_be_mod(&x, at);
    cs_sc_add(&x, &x, &cs_sc_one);
    cs_sc_to_be(at, &x);
    theta_of(t, block + ALICE_AT);
    cs_sc_mul(&x, &t[0], &cheat_io.in[0]);
    cs_sc_mul(&y, &t[1], &cheat_io.in[1]);
    cs_sc_add(&x, &x, &y);
    cs_sc_add(&x, &x, &cheat_io.in[2]);
    cs_sc_to_be(block + ALICE_ETA, &x);
    cs_th_begin(&s, CS_TAG_MU);
    cs_th_put(&s, rsid, 32);
    for (unsigned j = 0; j < XI; j++) {
        cs_sc_mul(&x, &t[0], &w->p0[3 * j]);
        cs_sc_mul(&y, &t[1], &w->p0[3 * j + 1]);
        cs_sc_add(&x, &x, &y);
        cs_sc_add(&x, &x, &w->p0[3 * j + 2]);
        cs_sc_to_be(be, &x);
        cs_th_put(&s, be, 32);
    }
    cs_th_end(&s, block + ALICE_MU);
}

static void a_cheating_alice_passes_where_beta_is_zero(void **state)
{
    (void)state;
    unsigned seen[2] = {0, 0};
    for (cheat_row = 0; cheat_row < XI; cheat_row += 23) {
        rvole_io d = {0};
        cs_sc b;
        chk c = rvole(&cheat_io, &d, &b, cheat_rvole);
        unsigned beta = bit(xhat, cheat_row);
        seen[beta]++;
        assert_int_equal(c, beta ? CS_MPC_CHK_MU : CS_MPC_CHK_NONE);
    }
    assert_true(seen[0] > 0 && seen[1] > 0); /* 19 fair coins */
}

/* ---------------------------------------------------------------- base OT */

static void base_keys_agree_on_the_chosen_side(void **state)
{
    (void)state;
    static uint8_t keys[2 * LAMBDA][16], slots[SLOTS_LEN];
    static bot_receiver r;
    bot_sender s;
    cs_drbg d;
    uint8_t seed[32] = {1}, a_pok[98];
    chk c;
    cs_drbg_seed(&d, seed);
    assert_int_equal(cs_bot_sender_start(&s, a_pok, a_pok + 33, &d, xid), CS_OK);
    assert_int_equal(cs_bot_receiver_run(&c, &r, slots, &d, xid, a_pok), CS_OK);
    assert_int_equal(cs_bot_sender_finish(keys, &s, xid, slots), CS_MPC_CHK_NONE);
    for (unsigned i = 0; i < LAMBDA; i++) {
        unsigned k = bit(r.choice, i);
        assert_memory_equal(r.keys[i], keys[2 * i + k], 16);
        assert_memory_not_equal(r.keys[i], keys[2 * i + 1 - k], 16);
    }
}

/* The parity byte of a slot must say nothing about whether it is the chosen one: 1024 of each, fixed seeds (no flakes). */
static void slot_parities_are_independent_of_the_choice(void **state)
{
    (void)state;
    static uint8_t slots[SLOTS_LEN];
    static bot_receiver r;
    bot_sender s;
    cs_drbg d;
    unsigned odd[2] = {0, 0}, total = 0;
    uint8_t seed[32] = {0}, a_pok[98];
    chk c;
    for (seed[0] = 1; seed[0] <= 8; seed[0]++) {
        cs_drbg_seed(&d, seed);
        assert_int_equal(cs_bot_sender_start(&s, a_pok, a_pok + 33, &d, xid), CS_OK);
        memset(xid, seed[0], 32);
        assert_int_equal(cs_bot_sender_start(&s, a_pok, a_pok + 33, &d, xid), CS_OK);
        assert_int_equal(cs_bot_receiver_run(&c, &r, slots, &d, xid, a_pok), CS_OK);
        assert_int_equal(c, CS_MPC_CHK_NONE);
        for (unsigned i = 0; i < LAMBDA; i++) {
            unsigned k = bit(r.choice, i);
            odd[0] += slots[66 * i + 33 * k] & 1;
            odd[1] += slots[66 * i + 33 * (1 - k)] & 1;
            total++;
        }
    }
    for (int k = 0; k < 2; k++) { /* five standard deviations of 1024 fair coins: 80 */
        assert_in_range(odd[k], total / 2 - 80, total / 2 + 80);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(halves_of_a_direction_agree_outside_the_hole),
        cmocka_unit_test(columns_differ_by_delta_where_the_choice_is_one),
        cmocka_unit_test(pads_agree_on_the_chosen_side_only),
        cmocka_unit_test(rvole_shares_the_products),
        cmocka_unit_test(zero_shares_cancel),
        cmocka_unit_test(lagrange_coefficients_interpolate_at_zero),
        cmocka_unit_test(trees_open_for_every_digit),
        cmocka_unit_test(a_wrong_correction_passes_for_half_of_the_digits),
        cmocka_unit_test(a_cheating_bob_passes_for_one_digit_of_sixteen),
        cmocka_unit_test(a_cheating_alice_passes_where_beta_is_zero),
        cmocka_unit_test(base_keys_agree_on_the_chosen_side),
        cmocka_unit_test(slot_parities_are_independent_of_the_choice),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
