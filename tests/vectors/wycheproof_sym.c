/* Wycheproof: X25519, ChaCha20-Poly1305, HKDF, HMAC, AES-CBC. */
#include <openssl/evp.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "secret/noise.h"
#include "wycheproof.h"

cs_buf wp_bytes(const json_t *obj, const char *key)
{
    cs_buf b = {0};
    if (cs_suite_hex(obj, key, &b) != CS_OK) {
        fprintf(stderr, "wycheproof: field %s is missing or no hex\n", key);
        abort();
    }
    if (b.len == 0) { /* libraries want a pointer, even to nothing */
        cs_buf_free(&b);
        b = cs_buf_heap(1);
        if (cs_put_u8(&b, 0) != CS_OK) {
            abort();
        }
        b.len = 0;
    }
    return b;
}

wp_verdict wp_compare(cs_slice got, cs_slice expected)
{
    return cs_slice_eq(got, expected) ? WP_ACCEPTED : WP_WRONG;
}

wp_verdict wp_x25519(const json_t *group, const json_t *test)
{
    cs_buf key = wp_bytes(test, "private"), peer = wp_bytes(test, "public"), shared = wp_bytes(test, "shared");
    CS_SECRET(cs_secret32) got = {0};
    wp_verdict v = WP_REFUSED;
    (void)group;
    if (key.len == 32 && peer.len == 32 && cs_x25519(&got, key.p, peer.p) == CS_OK) {
        v = wp_compare(cs_slice_of(got.b, sizeof got.b), cs_buf_slice(&shared));
    }
    cs_buf_free(&key);
    cs_buf_free(&peer);
    cs_buf_free(&shared);
    return v;
}

static wp_verdict open_chacha(const json_t *test, cs_buf f[6])
{
    uint8_t *plain = NULL;
    cs_buf out = cs_buf_heap((size_t)1 << 20);
    wp_verdict v = WP_REFUSED;
    (void)test;
    /* f: key, iv, aad, msg, ct, tag */
    if (f[0].len == crypto_aead_chacha20poly1305_ietf_KEYBYTES &&
        f[1].len == crypto_aead_chacha20poly1305_ietf_NPUBBYTES &&
        f[5].len == crypto_aead_chacha20poly1305_ietf_ABYTES && cs_put_space(&out, &plain, f[4].len + 1) == CS_OK &&
        crypto_aead_chacha20poly1305_ietf_decrypt_detached(plain, NULL, f[4].p, f[4].len, f[5].p, f[2].p, f[2].len,
                                                           f[1].p, f[0].p) == 0) {
        v = wp_compare(cs_slice_of(plain, f[4].len), cs_buf_slice(&f[3]));
    }
    cs_buf_free(&out);
    return v;
}

wp_verdict wp_chacha20_poly1305(const json_t *group, const json_t *test)
{
    static const char *const names[6] = {"key", "iv", "aad", "msg", "ct", "tag"};
    cs_buf f[6];
    (void)group;
    for (size_t i = 0; i < 6; i++) {
        f[i] = wp_bytes(test, names[i]);
    }
    wp_verdict v = open_chacha(test, f);
    for (size_t i = 0; i < 6; i++) {
        cs_buf_free(&f[i]);
    }
    return v;
}

/* RFC 2104: a key longer than the block is hashed first; the product's keys never are */
static void hmac(uint8_t out32[32], cs_slice key, cs_slice data)
{
    uint8_t hashed[32];
    if (key.len > 64) {
        (void)crypto_hash_sha256(hashed, key.p, key.len);
        key = cs_slice_of(hashed, sizeof hashed);
    }
    cs_hmac_sha256(out32, key, &data, 1);
}

wp_verdict wp_hmac_sha256(const json_t *group, const json_t *test)
{
    cs_buf key = wp_bytes(test, "key"), msg = wp_bytes(test, "msg"), tag = wp_bytes(test, "tag");
    uint8_t got[32];
    hmac(got, cs_buf_slice(&key), cs_buf_slice(&msg));
    size_t len = (size_t)json_integer_value(json_object_get(group, "tagSize")) / 8;
    bool same = len <= sizeof got && cs_slice_eq(cs_slice_of(got, len), cs_buf_slice(&tag));
    cs_buf_free(&key);
    cs_buf_free(&msg);
    cs_buf_free(&tag);
    return same ? WP_ACCEPTED : WP_REFUSED;
}

wp_verdict wp_hkdf_sha256(const json_t *group, const json_t *test)
{
    cs_buf ikm = wp_bytes(test, "ikm"), salt = wp_bytes(test, "salt"), info = wp_bytes(test, "info");
    cs_buf okm = wp_bytes(test, "okm"), out = cs_buf_heap(255 * 32);
    size_t size = (size_t)json_integer_value(json_object_get(test, "size"));
    uint8_t prk[32], *at = NULL;
    wp_verdict v = WP_REFUSED;
    cs_slice part = cs_buf_slice(&info);
    (void)group;
    if (cs_put_space(&out, &at, size) == CS_OK) { /* more than 255 blocks do not fit */
        hmac(prk, cs_buf_slice(&salt), cs_buf_slice(&ikm));
        cs_hkdf_expand_sha256(at, size, prk, &part, 1);
        v = wp_compare(cs_buf_slice(&out), cs_buf_slice(&okm));
    }
    cs_buf_free(&ikm);
    cs_buf_free(&salt);
    cs_buf_free(&info);
    cs_buf_free(&okm);
    cs_buf_free(&out);
    return v;
}

/* as the CMS content is opened: EVP with padding */
static wp_verdict open_cbc(const EVP_CIPHER *cipher, const cs_buf *key, const cs_buf *iv, const cs_buf *ct,
                           const cs_buf *msg)
{
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    cs_buf out = cs_buf_heap((size_t)1 << 20);
    uint8_t *at = NULL;
    int n = 0, last = 0;
    wp_verdict v = WP_REFUSED;
    if (c != NULL && cs_put_space(&out, &at, ct->len + 32) == CS_OK &&
        EVP_DecryptInit_ex(c, cipher, NULL, key->p, iv->p) == 1 &&
        EVP_DecryptUpdate(c, at, &n, ct->p, (int)ct->len) == 1 && EVP_DecryptFinal_ex(c, at + n, &last) == 1) {
        v = wp_compare(cs_slice_of(at, (size_t)n + (size_t)last), cs_buf_slice(msg));
    }
    EVP_CIPHER_CTX_free(c);
    cs_buf_free(&out);
    return v;
}

wp_verdict wp_aes_cbc(const json_t *group, const json_t *test)
{
    cs_buf key = wp_bytes(test, "key"), iv = wp_bytes(test, "iv"), msg = wp_bytes(test, "msg"),
           ct = wp_bytes(test, "ct");
    const EVP_CIPHER *cipher = key.len == 32   ? EVP_aes_256_cbc()
                               : key.len == 24 ? EVP_aes_192_cbc()
                                               : EVP_aes_128_cbc();
    wp_verdict v = WP_REFUSED;
    (void)group;
    if (iv.len == 16 && (key.len == 16 || key.len == 24 || key.len == 32)) {
        v = open_cbc(cipher, &key, &iv, &ct, &msg);
    }
    cs_buf_free(&key);
    cs_buf_free(&iv);
    cs_buf_free(&msg);
    cs_buf_free(&ct);
    return v;
}
