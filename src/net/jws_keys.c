/* Public keys of tokens: JWK (RFC 7517, 7518 6.2, 8037 2) and PEM. See jws.h. */
#include <jansson.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "net/jws_int.h"

#define TEXT_MAX (256u * 1024u)
#define COORDINATE 32u

static bool coordinate(uint8_t out[COORDINATE], const json_t *jwk, const char *name)
{
    const char *text = json_string_value(json_object_get(jwk, name));
    cs_buf b = cs_buf_wrap(out, COORDINATE);
    return text != NULL && cs_b64_get(&b, cs_slice_str(text), CS_B64_URL) == CS_OK && b.len == COORDINATE;
}

/* OpenSSL refuses a point that is not on the curve. */
static EVP_PKEY *p256_key(const json_t *jwk)
{
    uint8_t point[1 + 2 * COORDINATE] = {4};
    char group[] = "P-256";
    EVP_PKEY *key = NULL;
    if (!coordinate(point + 1, jwk, "x") || !coordinate(point + 1 + COORDINATE, jwk, "y")) {
        return NULL;
    }
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
                           OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point),
                           OSSL_PARAM_construct_end()};
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    if (ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1) {
        key = NULL;
    }
    EVP_PKEY_CTX_free(ctx);
    return key;
}

static EVP_PKEY *ed25519_key(const json_t *jwk)
{
    uint8_t x[COORDINATE];
    return coordinate(x, jwk, "x") ? EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, x, sizeof x) : NULL;
}

static bool text_is(const json_t *jwk, const char *name, const char *want)
{
    const char *v = json_string_value(json_object_get(jwk, name));
    return v != NULL && strcmp(v, want) == 0;
}

/* When the member is there it must say this. */
static bool may_be(const json_t *jwk, const char *name, const char *want)
{
    return json_object_get(jwk, name) == NULL || text_is(jwk, name, want);
}

static bool for_verification(const json_t *jwk)
{
    const json_t *ops = json_object_get(jwk, "key_ops");
    if (!may_be(jwk, "use", "sig")) {
        return false;
    }
    for (size_t i = 0; i < json_array_size(ops); i++) {
        const char *op = json_string_value(json_array_get(ops, i));
        if (op != NULL && strcmp(op, "verify") == 0) {
            return true;
        }
    }
    return ops == NULL;
}

/* *out_ours false: a key for something else. */
static cs_err read_jwk(cs_jws_keys *k, bool *out_ours, const json_t *jwk)
{
    bool ed = text_is(jwk, "kty", "OKP") && text_is(jwk, "crv", "Ed25519") && may_be(jwk, "alg", "EdDSA");
    bool p256 = text_is(jwk, "kty", "EC") && text_is(jwk, "crv", "P-256") && may_be(jwk, "alg", "ES256");
    const json_t *kid = json_object_get(jwk, "kid");

    if (!json_is_object(jwk) || json_object_get(jwk, "d") != NULL ||
        (kid != NULL && (!json_is_string(kid) || json_string_length(kid) > CS_JWS_KID_MAX))) {
        return CS_E_FORMAT; /* a private key does not belong here */
    }
    *out_ours = (ed || p256) && for_verification(jwk);
    if (!*out_ours) {
        return CS_OK;
    }
    if (k->num == CS_JWS_KEYS_MAX) {
        return CS_E_TOO_LARGE;
    }
    cs_jws_key *key = &k->key[k->num];
    key->kind = ed ? CS_JWS_ED25519 : CS_JWS_P256;
    key->key = ed ? ed25519_key(jwk) : p256_key(jwk);
    if (kid != NULL) {
        memcpy(key->kid, json_string_value(kid), json_string_length(kid) + 1);
    }
    k->num += key->key != NULL ? 1 : 0;
    return key->key != NULL ? CS_OK : CS_E_FORMAT;
}

