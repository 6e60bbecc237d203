/* CMS envelopes of AWS KMS, see cms.h. */
#include "secret/cms.h"

#include <openssl/err.h>
#include <openssl/rsa.h>
#include <string.h>

#include "secret/cms_ber.h"
#include "secret/cms_int.h"

#define KEY_LEN 32
#define BLOCK 16
#define MAX_RSA CS_CMS_RSA_MAX

#define SLICE_OF(array) ((cs_slice){(array), sizeof(array)})

static const uint8_t oid_enveloped[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x03};
static const uint8_t oid_data[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01};
static const uint8_t oid_oaep[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x07};
static const uint8_t oid_mgf1[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08};
static const uint8_t oid_p_specified[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x09};
static const uint8_t oid_sha256[] = {0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01};
static const uint8_t oid_aes256_cbc[] = {0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2a};
static const uint8_t version_2[] = {2};

/* AlgorithmIdentifier of SHA-256: parameters NULL or absent [RFC 4055 2.1]. */
static cs_err read_sha256(cs_ber *b)
{
    cs_ber alg;

    CS_TRY(cs_ber_enter(b, CS_BER_SEQUENCE, &alg));
    CS_TRY(cs_ber_expect(&alg, CS_BER_OID, SLICE_OF(oid_sha256)));
    if (cs_ber_peek(&alg) == CS_BER_NULL) {
        CS_TRY(cs_ber_expect(&alg, CS_BER_NULL, CS_SLICE_NULL));
    }
    return cs_ber_end(&alg);
}

static cs_err read_mgf1(cs_ber *b)
{
    cs_ber alg;

    CS_TRY(cs_ber_enter(b, CS_BER_SEQUENCE, &alg));
    CS_TRY(cs_ber_expect(&alg, CS_BER_OID, SLICE_OF(oid_mgf1)));
    CS_TRY(read_sha256(&alg));
    return cs_ber_end(&alg);
}

/* pSourceAlgorithm, when written at all, must be the empty label. */
static cs_err read_p_source(cs_ber *params)
{
    cs_ber explicit_tag, alg;

    CS_TRY(cs_ber_enter(params, 0xa2, &explicit_tag));
    CS_TRY(cs_ber_enter(&explicit_tag, CS_BER_SEQUENCE, &alg));
    CS_TRY(cs_ber_expect(&alg, CS_BER_OID, SLICE_OF(oid_p_specified)));
    CS_TRY(cs_ber_expect(&alg, CS_BER_OCTETS, CS_SLICE_NULL));
    CS_TRY(cs_ber_end(&alg));
    return cs_ber_end(&explicit_tag);
}

/* RSAES-OAEP with SHA-256 for both hashes; the defaults (SHA-1) may not be left out. */
static cs_err read_oaep(cs_ber *b)
{
    cs_ber alg, params, tagged;

    CS_TRY(cs_ber_enter(b, CS_BER_SEQUENCE, &alg));
    CS_TRY(cs_ber_expect(&alg, CS_BER_OID, SLICE_OF(oid_oaep)));
    CS_TRY(cs_ber_enter(&alg, CS_BER_SEQUENCE, &params));
    CS_TRY(cs_ber_enter(&params, CS_BER_CONTEXT_0_CONSTRUCTED, &tagged));
    CS_TRY(read_sha256(&tagged));
    CS_TRY(cs_ber_end(&tagged));
    CS_TRY(cs_ber_enter(&params, CS_BER_CONTEXT_1_CONSTRUCTED, &tagged));
    CS_TRY(read_mgf1(&tagged));
    CS_TRY(cs_ber_end(&tagged));
    if (cs_ber_peek(&params) >= 0) {
        CS_TRY(read_p_source(&params));
    }
    CS_TRY(cs_ber_end(&params));
    return cs_ber_end(&alg);
}

