/* COSE signatures over OpenSSL, see cose_verify.h. */
#include "attest/cose_verify.h"

#include <openssl/ec.h>
#include <openssl/err.h>

#define MAX_TBS_SIGNATURE_DER 160

static const EVP_MD *hash_of(int64_t alg)
{
    switch (alg) {
    case CS_COSE_ES256:
        return EVP_sha256();
    case CS_COSE_ES384:
        return EVP_sha384();
    case CS_COSE_ES512:
        return EVP_sha512();
    default:
        return NULL;
    }
}

/* r || s of fixed width to the DER that OpenSSL takes; 0 when it does not work. */
static size_t raw_to_der(uint8_t der[MAX_TBS_SIGNATURE_DER], cs_slice raw)
{
    ECDSA_SIG *sig = ECDSA_SIG_new();
    int half = (int)(raw.len / 2), len = 0;
    BIGNUM *r = BN_bin2bn(raw.p, half, NULL), *s = BN_bin2bn(raw.p + half, half, NULL);
    uint8_t *end = der;

    if (sig != NULL && r != NULL && s != NULL && ECDSA_SIG_set0(sig, r, s) == 1) {
        r = s = NULL; /* transferred */
        len = i2d_ECDSA_SIG(sig, NULL);
        len = len > 0 && len <= MAX_TBS_SIGNATURE_DER ? i2d_ECDSA_SIG(sig, &end) : 0;
    }
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(sig);
    return len > 0 ? (size_t)len : 0;
}

static cs_err verify_with(EVP_PKEY *key, const EVP_MD *md, cs_slice tbs, cs_slice signature)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    cs_err err = CS_E_NO_MEMORY;

    if (ctx != NULL) {
        bool ok = EVP_DigestVerifyInit(ctx, NULL, md, NULL, key) == 1 &&
                  EVP_DigestVerify(ctx, signature.p, signature.len, tbs.p, tbs.len) == 1;
        err = ok ? CS_OK : CS_E_AUTH;
    }
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return err;
}

cs_err cs_cose_verify(EVP_PKEY *key, int64_t alg, cs_slice tbs, cs_slice signature)
{
    const EVP_MD *md = hash_of(alg);
    uint8_t der[MAX_TBS_SIGNATURE_DER];
    int type = EVP_PKEY_get_base_id(key);
    size_t width, der_len;

    if (alg == CS_COSE_EDDSA && (type == EVP_PKEY_ED25519 || type == EVP_PKEY_ED448)) {
        return verify_with(key, NULL, tbs, signature);
    }
    if (md == NULL || type != EVP_PKEY_EC) {
        return CS_E_UNSUPPORTED;
    }
    width = ((size_t)EVP_PKEY_get_bits(key) + 7) / 8; /* 32, 48 or 66 */
    if (width == 0 || width > 66 || signature.len != 2 * width) {
        return CS_E_AUTH;
    }
    der_len = raw_to_der(der, signature);
    if (der_len == 0) {
        return CS_E_NO_MEMORY;
    }
    return verify_with(key, md, tbs, cs_slice_of(der, der_len));
}
