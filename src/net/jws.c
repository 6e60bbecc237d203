/* JSON web signatures: tokens and their claims. Keys are in jws_keys.c. See jws.h. */
#include "net/jws.h"

#include <jansson.h>
#include <math.h>
#include <openssl/err.h>
#include <string.h>

#include "base/text.h"
#include "codec/ecdsa_der.h"
#include "net/jws_int.h"

#define SIGNATURE 64u

/* ---------------------------------------------------------------- signatures */

typedef struct token {
    cs_slice signed_part, header, payload, signature; /* the last three in base64url */
} token;

/* Three parts, none of them empty. */
static cs_err split(token *t, cs_slice text)
{
    const uint8_t *one = text.len > 0 ? memchr(text.p, '.', text.len) : NULL;
    size_t at = one != NULL ? (size_t)(one - text.p) : 0;
    const uint8_t *two = one != NULL ? memchr(one + 1, '.', text.len - at - 1) : NULL;
    if (two == NULL) {
        return CS_E_TOKEN;
    }
    size_t second = (size_t)(two - text.p);
    t->signed_part = cs_slice_of(text.p, second);
    t->header = cs_slice_of(text.p, at);
    t->payload = cs_slice_of(text.p + at + 1, second - at - 1);
    t->signature = cs_slice_of(text.p + second + 1, text.len - second - 1);
    return t->header.len > 0 && t->signature.len > 0 ? CS_OK : CS_E_TOKEN; /* a further '.' is no base64url */
}

/* Headers that change what is signed, or whose key it is, are not for us; the others say nothing. */
static cs_err read_header(cs_jws_kind *kind, const char **kid, const json_t *h)
{
    static const char *const refused[] = {"crit", "b64", "jwk", "jku", "x5u", "x5c", "zip", "enc"};
    const char *alg = json_string_value(json_object_get(h, "alg"));
    const json_t *k = json_object_get(h, "kid");
    if (alg == NULL || (k != NULL && !json_is_string(k))) {
        return CS_E_TOKEN;
    }
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        if (json_object_get(h, refused[i]) != NULL) {
            return CS_E_TOKEN;
        }
    }
    *kid = json_string_value(k);
    *kind = CS_JWS_ED25519;
    if (strcmp(alg, "EdDSA") == 0) {
        return CS_OK;
    }
    *kind = CS_JWS_P256;
    return strcmp(alg, "ES256") == 0 ? CS_OK : CS_E_TOKEN;
}

static bool verify_with(const cs_jws_key *k, cs_slice data, const uint8_t sig[SIGNATURE])
{
    uint8_t mem[CS_ECDSA_DER_MAX];
    cs_buf der = cs_buf_wrap(mem, sizeof mem);
    cs_slice s = cs_slice_of(sig, SIGNATURE);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx != NULL;
    if (k->kind == CS_JWS_P256) {
        ok = ok && cs_ecdsa_der_put(&der, sig, SIGNATURE / 2) == CS_OK;
        s = cs_buf_slice(&der);
    }
    ok = ok && EVP_DigestVerifyInit(ctx, NULL, k->kind == CS_JWS_P256 ? EVP_sha256() : NULL, NULL, k->key) == 1 &&
         EVP_DigestVerify(ctx, s.p, s.len, data.p, data.len) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return ok;
}

static bool verify_any(const cs_jws_keys *keys, cs_jws_kind kind, const char *kid, cs_slice data,
                       const uint8_t sig[SIGNATURE])
{
    for (size_t i = 0; i < keys->num; i++) {
        const cs_jws_key *k = &keys->key[i];
        bool named = kid == NULL || k->kid[0] == '\0' || strcmp(k->kid, kid) == 0;
        if (k->kind == kind && named && verify_with(k, data, sig)) {
            return true;
        }
    }
    return false;
}

