/* Tokens: signatures of both algorithms, what makes a key or a header unfit, and each claim. Vectors of others: tests/vectors/suite_jws.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>

#include "base/text.h"
#include "net/jws.h"

/* the key of RFC 8037 appendix A */
static const char seed_text[] = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
#define X_TEXT "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
static const char ed_key[] = "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"one\",\"x\":\"" X_TEXT "\"}";
static const cs_jwt_rules rules = {"joe", "us", 1000, 10};

static cs_jws_keys *keys_of(const char *text)
{
    cs_jws_keys *k = NULL;
    assert_int_equal(cs_jws_keys_read(&k, cs_slice_str(text)), CS_OK);
    return k;
}

static cs_err keys_err(const char *text)
{
    cs_jws_keys *k = NULL;
    cs_err err = cs_jws_keys_read(&k, cs_slice_str(text));
    cs_jws_keys_free(k);
    return err;
}

/* header.payload.signature by the key above */
static const char *make(const char *header, const char *payload)
{
    static char text[4096];
    uint8_t mem[32], sig[64];
    size_t sig_len = sizeof sig;
    cs_buf seed = cs_buf_wrap(mem, sizeof mem), out = cs_buf_wrap(text, sizeof text);
    assert_int_equal(cs_b64_get(&seed, cs_slice_str(seed_text), CS_B64_URL), CS_OK);
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed.p, 32);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    assert_int_equal(cs_b64_put(&out, cs_slice_str(header), CS_B64_URL), CS_OK);
    assert_int_equal(cs_put_str(&out, "."), CS_OK);
    assert_int_equal(cs_b64_put(&out, cs_slice_str(payload), CS_B64_URL), CS_OK);
    assert_int_equal(EVP_DigestSignInit(ctx, NULL, NULL, NULL, key), 1);
    assert_int_equal(EVP_DigestSign(ctx, sig, &sig_len, out.p, out.len), 1);
    assert_int_equal(cs_put_str(&out, "."), CS_OK);
    assert_int_equal(cs_b64_put(&out, cs_slice_of(sig, sizeof sig), CS_B64_URL), CS_OK);
    assert_int_equal(cs_put_u8(&out, 0), CS_OK);
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    return text;
}

static cs_err verify(const char *keys, const char *token)
{
    uint8_t mem[CS_JWS_MAX];
    cs_buf out = cs_buf_wrap(mem, sizeof mem);
    cs_jws_keys *k = keys_of(keys);
    cs_err err = cs_jws_verify(&out, k, cs_slice_str(token));
    assert_true(err == CS_OK || out.len == 0);
    cs_jws_keys_free(k);
    return err;
}

static void jws_accepts_what_the_key_signed(void **state)
{
    assert_int_equal(verify(ed_key, make("{\"alg\":\"EdDSA\"}", "x")), CS_OK);
    assert_int_equal(verify(ed_key, make("{\"alg\":\"EdDSA\",\"kid\":\"one\",\"typ\":\"JWT\"}", "x")), CS_OK);
    assert_int_equal(
        verify("{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AA\",\"e\":\"AQAB\"},{\"kty\":\"OKP\",\"crv\":\"Ed25519\","
               "\"x\":\"" X_TEXT "\"}]}",
               make("{\"alg\":\"EdDSA\",\"kid\":\"any\"}", "x")),
        CS_OK);
}

static void jws_refuses_headers_that_are_not_for_it(void **state)
{
    static const char *const headers[] = {
        "{\"alg\":\"none\"}",
        "{\"alg\":\"ES256\"}",
        "{\"alg\":\"HS256\"}",
        "{\"alg\":\"eddsa\"}",
        "{\"alg\":1}",
        "{}",
        "[]",
        "{\"alg\":\"EdDSA\",\"alg\":\"EdDSA\"}",
        "{\"alg\":\"EdDSA\",\"crit\":[\"exp\"]}",
        "{\"alg\":\"EdDSA\",\"b64\":false}",
        "{\"alg\":\"EdDSA\",\"jwk\":{}}",
        "{\"alg\":\"EdDSA\",\"jku\":\"https://x\"}",
        "{\"alg\":\"EdDSA\",\"kid\":\"two\"}",
        "{\"alg\":\"EdDSA\",\"kid\":2}",
        "{\"alg\":\"EdDSA\"} x",
        "",
    };
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        assert_int_equal(verify(ed_key, make(headers[i], "x")), CS_E_TOKEN);
    }
}

static void jws_refuses_other_forms(void **state)
{
    char text[4096];
    const char *good = make("{\"alg\":\"EdDSA\"}", "xy");
    static const char *const forms[] = {"", ".", "..", "...", "a.b", "a.b.c.d", "{\"payload\":\"\"}"};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        assert_int_equal(verify(ed_key, forms[i]), CS_E_TOKEN);
    }
    for (const char *end = "=. A"; *end != '\0'; end++) {
        (void)snprintf(text, sizeof text, "%s%c", good, *end);
        assert_int_equal(verify(ed_key, text), CS_E_TOKEN);
    }
    (void)snprintf(text, sizeof text, " %s", good);
    assert_int_equal(verify(ed_key, text), CS_E_TOKEN);
    (void)snprintf(text, sizeof text, "%.*s", (int)strlen(good) - 1, good);
    assert_int_equal(verify(ed_key, text), CS_E_TOKEN);
}

