/* Tests of attest/cose_verify: every algorithm with its keys, fixed widths, nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/ec.h>

#include "attest/cose_verify.h"

static const cs_slice tbs = {(const uint8_t *)"to be signed", 12};

typedef struct signature {
    uint8_t b[140];
    size_t len;
} signature;

/* r || s of width bytes each. */
static signature sign_ec(EVP_PKEY *key, const EVP_MD *md, int width)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    signature out = {.len = 2 * (size_t)width};
    uint8_t der[160];
    const uint8_t *p = der;
    size_t len = sizeof der;
    ECDSA_SIG *sig;

    assert_int_equal(EVP_DigestSignInit(ctx, NULL, md, NULL, key), 1);
    assert_int_equal(EVP_DigestSign(ctx, der, &len, tbs.p, tbs.len), 1);
    sig = d2i_ECDSA_SIG(NULL, &p, (long)len);
    assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_r(sig), out.b, width), width);
    assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_s(sig), out.b + width, width), width);
    ECDSA_SIG_free(sig);
    EVP_MD_CTX_free(ctx);
    return out;
}

static cs_err verify(EVP_PKEY *key, int64_t alg, const signature *s)
{
    return cs_cose_verify(key, alg, tbs, cs_slice_of(s->b, s->len));
}

static void test_ecdsa_with_every_curve(void **state)
{
    static const struct {
        const char *curve;
        int width;
        int64_t alg;
        const EVP_MD *(*md)(void);
    } rows[] = {{"P-256", 32, CS_COSE_ES256, EVP_sha256},
                {"P-384", 48, CS_COSE_ES384, EVP_sha384},
                {"P-521", 66, CS_COSE_ES512, EVP_sha512},
                {"P-521", 66, CS_COSE_ES256, EVP_sha256}};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        EVP_PKEY *key = EVP_EC_gen(rows[i].curve), *other = EVP_EC_gen(rows[i].curve);
        signature s = sign_ec(key, rows[i].md(), rows[i].width);

        assert_int_equal(verify(key, rows[i].alg, &s), CS_OK);
        assert_int_equal(verify(other, rows[i].alg, &s), CS_E_AUTH);
        assert_int_equal(verify(key, rows[i].alg == CS_COSE_ES384 ? CS_COSE_ES256 : CS_COSE_ES384, &s), CS_E_AUTH);
        assert_int_equal(verify(key, CS_COSE_EDDSA, &s), CS_E_UNSUPPORTED);
        assert_int_equal(verify(key, 0, &s), CS_E_UNSUPPORTED);
        s.b[s.len - 1] ^= 1;
        assert_int_equal(verify(key, rows[i].alg, &s), CS_E_AUTH);
        EVP_PKEY_free(key);
        EVP_PKEY_free(other);
    }
}

static void test_signatures_of_another_width_are_refused(void **state)
{
    EVP_PKEY *key = EVP_EC_gen("P-384");
    signature s = sign_ec(key, EVP_sha384(), 48), wide = {.len = 98}, zero = {.len = 96};

    memcpy(wide.b + 1, s.b, 48); /* the same numbers with a zero in front */
    memcpy(wide.b + 50, s.b + 48, 48);
    assert_int_equal(verify(key, CS_COSE_ES384, &wide), CS_E_AUTH);
    assert_int_equal(verify(key, CS_COSE_ES384, &zero), CS_E_AUTH);
    s.len--;
    assert_int_equal(verify(key, CS_COSE_ES384, &s), CS_E_AUTH);
    s.len = 0;
    assert_int_equal(verify(key, CS_COSE_ES384, &s), CS_E_AUTH);
    EVP_PKEY_free(key);
}

static void test_eddsa_with_both_curves(void **state)
{
    static const char *const types[] = {"ED25519", "ED448"};

    for (size_t i = 0; i < 2; i++) {
        EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, types[i]);
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        signature s = {.len = sizeof s.b};

        assert_int_equal(EVP_DigestSignInit(ctx, NULL, NULL, NULL, key), 1);
        assert_int_equal(EVP_DigestSign(ctx, s.b, &s.len, tbs.p, tbs.len), 1);
        assert_int_equal(verify(key, CS_COSE_EDDSA, &s), CS_OK);
        assert_int_equal(verify(key, CS_COSE_ES256, &s), CS_E_UNSUPPORTED);
        s.b[0] ^= 1;
        assert_int_equal(verify(key, CS_COSE_EDDSA, &s), CS_E_AUTH);
        EVP_MD_CTX_free(ctx);
        EVP_PKEY_free(key);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ecdsa_with_every_curve),
        cmocka_unit_test(test_signatures_of_another_width_are_refused),
        cmocka_unit_test(test_eddsa_with_both_curves),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