static cs_err read_json(cs_jws_keys *k, cs_slice text)
{
    json_error_t e;
    json_t *doc = json_loadb((const char *)text.p, text.len, JSON_REJECT_DUPLICATES, &e);
    const json_t *set = json_object_get(doc, "keys");
    bool ours = false;
    cs_err err = json_is_object(doc) && (set == NULL || json_is_array(set)) ? CS_OK : CS_E_FORMAT;

    if (err == CS_OK && set == NULL) {
        err = read_jwk(k, &ours, doc);
    }
    for (size_t i = 0; err == CS_OK && i < json_array_size(set); i++) {
        err = read_jwk(k, &ours, json_array_get(set, i));
    }
    json_decref(doc);
    return err;
}

static cs_err add_pem(cs_jws_keys *k, EVP_PKEY *pkey)
{
    char group[64] = "";
    size_t len = 0;
    bool ed = EVP_PKEY_get_base_id(pkey) == EVP_PKEY_ED25519;
    bool p256 = EVP_PKEY_get_base_id(pkey) == EVP_PKEY_EC &&
                EVP_PKEY_get_group_name(pkey, group, sizeof group, &len) == 1 && strcmp(group, "prime256v1") == 0;
    if (!ed && !p256) {
        return CS_E_FORMAT;
    }
    if (k->num == CS_JWS_KEYS_MAX) {
        return CS_E_TOO_LARGE;
    }
    if (EVP_PKEY_up_ref(pkey) != 1) {
        return CS_E_NO_MEMORY;
    }
    k->key[k->num++] = (cs_jws_key){.kind = ed ? CS_JWS_ED25519 : CS_JWS_P256, .key = pkey};
    return CS_OK;
}

static cs_err read_pem(cs_jws_keys *k, cs_slice text)
{
    BIO *bio = BIO_new_mem_buf(text.p, (int)text.len);
    cs_err err = bio != NULL ? CS_OK : CS_E_NO_MEMORY;
    char *name = NULL, *header = NULL;
    unsigned char *data = NULL;
    long len = 0;
    ERR_clear_error();
    while (err == CS_OK && PEM_read_bio(bio, &name, &header, &data, &len) == 1) {
        const unsigned char *p = data;
        EVP_PKEY *pkey = strcmp(name, "PUBLIC KEY") == 0 ? d2i_PUBKEY(NULL, &p, len) : NULL;
        err = pkey != NULL && p == data + len ? add_pem(k, pkey) : CS_E_FORMAT;
        EVP_PKEY_free(pkey);
        OPENSSL_free(name);
        OPENSSL_free(header);
        OPENSSL_clear_free(data, (size_t)len);
    }
    if (err == CS_OK && ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
        err = CS_E_FORMAT; /* something else than the end of the list ended it */
    }
    BIO_free(bio);
    return err;
}

cs_err cs_jws_keys_read(cs_jws_keys **out, cs_slice text)
{
    cs_slice trimmed = cs_trim(text, " \t\r\n");
    cs_jws_keys *k = NULL;
    if (text.len > TEXT_MAX) {
        return CS_E_TOO_LARGE;
    }
    if (trimmed.len == 0) {
        return CS_E_FORMAT;
    }
    k = calloc(1, sizeof *k);
    if (k == NULL) {
        return CS_E_NO_MEMORY;
    }
    cs_err err = trimmed.p[0] == '{' ? read_json(k, trimmed) : read_pem(k, trimmed);
    ERR_clear_error();
    if (err == CS_OK && k->num == 0) {
        err = CS_E_FORMAT;
    }
    if (err != CS_OK) {
        cs_jws_keys_free(k);
        return err;
    }
    *out = k;
    return CS_OK;
}

void cs_jws_keys_free(cs_jws_keys *k)
{
    if (k != NULL) {
        for (size_t i = 0; i < k->num; i++) {
            EVP_PKEY_free(k->key[i].key);
        }
        free(k);
    }
}

size_t cs_jws_keys_num(const cs_jws_keys *k)
{
    return k->num;
}
