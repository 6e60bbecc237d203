/* See recipient.h. The layout is written by hand because no encoder emits this mix of indefinite and definite lengths. */
#include "emulator/recipient.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

static const uint8_t oid_enveloped[] = {0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x03};
static const uint8_t oid_data[] = {0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01};
/* id-RSAES-OAEP with SHA-256 and MGF1-SHA-256, empty label */
static const uint8_t oaep_alg[] = {0x30, 0x3c, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x07,
                                   0x30, 0x2f, 0xa0, 0x0f, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65,
                                   0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0xa1, 0x1c, 0x30, 0x1a, 0x06, 0x09, 0x2a,
                                   0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08, 0x30, 0x0d, 0x06, 0x09, 0x60,
                                   0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00};
static const uint8_t aes_cbc_head[] = {0x30, 0x1d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
                                       0x65, 0x03, 0x04, 0x01, 0x2a, 0x04, 0x10};

typedef struct envelope {
    uint8_t ski[32], key[32], iv[16];
    uint8_t wrapped[512];
    size_t wrapped_len;
    uint8_t ct[CS_EMU_CMS_MAX_PLAIN + 16];
    size_t ct_len;
} envelope;

static cs_err put_tlv(cs_buf *out, uint8_t tag, cs_slice v)
{
    CS_TRY(cs_put_u8(out, tag));
    if (v.len < 128) {
        CS_TRY(cs_put_u8(out, (uint8_t)v.len));
    } else if (v.len < 256) {
        CS_TRY(cs_put_u8(out, 0x81));
        CS_TRY(cs_put_u8(out, (uint8_t)v.len));
    } else {
        CS_TRY(cs_put_u8(out, 0x82));
        CS_TRY(cs_put_u16(out, (uint16_t)v.len));
    }
    return cs_put_slice(out, v);
}

static EVP_PKEY *load_rsa(cs_slice spki)
{
    const uint8_t *p = spki.p;
    EVP_PKEY *k = d2i_PUBKEY(NULL, &p, (long)spki.len);
    if (k != NULL && (p != spki.p + spki.len || EVP_PKEY_get_base_id(k) != EVP_PKEY_RSA ||
                      EVP_PKEY_get_bits(k) < 2048 || EVP_PKEY_get_bits(k) > 4096)) {
        EVP_PKEY_free(k);
        k = NULL;
    }
    return k;
}

static bool wrap_key(envelope *e, EVP_PKEY *rsa)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(rsa, NULL);
    e->wrapped_len = sizeof e->wrapped;
    bool ok = ctx != NULL && EVP_PKEY_encrypt_init(ctx) == 1 &&
              EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) == 1 &&
              EVP_PKEY_CTX_set_rsa_oaep_md(ctx, EVP_sha256()) == 1 &&
              EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, EVP_sha256()) == 1 &&
              EVP_PKEY_encrypt(ctx, e->wrapped, &e->wrapped_len, e->key, sizeof e->key) == 1;
    EVP_PKEY_CTX_free(ctx);
    return ok;
}

static bool encrypt_content(envelope *e, cs_slice plain)
{
    int n = 0, m = 0;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    bool ok = ctx != NULL && EVP_EncryptInit_ex(ctx, EVP_aes_256_cbc(), NULL, e->key, e->iv) == 1 &&
              EVP_EncryptUpdate(ctx, e->ct, &n, plain.p, (int)plain.len) == 1 &&
              EVP_EncryptFinal_ex(ctx, e->ct + n, &m) == 1;
    EVP_CIPHER_CTX_free(ctx);
    e->ct_len = (size_t)n + (size_t)m;
    return ok;
}

static cs_err put_recipient_info(cs_buf *out, const envelope *e)
{
    static const uint8_t version2[] = {0x02, 0x01, 0x02};
    uint8_t info_mem[700], set_mem[800];
    cs_buf info = cs_buf_wrap(info_mem, sizeof info_mem), set = cs_buf_wrap(set_mem, sizeof set_mem);
    CS_TRY(cs_put(&info, version2, sizeof version2));
    CS_TRY(put_tlv(&info, 0x80, cs_slice_of(e->ski, sizeof e->ski)));
    CS_TRY(cs_put(&info, oaep_alg, sizeof oaep_alg));
    CS_TRY(put_tlv(&info, 0x04, cs_slice_of(e->wrapped, e->wrapped_len)));
    CS_TRY(put_tlv(&set, 0x30, cs_buf_slice(&info)));
    return put_tlv(out, 0x31, cs_buf_slice(&set));
}

static cs_err put_content(cs_buf *out, const envelope *e, cs_emu_cms_form form)
{
    size_t first = form == CS_EMU_CMS_SEGMENTS && e->ct_len > 16 ? 16 : e->ct_len;
    if (form == CS_EMU_CMS_PRIMITIVE) {
        return put_tlv(out, 0x80, cs_slice_of(e->ct, e->ct_len));
    }
    CS_TRY(cs_put_u16(out, 0xa080));
    CS_TRY(put_tlv(out, 0x04, cs_slice_of(e->ct, first)));
    if (first < e->ct_len) {
        CS_TRY(put_tlv(out, 0x04, cs_slice_of(e->ct + first, e->ct_len - first)));
    }
    return cs_put_u16(out, 0);
}

static cs_err put_envelope(cs_buf *out, const envelope *e, cs_emu_cms_form form)
{
    static const uint8_t inner[] = {0xa0, 0x80, 0x30, 0x80, 0x02, 0x01, 0x02}, end[8] = {0};
    CS_TRY(cs_put_u16(out, 0x3080));
    CS_TRY(cs_put(out, oid_enveloped, sizeof oid_enveloped));
    CS_TRY(cs_put(out, inner, sizeof inner));
    CS_TRY(put_recipient_info(out, e));
    CS_TRY(cs_put_u16(out, 0x3080));
    CS_TRY(cs_put(out, oid_data, sizeof oid_data));
    CS_TRY(cs_put(out, aes_cbc_head, sizeof aes_cbc_head));
    CS_TRY(cs_put(out, e->iv, sizeof e->iv));
    CS_TRY(put_content(out, e, form));
    return cs_put(out, end, sizeof end); /* EncryptedContentInfo, EnvelopedData, [0], ContentInfo */
}

cs_err cs_emu_recipient_seal(cs_buf *out, cs_slice spki, cs_slice plain, cs_emu_cms_form form)
{
    envelope e;
    unsigned n = 0;
    size_t len0 = out->len;
    cs_err err = CS_E_INTERNAL;
    if (plain.len == 0 || plain.len > CS_EMU_CMS_MAX_PLAIN) {
        return CS_E_RANGE;
    }
    EVP_PKEY *rsa = load_rsa(spki);
    if (rsa == NULL) {
        return CS_E_FORMAT;
    }
    if (EVP_Digest(spki.p, spki.len, e.ski, &n, EVP_sha256(), NULL) == 1 && RAND_bytes(e.key, sizeof e.key) == 1 &&
        RAND_bytes(e.iv, sizeof e.iv) == 1 && wrap_key(&e, rsa) && encrypt_content(&e, plain)) {
        err = put_envelope(out, &e, form);
    }
    EVP_PKEY_free(rsa);
    OPENSSL_cleanse(&e, sizeof e);
    if (err != CS_OK) {
        out->len = len0;
    }
    return err;
}
