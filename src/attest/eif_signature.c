/* See eif_signature.h. */
#include "attest/eif_signature.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include "attest/cose_verify.h"
#include "codec/cose.h"

#define TBS_MAX 1024

static cs_err put_ints(cs_buf *out, cs_slice bytes)
{
    CS_TRY(cs_cbor_put_array(out, bytes.len));
    for (size_t i = 0; i < bytes.len; i++) {
        CS_TRY(cs_cbor_put_uint(out, bytes.p[i]));
    }
    return CS_OK;
}

cs_err cs_eif_signature_payload(cs_buf *out, const cs_pcr *pcr0)
{
    CS_TRY(cs_cbor_put_map(out, 2));
    CS_TRY(cs_cbor_put_text(out, "register_index"));
    CS_TRY(cs_cbor_put_uint(out, 0));
    CS_TRY(cs_cbor_put_text(out, "register_value"));
    return put_ints(out, cs_slice_of(pcr0->b, CS_PCR_LEN));
}

cs_err cs_eif_signature_put(cs_buf *out, const cs_eif_signature *s)
{
    CS_TRY(cs_cbor_put_array(out, 1));
    CS_TRY(cs_cbor_put_map(out, 2));
    CS_TRY(cs_cbor_put_text(out, "signing_certificate")); /* the order of serde's struct, not of RFC 8949 */
    CS_TRY(put_ints(out, s->certificate_pem));
    CS_TRY(cs_cbor_put_text(out, "signature"));
    return put_ints(out, s->cose);
}

int64_t cs_eif_signature_alg(EVP_PKEY *key)
{
    char curve[32];
    size_t len = 0;

    if (key == NULL || EVP_PKEY_get_base_id(key) != EVP_PKEY_EC ||
        EVP_PKEY_get_group_name(key, curve, sizeof curve, &len) != 1) {
        return 0;
    }
    const cs_slice name = cs_slice_of(curve, len);
    return cs_slice_eq_str(name, "prime256v1")  ? CS_COSE_ES256
           : cs_slice_eq_str(name, "secp384r1") ? CS_COSE_ES384
           : cs_slice_eq_str(name, "secp521r1") ? CS_COSE_ES512
                                                : 0;
}

cs_err cs_eif_certificate_read(X509 **out, cs_pcr *out_pcr8, cs_slice pem)
{
    BIO *in = pem.len <= CS_EIF_SIGNATURE_MAX ? BIO_new_mem_buf(pem.p, (int)pem.len) : NULL;
    X509 *cert = in != NULL ? PEM_read_bio_X509(in, NULL, NULL, NULL) : NULL;
    uint8_t *der = NULL;
    int len = cert != NULL ? i2d_X509(cert, &der) : -1;
    cs_err err = len > 0 ? cs_pcr_of_file(out_pcr8, cs_slice_of(der, (size_t)len)) : CS_E_EIF_FORMAT;

    OPENSSL_free(der);
    BIO_free(in);
    ERR_clear_error();
    if (err != CS_OK) {
        X509_free(cert);
        return err;
    }
    *out = cert;
    return CS_OK;
}

/* CS_E_EIF_SIGNATURE for all that is not a signature by this key over pcr0. */
static cs_err check_cose(int64_t *out_alg, cs_slice cose, EVP_PKEY *key, const cs_pcr *pcr0)
{
    uint8_t want_mem[256], tbs_mem[TBS_MAX];
    cs_buf want = cs_buf_wrap(want_mem, sizeof want_mem), tbs = cs_buf_wrap(tbs_mem, sizeof tbs_mem);
    cs_cose_sign1 m;
    cs_err err;

    if (cs_cose_sign1_parse(&m, cose, CS_CBOR_STRICT) != CS_OK) {
        return CS_E_EIF_SIGNATURE;
    }
    *out_alg = m.head.alg;
    CS_TRY(cs_eif_signature_payload(&want, pcr0));
    if (!m.head.alg_protected || m.head.alg == 0 || m.head.alg != cs_eif_signature_alg(key) || m.detached ||
        !cs_slice_eq(m.payload, cs_buf_slice(&want))) {
        return CS_E_EIF_SIGNATURE;
    }
    if (cs_cose_sign1_tbs(&tbs, &m, CS_SLICE_NULL) != CS_OK) {
        return CS_E_EIF_SIGNATURE; /* a protected header longer than any that is signed */
    }
    err = cs_cose_verify(key, m.head.alg, cs_buf_slice(&tbs), m.signature);
    return err == CS_OK || err == CS_E_NO_MEMORY ? err : CS_E_EIF_SIGNATURE;
}

cs_err cs_eif_signature_check(cs_eif_signed *out, cs_slice section, const cs_pcr *pcr0)
{
    cs_buf mem = cs_buf_heap(section.len + 1);
    cs_eif_signature sig;
    cs_err err = section.len > CS_EIF_SIGNATURE_MAX ? CS_E_EIF_FORMAT : cs_eif_signature_parse(&sig, &mem, section);

    *out = (cs_eif_signed){0};
    if (err == CS_OK) {
        err = cs_eif_certificate_read(&out->certificate, &out->pcr8, sig.certificate_pem);
    }
    if (err == CS_OK) {
        err = check_cose(&out->alg, sig.cose, X509_get0_pubkey(out->certificate), pcr0);
    }
    cs_buf_free(&mem);
    ERR_clear_error();
    return err;
}

void cs_eif_signed_cleanup(cs_eif_signed *s)
{
    X509_free(s->certificate);
    *s = (cs_eif_signed){0};
}
