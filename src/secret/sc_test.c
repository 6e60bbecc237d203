/* Scalars modulo q against OpenSSL's BN and libsecp256k1, with edge values. */
#include "secret/sc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/bn.h>
#include <secp256k1.h>

#include "base/text.h"
#include "secret/rng.h"

#define ROUNDS 4000
#define EDGES 12

static BIGNUM *q;
static BN_CTX *ctx;

static int setup(void **state)
{
    (void)state;
    ctx = BN_CTX_new();
    return BN_hex2bn(&q, "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141") > 0 ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    BN_free(q);
    BN_CTX_free(ctx);
    return 0;
}

/* 0, 1, 2, q-1, q, q+1, 2^256-1, 2^255, (q-1)/2, (q+1)/2, C, 2^128 */
static void edge(uint8_t out[32], unsigned i)
{
    BIGNUM *b = BN_new();
    if (i < 3) {
        BN_set_word(b, i);
    } else if (i < 6) {
        BN_copy(b, q);
        BN_add_word(b, i - 3);
        BN_sub_word(b, 1);
    } else if (i < 8) {
        BN_one(b);
        BN_lshift(b, b, i == 6 ? 256 : 255);
        if (i == 6) {
            BN_sub_word(b, 1);
        }
    } else if (i < 10) {
        BN_rshift1(b, q);
        BN_add_word(b, i - 8);
    } else {
        BN_one(b);
        BN_lshift(b, b, i == 10 ? 256 : 128);
        if (i == 10) {
            BN_sub(b, b, q);
        }
    }
    assert_int_equal(BN_bn2binpad(b, out, 32), 32);
    BN_free(b);
}

static void pick(uint8_t out[32], unsigned k)
{
    if (k < EDGES) {
        edge(out, k);
        return;
    }
    assert_int_equal(cs_random(out, 32), CS_OK);
    if (k % 7 == 0) {
        memset(out, k % 2 ? 0xff : 0, 16);
    }
}

static void expect(const cs_sc *got, BIGNUM *want)
{
    uint8_t a[32], b[32];
    cs_sc_to_be(a, got);
    BN_nnmod(want, want, q, ctx);
    assert_int_equal(BN_bn2binpad(want, b, 32), 32);
    assert_memory_equal(a, b, 32);
}

static void check_pair(const uint8_t x[32], const uint8_t y[32])
{
    BIGNUM *a = BN_bin2bn(x, 32, NULL), *b = BN_bin2bn(y, 32, NULL), *r = BN_new();
    cs_sc sa, sb, t;
    assert_int_equal(cs_sc_from_be_check(&sa, x), BN_cmp(a, q) < 0);
    cs_sc_from_be_mod(&sb, y);
    BN_nnmod(a, a, q, ctx);
    BN_nnmod(b, b, q, ctx);
    expect(&sa, a);
    cs_sc_add(&t, &sa, &sb);
    BN_add(r, a, b);
    expect(&t, r);
    cs_sc_sub(&t, &sa, &sb);
    BN_sub(r, a, b);
    expect(&t, r);
    cs_sc_neg(&t, &sa);
    BN_copy(r, a);
    BN_set_negative(r, 1);
    expect(&t, r);
    cs_sc_mul(&t, &sa, &sb);
    BN_mul(r, a, b, ctx);
    expect(&t, r);
    assert_int_equal(cs_sc_is_zero(&sa), BN_is_zero(a));
    assert_int_equal(cs_sc_eq(&sa, &sb), BN_cmp(a, b) == 0);
    BN_lshift1(r, a);
    assert_int_equal(cs_sc_is_high(&sa), BN_cmp(r, q) > 0);
    t = sb;
    cs_sc_cmov(&t, &sa, 0);
    assert_true(cs_sc_eq(&t, &sb));
    cs_sc_cmov(&t, &sa, 1);
    assert_true(cs_sc_eq(&t, &sa));
    cs_sc_mask(&t, &sa, 0);
    assert_true(cs_sc_is_zero(&t));
    cs_sc_mask(&t, &sa, 1);
    assert_true(cs_sc_eq(&t, &sa));
    BN_free(a);
    BN_free(b);
    BN_free(r);
}

static void arithmetic_agrees_with_bn(void **state)
{
    (void)state;
    uint8_t x[32], y[32];
    for (unsigned i = 0; i < EDGES; i++) {
        for (unsigned j = 0; j < EDGES; j++) {
            pick(x, i);
            pick(y, j);
            check_pair(x, y);
        }
    }
    for (unsigned i = 0; i < ROUNDS; i++) {
        pick(x, EDGES + i);
        pick(y, i % 3 == 0 ? i % EDGES : EDGES + 1);
        check_pair(x, y);
    }
}

