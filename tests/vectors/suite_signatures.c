/*
 * signatures: Ed25519 as publishers sign (secret/share), ECDSA over secp256k1 (libsecp256k1, as the client verifies) and the
 * NIST curves (OpenSSL, as attestation documents are verified).
 */
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/param_build.h>
#include <secp256k1.h>
#include <string.h>

#include "secret/share/share.h"
#include "suite.h"

void cs_suite_signatures(cs_suite *s, const char *dir);

static bool fixed(uint8_t *out, size_t len, const char *hex)
{
    cs_buf b = {0};
    bool ok = cs_suite_hex_text(hex, &b) == CS_OK && b.len == len;
    if (ok && len > 0) {
        memcpy(out, b.p, len);
    }
    cs_buf_free(&b);
    return ok;
}

/* ---- Ed25519 */

static bool ed25519(const uint8_t seed[32], const uint8_t pub[32], cs_slice msg, const uint8_t sig[64])
{
    uint8_t p[32], out[64];
    cs_publisher_public(p, seed);
    cs_publisher_sign(out, seed, msg);
    bool ok = memcmp(p, pub, 32) == 0 && memcmp(out, sig, 64) == 0 && cs_publisher_verify(pub, sig, msg) == CS_OK;
    for (size_t i = 0; i < 64 && ok; i += 7) {
        out[i] ^= 4;
        ok = cs_publisher_verify(pub, out, msg) == CS_E_AUTH;
        out[i] ^= 4;
    }
    return ok;
}

static void rfc8032(cs_suite *s, const char *path, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *v = json_array_get(list, i);
        uint8_t seed[32], pub[32], sig[64];
        cs_buf msg = {0};
        bool ok = fixed(seed, 32, cs_suite_str(v, "priv")) && fixed(pub, 32, cs_suite_str(v, "pub")) &&
                  fixed(sig, 64, cs_suite_str(v, "sig")) && cs_suite_hex(v, "msg", &msg) == CS_OK &&
                  ed25519(seed, pub, cs_buf_slice(&msg), sig);
        cs_suite_check(s, ok, path, "RFC 8032 vector");
        cs_buf_free(&msg);
    }
}

/* sk||pk:pk:msg:sig||msg: */
static bool djb_line(char *line)
{
    char *save = NULL, *sk = strtok_r(line, ":", &save), *pk = strtok_r(NULL, ":", &save), *rest = save;
    uint8_t seed[32], pub[32], sig[64];
    cs_buf msg = {0};
    char *colon = rest != NULL ? strchr(rest, ':') : NULL;
    if (sk == NULL || pk == NULL || colon == NULL || strlen(sk) != 128 || strlen(colon + 1) < 128) {
        return false;
    }
    *colon = '\0';
    sk[64] = '\0';
    colon[1 + 128] = '\0';
    bool ok = fixed(seed, 32, sk) && fixed(pub, 32, pk) && cs_suite_hex_text(rest, &msg) == CS_OK &&
              fixed(sig, 64, colon + 1) && ed25519(seed, pub, cs_buf_slice(&msg), sig);
    cs_buf_free(&msg);
    return ok;
}

static void djb(cs_suite *s, const char *path, char *text)
{
    char *save = NULL;
    for (char *line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
        cs_suite_check(s, djb_line(line), path, "sign.input line");
    }
}

/* ---- secp256k1 */

static bool secp_valid(const secp256k1_context *c, const json_t *v)
{
    uint8_t d[32], m[32], want[64], got[64];
    secp256k1_ecdsa_signature sig;
    secp256k1_pubkey pk;
    if (!fixed(d, 32, cs_suite_str(v, "d")) || !fixed(m, 32, cs_suite_str(v, "m")) ||
        !fixed(want, 64, cs_suite_str(v, "signature")) || secp256k1_ecdsa_sign(c, &sig, m, d, NULL, NULL) != 1 ||
        secp256k1_ec_pubkey_create(c, &pk, d) != 1) {
        return false;
    }
    (void)secp256k1_ecdsa_signature_serialize_compact(c, got, &sig);
    bool ok = memcmp(got, want, 64) == 0 && secp256k1_ecdsa_verify(c, &sig, m, &pk) == 1;
    m[31] ^= 1;
    return ok && secp256k1_ecdsa_verify(c, &sig, m, &pk) == 0;
}

