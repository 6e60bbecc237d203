/* See eif_sign.h. */
#include "tools/eif_sign.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>

#include "attest/cose_verify.h"
#include "secret/mem.h"
#include "tools/image_file.h"
#include "tools/secret_io.h"
#include "tools/tool_file.h"

#define PEM_MAX 16384u
#define DER_MAX 160
#define WIDTH_MAX 66u

static int no_passphrase(char *buf, int size, int for_writing, void *cookie)
{
    (void)buf;
    (void)size;
    (void)for_writing;
    (void)cookie;
    return -1; /* encrypted keys are refused, not asked for */
}

/* The key lives in OpenSSL's memory, which EVP_PKEY_free clears; the file's text lives in the arena. */
static cs_err read_key(EVP_PKEY **out, const char *path)
{
    cs_buf pem = {0};
    BIO *in = NULL;

    CS_TRY(cs_tool_read(&pem, path, PEM_MAX));
    in = BIO_new_mem_buf(pem.p, (int)pem.len);
    *out = in != NULL ? PEM_read_bio_PrivateKey(in, NULL, no_passphrase, NULL) : NULL;
    BIO_free(in); /* read only: it points into pem */
    cs_secret_buf_free(&pem);
    ERR_clear_error();
    return *out != NULL ? CS_OK : CS_E_EIF_SIGNER;
}

static cs_err sign_der(uint8_t der[DER_MAX], size_t *out_len, EVP_PKEY *key, int64_t alg, cs_slice tbs)
{
    const EVP_MD *md = alg == CS_COSE_ES256 ? EVP_sha256() : alg == CS_COSE_ES384 ? EVP_sha384() : EVP_sha512();
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok;

    *out_len = DER_MAX;
    ok = ctx != NULL && EVP_DigestSignInit(ctx, NULL, md, NULL, key) == 1 &&
         EVP_DigestSign(ctx, der, out_len, tbs.p, tbs.len) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return ok ? CS_OK : CS_E_EIF_SIGNER;
}

/* COSE has r and s side by side, each as wide as the curve. */
static cs_err put_raw(cs_buf *out, const uint8_t *der, size_t der_len, size_t width)
{
    uint8_t raw[2 * WIDTH_MAX];
    const uint8_t *p = der;
    ECDSA_SIG *sig = width <= WIDTH_MAX ? d2i_ECDSA_SIG(NULL, &p, (long)der_len) : NULL;
    bool ok = sig != NULL && BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, (int)width) == (int)width &&
              BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + width, (int)width) == (int)width;

    ECDSA_SIG_free(sig);
    return ok ? cs_put(out, raw, 2 * width) : CS_E_EIF_SIGNER;
}

/* An untagged COSE_Sign1 over the payload of pcr0, protected header {1: alg}. */
static cs_err make_cose(cs_buf *out, EVP_PKEY *key, int64_t alg, const cs_pcr *pcr0)
{
    uint8_t head_mem[16], payload_mem[256], tbs_mem[512], raw_mem[2 * WIDTH_MAX], der[DER_MAX];
    cs_buf head = cs_buf_wrap(head_mem, sizeof head_mem), payload = cs_buf_wrap(payload_mem, sizeof payload_mem);
    cs_buf tbs = cs_buf_wrap(tbs_mem, sizeof tbs_mem), raw = cs_buf_wrap(raw_mem, sizeof raw_mem);
    cs_cose_sign1 m = {0};
    size_t der_len = 0;

    CS_TRY(cs_cbor_put_map(&head, 1));
    CS_TRY(cs_cbor_put_int(&head, 1));
    CS_TRY(cs_cbor_put_int(&head, alg));
    CS_TRY(cs_eif_signature_payload(&payload, pcr0));
    m.head.protected_bytes = cs_buf_slice(&head);
    m.payload = cs_buf_slice(&payload);
    CS_TRY(cs_cose_sign1_tbs(&tbs, &m, CS_SLICE_NULL));
    CS_TRY(sign_der(der, &der_len, key, alg, cs_buf_slice(&tbs)));
    CS_TRY(put_raw(&raw, der, der_len, ((size_t)EVP_PKEY_get_bits(key) + 7) / 8));
    return cs_cose_sign1_put(out, cs_buf_slice(&head), cs_buf_slice(&payload), cs_buf_slice(&raw));
}

static cs_err sign_with(cs_buf *out, const char **out_what, cs_slice pem, const X509 *cert, EVP_PKEY *key,
                        const cs_pcr *pcr0)
{
    const int64_t alg = cs_eif_signature_alg(key);
    uint8_t cose_mem[1024];
    cs_buf cose = cs_buf_wrap(cose_mem, sizeof cose_mem);

    *out_what = "the private key is not on P-256, P-384 or P-521";
    if (alg == 0) {
        return CS_E_EIF_SIGNER;
    }
    *out_what = "the private key is not the certificate's";
    if (X509_check_private_key(cert, key) != 1) {
        ERR_clear_error();
        return CS_E_EIF_SIGNER;
    }
    *out_what = "the certificate is not within its validity";
    if (cs_image_validity_now(cert) != CS_IMAGE_VALID) {
        return CS_E_EIF_SIGNER;
    }
    CS_TRY(make_cose(&cose, key, alg, pcr0));
    return cs_eif_signature_put(out, &(cs_eif_signature){pem, cs_buf_slice(&cose)});
}

cs_err cs_eif_sign(cs_buf *out, cs_pcr *out_pcr8, const char **out_what, const char *certificate_file,
                   const char *key_file, const cs_pcr *pcr0)
{
    cs_buf pem = cs_buf_heap(PEM_MAX);
    EVP_PKEY *key = NULL;
    X509 *cert = NULL;
    cs_err err;

    *out_what = certificate_file;
    if ((err = cs_tfile_read(&pem, certificate_file)) != CS_OK) {
        goto out;
    }
    if ((err = cs_eif_certificate_read(&cert, out_pcr8, cs_buf_slice(&pem))) != CS_OK) {
        err = err == CS_E_EIF_FORMAT ? CS_E_EIF_SIGNER : err;
        goto out;
    }
    *out_what = "the certificate's file holds a private key: the image would carry it";
    if (memmem(pem.p, pem.len, "PRIVATE KEY", 11) != NULL) { /* the file goes into the image as it is */
        err = CS_E_EIF_SIGNER;
        goto out;
    }
    *out_what = key_file;
    if ((err = read_key(&key, key_file)) != CS_OK) {
        goto out;
    }
    err = sign_with(out, out_what, cs_buf_slice(&pem), cert, key, pcr0);
out:
    EVP_PKEY_free(key);
    X509_free(cert);
    cs_buf_free(&pem);
    return err;
}

cs_err cs_eif_attach(cs_eif *eif, cs_slice body)
{
    size_t n = 0;

    for (size_t i = 0; i < eif->num_sections; i++) {
        if (eif->sections[i].type != CS_EIF_SIGNATURE) {
            eif->sections[n++] = eif->sections[i];
        }
    }
    if (n == CS_EIF_MAX_SECTIONS) {
        return CS_E_EIF_SECTIONS;
    }
    eif->sections[n++] = (cs_eif_section){CS_EIF_SIGNATURE, body};
    eif->num_sections = n;
    return CS_OK;
}
