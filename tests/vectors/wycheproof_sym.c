/* Wycheproof: X25519, ChaCha20-Poly1305, AES-GCM, HKDF, HMAC, AES-CBC. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "secret/cms_int.h"
#include "secret/hd.h"
#include "secret/hpke.h"
#include "secret/noise.h"
#include "wycheproof.h"

const char *wp_broken;

cs_buf wp_bytes(const json_t *obj, const char *key)
{
    cs_buf b = {0};
    if (cs_suite_hex(obj, key, &b) != CS_OK) {
        wp_broken = key;
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

/* one message of an HPKE context that has this key and nonce: the AEADs of the product */
static wp_verdict open_aead(cs_hpke_aead aead, size_t key_len, const cs_buf f[6])
{
    CS_SECRET(cs_hpke) c = {.aead = aead};
    cs_buf sealed = cs_buf_heap((size_t)1 << 24), out = cs_buf_heap((size_t)1 << 24);
    wp_verdict v = WP_REFUSED;
    /* f: key, iv, aad, msg, ct, tag */
    if (f[0].len != key_len || f[1].len != CS_HPKE_NONCE) {
        return WP_NOT_OURS;
    }
    memcpy(c.key.b, f[0].p, key_len);
    memcpy(c.base_nonce, f[1].p, CS_HPKE_NONCE);
    if (f[5].len == CS_HPKE_TAG && cs_put(&sealed, f[4].p, f[4].len) == CS_OK &&
        cs_put(&sealed, f[5].p, f[5].len) == CS_OK &&
        cs_hpke_open(&c, &out, cs_buf_slice(&f[2]), cs_buf_slice(&sealed)) == CS_OK) {
        v = wp_compare(cs_buf_slice(&out), cs_buf_slice(&f[3]));
        c.sender = true; /* and the other way: byte-equal */
        c.seq = 0;
        out.len = 0;
        if (cs_hpke_seal(&c, &out, cs_buf_slice(&f[2]), cs_buf_slice(&f[3])) != CS_OK ||
            !cs_slice_eq(cs_buf_slice(&out), cs_buf_slice(&sealed))) {
            v = WP_WRONG;
        }
    }
    cs_buf_free(&sealed);
    cs_buf_free(&out);
    return v;
}

static wp_verdict aead(const json_t *test, bool chacha)
{
    static const char *const names[6] = {"key", "iv", "aad", "msg", "ct", "tag"};
    cs_buf f[6];
    for (size_t i = 0; i < 6; i++) {
        f[i] = wp_bytes(test, names[i]);
    }
    wp_verdict v;
    if (chacha) { /* a nonce of another length is refused by type */
        v = f[1].len != CS_HPKE_NONCE ? WP_REFUSED : open_aead(CS_HPKE_CHACHA20_POLY1305, 32, f);
    } else {
        v = open_aead(f[0].len == 16 ? CS_HPKE_AES128_GCM : CS_HPKE_AES256_GCM, f[0].len == 16 ? 16 : 32, f);
    }
    for (size_t i = 0; i < 6; i++) {
        cs_buf_free(&f[i]);
    }
    return v;
}

wp_verdict wp_chacha20_poly1305(const json_t *group, const json_t *test)
{
    (void)group;
    return aead(test, true);
}

wp_verdict wp_aes_gcm(const json_t *group, const json_t *test)
{
    (void)group;
    return aead(test, false);
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

wp_verdict wp_hmac_sha512(const json_t *group, const json_t *test)
{
    cs_buf key = wp_bytes(test, "key"), msg = wp_bytes(test, "msg"), tag = wp_bytes(test, "tag");
    cs_secret64 got;
    cs_slice part = cs_buf_slice(&msg);
    cs_hmac_sha512(&got, cs_buf_slice(&key), &part, 1);
    size_t len = (size_t)json_integer_value(json_object_get(group, "tagSize")) / 8;
    bool same = len <= sizeof got.b && cs_slice_eq(cs_slice_of(got.b, len), cs_buf_slice(&tag));
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

/* as the content of KMS's answers is opened: AES-256-CBC, PKCS#7 */
wp_verdict wp_aes_cbc(const json_t *group, const json_t *test)
{
    cs_buf key = wp_bytes(test, "key"), iv = wp_bytes(test, "iv"), msg = wp_bytes(test, "msg"),
           ct = wp_bytes(test, "ct");
    static cs_cms_fields f;
    static uint8_t plain[CS_CMS_MAX];
    CS_SECRET(cs_secret32) k = {{0}};
    wp_verdict v = key.len == 32 ? WP_REFUSED : WP_NOT_OURS;
    (void)group;
    /* cs_cms_parse lets nothing else through */
    if (key.len == 32 && iv.len == 16 && ct.len > 0 && ct.len % 16 == 0 && ct.len <= sizeof plain) {
        memcpy(k.b, key.p, 32);
        f.iv = cs_buf_slice(&iv);
        memcpy(f.content, ct.p, ct.len);
        f.content_len = ct.len;
        size_t pad = cs_cms_blocks(plain, &f, &k) ? cs_cms_padding(plain, ct.len) : 0;
        v = pad == 0 ? WP_REFUSED : wp_compare(cs_slice_of(plain, ct.len - pad), cs_buf_slice(&msg));
    }
    cs_buf_free(&key);
    cs_buf_free(&iv);
    cs_buf_free(&msg);
    cs_buf_free(&ct);
    return v;
}
