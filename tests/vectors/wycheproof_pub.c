/* Wycheproof: Ed25519, ECDSA, RSA-OAEP. */
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <secp256k1.h>
#include <string.h>

#include "attest/cose_verify.h"
#include "secret/share/share.h"
#include "wycheproof.h"

wp_verdict wp_ed25519(const json_t *group, const json_t *test)
{
    cs_buf pk = wp_bytes(json_object_get(group, "publicKey"), "pk"), msg = wp_bytes(test, "msg"),
           sig = wp_bytes(test, "sig");
    bool ok = pk.len == 32 && sig.len == 64 && cs_publisher_verify(pk.p, sig.p, cs_buf_slice(&msg)) == CS_OK;
    cs_buf_free(&pk);
    cs_buf_free(&msg);
    cs_buf_free(&sig);
    return ok ? WP_ACCEPTED : WP_REFUSED;
}

/* the leftmost 32 bytes of the group's hash of msg; false for a hash shorter than that (none of ours) */
static bool digest32(const json_t *group, const cs_buf *msg, uint8_t out[32])
{
    const char *sha = cs_suite_str(group, "sha");
    const EVP_MD *md = strcmp(sha, "SHA-256") == 0 ? EVP_sha256() : strcmp(sha, "SHA-512") == 0 ? EVP_sha512() : NULL;
    uint8_t full[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (md == NULL || EVP_Digest(msg->p, msg->len, full, &len, md, NULL) != 1 || len < 32) {
        return false;
    }
    memcpy(out, full, 32);
    return true;
}

typedef enum k1_form { K1_DER, K1_DER_LOW_S, K1_P1363 } k1_form;

/* libsecp256k1 accepts low s only; where the vectors allow both, a high s is folded first */
static wp_verdict verify_k1(const json_t *group, const json_t *test, k1_form form)
{
    cs_buf pk = wp_bytes(json_object_get(group, "publicKey"), "uncompressed");
    cs_buf msg = wp_bytes(test, "msg"), sig = wp_bytes(test, "sig");
    secp256k1_pubkey key;
    secp256k1_ecdsa_signature parsed;
    uint8_t digest[32];
    wp_verdict v = WP_NOT_OURS;
    const secp256k1_context *ctx = secp256k1_context_static;
    if (digest32(group, &msg, digest)) {
        bool ok = secp256k1_ec_pubkey_parse(ctx, &key, pk.p, pk.len) == 1;
        if (form == K1_P1363) {
            ok = ok && sig.len == 64 && secp256k1_ecdsa_signature_parse_compact(ctx, &parsed, sig.p) == 1;
        } else {
            ok = ok && sig.len > 0 && secp256k1_ecdsa_signature_parse_der(ctx, &parsed, sig.p, sig.len) == 1;
        }
        if (ok && form != K1_DER_LOW_S) {
            (void)secp256k1_ecdsa_signature_normalize(ctx, &parsed, &parsed);
        }
        v = ok && secp256k1_ecdsa_verify(ctx, &parsed, digest, &key) == 1 ? WP_ACCEPTED : WP_REFUSED;
    }
    cs_buf_free(&pk);
    cs_buf_free(&msg);
    cs_buf_free(&sig);
    return v;
}

static const char *curve_of(const json_t *group)
{
    return cs_suite_str(json_object_get(group, "publicKey"), "curve");
}

static EVP_PKEY *der_key(const json_t *group)
{
    cs_buf der = wp_bytes(group, "publicKeyDer");
    const unsigned char *p = der.p;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &p, (long)der.len);
    cs_buf_free(&der);
    return key;
}

