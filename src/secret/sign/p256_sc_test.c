/* Scalars modulo the order of P-256 against OpenSSL's integers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/bn.h>
#include <openssl/rand.h>
#include <string.h>

#include "secret/sign/p256_sc.h"

static BIGNUM *n;
static BN_CTX *ctx;

static int setup(void **state)
{
    (void)state;
    ctx = BN_CTX_new();
    return BN_hex2bn(&n, "FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551") == 64 && ctx != NULL ? 0
                                                                                                                  : -1;
}

static int teardown(void **state)
{
    (void)state;
    BN_free(n);
    BN_CTX_free(ctx);
    return 0;
}

/* operands at the edges: 0, 1, 2, n-2 .. n+2, 2^256-1, all-ones limbs, then random ones */
static void operand(uint8_t out[32], unsigned i)
{
    BIGNUM *x = BN_dup(n);
    assert_non_null(x);
    memset(out, 0, 32);
    if (i < 3) {
        out[31] = (uint8_t)i;
    } else if (i < 8) {
        assert_int_equal(BN_add_word(x, i), 1);
        assert_int_equal(BN_sub_word(x, 5), 1);
        assert_int_equal(BN_bn2binpad(x, out, 32), 32);
    } else if (i == 8) {
        memset(out, 0xff, 32);
    } else if (i < 13) {
        memset(out + (size_t)8 * (i - 9), 0xff, 8);
    } else {
        assert_int_equal(RAND_bytes(out, 32), 1);
    }
    BN_free(x);
}

static void is(const cs_p256_sc *got, const BIGNUM *want)
{
    uint8_t a[32], b[32];
    cs_p256_sc_to_be(a, got);
    assert_int_equal(BN_bn2binpad(want, b, 32), 32);
    assert_memory_equal(a, b, 32);
    assert_int_equal(cs_p256_sc_is_zero(got), BN_is_zero(want));
}

static void one_pair(const uint8_t a32[32], const uint8_t b32[32])
{
    BIGNUM *a = BN_bin2bn(a32, 32, NULL), *b = BN_bin2bn(b32, 32, NULL), *r = BN_new();
    cs_p256_sc x, y, z;
    assert_int_equal(cs_p256_sc_from_be(&x, a32), !BN_is_zero(a) && BN_cmp(a, n) < 0);
    assert_int_equal(cs_p256_sc_from_be(&y, b32), !BN_is_zero(b) && BN_cmp(b, n) < 0);
    assert_int_equal(BN_nnmod(r, a, n, ctx), 1);
    is(&x, r);
    cs_p256_sc_add(&z, &x, &y);
    assert_int_equal(BN_mod_add(r, a, b, n, ctx), 1);
    is(&z, r);
    cs_p256_sc_sub(&z, &x, &y);
    assert_int_equal(BN_mod_sub(r, a, b, n, ctx), 1);
    is(&z, r);
    cs_p256_sc_mul(&z, &x, &y);
    assert_int_equal(BN_mod_mul(r, a, b, n, ctx), 1);
    is(&z, r);
    cs_p256_sc_mul(&x, &x, &x); /* aliased */
    assert_int_equal(BN_mod_sqr(r, a, n, ctx), 1);
    is(&x, r);
    BN_free(a);
    BN_free(b);
    BN_free(r);
}

static void sums_and_products_are_those_of_integers(void **state)
{
    uint8_t a[32], b[32];
    (void)state;
    for (unsigned i = 0; i < 60; i++) {
        for (unsigned j = 0; j < 60; j++) {
            operand(a, i);
            operand(b, j);
            one_pair(a, b);
        }
    }
}

static void an_inverse_undoes_its_factor(void **state)
{
    uint8_t a[32], one[32] = {0}, got[32];
    cs_p256_sc x, y;
    (void)state;
    one[31] = 1;
    for (unsigned i = 0; i < 200; i++) {
        operand(a, i);
        (void)cs_p256_sc_from_be(&x, a);
        cs_p256_sc_inv(&y, &x);
        cs_p256_sc_mul(&y, &y, &x);
        cs_p256_sc_to_be(got, &y);
        if (cs_p256_sc_is_zero(&x) == 1) {
            assert_int_equal(cs_p256_sc_is_zero(&y), 1);
        } else {
            assert_memory_equal(got, one, 32);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_and_products_are_those_of_integers),
        cmocka_unit_test(an_inverse_undoes_its_factor),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