static bool secp_invalid_sign(const secp256k1_context *c, const json_t *v)
{
    uint8_t d[32], m[32];
    secp256k1_ecdsa_signature sig;
    return !fixed(d, 32, cs_suite_str(v, "d")) || !fixed(m, 32, cs_suite_str(v, "m")) ||
           secp256k1_ecdsa_sign(c, &sig, m, d, NULL, NULL) != 1;
}

static bool secp_invalid_verify(const secp256k1_context *c, const json_t *v)
{
    cs_buf q = {0};
    uint8_t m[32], rs[64];
    secp256k1_ecdsa_signature sig;
    secp256k1_pubkey pk;
    bool refused = cs_suite_hex(v, "Q", &q) != CS_OK || !fixed(m, 32, cs_suite_str(v, "m")) ||
                   !fixed(rs, 64, cs_suite_str(v, "signature")) || secp256k1_ec_pubkey_parse(c, &pk, q.p, q.len) != 1 ||
                   secp256k1_ecdsa_signature_parse_compact(c, &sig, rs) != 1 ||
                   secp256k1_ecdsa_verify(c, &sig, m, &pk) != 1;
    cs_buf_free(&q);
    return refused;
}

static void secp(cs_suite *s, const char *path, const json_t *root)
{
    secp256k1_context *c = secp256k1_context_create(SECP256K1_CONTEXT_NONE);
    const json_t *valid = json_object_get(root, "valid"), *bad = json_object_get(root, "invalid");
    const json_t *sign = json_object_get(bad, "sign"), *verify = json_object_get(bad, "verify");
    for (size_t i = 0; i < json_array_size(valid); i++) {
        cs_suite_check(s, secp_valid(c, json_array_get(valid, i)), path,
                       cs_suite_str(json_array_get(valid, i), "description"));
    }
    for (size_t i = 0; i < json_array_size(sign); i++) {
        const json_t *v = json_array_get(sign, i);
        cs_suite_check(s, secp_invalid_sign(c, v), path, cs_suite_str(v, "description"));
    }
    for (size_t i = 0; i < json_array_size(verify); i++) {
        const json_t *v = json_array_get(verify, i);
        cs_suite_check(s, secp_invalid_verify(c, v), path, cs_suite_str(v, "description"));
    }
    size_t extra = json_array_size(json_object_get(root, "extraEntropy"));
    if (extra > 0) {
        cs_suite_skip_many(s, (unsigned)extra, "ECDSA with extra entropy: component does not exist");
    }
    secp256k1_context_destroy(c);
}

/* ---- NIST curves: blocks of "Name = value" */

typedef struct nist {
    char curve[32];
    cs_buf x, y, digest, r, sig_s;
    bool invalid;
} nist;

static EVP_PKEY *nist_key(const nist *n, const char *group)
{
    uint8_t point[1 + 2 * 80];
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
    if (n->x.len + n->y.len < sizeof point) {
        point[0] = 4;
        memcpy(point + 1, n->x.p, n->x.len);
        memcpy(point + 1 + n->x.len, n->y.p, n->y.len);
        (void)OSSL_PARAM_BLD_push_utf8_string(b, OSSL_PKEY_PARAM_GROUP_NAME, group, 0);
        (void)OSSL_PARAM_BLD_push_octet_string(b, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + n->x.len + n->y.len);
        OSSL_PARAM *p = OSSL_PARAM_BLD_to_param(b);
        if (EVP_PKEY_fromdata_init(c) != 1 || EVP_PKEY_fromdata(c, &key, EVP_PKEY_PUBLIC_KEY, p) != 1) {
            key = NULL;
        }
        OSSL_PARAM_free(p);
    }
    OSSL_PARAM_BLD_free(b);
    EVP_PKEY_CTX_free(c);
    return key;
}