static void results_may_alias_inputs(void **state)
{
    (void)state;
    uint8_t x[32];
    cs_sc a, want, got;
    pick(x, 100);
    cs_sc_from_be_mod(&a, x);
    cs_sc_mul(&want, &a, &a);
    got = a;
    cs_sc_mul(&got, &got, &got);
    assert_true(cs_sc_eq(&got, &want));
    cs_sc_add(&want, &a, &a);
    got = a;
    cs_sc_add(&got, &got, &got);
    assert_true(cs_sc_eq(&got, &want));
    got = a;
    cs_sc_sub(&got, &got, &got);
    assert_true(cs_sc_is_zero(&got));
}

static void inverse_times_value_is_one(void **state)
{
    (void)state;
    uint8_t x[32];
    for (unsigned i = 0; i < EDGES + 200; i++) {
        cs_sc a, b;
        pick(x, i);
        cs_sc_from_be_mod(&a, x);
        cs_sc_inv(&b, &a);
        cs_sc_mul(&a, &a, &b);
        assert_true(cs_sc_is_zero(&b) ? cs_sc_is_zero(&a) : cs_sc_eq(&a, &cs_sc_one));
    }
}

static void strict_parse_refuses_q_and_above(void **state)
{
    (void)state;
    uint8_t x[32];
    cs_sc a;
    edge(x, 3);
    assert_int_equal(cs_sc_from_be(&a, x), CS_OK);
    for (unsigned i = 4; i < 7; i++) {
        edge(x, i);
        assert_int_equal(cs_sc_from_be(&a, x), CS_E_RANGE);
    }
}

/* the largest accumulator a fold has to cope with: all ones */
static void accumulator_reduces_every_width(void **state)
{
    (void)state;
    for (unsigned k = 0; k < 600; k++) {
        cs_sc_acc acc;
        cs_sc got;
        uint8_t be[72];
        memset(&acc, k == 0 ? 0xff : 0, sizeof acc);
        if (k > 0) {
            assert_int_equal(cs_random(acc.v, 8 * (1 + k % 9)), CS_OK);
        }
        for (int i = 0; i < 9; i++) {
            cs_store_u64(be + 8 * i, acc.v[8 - i]);
        }
        BIGNUM *want = BN_bin2bn(be, 72, NULL);
        cs_sc_acc_reduce(&got, &acc);
        expect(&got, want);
        BN_free(want);
    }
}

static void accumulated_products_agree_with_single_ones(void **state)
{
    (void)state;
    cs_sc_acc acc = {0};
    cs_sc sum = {{0}}, got;
    for (unsigned i = 0; i < 1000; i++) {
        uint8_t x[32], y[32];
        cs_sc a, b, p;
        pick(x, i % 50);
        pick(y, (i * 7 + 3) % 60);
        cs_sc_from_be_mod(&a, x);
        cs_sc_from_be_mod(&b, y);
        cs_sc_mul(&p, &a, &b);
        cs_sc_add(&sum, &sum, &p);
        cs_sc_add(&sum, &sum, &a);
        cs_sc_acc_mul(&acc, &a, &b);
        cs_sc_acc_add(&acc, &a);
    }
    cs_sc_acc_reduce(&got, &acc);
    assert_true(cs_sc_eq(&got, &sum));
}

static void products_agree_with_libsecp256k1(void **state)
{
    (void)state;
    secp256k1_context *c = secp256k1_context_create(SECP256K1_CONTEXT_NONE);
    for (unsigned i = 0; i < 500; i++) {
        uint8_t x[32], y[32], out[32];
        cs_sc a, b;
        pick(x, EDGES + i);
        pick(y, EDGES + 2 * i);
        cs_sc_from_be_mod(&a, x);
        cs_sc_from_be_mod(&b, y);
        cs_sc_to_be(x, &a);
        cs_sc_to_be(y, &b);
        cs_sc_mul(&a, &a, &b);
        cs_sc_to_be(out, &a);
        assert_int_equal(secp256k1_ec_seckey_tweak_mul(c, x, y), 1);
        assert_memory_equal(out, x, 32);
        cs_sc_add(&a, &a, &b);
        cs_sc_to_be(out, &a);
        assert_int_equal(secp256k1_ec_seckey_tweak_add(c, x, y), 1);
        assert_memory_equal(out, x, 32);
    }
    secp256k1_context_destroy(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arithmetic_agrees_with_bn),
        cmocka_unit_test(results_may_alias_inputs),
        cmocka_unit_test(inverse_times_value_is_one),
        cmocka_unit_test(strict_parse_refuses_q_and_above),
        cmocka_unit_test(accumulator_reduces_every_width),
        cmocka_unit_test(accumulated_products_agree_with_single_ones),
        cmocka_unit_test(products_agree_with_libsecp256k1),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
