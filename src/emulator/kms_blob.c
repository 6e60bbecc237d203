/*
 * Ciphertext blobs of the emulated KMS: 5 fixed bytes (so that base64 begins with AQICAH, as KMS's does), UUID of the key (36), nonce (12), ciphertext,
 * tag (16). See kms_call.h.
 */
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <string.h>

#include "emulator/kms_call.h"

#define MAGIC_LEN 5
#define ID_LEN 36
#define NONCE_LEN 12
#define TAG_LEN 16
#define HEAD_LEN (MAGIC_LEN + ID_LEN + NONCE_LEN)

static const uint8_t magic[MAGIC_LEN] = {0x01, 0x02, 0x02, 0x00, 0x78};

cs_err cs_emu_blob_seal(cs_buf *out, const cs_emu_key *k, cs_slice plain, cs_slice aad)
{
    uint8_t nonce[NONCE_LEN], *ct = NULL, *tag = NULL;
    int n = 0, m = 0;
    size_t len0 = out->len;
    if (RAND_bytes(nonce, sizeof nonce) != 1) {
        return CS_E_ENTROPY;
    }
    CS_TRY(cs_put(out, magic, sizeof magic));
    CS_TRY(cs_put(out, k->id, ID_LEN));
    CS_TRY(cs_put(out, nonce, sizeof nonce));
    CS_TRY(cs_put_space(out, &ct, plain.len + TAG_LEN));
    tag = ct + plain.len;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    bool ok = ctx != NULL && EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, k->material, nonce) == 1 &&
              EVP_EncryptUpdate(ctx, NULL, &n, magic, sizeof magic) == 1 &&
              (aad.len == 0 || EVP_EncryptUpdate(ctx, NULL, &n, aad.p, (int)aad.len) == 1) &&
              EVP_EncryptUpdate(ctx, ct, &n, plain.p, (int)plain.len) == 1 &&
              EVP_EncryptFinal_ex(ctx, ct + n, &m) == 1 &&
              EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, TAG_LEN, tag) == 1;
    EVP_CIPHER_CTX_free(ctx);
    if (!ok) {
        out->len = len0;
    }
    return ok ? CS_OK : CS_E_INTERNAL;
}

cs_err cs_emu_blob_key(char out[37], cs_slice blob)
{
    if (blob.len <= HEAD_LEN + TAG_LEN || memcmp(blob.p, magic, sizeof magic) != 0 ||
        memchr(blob.p + MAGIC_LEN, 0, ID_LEN) != NULL) {
        return CS_E_FORMAT;
    }
    memcpy(out, blob.p + MAGIC_LEN, ID_LEN);
    out[ID_LEN] = '\0';
    return CS_OK;
}

cs_err cs_emu_blob_open(cs_buf *out, const cs_emu_key *k, cs_slice blob, cs_slice aad)
{
    char id[37];
    uint8_t *plain = NULL, tag[TAG_LEN];
    int n = 0, m = 0;
    size_t len0 = out->len;
    CS_TRY(cs_emu_blob_key(id, blob));
    size_t len = blob.len - HEAD_LEN - TAG_LEN;
    const uint8_t *nonce = blob.p + MAGIC_LEN + ID_LEN, *ct = blob.p + HEAD_LEN;
    memcpy(tag, ct + len, TAG_LEN);
    CS_TRY(cs_put_space(out, &plain, len));
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    bool ok = ctx != NULL && EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, k->material, nonce) == 1 &&
              EVP_DecryptUpdate(ctx, NULL, &n, magic, sizeof magic) == 1 &&
              (aad.len == 0 || EVP_DecryptUpdate(ctx, NULL, &n, aad.p, (int)aad.len) == 1) &&
              EVP_DecryptUpdate(ctx, plain, &n, ct, (int)len) == 1 &&
              EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, TAG_LEN, tag) == 1 &&
              EVP_DecryptFinal_ex(ctx, plain + n, &m) == 1;
    EVP_CIPHER_CTX_free(ctx);
    if (!ok) {
        out->len = len0;
    }
    return ok ? CS_OK : CS_E_AUTH;
}
