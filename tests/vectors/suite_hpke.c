/*
 * hpke: RFC 9180 test vectors, every value of the key schedule, every message in both directions, every export;
 * then a flipped
 * ciphertext, wrong aad, wrong psk and wrong sender's key. Suites other than X25519 with HKDF-SHA256 are skipped
 * by name.
 */
#include <string.h>

#include "secret/hpke.h"
#include "suite.h"

void cs_suite_hpke(cs_suite *s, const char *dir);

typedef struct vec {
    const json_t *json;
    const char *bad; /* first field that differs */
    cs_buf info, psk, psk_id, sk_r, pk_r, sk_s, pk_s, sk_e, enc;
    cs_hpke_args to, from;
} vec;

static bool is(vec *v, const char *key, const void *p, size_t len)
{
    cs_buf want = {0};
    bool ok = cs_suite_hex(v->json, key, &want) == CS_OK && cs_slice_eq(cs_buf_slice(&want), cs_slice_of(p, len));
    cs_buf_free(&want);
    if (!ok && v->bad == NULL) {
        v->bad = key;
    }
    return ok;
}

/*
 * the private key KEY of the file, and that DeriveKeyPair of its ikm (when given) leads to it and to its public
 * key
 */
static bool key_pair(vec *v, cs_buf *secret, const char *ikm_name, const char *secret_name, const char *public_name)
{
    cs_buf ikm = {0};
    cs_secret32 got = {{0}};
    uint8_t pub[32];
    bool ok = true;
    if (json_object_get(v->json, ikm_name) != NULL) {
        ok = cs_suite_hex(v->json, ikm_name, &ikm) == CS_OK &&
             cs_hpke_derive_key_pair(&got, pub, cs_buf_slice(&ikm)) == CS_OK && is(v, public_name, pub, 32) &&
             (json_object_get(v->json, secret_name) == NULL || is(v, secret_name, got.b, 32));
        *secret = cs_buf_heap(32);
        ok = ok && cs_put(secret, got.b, 32) == CS_OK;
    } else {
        ok = cs_suite_hex(v->json, secret_name, secret) == CS_OK && secret->len == 32;
    }
    if (!ok && v->bad == NULL) {
        v->bad = secret_name;
    }
    cs_buf_free(&ikm);
    return ok;
}

static bool load(vec *v, unsigned mode)
{
    bool ok = key_pair(v, &v->sk_r, "ikmR", "skRm", "pkRm") && key_pair(v, &v->sk_e, "ikmE", "skEm", "pkEm") &&
              cs_suite_hex(v->json, "pkRm", &v->pk_r) == CS_OK && v->pk_r.len == 32 &&
              cs_suite_hex(v->json, "enc", &v->enc) == CS_OK && v->enc.len == 32 &&
              cs_suite_hex(v->json, "info", &v->info) == CS_OK;
    v->to = (cs_hpke_args){.aead = (cs_hpke_aead)json_integer_value(json_object_get(v->json, "aead_id")),
                           .info = cs_buf_slice(&v->info)};
    if (ok && (mode & 1) != 0) {
        ok = cs_suite_hex(v->json, "psk", &v->psk) == CS_OK && cs_suite_hex(v->json, "psk_id", &v->psk_id) == CS_OK;
        v->to.psk = cs_buf_slice(&v->psk);
        v->to.psk_id = cs_buf_slice(&v->psk_id);
    }
    v->from = v->to;
    if (ok && (mode & 2) != 0) {
        ok = key_pair(v, &v->sk_s, "ikmS", "skSm", "pkSm") && cs_suite_hex(v->json, "pkSm", &v->pk_s) == CS_OK &&
             v->pk_s.len == 32;
        v->to.auth_secret32 = v->sk_s.p;
        v->from.auth_public32 = v->pk_s.p;
    }
    v->to.unsafe_e32 = v->sk_e.p;
    if (!ok && v->bad == NULL) {
        v->bad = "a field is missing";
    }
    return ok;
}

