/* Tests of secret/cms with envelopes built here: all forms open, everything else ends in the one error. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/cms.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "base/text.h"
#include "secret/cms.h"

static EVP_PKEY *rsa, *other_rsa;

typedef enum form { PRIMITIVE, ONE_PIECE, TWO_PIECES } form;

/* How an envelope is made, and where it is broken. */
typedef struct recipe {
    form form;
    bool definite;     /* DER lengths on every level */
    bool no_null;      /* hash parameters absent instead of NULL */
    bool p_source;     /* empty label written out */
    const char *plain; /* padded by the builder unless raw_len is set */
    size_t raw_len;    /* this many bytes of raw are encrypted as they are */
    uint8_t raw[64];
    size_t key_len; /* of the wrapped content key; 0: 32 */
    unsigned fault; /* 1..NUM_FAULTS */
} recipe;

enum {
    NO_FAULT,
    OUTER_OID,
    VERSION_0,
    RECIPIENT_VERSION,
    TWO_RECIPIENTS,
    KEY_ALG,
    HASH,
    MGF_HASH,
    CONTENT_OID,
    CIPHER,
    IV_LEN,
    NO_CONTENT,
    EMPTY_CONTENT,
    ODD_CONTENT,
    TRAILING_INSIDE,
    WRAP_DEEP,
    NUM_FAULTS
};

static void put_len(cs_buf *b, size_t len)
{
    if (len < 128) {
        assert_int_equal(cs_put_u8(b, (uint8_t)len), CS_OK);
    } else {
        assert_int_equal(cs_put_u8(b, 0x82), CS_OK);
        assert_int_equal(cs_put_u16(b, (uint16_t)len), CS_OK);
    }
}

static void tlv(cs_buf *b, uint8_t tag, cs_slice v)
{
    assert_int_equal(cs_put_u8(b, tag), CS_OK);
    put_len(b, v.len);
    assert_int_equal(cs_put_slice(b, v), CS_OK);
}

static void tlv_hex(cs_buf *b, uint8_t tag, const char *hex)
{
    uint8_t raw[64];

    assert_int_equal(cs_hex_decode(raw, strlen(hex) / 2, cs_slice_str(hex)), CS_OK);
    tlv(b, tag, cs_slice_of(raw, strlen(hex) / 2));
}

/* Wraps what was written since `from` into a constructed element. */
static void wrap(cs_buf *b, size_t from, uint8_t tag, bool indefinite)
{
    uint8_t tmp[8192];
    size_t len = b->len - from;

    memcpy(tmp, b->p + from, len);
    b->len = from;
    if (!indefinite) {
        tlv(b, tag, cs_slice_of(tmp, len));
        return;
    }
    assert_int_equal(cs_put_u8(b, tag), CS_OK);
    assert_int_equal(cs_put_u8(b, 0x80), CS_OK);
    assert_int_equal(cs_put(b, tmp, len), CS_OK);
    assert_int_equal(cs_put_u16(b, 0), CS_OK);
}

static void put_hash(cs_buf *b, const recipe *r, bool wrong)
{
    size_t from = b->len;

    tlv_hex(b, 0x06, wrong ? "608648016503040202" : "608648016503040201");
    if (!r->no_null) {
        tlv(b, 0x05, CS_SLICE_NULL);
    }
    wrap(b, from, 0x30, false);
}

static void put_oaep(cs_buf *b, const recipe *r)
{
    size_t from = b->len, params, inner;

    tlv_hex(b, 0x06, r->fault == KEY_ALG ? "2a864886f70d010101" : "2a864886f70d010107");
    params = inner = b->len;
    put_hash(b, r, r->fault == HASH);
    wrap(b, inner, 0xa0, false);
    inner = b->len;
    tlv_hex(b, 0x06, "2a864886f70d010108");
    put_hash(b, r, r->fault == MGF_HASH);
    wrap(b, inner, 0x30, false);
    wrap(b, inner, 0xa1, false);
    if (r->p_source) {
        inner = b->len;
        tlv_hex(b, 0x06, "2a864886f70d010109");
        tlv(b, 0x04, CS_SLICE_NULL);
        wrap(b, inner, 0x30, false);
        wrap(b, inner, 0xa2, false);
    }
    wrap(b, params, 0x30, false);
    wrap(b, from, 0x30, false);
}