static void jws_a_token_that_is_too_long_is_refused(void **state)
{
    static uint8_t big[CS_JWS_MAX + 1], mem[64];
    cs_buf out = cs_buf_wrap(mem, sizeof mem);
    cs_jws_keys *k = keys_of(ed_key);
    memset(big, 'A', sizeof big);
    assert_int_equal(cs_jws_verify(&out, k, cs_slice_of(big, sizeof big)), CS_E_TOKEN);
    cs_jws_keys_free(k);
}

static void jws_keys_that_do_not_fit_are_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "x",
        "{}",
        "{\"keys\":[]}",
        "{\"keys\":{}}",
        "{\"keys\":[1]}",
        "{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"" X_TEXT "\"}",
        "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"" X_TEXT "\",\"d\":\"" X_TEXT "\"}",
        "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"" X_TEXT "\",\"use\":\"enc\"}",
        "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"" X_TEXT "\",\"key_ops\":[\"sign\"]}",
        "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"" X_TEXT "\",\"alg\":\"ES256\"}",
        "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"" X_TEXT "=\"}",
        "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AAAA\"}",
        "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":5,\"x\":\"" X_TEXT "\"}",
        /* not a point of the curve */
        "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" X_TEXT "\",\"y\":\"" X_TEXT "\"}",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(keys_err(bad[i]), CS_E_FORMAT);
    }
}

static void jws_reads_pem(void **state)
{
    static const char pem[] = "-----BEGIN PUBLIC KEY-----\n"
                              "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n"
                              "-----END PUBLIC KEY-----\n";
    assert_int_equal(verify(pem, make("{\"alg\":\"EdDSA\",\"kid\":\"whatever\"}", "x")), CS_OK);
}

typedef struct claim_case {
    const char *claims, *why; /* NULL: accepted */
} claim_case;

static void jwt_checks_each_claim(void **state)
{
    static const claim_case cases[] = {
        {"{\"iss\":\"joe\",\"aud\":\"us\",\"exp\":1001}", NULL},
        {"{\"iss\":\"joe\",\"aud\":[\"them\",\"us\"],\"exp\":1000.5,\"sub\":\"app\"}", NULL},
        {"{\"iss\":\"joe\",\"aud\":\"us\",\"exp\":991}", NULL}, /* leeway */
        {"{\"iss\":\"joe\",\"aud\":\"us\",\"exp\":2000,\"nbf\":1010,\"iat\":1010}", NULL},
        {"{\"iss\":\"joe\",\"aud\":\"us\",\"exp\":990}", "expired"},
        {"{\"iss\":\"joe\",\"aud\":\"us\"}", "exp is missing or no date"},
        {"{\"iss\":\"joe\",\"aud\":\"us\",\"exp\":\"2000\"}", "exp is missing or no date"},
        {"{\"iss\":\"joe\",\"aud\":\"us\",\"exp\":-1}", "exp is missing or no date"},
        {"{\"iss\":\"joe\",\"aud\":\"us\",\"exp\":1e300}", "exp is missing or no date"},
        {"{\"iss\":\"joe\",\"aud\":\"us\",\"exp\":2000,\"nbf\":1011}", "nbf: not valid yet"},
        {"{\"iss\":\"joe\",\"aud\":\"us\",\"exp\":2000,\"nbf\":null}", "nbf: not valid yet"},
        {"{\"iss\":\"joe\",\"aud\":\"us\",\"exp\":2000,\"iat\":1011}", "iat: made in the future"},
        {"{\"iss\":\"jo\",\"aud\":\"us\",\"exp\":2000}", "iss: not an accepted issuer"},
        {"{\"aud\":\"us\",\"exp\":2000}", "iss: not an accepted issuer"},
        {"{\"iss\":\"joe\",\"exp\":2000}", "aud: not for this service"},
        {"{\"iss\":\"joe\",\"aud\":[],\"exp\":2000}", "aud: not for this service"},
        {"{\"iss\":\"joe\",\"aud\":{\"us\":1},\"exp\":2000}", "aud: not for this service"},
        {"[]", "the payload is no JSON object"},
        {"{\"iss\":\"joe\",\"iss\":\"joe\",\"aud\":\"us\",\"exp\":2000}", "the payload is no JSON object"},
        {"", "the payload is no JSON object"},
    };
    cs_jws_keys *k = keys_of(ed_key);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cs_jwt jwt = {.subject = "before"};
        const char *why = NULL;
        cs_err err = cs_jwt_verify(&jwt, &why, k, cs_slice_str(make("{\"alg\":\"EdDSA\"}", cases[i].claims)), &rules);
        assert_int_equal(err, cases[i].why == NULL ? CS_OK : CS_E_TOKEN);
        assert_string_equal(why, cases[i].why == NULL ? "" : cases[i].why);
        assert_string_equal(jwt.subject, err != CS_OK ? "before" : i == 1 ? "app" : "");
    }
    cs_jws_keys_free(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jws_accepts_what_the_key_signed),
        cmocka_unit_test(jws_refuses_headers_that_are_not_for_it),
        cmocka_unit_test(jws_refuses_other_forms),
        cmocka_unit_test(jws_a_token_that_is_too_long_is_refused),
        cmocka_unit_test(jws_keys_that_do_not_fit_are_refused),
        cmocka_unit_test(jws_reads_pem),
        cmocka_unit_test(jwt_checks_each_claim),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
