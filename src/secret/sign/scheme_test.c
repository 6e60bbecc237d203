/* The table of algorithms: known answers of other implementations, ranges of keys, refusals, several threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>

#include "base/text.h"
#include "secret/rng.h"
#include "secret/sign/scheme.h"
#include "secret/th.h"

/*
 * Private key 01..20, message "pay 3 to wallet-8". ECDSA (deterministic, RFC 6979) and Ed25519 by Python's `cryptography`, BIP-340
 * by a transcription of its text into Python with the auxiliary randomness `aux` (of the body "a body").
 */
static const char message[] = "pay 3 to wallet-8";
static const char aux[] = "7ad3ea96c70990a46bc68d2020e35e557707411a44877331e7c65c86dc1de011";
static const struct vector {
    unsigned number;
    bool is_digest;
    const char *public_key, *sig;
} vectors[] = {
    {CS_SCHEME_ECDSA_K1, false, "0284bf7562262bbd6940085748f3be6afa52ae317155181ece31b66351ccffa4b0",
     "4e646b0ae6208ff4055957063907abb41676613f6cae533c8928cc799cccef7d466682c7e1c05cac6413708cb257f9a1f921cdac0f44587e1"
     "4d5e0475c965bc3"},
    {CS_SCHEME_ECDSA_K1, true, "0284bf7562262bbd6940085748f3be6afa52ae317155181ece31b66351ccffa4b0",
     "4e646b0ae6208ff4055957063907abb41676613f6cae533c8928cc799cccef7d466682c7e1c05cac6413708cb257f9a1f921cdac0f44587e1"
     "4d5e0475c965bc3"},
    {CS_SCHEME_ECDSA_P256, false, "02515c3d6eb9e396b904d3feca7f54fdcd0cc1e997bf375dca515ad0a6c3b4035f",
     "27e78924cceb94f3f11c4db1a1ad83a62ce2abf954902692d78ea9ba0c4d62d6088f41feb9c37d8c80fb65898a74f35b29b8bbb3d034b4cce"
     "9390bd8e98e696d"},
    {CS_SCHEME_ECDSA_P256, true, "02515c3d6eb9e396b904d3feca7f54fdcd0cc1e997bf375dca515ad0a6c3b4035f",
     "27e78924cceb94f3f11c4db1a1ad83a62ce2abf954902692d78ea9ba0c4d62d6088f41feb9c37d8c80fb65898a74f35b29b8bbb3d034b4cce"
     "9390bd8e98e696d"},
    {CS_SCHEME_ED25519, false, "79b5562e8fe654f94078b112e8a98ba7901f853ae695bed7e0e3910bad049664",
     "5f9a9770223bf3eec885b7e2f66a62c518369a302ba2772b0f3a074dc37983e9738fa65f91888497f9dfd4dd50ceb63723b910c3495a35537"
     "a83904d02bbef00"},
    {CS_SCHEME_BIP340, false, "84bf7562262bbd6940085748f3be6afa52ae317155181ece31b66351ccffa4b0",
     "57f7c2266a923e0445991d440a352f105c1dcb9d63a629c35d3cc8b0bbb684bf20a42fc81913d52df5fa5bcfd2f67af1285fcc26d6d18a90f"
     "c0f3896bdbff81f"},
    {CS_SCHEME_BIP340, true, "84bf7562262bbd6940085748f3be6afa52ae317155181ece31b66351ccffa4b0",
     "6b4dffbc5b605eeb61f1490ede80505474a149c0f9184489bed99d754e9c74d43d82f0c6e6e72d3f0c252407888ad6e617dcf58ab49f6e201"
     "9280010cd1b1ebc"},
};
#define NUM_VECTORS (sizeof vectors / sizeof *vectors)

static cs_secret32 key;

static int setup(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 32; i++) {
        key.b[i] = (uint8_t)(i + 1);
    }
    return 0;
}

static void hex(uint8_t *out, const char *text)
{
    assert_int_equal(cs_hex_decode(out, strlen(text) / 2, cs_slice_str(text)), CS_OK);
}

