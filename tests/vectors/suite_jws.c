/*
 * JSON web signatures (vectors/jws): each verifies with the public half of its key; with "deterministic" our own signature over the same
 * bytes is the file's; any character of it changed is refused; so are alg none and the algorithm of the other kind of key.
 */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "net/jws.h"
#include "secret/mem.h"
#include "secret/sign/ed25519.h"
#include "suite.h"
#include "wycheproof.h"

void cs_suite_jws(cs_suite *s, const char *dir);

/* The key of the file without its private half, as a JWK. */
static cs_jws_keys *public_of(const json_t *jwk)
{
    cs_jws_keys *keys = NULL;
    json_t *copy = json_deep_copy(jwk);
    char *text = NULL;
    (void)json_object_del(copy, "d");
    text = json_dumps(copy, 0);
    if (text == NULL || cs_jws_keys_read(&keys, cs_slice_str(text)) != CS_OK) {
        keys = NULL;
    }
    free(text);
    json_decref(copy);
    return keys;
}

static bool accepts(const cs_jws_keys *keys, const char *token, const char *payload)
{
    uint8_t mem[CS_JWS_MAX];
    cs_buf out = cs_buf_wrap(mem, sizeof mem);
    return cs_jws_verify(&out, keys, cs_slice_str(token)) == CS_OK && cs_slice_eq_str(cs_buf_slice(&out), payload);
}

static void check_changes(cs_suite *s, const char *path, const cs_jws_keys *keys, const char *compact)
{
    char changed[CS_JWS_MAX];
    size_t len = strlen(compact), accepted = 0;
    uint8_t mem[CS_JWS_MAX];
    for (size_t i = 0; i < len; i++) {
        cs_buf out = cs_buf_wrap(mem, sizeof mem);
        memcpy(changed, compact, len + 1);
        changed[i] = compact[i] == 'A' ? 'B' : 'A';
        accepted += cs_jws_verify(&out, keys, cs_slice_str(changed)) == CS_OK ? 1 : 0;
    }
    cs_suite_check(s, accepted == 0, path, "a changed character was accepted");
}

/* The same payload under another header: what was signed is not looked at before the algorithm is refused. */
static void check_headers(cs_suite *s, const char *path, const cs_jws_keys *keys, const json_t *doc)
{
    static const char *const headers[] = {"{\"alg\":\"none\"}", "{\"alg\":\"EdDSA\"}", "{\"alg\":\"ES256\"}",
                                          "{\"alg\":\"HS256\"}"};
    const char *compact = cs_suite_str(doc, "compact"), *rest = strchr(compact, '.');
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        cs_buf out = cs_buf_heap(CS_JWS_MAX);
        uint8_t mem[CS_JWS_MAX];
        cs_buf payload = cs_buf_wrap(mem, sizeof mem);
        bool same = strcmp(headers[i], cs_suite_str(doc, "protected")) == 0;
        bool made = cs_b64_put(&out, cs_slice_str(headers[i]), CS_B64_URL) == CS_OK && cs_put_str(&out, rest) == CS_OK;
        cs_suite_check(s, made && (cs_jws_verify(&payload, keys, cs_buf_slice(&out)) == CS_OK) == same, path,
                       headers[i]);
        cs_buf_free(&out);
    }
}

static void check_deterministic(cs_suite *s, const char *path, const json_t *doc)
{
    const char *compact = cs_suite_str(doc, "compact"), *last = strrchr(compact, '.');
    CS_SECRET(cs_secret32) seed = {0};
    uint8_t sig[64] = {0}, want[64];
    cs_buf d = cs_buf_wrap(seed.b, sizeof seed.b), w = cs_buf_wrap(want, sizeof want);
    bool ok = cs_b64_get(&d, cs_slice_str(cs_suite_str(json_object_get(doc, "key"), "d")), CS_B64_URL) == CS_OK &&
              cs_b64_get(&w, cs_slice_str(last + 1), CS_B64_URL) == CS_OK && w.len == 64;
    cs_ed25519_sign(sig, &seed, cs_slice_of(compact, (size_t)(last - compact)));
    cs_suite_check(s, ok && memcmp(sig, want, 64) == 0, path, "our signature differs");
}

static void check_file(cs_suite *s, const char *path, void *cookie)
{
    json_t *doc = cs_suite_json(s, path);
    (void)cookie;
    if (doc == NULL) {
        return; /* counted */
    }
    cs_jws_keys *keys = public_of(json_object_get(doc, "key"));
    if (keys == NULL) {
        cs_suite_fail(s, path, "the key");
    } else {
        cs_suite_check(s, accepts(keys, cs_suite_str(doc, "compact"), cs_suite_str(doc, "payload")), path, "refused");
        check_changes(s, path, keys, cs_suite_str(doc, "compact"));
        check_headers(s, path, keys, doc);
        if (json_is_true(json_object_get(doc, "deterministic"))) {
            check_deterministic(s, path, doc);
        }
    }
    cs_jws_keys_free(keys);
    json_decref(doc);
}

/* wycheproof/json_web_signature_test.json; a key that is for something else verifies nothing */
wp_verdict wp_jws(const json_t *group, const json_t *test)
{
    cs_jws_keys *keys = public_of(json_object_get(group, "public"));
    uint8_t mem[CS_JWS_MAX];
    cs_buf out = cs_buf_wrap(mem, sizeof mem);
    bool ok = keys != NULL && cs_jws_verify(&out, keys, cs_slice_str(cs_suite_str(test, "jws"))) == CS_OK;
    cs_jws_keys_free(keys);
    return ok ? WP_ACCEPTED : WP_REFUSED;
}

void cs_suite_jws(cs_suite *s, const char *dir)
{
    cs_suite_walk(s, dir, ".json", check_file, NULL);
}
