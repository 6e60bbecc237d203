/* ECDSA of the signatures suite: secp256k1 (noble's lists) and the nonces of RFC 6979. */
#include <openssl/sha.h>
#include <string.h>

#include "secret/sign/ecdsa_k1.h"
#include "secret/sign/ecdsa_p256.h"
#include "secret/sign/rfc6979.h"
#include "sig_suites.h"

/* ---- secp256k1 */

static bool k1_signs(const json_t *v, const char *signature, const uint8_t *extra32)
{
    cs_secret32 d;
    uint8_t m[32], want[64], got[64], point[33];
    if (!cs_sig_fixed(d.b, 32, cs_suite_str(v, "d")) || !cs_sig_fixed(m, 32, cs_suite_str(v, "m")) ||
        !cs_sig_fixed(want, 64, cs_suite_str(v, signature)) || cs_ecdsa_k1_sign(got, NULL, &d, m, extra32) != CS_OK ||
        cs_ecdsa_k1_public(point, &d) != CS_OK || memcmp(got, want, 64) != 0 ||
        cs_ecdsa_k1_verify(got, m, cs_slice_of(point, 33)) != CS_OK) {
        return false;
    }
    m[31] ^= 1;
    return cs_ecdsa_k1_verify(got, m, cs_slice_of(point, 33)) == CS_E_AUTH;
}

static bool k1_refuses_key(const json_t *v)
{
    cs_secret32 d;
    uint8_t m[32], got[64];
    return !cs_sig_fixed(d.b, 32, cs_suite_str(v, "d")) || !cs_sig_fixed(m, 32, cs_suite_str(v, "m")) ||
           cs_ecdsa_k1_sign(got, NULL, &d, m, NULL) == CS_E_RANGE;
}

static bool k1_refuses_signature(const json_t *v)
{
    cs_buf q = {0};
    uint8_t m[32], rs[64];
    bool refused = cs_suite_hex(v, "Q", &q) != CS_OK || !cs_sig_fixed(m, 32, cs_suite_str(v, "m")) ||
                   !cs_sig_fixed(rs, 64, cs_suite_str(v, "signature")) ||
                   cs_ecdsa_k1_verify(rs, m, cs_buf_slice(&q)) != CS_OK;
    cs_buf_free(&q);
    return refused;
}

/*
 * More input for the nonce [RFC 6979, 3.6], 32 bytes: absent, zeros, a fixed value, the order, all ones (the
 * names are the file's). The
 * value behind "Rand" is not in the file: the signature must verify, whatever it was.
 */
static void k1_extra(cs_suite *s, const char *path, const json_t *v)
{
    uint8_t extra[32] = {0}, rs[64], m[32], point[33];
    cs_secret32 d;
    cs_suite_check(s, k1_signs(v, "signature", NULL), path, "extra entropy: none");
    cs_suite_check(s, k1_signs(v, "extraEntropy0", extra), path, "extra entropy: zeros");
    extra[31] = 1;
    cs_suite_check(s, k1_signs(v, "extraEntropy1", extra), path, "extra entropy: 1");
    (void)cs_sig_fixed(extra, 32, "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141");
    cs_suite_check(s, k1_signs(v, "extraEntropyN", extra), path, "extra entropy: the order");
    memset(extra, 0xff, sizeof extra);
    cs_suite_check(s, k1_signs(v, "extraEntropyMax", extra), path, "extra entropy: ones");
    cs_suite_check(s,
                   cs_sig_fixed(rs, 64, cs_suite_str(v, "extraEntropyRand")) &&
                       cs_sig_fixed(m, 32, cs_suite_str(v, "m")) && cs_sig_fixed(d.b, 32, cs_suite_str(v, "d")) &&
                       cs_ecdsa_k1_public(point, &d) == CS_OK &&
                       cs_ecdsa_k1_verify(rs, m, cs_slice_of(point, 33)) == CS_OK,
                   path, "extra entropy: random");
}

void cs_sig_k1(cs_suite *s, const char *path, const json_t *root)
{
    const json_t *valid = json_object_get(root, "valid"), *bad = json_object_get(root, "invalid");
    const json_t *sign = json_object_get(bad, "sign"), *verify = json_object_get(bad, "verify");
    const json_t *extra = json_object_get(root, "extraEntropy");
    for (size_t i = 0; i < json_array_size(valid); i++) {
        const json_t *v = json_array_get(valid, i);
        cs_suite_check(s, k1_signs(v, "signature", NULL), path, cs_suite_str(v, "description"));
    }
    for (size_t i = 0; i < json_array_size(sign); i++) {
        const json_t *v = json_array_get(sign, i);
        cs_suite_check(s, k1_refuses_key(v), path, cs_suite_str(v, "description"));
    }
    for (size_t i = 0; i < json_array_size(verify); i++) {
        const json_t *v = json_array_get(verify, i);
        cs_suite_check(s, k1_refuses_signature(v), path, cs_suite_str(v, "description"));
    }
    for (size_t i = 0; i < json_array_size(extra); i++) {
        k1_extra(s, path, json_array_get(extra, i));
    }
}

