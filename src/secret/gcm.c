#include "secret/gcm.h"

#include <openssl/evp.h>
#include <pthread.h>

#include "secret/mem.h"

/* Fetched once: to look a cipher up by its name at each message costs more than a short message. Never written afterwards. */
static struct {
    const EVP_CIPHER *aes128, *aes256;
} fetched;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fetch(void)
{
    fetched.aes128 = EVP_CIPHER_fetch(NULL, "AES-128-GCM", NULL); /* live as long as the process */
    fetched.aes256 = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
}

/* without memory at the first call: by name at each, until the process ends */
static const EVP_CIPHER *cipher_of(size_t key_len)
{
    (void)pthread_once(&once, fetch);
    if (key_len == 16) {
        return fetched.aes128 != NULL ? fetched.aes128 : EVP_aes_128_gcm();
    }
    return fetched.aes256 != NULL ? fetched.aes256 : EVP_aes_256_gcm();
}

/* EVP takes no NULL for "nothing" where it counts bytes */
static const uint8_t *some(cs_slice s)
{
    static const uint8_t none = 0;
    return s.p != NULL ? s.p : &none;
}

static bool fits(const cs_gcm *g, cs_slice in)
{
    return (g->key.len == 16 || g->key.len == 32) && in.len <= CS_GCM_MAX && g->aad.len <= CS_GCM_MAX;
}

cs_err cs_gcm_seal(uint8_t *out, const cs_gcm *g, cs_slice plain)
{
    int n = 0;

    if (!fits(g, plain)) {
        return CS_E_RANGE;
    }
    EVP_CIPHER_CTX *x = EVP_CIPHER_CTX_new();
    bool ok = x != NULL && EVP_EncryptInit_ex(x, cipher_of(g->key.len), NULL, g->key.p, g->nonce12) == 1 &&
              (g->aad.len == 0 || EVP_EncryptUpdate(x, NULL, &n, g->aad.p, (int)g->aad.len) == 1) &&
              EVP_EncryptUpdate(x, out, &n, some(plain), (int)plain.len) == 1 &&
              EVP_EncryptFinal_ex(x, out + plain.len, &n) == 1 &&
              EVP_CIPHER_CTX_ctrl(x, EVP_CTRL_AEAD_GET_TAG, CS_GCM_TAG, out + plain.len) == 1;
    EVP_CIPHER_CTX_free(x);
    if (!ok) {
        cs_wipe(out, plain.len + CS_GCM_TAG);
        return CS_E_NO_MEMORY;
    }
    return CS_OK;
}

cs_err cs_gcm_open(uint8_t *out, const cs_gcm *g, cs_slice sealed)
{
    uint8_t tag[CS_GCM_TAG], none;
    cs_reader in = cs_reader_of(sealed);
    cs_slice text;
    int n = 0;

    if (sealed.len < CS_GCM_TAG) {
        return CS_E_FORMAT;
    }
    if (!fits(g, sealed)) {
        return CS_E_RANGE;
    }
    CS_TRY(cs_read_slice(&in, &text, sealed.len - CS_GCM_TAG));
    CS_TRY(cs_read_bytes(&in, tag, sizeof tag));
    EVP_CIPHER_CTX *x = EVP_CIPHER_CTX_new();
    bool ready = x != NULL && EVP_DecryptInit_ex(x, cipher_of(g->key.len), NULL, g->key.p, g->nonce12) == 1 &&
                 (g->aad.len == 0 || EVP_DecryptUpdate(x, NULL, &n, g->aad.p, (int)g->aad.len) == 1) &&
                 EVP_DecryptUpdate(x, text.len > 0 ? out : &none, &n, text.p, (int)text.len) == 1 &&
                 EVP_CIPHER_CTX_ctrl(x, EVP_CTRL_AEAD_SET_TAG, CS_GCM_TAG, tag) == 1;
    bool ok = ready && EVP_DecryptFinal_ex(x, text.len > 0 ? out + text.len : &none, &n) == 1;
    EVP_CIPHER_CTX_free(x);
    if (!ok && text.len > 0) {
        cs_wipe(out, text.len);
    }
    return ok ? CS_OK : ready ? CS_E_AUTH : CS_E_NO_MEMORY;
}
