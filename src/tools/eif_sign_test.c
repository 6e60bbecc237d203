/* Tests of tools/eif_sign and attest/eif_signature: signed here, verified there; whatever was changed in between is noticed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/pem.h>

#include "codec/cose.h"
#include "secret/mem.h"
#include "tools/eif_sign.h"

static char dir[64];
static char cert_path[128], key_path[128], other_key_path[128];
static uint8_t section_mem[CS_EIF_SIGNATURE_MAX];
static const cs_pcr pcr0 = {{1, 2, 3, 200, 24, 23}};

static EVP_PKEY *make_key(const char *path, const char *curve)
{
    EVP_PKEY *key = EVP_EC_gen(curve);
    FILE *f = fopen(path, "w");

    assert_non_null(key);
    assert_non_null(f);
    assert_int_equal(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(fclose(f), 0);
    return key;
}

/* A self-signed certificate that is valid from now + from_s to now + to_s. */
static void make_cert(EVP_PKEY *key, long from_s, long to_s)
{
    X509 *cert = X509_new();
    FILE *f = fopen(cert_path, "w");

    assert_non_null(f);
    assert_int_equal(X509_set_version(cert, 2), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(cert), 7), 1);
    assert_int_equal(X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                                                (const unsigned char *)"eif", -1, -1, 0),
                     1);
    assert_int_equal(X509_set_issuer_name(cert, X509_get_subject_name(cert)), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(cert), from_s));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(cert), to_s));
    assert_int_equal(X509_set_pubkey(cert, key), 1);
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    assert_int_equal(PEM_write_X509(f, cert), 1);
    assert_int_equal(fclose(f), 0);
    X509_free(cert);
}

static cs_err sign(cs_buf *section, cs_pcr *pcr8, const char *key)
{
    const char *what = NULL;

    *section = cs_buf_wrap(section_mem, sizeof section_mem);
    cs_err err = cs_eif_sign(section, pcr8, &what, cert_path, key, &pcr0);
    assert_non_null(what);
    return err;
}

static cs_err check(cs_slice section, const cs_pcr *pcr, cs_pcr *out_pcr8)
{
    cs_eif_signed s;
    cs_err err = cs_eif_signature_check(&s, section, pcr);

    if (out_pcr8 != NULL) {
        *out_pcr8 = s.pcr8;
    }
    cs_eif_signed_cleanup(&s);
    return err;
}

static void every_curve_signs_and_is_verified(void **state)
{
    static const struct {
        const char *curve;
        int64_t alg;
    } curves[] = {{"P-256", CS_COSE_ES256}, {"P-384", CS_COSE_ES384}, {"P-521", CS_COSE_ES512}};

    for (size_t i = 0; i < 3; i++) {
        EVP_PKEY *key = make_key(key_path, curves[i].curve);
        cs_pcr pcr8, seen;
        cs_eif_signed s;
        cs_buf section;

        make_cert(key, -60, 3600);
        assert_int_equal(sign(&section, &pcr8, key_path), CS_OK);
        assert_int_equal(check(cs_buf_slice(&section), &pcr0, &seen), CS_OK);
        assert_memory_equal(&pcr8, &seen, sizeof seen);
        assert_int_equal(cs_eif_signature_check(&s, cs_buf_slice(&section), &pcr0), CS_OK);
        assert_int_equal(s.alg, curves[i].alg);
        cs_eif_signed_cleanup(&s);
        EVP_PKEY_free(key);
    }
}

static void the_payload_is_as_serde_writes_it(void **state)
{
    uint8_t mem[256];
    cs_buf b = cs_buf_wrap(mem, sizeof mem);
    static const uint8_t start[] =
        "\xa2\x6eregister_index\x00\x6eregister_value\x98\x30\x01\x02\x03\x18\xc8\x18\x18\x17";

    assert_int_equal(cs_eif_signature_payload(&b, &pcr0), CS_OK);
    assert_memory_equal(b.p, start, sizeof start - 1);
    assert_int_equal(b.len, sizeof start - 1 + 42);
}

static void a_changed_signature_or_image_is_noticed(void **state)
{
    EVP_PKEY *key = make_key(key_path, "P-384");
    cs_pcr pcr8, other = pcr0;
    cs_buf section;

    make_cert(key, -60, 3600);
    EVP_PKEY_free(key);
    assert_int_equal(sign(&section, &pcr8, key_path), CS_OK);
    other.b[47] ^= 1;
    assert_int_equal(check(cs_buf_slice(&section), &other, NULL), CS_E_EIF_SIGNATURE);
    assert_int_equal(check(cs_slice_of(section.p, section.len - 1), &pcr0, NULL), CS_E_EIF_FORMAT);
    /* the COSE message is what stands behind the name of the second field */
    uint8_t *cose = memmem(section.p, section.len, "signature\x98", 10);
    cose = cose != NULL ? cose : memmem(section.p, section.len, "signature\x99", 10);
    assert_non_null(cose);
    for (size_t i = (size_t)(cose - section.p); i < section.len; i++) {
        for (unsigned bit = 0; bit < 8; bit += 3) {
            section.p[i] ^= (uint8_t)(1u << bit);
            cs_err err = check(cs_buf_slice(&section), &pcr0, NULL);
            assert_true(err == CS_E_EIF_SIGNATURE || err == CS_E_EIF_FORMAT);
            section.p[i] ^= (uint8_t)(1u << bit);
        }
    }
    assert_int_equal(check(cs_buf_slice(&section), &pcr0, NULL), CS_OK);
}