cs_err cs_jws_verify(cs_buf *out, const cs_jws_keys *keys, cs_slice text)
{
    uint8_t mem[CS_JWS_MAX], sig_mem[SIGNATURE];
    cs_buf header = cs_buf_wrap(mem, sizeof mem), sig = cs_buf_wrap(sig_mem, sizeof sig_mem);
    cs_jws_kind kind = CS_JWS_ED25519;
    const char *kid = NULL;
    json_error_t e;
    token t;

    if (text.len > CS_JWS_MAX || split(&t, text) != CS_OK || cs_b64_get(&header, t.header, CS_B64_URL) != CS_OK ||
        cs_b64_get(&sig, t.signature, CS_B64_URL) != CS_OK || sig.len != SIGNATURE) {
        return CS_E_TOKEN;
    }
    json_t *h = json_loadb((const char *)header.p, header.len, JSON_REJECT_DUPLICATES, &e);
    bool ok =
        json_is_object(h) && read_header(&kind, &kid, h) == CS_OK && verify_any(keys, kind, kid, t.signed_part, sig.p);
    json_decref(h);
    if (!ok) {
        return CS_E_TOKEN;
    }
    cs_err err = cs_b64_get(out, t.payload, CS_B64_URL);
    return err == CS_E_FORMAT ? CS_E_TOKEN : err;
}

/* ---------------------------------------------------------------- claims */

/* A NumericDate: seconds, perhaps with a fraction [RFC 7519 2]. */
static bool read_date(double *out, const json_t *claims, const char *name)
{
    const json_t *v = json_object_get(claims, name);
    *out = json_number_value(v);
    return json_is_number(v) && isfinite(*out) && *out >= 0 && *out < 1e15;
}

static bool audience_ok(const json_t *aud, const char *want)
{
    if (json_is_string(aud)) {
        return strcmp(json_string_value(aud), want) == 0;
    }
    for (size_t i = 0; i < json_array_size(aud); i++) {
        const char *one = json_string_value(json_array_get(aud, i));
        if (one != NULL && strcmp(one, want) == 0) {
            return true;
        }
    }
    return false;
}

static const char *check_times(cs_jwt *out, const json_t *c, const cs_jwt_rules *r)
{
    static const char *const later[] = {"nbf", "iat"};
    double date = 0, now = (double)r->now_s, leeway = (double)r->leeway_s;
    if (!read_date(&date, c, "exp")) {
        return "exp is missing or no date";
    }
    if (now - leeway >= date) {
        return "expired";
    }
    out->expires_s = (uint64_t)date;
    for (size_t i = 0; i < 2; i++) {
        if (json_object_get(c, later[i]) == NULL) {
            continue;
        }
        if (!read_date(&date, c, later[i]) || date > now + leeway) {
            return i == 0 ? "nbf: not valid yet" : "iat: made in the future";
        }
    }
    return NULL;
}

static void take_subject(cs_jwt *out, const json_t *c)
{
    const char *sub = json_string_value(json_object_get(c, "sub"));
    size_t len = sub != NULL ? strlen(sub) : 0;
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)sub[i] < 0x20 || sub[i] == 0x7f) {
            return;
        }
    }
    if (len > 0 && len <= CS_JWT_SUBJECT_MAX) {
        memcpy(out->subject, sub, len + 1);
    }
}

static const char *check_claims(cs_jwt *out, const json_t *c, const cs_jwt_rules *r)
{
    const char *iss = json_string_value(json_object_get(c, "iss"));
    if (!json_is_object(c)) {
        return "the payload is no JSON object";
    }
    if (r->issuer != NULL && (iss == NULL || strcmp(iss, r->issuer) != 0)) {
        return "iss: not an accepted issuer";
    }
    if (r->audience != NULL && !audience_ok(json_object_get(c, "aud"), r->audience)) {
        return "aud: not for this service";
    }
    take_subject(out, c);
    return check_times(out, c, r);
}

cs_err cs_jwt_verify(cs_jwt *out, const char **why, const cs_jws_keys *keys, cs_slice token_text,
                     const cs_jwt_rules *rules)
{
    uint8_t mem[CS_JWS_MAX];
    cs_buf payload = cs_buf_wrap(mem, sizeof mem);
    json_error_t e;
    cs_jwt t = {0};

    *why = "not a token that a configured key has signed";
    CS_TRY(cs_jws_verify(&payload, keys, token_text));
    json_t *c = json_loadb((const char *)payload.p, payload.len, JSON_REJECT_DUPLICATES, &e);
    *why = check_claims(&t, c, rules);
    json_decref(c);
    if (*why != NULL) {
        return CS_E_TOKEN;
    }
    *why = "";
    *out = t;
    return CS_OK;
}