static size_t wrap_key(uint8_t out[512], const uint8_t *key, size_t key_len)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(rsa, NULL);
    size_t len = 512;

    assert_int_equal(EVP_PKEY_encrypt_init(ctx), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_oaep_md(ctx, EVP_sha256()), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, EVP_sha256()), 1);
    assert_int_equal(EVP_PKEY_encrypt(ctx, out, &len, key, key_len), 1);
    EVP_PKEY_CTX_free(ctx);
    return len;
}

static void put_recipient(cs_buf *b, const recipe *r, const uint8_t *key)
{
    size_t from = b->len;
    uint8_t wrapped[512];
    size_t wrapped_len = wrap_key(wrapped, key, r->key_len ? r->key_len : 32);

    tlv_hex(b, 0x02, r->fault == RECIPIENT_VERSION ? "00" : "02");
    tlv_hex(b, 0x80, "0102030405060708");
    put_oaep(b, r);
    tlv(b, 0x04, cs_slice_of(wrapped, wrapped_len));
    wrap(b, from, 0x30, false);
}

static size_t encrypt(uint8_t out[256], const recipe *r, const uint8_t key[32], const uint8_t iv[16])
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    size_t in_len = r->raw_len ? r->raw_len : strlen(r->plain);
    const uint8_t *in = r->raw_len ? r->raw : (const uint8_t *)r->plain;
    int len = 0, last = 0;

    assert_int_equal(EVP_EncryptInit_ex(ctx, EVP_aes_256_cbc(), NULL, key, iv), 1);
    EVP_CIPHER_CTX_set_padding(ctx, r->raw_len == 0);
    assert_int_equal(EVP_EncryptUpdate(ctx, out, &len, in, (int)in_len), 1);
    assert_int_equal(EVP_EncryptFinal_ex(ctx, out + len, &last), 1);
    EVP_CIPHER_CTX_free(ctx);
    return (size_t)(len + last);
}

static void put_content(cs_buf *b, const recipe *r, const uint8_t key[32], const uint8_t iv[16])
{
    uint8_t ct[256];
    size_t len = encrypt(ct, r, key, iv), from = b->len;

    if (r->fault == NO_CONTENT) {
        return;
    }
    len = r->fault == EMPTY_CONTENT ? 0 : r->fault == ODD_CONTENT ? len - 1 : len;
    if (r->form == PRIMITIVE) {
        tlv(b, 0x80, cs_slice_of(ct, len));
        return;
    }
    if (r->form == TWO_PIECES) {
        tlv(b, 0x04, cs_slice_of(ct, 5));
        tlv(b, 0x04, cs_slice_of(ct + 5, len - 5));
    } else {
        tlv(b, 0x04, cs_slice_of(ct, len));
    }
    wrap(b, from, 0xa0, !r->definite);
}

static void put_content_info(cs_buf *b, const recipe *r, const uint8_t *key)
{
    const uint8_t iv[17] = {1, 2, 3};
    size_t from = b->len, alg;

    tlv_hex(b, 0x06, r->fault == CONTENT_OID ? "2a864886f70d010702" : "2a864886f70d010701");
    alg = b->len;
    tlv_hex(b, 0x06, r->fault == CIPHER ? "608648016503040102" : "60864801650304012a");
    tlv(b, 0x04, cs_slice_of(iv, r->fault == IV_LEN ? 17 : 16));
    wrap(b, alg, 0x30, false);
    put_content(b, r, key, iv);
    if (r->fault == TRAILING_INSIDE) {
        tlv(b, 0x05, CS_SLICE_NULL);
    }
    wrap(b, from, 0x30, !r->definite);
}