static bool schedule_equal(vec *v, const cs_hpke *c, const cs_hpke_trace *t)
{
    size_t key = c->aead == CS_HPKE_AES128_GCM ? 16 : c->aead == CS_HPKE_EXPORT_ONLY ? 0 : 32;
    return is(v, "shared_secret", t->shared_secret, 32) && is(v, "key_schedule_context", t->key_schedule_context, 65) &&
           is(v, "secret", t->secret, 32) && is(v, "exporter_secret", c->exporter.b, 32) &&
           (key == 0 || (is(v, "key", c->key.b, key) && is(v, "base_nonce", c->base_nonce, CS_HPKE_NONCE)));
}

/* one entry of encryptions: sealed equal; changed ciphertext and aad refused; opened equal */
static bool message(vec *v, cs_hpke *s, cs_hpke *r, const json_t *e)
{
    cs_buf aad = {0}, pt = {0}, ct = {0}, sealed = cs_buf_heap((size_t)1 << 24), got = cs_buf_heap((size_t)1 << 24);
    bool ok = cs_suite_hex(e, "aad", &aad) == CS_OK && cs_suite_hex(e, "pt", &pt) == CS_OK &&
              cs_suite_hex(e, "ct", &ct) == CS_OK &&
              cs_hpke_seal(s, &sealed, cs_buf_slice(&aad), cs_buf_slice(&pt)) == CS_OK &&
              cs_slice_eq(cs_buf_slice(&sealed), cs_buf_slice(&ct));
    if (ok) {
        ct.p[ct.len / 2] ^= 0x10;
        ok = cs_hpke_open(r, &got, cs_buf_slice(&aad), cs_buf_slice(&ct)) == CS_E_AUTH && got.len == 0;
        ct.p[ct.len / 2] ^= 0x10;
        ok = ok && cs_put_u8(&aad, 1) == CS_OK &&
             cs_hpke_open(r, &got, cs_buf_slice(&aad), cs_buf_slice(&ct)) == CS_E_AUTH && got.len == 0;
        aad.len -= aad.len > 0 ? 1 : 0;
        ok = ok && cs_hpke_open(r, &got, cs_buf_slice(&aad), cs_buf_slice(&ct)) == CS_OK &&
             cs_slice_eq(cs_buf_slice(&got), cs_buf_slice(&pt));
    }
    cs_buf_free(&aad);
    cs_buf_free(&pt);
    cs_buf_free(&ct);
    cs_buf_free(&sealed);
    cs_buf_free(&got);
    if (!ok && v->bad == NULL) {
        v->bad = "encryptions";
    }
    return ok;
}

static bool exported(vec *v, const cs_hpke *c, const json_t *e)
{
    cs_buf context = {0}, want = {0};
    uint8_t got[CS_HPKE_EXPORT_MAX];
    json_int_t len = json_integer_value(json_object_get(e, "L"));
    bool ok = cs_suite_hex(e, "exporter_context", &context) == CS_OK &&
              cs_suite_hex(e, "exported_value", &want) == CS_OK && len >= 0 && len <= (json_int_t)sizeof got &&
              cs_hpke_export(c, got, (size_t)len, cs_buf_slice(&context)) == CS_OK &&
              cs_slice_eq(cs_slice_of(got, (size_t)len), cs_buf_slice(&want));
    cs_buf_free(&context);
    cs_buf_free(&want);
    if (!ok && v->bad == NULL) {
        v->bad = "exports";
    }
    return ok;
}

