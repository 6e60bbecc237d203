/* Signatures with a whole key: known answers, refusals, and that nothing half-made leaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "secret/rng.h"
#include "secret/sign/bip340.h"
#include "secret/sign/ecdsa_k1.h"
#include "secret/sign/ecdsa_p256.h"
#include "secret/sign/ed25519.h"
#include "secret/sign/rfc6979.h"

static void hex(uint8_t *out, const char *text)
{
    assert_int_equal(cs_hex_decode(out, strlen(text) / 2, cs_slice_str(text)), CS_OK);
}

static const char order_p256[] = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
static const char order_k1[] = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
/* RFC 6979, appendix A.2.5 */
static const char key_p256[] = "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721";
static const char sample_digest[] = "af2bdbe1aa9b6ec1e2ade1d694f41fc71a831d0268e9891562113d8a62add1bf";
static const char sample_nonce[] = "a6e3c57dd01abe90086538398355dd4c3b17aa873382b0f24d6129493d8aad60";
static const char sample_sig[] = "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
                                 "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8";

static void p256_signs_the_bytes_of_rfc_6979(void **state)
{
    cs_secret32 key, nonce, got;
    cs_rfc6979 drbg;
    uint8_t digest[32], want[64], sig[64], point[33], k[32];
    (void)state;
    hex(key.b, key_p256);
    hex(digest, sample_digest);
    hex(want, sample_sig);
    hex(k, sample_nonce);
    cs_rfc6979_init(&drbg, key.b, digest, CS_SLICE_NULL);
    cs_rfc6979_next(&drbg, &got);
    assert_memory_equal(got.b, k, 32);
    assert_int_equal(cs_ecdsa_p256_sign(sig, &key, digest), CS_OK);
    assert_memory_equal(sig, want, 64);
    memcpy(nonce.b, k, 32);
    memset(sig, 0, sizeof sig);
    assert_int_equal(cs_ecdsa_p256_unsafe_sign(sig, &key, digest, &nonce), CS_OK);
    assert_memory_equal(sig, want, 64);
    assert_int_equal(cs_ecdsa_p256_public(point, &key), CS_OK);
    hex(k, "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6");
    assert_int_equal(point[0], 3);
    assert_memory_equal(point + 1, k, 32);
}

static void p256_refuses_keys_and_signatures_out_of_range(void **state)
{
    cs_secret32 zero = {{0}}, order, key;
    uint8_t digest[32] = {1}, sig[64], old[64], point[33], bad[65] = {4};
    (void)state;
    hex(order.b, order_p256);
    hex(key.b, key_p256);
    memset(old, 0x5a, sizeof old);
    memset(sig, 0x5a, sizeof sig);
    assert_int_equal(cs_ecdsa_p256_sign(sig, &zero, digest), CS_E_RANGE);
    assert_int_equal(cs_ecdsa_p256_sign(sig, &order, digest), CS_E_RANGE);
    assert_int_equal(cs_ecdsa_p256_public(point, &order), CS_E_RANGE);
    assert_int_equal(cs_ecdsa_p256_unsafe_sign(sig, &key, digest, &zero), CS_E_RANGE);
    assert_int_equal(cs_ecdsa_p256_unsafe_sign(sig, &key, digest, &order), CS_E_RANGE);
    (void)cs_random_fail_for_tests(1);
    assert_int_equal(cs_ecdsa_p256_sign(sig, &key, digest), CS_E_ENTROPY);
    assert_memory_equal(sig, old, 64); /* nothing was written */
    assert_int_equal(cs_ecdsa_p256_public(point, &key), CS_OK);
    for (unsigned half = 0; half < 2; half++) {
        assert_int_equal(cs_ecdsa_p256_sign(sig, &key, digest), CS_OK);
        memcpy(sig + (size_t)32 * half, zero.b, 32);
        assert_int_equal(cs_ecdsa_p256_verify(sig, digest, cs_slice_of(point, 33)), CS_E_AUTH);
        memcpy(sig + (size_t)32 * half, order.b, 32);
        assert_int_equal(cs_ecdsa_p256_verify(sig, digest, cs_slice_of(point, 33)), CS_E_AUTH);
    }
    assert_int_equal(cs_ecdsa_p256_verify(sig, digest, cs_slice_of(bad, 65)), CS_E_FORMAT); /* 0, 0 */
    assert_int_equal(cs_ecdsa_p256_verify(sig, digest, cs_slice_of(point, 32)), CS_E_FORMAT);
    assert_int_equal(cs_ecdsa_p256_verify(sig, digest, CS_SLICE_NULL), CS_E_FORMAT);
    point[0] = 6;
    assert_int_equal(cs_ecdsa_p256_verify(sig, digest, cs_slice_of(point, 33)), CS_E_FORMAT);
}