static cs_slice build(const recipe *r)
{
    static uint8_t mem[8192];
    const uint8_t key[64] = {7, 7, 7};
    cs_buf b = cs_buf_wrap(mem, sizeof mem);
    size_t set, start;

    tlv_hex(&b, 0x06, r->fault == OUTER_OID ? "2a864886f70d010702" : "2a864886f70d010703");
    start = b.len;
    tlv_hex(&b, 0x02, r->fault == VERSION_0 ? "00" : "02");
    set = b.len;
    put_recipient(&b, r, key);
    if (r->fault == TWO_RECIPIENTS) {
        put_recipient(&b, r, key);
    }
    wrap(&b, set, 0x31, false);
    put_content_info(&b, r, key);
    wrap(&b, start, 0x30, !r->definite);
    for (int i = r->fault == WRAP_DEEP ? 20 : 1; i > 0; i--) {
        wrap(&b, start, 0xa0, !r->definite);
    }
    wrap(&b, 0, 0x30, !r->definite);
    return cs_buf_slice(&b);
}

static cs_err open_it(cs_buf *out, cs_slice envelope, EVP_PKEY *key)
{
    static uint8_t mem[8192];
    cs_err err;

    *out = cs_buf_wrap(mem, sizeof mem);
    assert_int_equal(cs_put_u8(out, 9), CS_OK);
    err = cs_cms_open(out, envelope, key);
    if (err != CS_OK) {
        assert_int_equal(out->len, 1);
        assert_int_equal(cs_arena_used(), 0);
    }
    return err;
}

static const char text[] = "AGE-SECRET-KEY-TEST-ONLY-of-some-length";

static void test_all_legal_forms_open(void **state)
{
    for (unsigned bits = 0; bits < 24; bits++) {
        recipe r = {.form = (form)(bits % 3),
                    .definite = (bits / 3) & 1,
                    .no_null = (bits / 6) & 1,
                    .p_source = (bits / 12) & 1,
                    .plain = text};
        cs_slice envelope = build(&r);
        static cs_cms_fields f;
        cs_buf out;

        assert_int_equal(open_it(&out, envelope, rsa), CS_OK);
        assert_true(cs_slice_eq_str(cs_slice_of(out.p + 1, out.len - 1), text));
        assert_int_equal(cs_cms_parse(&f, envelope), CS_OK);
        assert_true(f.encrypted_key.len == 256 && f.iv.len == 16 && f.content_len == 48 && f.recipient_id.len == 8);
    }
}

static void test_an_envelope_of_openssl_opens(void **state)
{
    X509 *cert = X509_new();
    BIO *in = BIO_new_mem_buf(text, sizeof text - 1);
    CMS_ContentInfo *cms = CMS_encrypt(NULL, in, EVP_aes_256_cbc(), CMS_BINARY | CMS_PARTIAL);
    CMS_RecipientInfo *ri;
    EVP_PKEY_CTX *ctx;
    uint8_t *der = NULL;
    cs_buf out;
    int len;

    /* a certificate with a subject key identifier, as nothing else is taken from it */
    assert_int_equal(X509_set_version(cert, 2), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(cert), 1), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), 0);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    assert_int_equal(X509_set_pubkey(cert, rsa), 1);
    X509_EXTENSION *ski = X509V3_EXT_conf_nid(NULL, &(X509V3_CTX){.subject_cert = cert, .issuer_cert = cert},
                                              NID_subject_key_identifier, "hash");
    assert_int_equal(X509_add_ext(cert, ski, -1), 1);
    X509_EXTENSION_free(ski);
    assert_true(X509_sign(cert, rsa, EVP_sha256()) > 0);
    ri = CMS_add1_recipient_cert(cms, cert, CMS_KEY_PARAM | CMS_USE_KEYID);
    ctx = CMS_RecipientInfo_get0_pkey_ctx(ri);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_oaep_md(ctx, EVP_sha256()), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, EVP_sha256()), 1);
    assert_int_equal(CMS_final(cms, in, NULL, CMS_BINARY), 1);
    len = i2d_CMS_ContentInfo(cms, &der);
    assert_true(len > 0);
    assert_int_equal(open_it(&out, cs_slice_of(der, (size_t)len), rsa), CS_OK);
    assert_true(cs_slice_eq_str(cs_slice_of(out.p + 1, out.len - 1), text));
    OPENSSL_free(der);
    CMS_ContentInfo_free(cms);
    BIO_free(in);
    X509_free(cert);
}