/* the message itself or its hash */
static cs_slice payload_of(const struct vector *v, uint8_t digest[32])
{
    cs_sha256 h;
    cs_sha256_init(&h);
    cs_sha256_put(&h, message, strlen(message));
    cs_sha256_end(&h, digest);
    return v->is_digest ? cs_slice_of(digest, 32) : cs_slice_str(message);
}

static void signs_what_other_implementations_sign(void **state)
{
    cs_secret32 a32;
    uint8_t digest[32], want[64], want_aux[32];
    (void)state;
    cs_scheme_aux(&a32, &key, cs_slice_str("a body"));
    hex(want_aux, aux);
    assert_memory_equal(a32.b, want_aux, 32);
    for (size_t i = 0; i < NUM_VECTORS; i++) {
        const cs_scheme *s = cs_scheme_of(vectors[i].number);
        cs_scheme_input in = {vectors[i].is_digest, payload_of(&vectors[i], digest), &a32};
        cs_scheme_public pub;
        cs_scheme_sig sig;
        assert_non_null(s);
        assert_int_equal(cs_scheme_check_key(s, &key), CS_OK);
        assert_int_equal(cs_scheme_public_key(s, &pub, &key), CS_OK);
        assert_int_equal(pub.len * 2, strlen(vectors[i].public_key));
        hex(want, vectors[i].public_key);
        assert_memory_equal(pub.b, want, pub.len);
        assert_int_equal(cs_scheme_sign(s, &sig, &key, &in), CS_OK);
        hex(want, vectors[i].sig);
        assert_memory_equal(sig.b, want, 64);
        assert_true(sig.recid <= (vectors[i].number == CS_SCHEME_ECDSA_K1 ? 3 : 0));
        assert_int_equal(cs_scheme_verify(s, &sig, cs_slice_of(pub.b, pub.len), &in), CS_OK);
        sig.b[40] ^= 1;
        assert_int_equal(cs_scheme_verify(s, &sig, cs_slice_of(pub.b, pub.len), &in), CS_E_AUTH);
        assert_int_equal(cs_scheme_verify(s, &sig, cs_slice_of(pub.b, pub.len - 1), &in), CS_E_FORMAT);
    }
}

static void keys_out_of_range_are_refused(void **state)
{
    static const char orders[][65] = {"fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141",
                                      "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"};
    (void)state;
    for (unsigned n = 1; n <= 4; n++) {
        const cs_scheme *s = cs_scheme_of(n);
        cs_err want = n == CS_SCHEME_ED25519 ? CS_OK : CS_E_RANGE;
        cs_scheme_input in = {n != CS_SCHEME_ED25519, cs_slice_of(key.b, 32), NULL};
        cs_secret32 k = {{0}};
        cs_scheme_public pub;
        cs_scheme_sig sig, old;
        memset(&sig, 7, sizeof sig);
        old = sig;
        assert_int_equal(cs_scheme_check_key(s, &k), want);
        assert_int_equal(cs_scheme_public_key(s, &pub, &k), want);
        assert_int_equal(cs_scheme_sign(s, &sig, &k, &in), want);
        if (want != CS_OK) {
            assert_memory_equal(&sig, &old, sizeof sig);
        }
        k.b[31] = 1;
        assert_int_equal(cs_scheme_check_key(s, &k), CS_OK);
        hex(k.b, orders[n == CS_SCHEME_ECDSA_P256]);
        assert_int_equal(cs_scheme_check_key(s, &k), want);
        k.b[31]--; /* the last one */
        assert_int_equal(cs_scheme_check_key(s, &k), CS_OK);
        assert_int_equal(cs_scheme_public_key(s, &pub, &k), CS_OK);
        memset(k.b, 0xff, 32);
        assert_int_equal(cs_scheme_check_key(s, &k), want);
    }
}