/* P-384 with SHA-384 in DER: how certificates of attestation documents are signed */
static wp_verdict verify_x509_form(const json_t *group, const json_t *test)
{
    cs_buf msg = wp_bytes(test, "msg"), sig = wp_bytes(test, "sig");
    EVP_PKEY *key = der_key(group);
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    bool ok = key != NULL && c != NULL && EVP_DigestVerifyInit(c, NULL, EVP_sha384(), NULL, key) == 1 &&
              EVP_DigestVerify(c, sig.p, sig.len, msg.p, msg.len) == 1;
    EVP_MD_CTX_free(c);
    EVP_PKEY_free(key);
    cs_buf_free(&msg);
    cs_buf_free(&sig);
    return ok ? WP_ACCEPTED : WP_REFUSED;
}

wp_verdict wp_ecdsa_der(const json_t *group, const json_t *test)
{
    if (strcmp(curve_of(group), "secp256k1") == 0) {
        return verify_k1(group, test, K1_DER);
    }
    if (strcmp(curve_of(group), "secp384r1") == 0 && strcmp(cs_suite_str(group, "sha"), "SHA-384") == 0) {
        return verify_x509_form(group, test);
    }
    return WP_NOT_OURS;
}

wp_verdict wp_ecdsa_bitcoin(const json_t *group, const json_t *test)
{
    return verify_k1(group, test, K1_DER_LOW_S);
}

wp_verdict wp_ecdsa_p1363(const json_t *group, const json_t *test)
{
    static const struct {
        const char *curve, *sha;
        int64_t alg;
    } rows[] = {{"secp256r1", "SHA-256", -7}, {"secp384r1", "SHA-384", -35}, {"secp521r1", "SHA-512", -36}};
    if (strcmp(curve_of(group), "secp256k1") == 0) {
        return verify_k1(group, test, K1_P1363);
    }
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(curve_of(group), rows[i].curve) == 0 && strcmp(cs_suite_str(group, "sha"), rows[i].sha) == 0) {
            cs_buf msg = wp_bytes(test, "msg"), sig = wp_bytes(test, "sig");
            EVP_PKEY *key = der_key(group);
            cs_err err =
                key == NULL ? CS_E_FORMAT : cs_cose_verify(key, rows[i].alg, cs_buf_slice(&msg), cs_buf_slice(&sig));
            EVP_PKEY_free(key);
            cs_buf_free(&msg);
            cs_buf_free(&sig);
            return err == CS_OK ? WP_ACCEPTED : WP_REFUSED;
        }
    }
    return WP_NOT_OURS;
}

static wp_verdict oaep_open(EVP_PKEY *key, const cs_buf *ct, const cs_buf *msg)
{
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(key, NULL);
    uint8_t out[1024];
    size_t len = sizeof out;
    wp_verdict v = WP_REFUSED;
    /* as KMS's answers are opened: both hashes SHA-256, no label */
    if (c != NULL && EVP_PKEY_decrypt_init(c) == 1 && EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_OAEP_PADDING) == 1 &&
        EVP_PKEY_CTX_set_rsa_oaep_md(c, EVP_sha256()) == 1 && EVP_PKEY_CTX_set_rsa_mgf1_md(c, EVP_sha256()) == 1 &&
        EVP_PKEY_decrypt(c, out, &len, ct->p, ct->len) == 1) {
        v = wp_compare(cs_slice_of(out, len), cs_buf_slice(msg));
    }
    EVP_PKEY_CTX_free(c);
    return v;
}

wp_verdict wp_rsa_oaep(const json_t *group, const json_t *test)
{
    if (strlen(cs_suite_str(test, "label")) > 0) {
        return WP_NOT_OURS;
    }
    cs_buf der = wp_bytes(group, "privateKeyPkcs8"), ct = wp_bytes(test, "ct"), msg = wp_bytes(test, "msg");
    const unsigned char *p = der.p;
    EVP_PKEY *key = d2i_AutoPrivateKey(NULL, &p, (long)der.len);
    wp_verdict v = key != NULL ? oaep_open(key, &ct, &msg) : WP_WRONG;
    EVP_PKEY_free(key);
    cs_buf_free(&der);
    cs_buf_free(&ct);
    cs_buf_free(&msg);
    return v;
}