static bool nist_verify(const nist *n, const char *group)
{
    EVP_PKEY *key = nist_key(n, group);
    ECDSA_SIG *sig = ECDSA_SIG_new();
    EVP_PKEY_CTX *c = key != NULL ? EVP_PKEY_CTX_new(key, NULL) : NULL;
    uint8_t *der = NULL;
    (void)ECDSA_SIG_set0(sig, BN_bin2bn(n->r.p, (int)n->r.len, NULL), BN_bin2bn(n->sig_s.p, (int)n->sig_s.len, NULL));
    int len = i2d_ECDSA_SIG(sig, &der);
    bool ok = c != NULL && len > 0 && EVP_PKEY_verify_init(c) == 1 &&
              EVP_PKEY_verify(c, der, (size_t)len, n->digest.p, n->digest.len) == 1;
    OPENSSL_free(der);
    EVP_PKEY_CTX_free(c);
    ECDSA_SIG_free(sig);
    EVP_PKEY_free(key);
    return ok;
}

static void nist_case(cs_suite *s, const char *path, nist *n)
{
    if (n->curve[0] != '\0') {
        if (strcmp(n->curve, "P-256") == 0 || strcmp(n->curve, "P-384") == 0 || strcmp(n->curve, "P-521") == 0) {
            cs_suite_check(s, nist_verify(n, n->curve) == !n->invalid, path, n->curve);
        } else {
            cs_suite_skip(s, "ECDSA over a curve that nothing here verifies (P-224, secp224k1)");
        }
    }
    cs_buf_free(&n->x);
    cs_buf_free(&n->y);
    cs_buf_free(&n->digest);
    cs_buf_free(&n->r);
    cs_buf_free(&n->sig_s);
    memset(n, 0, sizeof *n);
}

static void nist_line(nist *n, char *line)
{
    char *eq = strstr(line, " =");
    if (eq == NULL) {
        return;
    }
    *eq = '\0';
    const char *value = eq[2] == ' ' ? eq + 3 : eq + 2;
    struct {
        const char *name;
        cs_buf *to;
    } fields[] = {{"X", &n->x}, {"Y", &n->y}, {"Digest", &n->digest}, {"R", &n->r}, {"S", &n->sig_s}};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (strcmp(line, fields[i].name) == 0) {
            cs_buf_free(fields[i].to);
            (void)!cs_suite_hex_text(value, fields[i].to);
        }
    }
    if (strcmp(line, "Curve") == 0) {
        (void)snprintf(n->curve, sizeof n->curve, "%s", value);
    }
    n->invalid = n->invalid || strcmp(line, "Invalid") == 0;
}

static void nist_file(cs_suite *s, const char *path, char *text)
{
    nist n = {0};
    for (char *line = text; line != NULL;) {
        char *next = strchr(line, '\n');
        if (next != NULL) {
            *next++ = '\0';
        }
        line[strcspn(line, "\r")] = '\0';
        if (line[0] == '\0') {
            nist_case(s, path, &n);
        } else if (line[0] != '#') {
            nist_line(&n, line);
        }
        line = next;
    }
    nist_case(s, path, &n);
}

/* ---- files */

static void json_file(cs_suite *s, const char *path, void *cookie)
{
    json_t *root = cs_suite_json(s, path);
    const json_t *first = json_array_get(root, 0);
    (void)cookie;
    if (json_object_get(root, "valid") != NULL && json_object_get(root, "invalid") != NULL) {
        secp(s, path, root);
    } else if (json_object_get(first, "priv") != NULL && json_object_get(first, "sig") != NULL) {
        rfc8032(s, path, root);
    } else {
        size_t n = json_array_size(root);
        cs_suite_skip_many(s, n > 0 ? (unsigned)n : 1,
                           "nonces of RFC 6979 and edge cases of other Ed25519 rules: no component decides them");
    }
    json_decref(root);
}

static void text_file(cs_suite *s, const char *path, void *cookie)
{
    cs_buf b = {0};
    (void)cookie;
    if (cs_suite_read(path, &b) != CS_OK || cs_put_u8(&b, 0) != CS_OK) {
        cs_suite_fail(s, path, "cannot be read");
    } else if (strstr(path, "ed25519-djb") != NULL) {
        djb(s, path, (char *)b.p);
    } else if (strstr(path, "verify") != NULL) {
        nist_file(s, path, (char *)b.p);
    } else {
        cs_suite_skip(s, "NIST signing vectors: component does not exist");
    }
    cs_buf_free(&b);
}

void cs_suite_signatures(cs_suite *s, const char *dir)
{
    cs_suite_walk(s, dir, ".json", json_file, NULL);
    cs_suite_walk(s, dir, ".txt", text_file, NULL);
}