static void test_every_fault_is_the_one_error(void **state)
{
    for (unsigned fault = 1; fault < NUM_FAULTS; fault++) {
        for (int definite = 0; definite < 2; definite++) {
            recipe r = {.plain = text, .fault = fault, .definite = definite != 0};
            cs_buf out;

            assert_int_equal(open_it(&out, build(&r), rsa), CS_E_CMS);
        }
    }
}

static void test_a_cut_or_longer_envelope_is_refused(void **state)
{
    for (unsigned f = 0; f < 3; f++) {
        recipe r = {.plain = text, .form = (form)f};
        cs_slice envelope = build(&r);
        uint8_t copy[CS_CMS_MAX + 1] = {0};
        cs_buf out;

        for (size_t len = 0; len < envelope.len; len++) {
            assert_int_equal(open_it(&out, cs_slice_of(envelope.p, len), rsa), CS_E_CMS);
        }
        memcpy(copy, envelope.p, envelope.len);
        assert_int_equal(open_it(&out, cs_slice_of(copy, envelope.len + 1), rsa), CS_E_CMS);
        assert_int_equal(open_it(&out, cs_slice_of(copy, sizeof copy), rsa), CS_E_CMS);
    }
}

static void test_wrong_keys_are_refused(void **state)
{
    recipe r = {.plain = text};
    cs_buf out;

    assert_int_equal(open_it(&out, build(&r), other_rsa), CS_E_CMS);
    r.key_len = 31;
    assert_int_equal(open_it(&out, build(&r), rsa), CS_E_CMS);
    r.key_len = 33;
    assert_int_equal(open_it(&out, build(&r), rsa), CS_E_CMS);
}

static void test_a_flipped_bit_in_the_wrapped_key_is_refused(void **state)
{
    recipe r = {.plain = text};
    cs_slice envelope = build(&r);
    static cs_cms_fields f;
    uint8_t *wrapped;
    cs_buf out;

    assert_int_equal(cs_cms_parse(&f, envelope), CS_OK);
    wrapped = (uint8_t *)envelope.p + (f.encrypted_key.p - envelope.p);
    for (size_t bit = 0; bit < f.encrypted_key.len * 8; bit += 37) {
        wrapped[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(open_it(&out, envelope, rsa), CS_E_CMS);
        wrapped[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_int_equal(open_it(&out, envelope, rsa), CS_OK);
}

static void test_padding_is_checked_whole(void **state)
{
    for (unsigned pad = 0; pad <= 17; pad++) {
        recipe r = {.raw_len = 32};
        cs_buf out;
        bool good = pad >= 1 && pad <= 16;

        memset(r.raw, 0xee, sizeof r.raw);
        for (unsigned i = 0; i < pad && i < 32; i++) {
            r.raw[31 - i] = (uint8_t)pad;
        }
        r.raw[31] = (uint8_t)pad;
        assert_int_equal(open_it(&out, build(&r), rsa), good ? CS_OK : CS_E_CMS);
        if (good) {
            assert_int_equal(out.len, 1 + 32 - pad);
        }
        if (good && pad > 1) {
            r.raw[32 - pad] ^= 1; /* the padding byte farthest from the end */
            assert_int_equal(open_it(&out, build(&r), rsa), CS_E_CMS);
        }
    }
}

static int setup(void **state)
{
    rsa = EVP_RSA_gen(2048);
    other_rsa = EVP_RSA_gen(2048);
    return rsa != NULL && other_rsa != NULL && cs_arena_init(1 << 20, false) == CS_OK ? 0 : -1;
}

static int teardown(void **state)
{
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(other_rsa);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_legal_forms_open),
        cmocka_unit_test(test_an_envelope_of_openssl_opens),
        cmocka_unit_test(test_every_fault_is_the_one_error),
        cmocka_unit_test(test_a_cut_or_longer_envelope_is_refused),
        cmocka_unit_test(test_wrong_keys_are_refused),
        cmocka_unit_test(test_a_flipped_bit_in_the_wrapped_key_is_refused),
        cmocka_unit_test(test_padding_is_checked_whole),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