/* ---- RFC 6979 */

static bool nonces(const json_t *v)
{
    static const struct {
        const char *name;
        unsigned at;
    } wanted[] = {{"k0", 0}, {"k1", 1}, {"k15", 15}};
    const char *text = cs_suite_str(v, "message");
    uint8_t d[32], digest[32], want[32];
    CS_SECRET(cs_rfc6979) drbg = {0};
    CS_SECRET(cs_secret32) k = {{0}};
    unsigned drawn = 0;
    if (!cs_sig_fixed(d, 32, cs_suite_str(v, "d"))) {
        return false;
    }
    (void)SHA256((const uint8_t *)text, strlen(text), digest); /* none of the file's digests reaches the order */
    cs_rfc6979_init(&drbg, d, digest, CS_SLICE_NULL);
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        for (; drawn <= wanted[i].at; drawn++) {
            cs_rfc6979_next(&drbg, &k);
        }
        if (!cs_sig_fixed(want, 32, cs_suite_str(v, wanted[i].name)) || memcmp(k.b, want, 32) != 0) {
            return false;
        }
    }
    return true;
}

#define MAX_DEPTH 8

/* objects from the root of the file to the one at hand: a field may be that of an outer one */
typedef struct scope {
    const json_t *obj[MAX_DEPTH];
    size_t depth;
} scope;

static const char *field(const scope *sc, const char *const *names)
{
    for (size_t d = sc->depth; d-- > 0;) {
        for (size_t i = 0; names[i] != NULL; i++) {
            const char *v = cs_suite_str(sc->obj[d], names[i]);
            if (v[0] != '\0') {
                return v;
            }
        }
    }
    return "";
}

static const char *const key_names[] = {"x",    "d",      "private", "private_key", "privateKey",
                                        "priv", "secret", "key",     NULL};
static const char *const message_names[] = {"message", "msg", NULL};
static const char *const k_names[] = {"k", "nonce", NULL};
static const char *const r_names[] = {"r", NULL};
static const char *const s_names[] = {"s", NULL};

static void p256_case(cs_suite *s, const char *path, const scope *sc)
{
    const char *text = field(sc, message_names), *nonce = field(sc, k_names);
    cs_secret32 d, k;
    uint8_t digest[32], want[64], got[64];
    if (!cs_sig_fixed(d.b, 32, field(sc, key_names)) || !cs_sig_fixed(want, 32, field(sc, r_names)) ||
        !cs_sig_fixed(want + 32, 32, field(sc, s_names))) {
        cs_suite_fail(s, path, "a signature without key, r or s of 32 bytes");
        return;
    }
    (void)SHA256((const uint8_t *)text, strlen(text), digest);
    bool ok = cs_ecdsa_p256_sign(got, &d, digest) == CS_OK && memcmp(got, want, 64) == 0;
    if (ok && nonce[0] != '\0') {
        ok = cs_sig_fixed(k.b, 32, nonce) && cs_ecdsa_p256_unsafe_sign(got, &d, digest, &k) == CS_OK &&
             memcmp(got, want, 64) == 0;
    }
    cs_suite_check(s, ok, path, text);
}

static void walk(cs_suite *s, const char *path, scope sc, const json_t *v)
{
    const char *key;
    json_t *child;
    size_t at;
    if (json_is_array(v)) {
        json_array_foreach(v, at, child)
        {
            walk(s, path, sc, child);
        }
        return;
    }
    if (!json_is_object(v) || sc.depth == MAX_DEPTH) {
        return;
    }
    sc.obj[sc.depth++] = v;
    if (json_object_get(v, "k0") != NULL) {
        cs_suite_check(s, nonces(v), path, cs_suite_str(v, "message"));
    } else if (json_object_get(v, "r") != NULL && json_object_get(v, "s") != NULL) {
        p256_case(s, path, &sc);
    } else {
        json_object_foreach((json_t *)(uintptr_t)v, key, child)
        {
            walk(s, path, sc, child);
        }
    }
}

void cs_sig_rfc6979(cs_suite *s, const char *path, const json_t *root)
{
    unsigned before = s->passed + s->failed;
    walk(s, path, (scope){{NULL}, 0}, root);
    if (s->passed + s->failed == before) {
        cs_suite_fail(s, path, "no signature that could be read");
    }
}