/* RecipientInfos: exactly one KeyTransRecipientInfo with a subject key identifier. */
static cs_err read_recipient(cs_cms_fields *out, cs_ber *enveloped)
{
    cs_ber set, info;

    CS_TRY(cs_ber_enter(enveloped, CS_BER_SET, &set));
    CS_TRY(cs_ber_enter(&set, CS_BER_SEQUENCE, &info));
    CS_TRY(cs_ber_expect(&info, CS_BER_INTEGER, SLICE_OF(version_2)));
    CS_TRY(cs_ber_get(&info, CS_BER_CONTEXT_0, &out->recipient_id));
    CS_TRY(read_oaep(&info));
    CS_TRY(cs_ber_get(&info, CS_BER_OCTETS, &out->encrypted_key));
    CS_TRY(cs_ber_end(&info));
    return cs_ber_end(&set);
}

static cs_err read_cipher(cs_cms_fields *out, cs_ber *info)
{
    cs_ber alg;

    CS_TRY(cs_ber_enter(info, CS_BER_SEQUENCE, &alg));
    CS_TRY(cs_ber_expect(&alg, CS_BER_OID, SLICE_OF(oid_aes256_cbc)));
    CS_TRY(cs_ber_get(&alg, CS_BER_OCTETS, &out->iv));
    CS_TRY(cs_ber_end(&alg));
    return out->iv.len == BLOCK ? CS_OK : CS_E_FORMAT;
}

/* encryptedContent: [0] primitive, or constructed of one or more OCTET STRINGs. */
static cs_err read_content(cs_cms_fields *out, cs_ber *info)
{
    cs_buf content = cs_buf_wrap(out->content, sizeof out->content);
    cs_slice piece;
    cs_ber pieces;

    if (cs_ber_peek(info) == CS_BER_CONTEXT_0) {
        CS_TRY(cs_ber_get(info, CS_BER_CONTEXT_0, &piece));
        CS_TRY(cs_put_slice(&content, piece));
    } else {
        CS_TRY(cs_ber_enter(info, CS_BER_CONTEXT_0_CONSTRUCTED, &pieces));
        while (cs_ber_peek(&pieces) >= 0) {
            CS_TRY(cs_ber_get(&pieces, CS_BER_OCTETS, &piece));
            CS_TRY(cs_put_slice(&content, piece));
        }
    }
    out->content_len = content.len;
    return content.len > 0 && content.len % BLOCK == 0 ? CS_OK : CS_E_FORMAT;
}

static cs_err read_enveloped(cs_cms_fields *out, cs_slice envelope)
{
    cs_ber input = cs_ber_of(envelope), content_info, tagged, enveloped, info;

    CS_TRY(cs_ber_enter(&input, CS_BER_SEQUENCE, &content_info));
    CS_TRY(cs_ber_end(&input));
    CS_TRY(cs_ber_expect(&content_info, CS_BER_OID, SLICE_OF(oid_enveloped)));
    CS_TRY(cs_ber_enter(&content_info, CS_BER_CONTEXT_0_CONSTRUCTED, &tagged));
    CS_TRY(cs_ber_end(&content_info));
    CS_TRY(cs_ber_enter(&tagged, CS_BER_SEQUENCE, &enveloped));
    CS_TRY(cs_ber_end(&tagged));
    CS_TRY(cs_ber_expect(&enveloped, CS_BER_INTEGER, SLICE_OF(version_2)));
    CS_TRY(read_recipient(out, &enveloped));
    CS_TRY(cs_ber_enter(&enveloped, CS_BER_SEQUENCE, &info));
    CS_TRY(cs_ber_end(&enveloped));
    CS_TRY(cs_ber_expect(&info, CS_BER_OID, SLICE_OF(oid_data)));
    CS_TRY(read_cipher(out, &info));
    CS_TRY(read_content(out, &info));
    return cs_ber_end(&info);
}

cs_err cs_cms_parse(cs_cms_fields *out, cs_slice envelope)
{
    if (envelope.len == 0 || envelope.len > CS_CMS_MAX || read_enveloped(out, envelope) != CS_OK ||
        out->encrypted_key.len < 256 || out->encrypted_key.len > MAX_RSA) {
        return CS_E_CMS;
    }
    return CS_OK;
}

typedef struct oaep_result {
    uint8_t b[MAX_RSA];
} oaep_result;
CS_SECRET_DECLARE(oaep_result)