static void inputs_that_do_not_fit_are_refused(void **state)
{
    static const uint64_t no[] = {0, 5, 1ull << 32, UINT64_MAX};
    cs_scheme_sig sig;
    (void)state;
    for (size_t i = 0; i < sizeof no / sizeof *no; i++) {
        assert_null(cs_scheme_of(no[i]));
    }
    for (unsigned n = 1; n <= 4; n++) {
        const cs_scheme *s = cs_scheme_of(n);
        cs_scheme_public pub;
        assert_int_equal(cs_scheme_public_key(s, &pub, &key), CS_OK);
        for (size_t len = 0; len <= 32; len++) {
            cs_scheme_input in = {true, cs_slice_of(key.b, len), NULL};
            cs_err want = n == CS_SCHEME_ED25519 ? CS_E_ALGORITHM : len == 32 ? CS_OK : CS_E_DIGEST_LENGTH;
            assert_int_equal(cs_scheme_sign(s, &sig, &key, &in), want);
            if (want != CS_OK) {
                assert_int_equal(cs_scheme_verify(s, &sig, cs_slice_of(pub.b, pub.len), &in), want);
            }
        }
        cs_scheme_input empty = {false, CS_SLICE_NULL, NULL}; /* an empty message is one */
        assert_int_equal(cs_scheme_sign(s, &sig, &key, &empty), CS_OK);
        assert_int_equal(cs_scheme_verify(s, &sig, cs_slice_of(pub.b, pub.len), &empty), CS_OK);
    }
}

static void generated_keys_differ_and_sign(void **state)
{
    (void)state;
    for (unsigned n = 1; n <= 4; n++) {
        const cs_scheme *s = cs_scheme_of(n);
        cs_secret32 k[2], old;
        cs_scheme_public pub;
        cs_scheme_sig sig;
        cs_scheme_input in = {false, cs_slice_str(message), NULL};
        assert_int_equal(cs_scheme_generate(s, &k[0]), CS_OK);
        assert_int_equal(cs_scheme_generate(s, &k[1]), CS_OK);
        assert_memory_not_equal(k[0].b, k[1].b, 32);
        assert_int_equal(cs_scheme_check_key(s, &k[0]), CS_OK);
        assert_int_equal(cs_scheme_public_key(s, &pub, &k[0]), CS_OK);
        assert_int_equal(cs_scheme_sign(s, &sig, &k[0], &in), CS_OK);
        assert_int_equal(cs_scheme_verify(s, &sig, cs_slice_of(pub.b, pub.len), &in), CS_OK);
        old = k[0];
        (void)cs_random_fail_for_tests(1);
        assert_int_equal(cs_scheme_generate(s, &k[0]), CS_E_ENTROPY);
        assert_memory_equal(k[0].b, old.b, 32);
    }
}

static void *worker(void *arg)
{
    unsigned *bad = arg;
    for (unsigned i = 0; i < 200; i++) {
        const struct vector *v = &vectors[i % NUM_VECTORS];
        cs_secret32 a32;
        uint8_t digest[32], want[64];
        cs_scheme_input in = {v->is_digest, payload_of(v, digest), &a32};
        cs_scheme_sig sig;
        cs_scheme_aux(&a32, &key, cs_slice_str("a body"));
        hex(want, v->sig);
        *bad += cs_scheme_sign(cs_scheme_of(v->number), &sig, &key, &in) != CS_OK ||
                !cs_slice_eq(cs_slice_of(sig.b, 64), cs_slice_of(want, 64));
    }
    return NULL;
}

static void several_threads_sign_side_by_side(void **state)
{
    pthread_t t[4];
    unsigned bad[4] = {0};
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&t[i], NULL, worker, &bad[i]), 0);
    }
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(t[i], NULL), 0);
        assert_int_equal(bad[i], 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(several_threads_sign_side_by_side), /* first: the context is made by them */
        cmocka_unit_test(signs_what_other_implementations_sign), cmocka_unit_test(keys_out_of_range_are_refused),
        cmocka_unit_test(inputs_that_do_not_fit_are_refused),    cmocka_unit_test(generated_keys_differ_and_sign),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