static void every_scheme_notices_a_flipped_bit(void **state)
{
    cs_secret32 key;
    uint8_t digest[32] = {7}, p[64], k[64], e[64], b[64], pp[33], kp[33], ep[32], bp[32];
    const cs_slice m = cs_slice_of(digest, 32);
    (void)state;
    hex(key.b, key_p256);
    assert_int_equal(cs_ecdsa_p256_public(pp, &key), CS_OK);
    assert_int_equal(cs_ecdsa_k1_public(kp, &key), CS_OK);
    assert_int_equal(cs_bip340_public(bp, &key), CS_OK);
    cs_ed25519_public(ep, &key);
    assert_int_equal(cs_ecdsa_p256_sign(p, &key, digest), CS_OK);
    assert_int_equal(cs_ecdsa_k1_sign(k, NULL, &key, digest, NULL), CS_OK);
    assert_int_equal(cs_bip340_sign(b, &key, m, NULL), CS_OK);
    cs_ed25519_sign(e, &key, m);
    assert_int_equal(cs_bip340_verify(bp, b, m), CS_OK);
    assert_int_equal(cs_ed25519_verify(ep, e, m), CS_OK);
    for (unsigned bit = 0; bit < 512; bit++) {
        uint8_t mask = (uint8_t)(1u << bit % 8);
        p[bit / 8] ^= mask;
        k[bit / 8] ^= mask;
        e[bit / 8] ^= mask;
        b[bit / 8] ^= mask;
        assert_int_equal(cs_ecdsa_p256_verify(p, digest, cs_slice_of(pp, 33)), CS_E_AUTH);
        assert_int_equal(cs_ecdsa_k1_verify(k, digest, cs_slice_of(kp, 33)), CS_E_AUTH);
        assert_int_equal(cs_ed25519_verify(ep, e, m), CS_E_AUTH);
        assert_int_equal(cs_bip340_verify(bp, b, m), CS_E_AUTH);
        p[bit / 8] ^= mask;
        k[bit / 8] ^= mask;
        e[bit / 8] ^= mask;
        b[bit / 8] ^= mask;
    }
    digest[0] ^= 1;
    assert_int_equal(cs_ecdsa_p256_verify(p, digest, cs_slice_of(pp, 33)), CS_E_AUTH);
    assert_int_equal(cs_ecdsa_k1_verify(k, digest, cs_slice_of(kp, 33)), CS_E_AUTH);
    assert_int_equal(cs_ed25519_verify(ep, e, m), CS_E_AUTH);
    assert_int_equal(cs_bip340_verify(bp, b, m), CS_E_AUTH);
}

static void k1_refuses_keys_out_of_range_and_high_s(void **state)
{
    cs_secret32 zero = {{0}}, order, key = {{1}};
    uint8_t digest[32] = {1}, sig[64], folded[64], point[33], x[32], borrow = 0;
    unsigned recid = 9;
    (void)state;
    hex(order.b, order_k1);
    assert_int_equal(cs_ecdsa_k1_sign(sig, &recid, &zero, digest, NULL), CS_E_RANGE);
    assert_int_equal(cs_ecdsa_k1_sign(sig, &recid, &order, digest, NULL), CS_E_RANGE);
    assert_int_equal(cs_bip340_sign(sig, &order, CS_SLICE_NULL, NULL), CS_E_RANGE);
    assert_int_equal(cs_bip340_public(x, &zero), CS_E_RANGE);
    assert_int_equal(recid, 9);
    assert_int_equal(cs_ecdsa_k1_public(point, &key), CS_OK);
    assert_int_equal(cs_ecdsa_k1_sign(sig, &recid, &key, digest, NULL), CS_OK);
    assert_true(recid < 4);
    memcpy(folded, sig, 64);
    for (unsigned i = 32; i-- > 0;) { /* s = q - s */
        unsigned d = 256u + order.b[i] - sig[32 + i] - borrow;
        sig[32 + i] = (uint8_t)d;
        borrow = d < 256;
    }
    assert_int_equal(cs_ecdsa_k1_verify(sig, digest, cs_slice_of(point, 33)), CS_E_AUTH);
    assert_int_equal(cs_ecdsa_k1_fold(sig), CS_OK);
    assert_memory_equal(sig, folded, 64);
    memcpy(sig, order.b, 32);
    assert_int_equal(cs_ecdsa_k1_fold(sig), CS_E_FORMAT);
    point[0] = 5;
    assert_int_equal(cs_ecdsa_k1_verify(folded, digest, cs_slice_of(point, 33)), CS_E_FORMAT);
    memset(x, 0xff, 32);
    assert_int_equal(cs_bip340_verify(x, folded, CS_SLICE_NULL), CS_E_FORMAT);
    assert_int_equal(cs_bip340_tweak(&key, &key, cs_slice_of(x, 31)), CS_E_RANGE);
    (void)cs_random_fail_for_tests(1);
    assert_int_equal(cs_bip340_sign(sig, &key, CS_SLICE_NULL, NULL), CS_E_ENTROPY);
}

/* points that some verifiers take: A = identity, R = identity, s = 0 verifies everything without the check */
static void ed25519_refuses_small_orders(void **state)
{
    uint8_t a[32] = {1}, sig[64] = {1};
    (void)state;
    assert_int_equal(cs_ed25519_verify(a, sig, cs_slice_str("any")), CS_E_AUTH);
    a[31] = 0x80; /* not canonical either */
    assert_int_equal(cs_ed25519_verify(a, sig, cs_slice_str("any")), CS_E_AUTH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(p256_signs_the_bytes_of_rfc_6979),
        cmocka_unit_test(p256_refuses_keys_and_signatures_out_of_range),
        cmocka_unit_test(every_scheme_notices_a_flipped_bit),
        cmocka_unit_test(k1_refuses_keys_out_of_range_and_high_s),
        cmocka_unit_test(ed25519_refuses_small_orders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