bool cs_cms_oaep(uint8_t *plain, size_t *len, cs_slice wrapped, EVP_PKEY *key)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    *len = MAX_RSA;
    bool ok = ctx != NULL && EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA && EVP_PKEY_get_size(key) <= MAX_RSA &&
              EVP_PKEY_decrypt_init(ctx) == 1 && EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) == 1 &&
              EVP_PKEY_CTX_set_rsa_oaep_md(ctx, EVP_sha256()) == 1 &&
              EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, EVP_sha256()) == 1 &&
              EVP_PKEY_decrypt(ctx, plain, len, wrapped.p, wrapped.len) == 1;

    EVP_PKEY_CTX_free(ctx);
    return ok;
}

/* the result must be exactly a 32-byte key */
static bool unwrap_key(cs_secret32 *out, cs_slice wrapped, EVP_PKEY *key)
{
    CS_SECRET(oaep_result) plain = {{0}};
    size_t len = 0;
    bool ok = cs_cms_oaep(plain.b, &len, wrapped, key) && len == KEY_LEN;

    if (ok) {
        memcpy(out->b, plain.b, KEY_LEN);
    }
    return ok;
}

bool cs_cms_blocks(uint8_t *out, const cs_cms_fields *f, const cs_secret32 *key)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int len = 0, last = 0;
    bool ok = ctx != NULL && EVP_DecryptInit_ex(ctx, EVP_aes_256_cbc(), NULL, key->b, f->iv.p) == 1 &&
              EVP_CIPHER_CTX_set_padding(ctx, 0) == 1 &&
              EVP_DecryptUpdate(ctx, out, &len, f->content, (int)f->content_len) == 1 &&
              EVP_DecryptFinal_ex(ctx, out + len, &last) == 1 && (size_t)len + (size_t)last == f->content_len;

    EVP_CIPHER_CTX_free(ctx);
    return ok;
}

size_t cs_cms_padding(const uint8_t *plain, size_t len)
{
    uint32_t pad = plain[len - 1], bad = (pad - 1) >> 4; /* not zero unless 1 <= pad <= 16 */

    for (uint32_t i = 0; i < BLOCK; i++) {
        uint32_t inside = (uint32_t)cs_ct_mask((i - pad) >> 31); /* i < pad */

        bad |= inside & (plain[len - 1 - i] ^ pad);
    }
    CS_CT_PUBLIC(&bad, sizeof bad, "whether the envelope opened");
    CS_CT_PUBLIC(&pad, sizeof pad, "the length of the plaintext");
    return bad == 0 ? pad : 0;
}

/* fields and plain are in the arena: 16 KiB are too much for a stack that may be small, and plain is secret. */
typedef struct workspace {
    cs_cms_fields fields;
    uint8_t plain[CS_CMS_MAX];
} workspace;

static cs_err open_with(cs_buf *out, workspace *w, cs_slice envelope, EVP_PKEY *key)
{
    CS_SECRET(cs_secret32) content_key = {{0}};
    bool unwrapped;
    size_t pad;

    if (cs_cms_parse(&w->fields, envelope) != CS_OK) {
        return CS_E_CMS;
    }
    /* a key that does not unwrap is not reported before the content was worked on too, with a key of zeros */
    unwrapped = unwrap_key(&content_key, w->fields.encrypted_key, key);
    if (!cs_cms_blocks(w->plain, &w->fields, &content_key)) {
        return CS_E_CMS;
    }
    pad = cs_cms_padding(w->plain, w->fields.content_len);
    if (!unwrapped || pad == 0 || cs_put(out, w->plain, w->fields.content_len - pad) != CS_OK) {
        return CS_E_CMS;
    }
    return CS_OK;
}

cs_err cs_cms_open(cs_buf *out, cs_slice envelope, EVP_PKEY *key)
{
    workspace *w = cs_secret_alloc(sizeof *w);
    cs_err err = CS_E_NO_MEMORY;

    if (w != NULL) {
        err = open_with(out, w, envelope, key);
    }
    cs_secret_free(w);
    ERR_clear_error();
    return err;
}
