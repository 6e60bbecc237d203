/*
 * Wycheproof: Ed25519, ECDSA, RSA-OAEP. Each through the product's own function; where there is none the case is
 * not ours.
 */
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <string.h>

#include "attest/cose_verify.h"
#include "codec/ecdsa_der.h"
#include "secret/cms_int.h"
#include "secret/sign/ecdsa_k1.h"
#include "secret/sign/ecdsa_p256.h"
#include "secret/sign/ed25519.h"
#include "wycheproof.h"

wp_verdict wp_ed25519(const json_t *group, const json_t *test)
{
    cs_buf pk = wp_bytes(json_object_get(group, "publicKey"), "pk"), msg = wp_bytes(test, "msg"),
           sig = wp_bytes(test, "sig");
    bool ok = pk.len == 32 && sig.len == 64 && cs_ed25519_verify(pk.p, sig.p, cs_buf_slice(&msg)) == CS_OK;
    cs_buf_free(&pk);
    cs_buf_free(&msg);
    cs_buf_free(&sig);
    return ok ? WP_ACCEPTED : WP_REFUSED;
}

/* ---- ECDSA */

typedef enum form { DER, DER_LOW_S, P1363 } form;

typedef struct sig_case {
    cs_buf point, msg, sig;
    uint8_t rs[2 * CS_ECDSA_WIDTH_MAX];
    uint8_t digest[32]; /* the leftmost bytes of the group's hash */
} sig_case;

static const char *curve_of(const json_t *group)
{
    return cs_suite_str(json_object_get(group, "publicKey"), "curve");
}

/* false: a hash that nothing of ours signs over */
static bool digest_of(sig_case *c, const json_t *group)
{
    const char *sha = cs_suite_str(group, "sha");
    uint8_t full[64];
    if (strcmp(sha, "SHA-256") == 0) {
        (void)SHA256(c->msg.p, c->msg.len, full);
    } else if (strcmp(sha, "SHA-512") == 0) {
        (void)SHA512(c->msg.p, c->msg.len, full);
    } else {
        return false;
    }
    memcpy(c->digest, full, sizeof c->digest);
    return true;
}

/* the signature's two numbers; false: malformed */
static bool numbers_of(sig_case *c, size_t width, form f)
{
    if (f != P1363) {
        return cs_ecdsa_der_parse(c->rs, width, cs_buf_slice(&c->sig)) == CS_OK;
    }
    if (c->sig.len != 2 * width) {
        return false;
    }
    memcpy(c->rs, c->sig.p, 2 * width);
    return true;
}

static wp_verdict verify_k1(sig_case *c, const json_t *group, form f)
{
    if (!digest_of(c, group)) {
        return WP_NOT_OURS;
    }
    /* our signatures have a low s; where the vectors allow both it is folded first */
    bool ok = numbers_of(c, 32, f) && (f == DER_LOW_S || cs_ecdsa_k1_fold(c->rs) == CS_OK) &&
              cs_ecdsa_k1_verify(c->rs, c->digest, cs_buf_slice(&c->point)) == CS_OK;
    return ok ? WP_ACCEPTED : WP_REFUSED;
}

/* as COSE messages and attestation documents are verified */
static wp_verdict verify_cose(sig_case *c, const json_t *group, form f, size_t width, int64_t alg)
{
    cs_buf der = wp_bytes(group, "publicKeyDer");
    const unsigned char *p = der.p;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &p, (long)der.len);
    bool ok = key != NULL && numbers_of(c, width, f) &&
              cs_cose_verify(key, alg, cs_buf_slice(&c->msg), cs_slice_of(c->rs, 2 * width)) == CS_OK;
    EVP_PKEY_free(key);
    cs_buf_free(&der);
    return ok ? WP_ACCEPTED : WP_REFUSED;
}

static wp_verdict verify_p256(sig_case *c, const json_t *group, form f)
{
    if (!digest_of(c, group)) {
        return WP_NOT_OURS;
    }
    bool ok = numbers_of(c, 32, f) && cs_ecdsa_p256_verify(c->rs, c->digest, cs_buf_slice(&c->point)) == CS_OK;
    wp_verdict v = ok ? WP_ACCEPTED : WP_REFUSED;
    if (strcmp(cs_suite_str(group, "sha"), "SHA-256") == 0 && verify_cose(c, group, f, 32, CS_COSE_ES256) != v) {
        return WP_WRONG; /* our two verifiers differ */
    }
    return v;
}

static wp_verdict ecdsa(const json_t *group, const json_t *test, form f)
{
    const char *curve = curve_of(group), *sha = cs_suite_str(group, "sha");
    sig_case c = {.point = wp_bytes(json_object_get(group, "publicKey"), "uncompressed"),
                  .msg = wp_bytes(test, "msg"),
                  .sig = wp_bytes(test, "sig")};
    wp_verdict v = WP_NOT_OURS;
    if (strcmp(curve, "secp256k1") == 0) {
        v = verify_k1(&c, group, f);
    } else if (strcmp(curve, "secp256r1") == 0) {
        v = verify_p256(&c, group, f);
    } else if (strcmp(curve, "secp384r1") == 0 && strcmp(sha, "SHA-384") == 0) {
        v = verify_cose(&c, group, f, 48, CS_COSE_ES384);
    } else if (strcmp(curve, "secp521r1") == 0 && strcmp(sha, "SHA-512") == 0) {
        v = verify_cose(&c, group, f, 66, CS_COSE_ES512);
    }
    cs_buf_free(&c.point);
    cs_buf_free(&c.msg);
    cs_buf_free(&c.sig);
    return v;
}

wp_verdict wp_ecdsa_der(const json_t *group, const json_t *test)
{
    return ecdsa(group, test, DER);
}

wp_verdict wp_ecdsa_bitcoin(const json_t *group, const json_t *test)
{
    return ecdsa(group, test, DER_LOW_S);
}

wp_verdict wp_ecdsa_p1363(const json_t *group, const json_t *test)
{
    return ecdsa(group, test, P1363);
}

/* ---- RSA: the keys of KMS's answers, both hashes SHA-256, no label */

wp_verdict wp_rsa_oaep(const json_t *group, const json_t *test)
{
    if (strlen(cs_suite_str(test, "label")) > 0) {
        return WP_NOT_OURS;
    }
    cs_buf der = wp_bytes(group, "privateKeyPkcs8"), ct = wp_bytes(test, "ct"), msg = wp_bytes(test, "msg");
    const unsigned char *p = der.p;
    EVP_PKEY *key = d2i_AutoPrivateKey(NULL, &p, (long)der.len);
    uint8_t plain[CS_CMS_RSA_MAX];
    size_t len = 0;
    wp_verdict v = key == NULL ? WP_NO_KEY : WP_REFUSED;
    if (key != NULL && EVP_PKEY_get_size(key) > CS_CMS_RSA_MAX) {
        v = WP_NOT_OURS;
    } else if (key != NULL && cs_cms_oaep(plain, &len, cs_buf_slice(&ct), key)) {
        v = wp_compare(cs_slice_of(plain, len), cs_buf_slice(&msg));
    }
    EVP_PKEY_free(key);
    cs_buf_free(&der);
    cs_buf_free(&ct);
    cs_buf_free(&msg);
    return v;
}