/* The message of another key, and one whose algorithm is not the key's. */
static void a_signature_by_another_key_is_refused(void **state)
{
    EVP_PKEY *key = make_key(key_path, "P-256"), *other = make_key(other_key_path, "P-256");
    cs_eif_signature first, second;
    uint8_t mem_a[4096], mem_b[4096], mixed_mem[8192];
    cs_buf a = cs_buf_wrap(mem_a, sizeof mem_a), b = cs_buf_wrap(mem_b, sizeof mem_b), section;
    cs_buf mixed = cs_buf_wrap(mixed_mem, sizeof mixed_mem);
    cs_pcr pcr8;

    make_cert(key, -60, 3600);
    assert_int_equal(sign(&section, &pcr8, other_key_path), CS_E_EIF_SIGNER); /* not the certificate's key */
    assert_int_equal(section.len, 0);
    assert_int_equal(sign(&section, &pcr8, key_path), CS_OK);
    assert_int_equal(cs_eif_signature_parse(&first, &a, cs_buf_slice(&section)), CS_OK);
    make_cert(other, -60, 3600);
    assert_int_equal(sign(&section, &pcr8, other_key_path), CS_OK);
    assert_int_equal(cs_eif_signature_parse(&second, &b, cs_buf_slice(&section)), CS_OK);
    first.cose = second.cose;
    assert_int_equal(cs_eif_signature_put(&mixed, &first), CS_OK);
    assert_int_equal(check(cs_buf_slice(&mixed), &pcr0, NULL), CS_E_EIF_SIGNATURE);
    EVP_PKEY_free(key);
    EVP_PKEY_free(other);
}

static void keys_and_certificates_that_cannot_sign_are_refused(void **state)
{
    EVP_PKEY *key = make_key(key_path, "P-256"), *k1 = make_key(other_key_path, "secp256k1");
    cs_buf section;
    cs_pcr pcr8;
    FILE *f;

    make_cert(key, -7200, -3600);
    assert_int_equal(sign(&section, &pcr8, key_path), CS_E_EIF_SIGNER); /* expired */
    make_cert(key, 3600, 7200);
    assert_int_equal(sign(&section, &pcr8, key_path), CS_E_EIF_SIGNER); /* not yet */
    make_cert(k1, -60, 3600);
    assert_int_equal(sign(&section, &pcr8, other_key_path), CS_E_EIF_SIGNER); /* another curve */
    make_cert(key, -60, 3600);
    assert_int_equal(sign(&section, &pcr8, cert_path), CS_E_EIF_SIGNER); /* no key in it */
    assert_int_equal(sign(&section, &pcr8, "/nonexistent"), CS_E_IO);
    f = fopen(cert_path, "a");
    assert_int_equal(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(sign(&section, &pcr8, key_path), CS_E_EIF_SIGNER); /* the key would be in the image */
    make_cert(key, -60, 3600);
    f = fopen(key_path, "w");
    assert_int_equal(PEM_write_PKCS8PrivateKey(f, key, EVP_aes_128_cbc(), "secret", 6, NULL, NULL), 1);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(sign(&section, &pcr8, key_path), CS_E_EIF_SIGNER); /* encrypted: nobody is asked */
    assert_int_equal(section.len, 0);
    EVP_PKEY_free(key);
    EVP_PKEY_free(k1);
}

static void a_signature_is_attached_once(void **state)
{
    static const cs_slice body = {(const uint8_t *)"x", 1}, again = {(const uint8_t *)"y", 1};
    cs_eif e = {.num_sections = 3, .sections = {{CS_EIF_KERNEL, {0}}, {CS_EIF_CMDLINE, {0}}, {CS_EIF_RAMDISK, {0}}}};

    assert_int_equal(cs_eif_attach(&e, body), CS_OK);
    assert_int_equal(e.num_sections, 4);
    assert_int_equal(cs_eif_attach(&e, again), CS_OK);
    assert_int_equal(e.num_sections, 4);
    assert_int_equal(e.sections[3].type, CS_EIF_SIGNATURE);
    assert_true(cs_slice_eq(e.sections[3].body, again));
    e.num_sections = CS_EIF_MAX_SECTIONS;
    for (size_t i = 3; i < CS_EIF_MAX_SECTIONS; i++) {
        e.sections[i].type = CS_EIF_RAMDISK;
    }
    assert_int_equal(cs_eif_attach(&e, body), CS_E_EIF_SECTIONS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_curve_signs_and_is_verified),
        cmocka_unit_test(the_payload_is_as_serde_writes_it),
        cmocka_unit_test(a_changed_signature_or_image_is_noticed),
        cmocka_unit_test(a_signature_by_another_key_is_refused),
        cmocka_unit_test(keys_and_certificates_that_cannot_sign_are_refused),
        cmocka_unit_test(a_signature_is_attached_once),
    };

    (void)snprintf(dir, sizeof dir, "/tmp/eif_sign_test.%ld", (long)getpid());
    if (mkdtemp(strcat(dir, ".XXXXXX")) == NULL || cs_arena_init(CS_EIF_SIGN_ARENA, false) != CS_OK) {
        return 1;
    }
    (void)snprintf(cert_path, sizeof cert_path, "%s/cert.pem", dir);
    (void)snprintf(key_path, sizeof key_path, "%s/key.pem", dir);
    (void)snprintf(other_key_path, sizeof other_key_path, "%s/other.pem", dir);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)unlink(cert_path);
    (void)unlink(key_path);
    (void)unlink(other_key_path);
    (void)rmdir(dir);
    return failed;
}