/* the first message does not open for a receiver with another psk or another sender's key */
static bool others_refused(vec *v, unsigned mode)
{
    const json_t *first = json_array_get(json_object_get(v->json, "encryptions"), 0);
    static const uint8_t other_key[32] = {9};
    uint8_t other_psk[32] = {1};
    bool ok = true;
    for (unsigned bit = 1; bit <= 2 && first != NULL; bit <<= 1) {
        cs_hpke_args a = v->from;
        cs_hpke r;
        cs_buf aad = {0}, ct = {0}, got = cs_buf_heap((size_t)1 << 24);
        if ((mode & bit) != 0) {
            a.psk = bit == 1 ? cs_slice_of(other_psk, sizeof other_psk) : a.psk;
            a.auth_public32 = bit == 2 ? other_key : a.auth_public32;
            ok = ok && cs_suite_hex(first, "aad", &aad) == CS_OK && cs_suite_hex(first, "ct", &ct) == CS_OK &&
                 cs_hpke_receive(&r, v->enc.p, v->sk_r.p, &a) == CS_OK &&
                 cs_hpke_open(&r, &got, cs_buf_slice(&aad), cs_buf_slice(&ct)) == CS_E_AUTH;
        }
        cs_buf_free(&aad);
        cs_buf_free(&ct);
        cs_buf_free(&got);
    }
    if (!ok && v->bad == NULL) {
        v->bad = "another psk or sender was accepted";
    }
    return ok;
}

static bool run(vec *v, unsigned mode)
{
    cs_hpke_trace ts = {0}, tr = {0};
    cs_hpke s, r;
    uint8_t enc[32];
    if (!load(v, mode)) {
        return false;
    }
    v->to.unsafe_trace = &ts;
    v->from.unsafe_trace = &tr;
    if (cs_hpke_send(&s, enc, v->pk_r.p, &v->to) != CS_OK ||
        cs_hpke_receive(&r, v->enc.p, v->sk_r.p, &v->from) != CS_OK) {
        v->bad = "no context";
        return false;
    }
    bool ok = is(v, "enc", enc, 32) && schedule_equal(v, &s, &ts) && schedule_equal(v, &r, &tr);
    const json_t *messages = json_object_get(v->json, "encryptions"), *exports = json_object_get(v->json, "exports");
    for (size_t i = 0; ok && i < json_array_size(messages); i++) {
        ok = message(v, &s, &r, json_array_get(messages, i));
    }
    for (size_t i = 0; ok && i < json_array_size(exports); i++) {
        ok = exported(v, &s, json_array_get(exports, i)) && exported(v, &r, json_array_get(exports, i));
    }
    v->from.unsafe_trace = NULL;
    return ok && others_refused(v, mode);
}

static json_int_t number(const json_t *o, const char *key)
{
    return json_integer_value(json_object_get(o, key));
}

static void one_vector(cs_suite *s, const char *path, size_t at, const json_t *json)
{
    vec v = {.json = json};
    json_int_t mode = number(json, "mode");
    if (!json_is_integer(json_object_get(json, "mode")) || !json_is_integer(json_object_get(json, "aead_id"))) {
        cs_suite_failf(s, path, "vector %zu: no mode or aead_id", at);
        return;
    }
    if (number(json, "kem_id") != 0x20 || number(json, "kdf_id") != 1) {
        cs_suite_skip(s, "another KEM or KDF than DHKEM(X25519, HKDF-SHA256) and HKDF-SHA256: no component");
        return;
    }
    if (mode >= 0 && mode <= 3 && run(&v, (unsigned)mode)) {
        cs_suite_pass(s);
    } else {
        cs_suite_failf(s, path, "vector %zu (mode %lld, aead %lld): %s", at, (long long)mode,
                       (long long)number(json, "aead_id"), v.bad != NULL ? v.bad : "unknown mode");
    }
    cs_buf *all[] = {&v.info, &v.psk, &v.psk_id, &v.sk_r, &v.pk_r, &v.sk_s, &v.pk_s, &v.sk_e, &v.enc};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        cs_buf_free(all[i]);
    }
}

static void one_file(cs_suite *s, const char *path, void *cookie)
{
    json_t *root = cs_suite_json(s, path);
    (void)cookie;
    if (root != NULL && json_array_size(root) == 0) {
        cs_suite_fail(s, path, "no vectors");
    }
    for (size_t i = 0; i < json_array_size(root); i++) {
        one_vector(s, path, i, json_array_get(root, i));
    }
    json_decref(root);
}

void cs_suite_hpke(cs_suite *s, const char *dir)
{
    cs_suite_walk(s, dir, ".json", one_file, NULL);
}
