/*
 * COSE examples of the cose-wg (vectors/cose-cbor/cose-wg): COSE_Sign1 ("sign0") and COSE_Sign ("sign") verified with the key of the
 * file; "fail": true must be refused. One case a file. Plain CBOR files are in suite_cbor.c.
 */
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <string.h>

#include "attest/cose_verify.h"
#include "base/text.h"
#include "suite_cose.h"

void cs_suite_cose_cbor(cs_suite *s, const char *dir);

#define LAXEST (CS_CBOR_INDEFINITE | CS_CBOR_LAX_INT)
#define MAX_COORDINATE 66

/* key[name] in base64url or key[name_hex] in hex. */
static cs_err coordinate(const json_t *key, const char *name, cs_buf *out)
{
    char hex_name[16];
    const char *hex;
    uint8_t *p = NULL;

    (void)snprintf(hex_name, sizeof hex_name, "%s_hex", name);
    hex = cs_suite_str(key, hex_name);
    if (hex[0] == '\0') {
        return cs_b64_get(out, cs_slice_str(cs_suite_str(key, name)), CS_B64_URL);
    }
    CS_TRY(cs_put_space(out, &p, strlen(hex) / 2));
    return cs_hex_decode(p, strlen(hex) / 2, cs_slice_str(hex));
}

static EVP_PKEY *ec_key(const json_t *key)
{
    static const struct {
        const char *crv, *group;
        size_t len;
    } curves[] = {{"P-256", "P-256", 32}, {"P-384", "P-384", 48}, {"P-521", "P-521", 66}};
    uint8_t point[1 + 2 * MAX_COORDINATE] = {4}, mem[2][MAX_COORDINATE];
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    EVP_PKEY *out = NULL;

    for (size_t i = 0; i < 3; i++) {
        cs_buf x = cs_buf_wrap(mem[0], MAX_COORDINATE), y = cs_buf_wrap(mem[1], MAX_COORDINATE);
        size_t len = curves[i].len;
        OSSL_PARAM params[3];

        if (strcmp(cs_suite_str(key, "crv"), curves[i].crv) != 0 || coordinate(key, "x", &x) != CS_OK ||
            coordinate(key, "y", &y) != CS_OK || x.len > len || y.len > len) {
            continue;
        }
        memcpy(point + 1 + len - x.len, x.p, x.len);
        memcpy(point + 1 + 2 * len - y.len, y.p, y.len);
        params[0] = OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)curves[i].group, 0);
        params[1] = OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * len);
        params[2] = OSSL_PARAM_construct_end();
        if (EVP_PKEY_fromdata_init(ctx) != 1 || EVP_PKEY_fromdata(ctx, &out, EVP_PKEY_PUBLIC_KEY, params) != 1) {
            out = NULL;
        }
    }
    EVP_PKEY_CTX_free(ctx);
    return out;
}

static EVP_PKEY *key_of(const json_t *key)
{
    uint8_t mem[57];
    cs_buf x = cs_buf_wrap(mem, sizeof mem);
    bool ed448 = strcmp(cs_suite_str(key, "crv"), "Ed448") == 0;

    if (strcmp(cs_suite_str(key, "kty"), "OKP") != 0) {
        return ec_key(key);
    }
    if (coordinate(key, "x", &x) != CS_OK) {
        return NULL;
    }
    return EVP_PKEY_new_raw_public_key(ed448 ? EVP_PKEY_ED448 : EVP_PKEY_ED25519, NULL, x.p, x.len);
}

/* The algorithm that the file says, from wherever it says it. */
static int64_t expected_alg(const json_t *signer)
{
    static const struct {
        const char *name;
        int64_t alg;
    } algs[] = {{"ES256", CS_COSE_ES256}, {"ES384", CS_COSE_ES384}, {"ES512", CS_COSE_ES512}, {"EdDSA", CS_COSE_EDDSA}};
    const char *name = cs_suite_str(signer, "alg");

    if (name[0] == '\0') {
        name = cs_suite_str(json_object_get(signer, "protected"), "alg");
    }
    if (name[0] == '\0') {
        name = cs_suite_str(json_object_get(signer, "unprotected"), "alg");
    }
    for (size_t i = 0; i < sizeof algs / sizeof algs[0]; i++) {
        if (strcmp(name, algs[i].name) == 0) {
            return algs[i].alg;
        }
    }
    return 0;
}

/* tbs against the file's intermediate, unless the file is one that must fail. */
static bool tbs_ok(cs_slice tbs, const json_t *intermediates, bool must_fail)
{
    cs_buf want = {0};
    bool ok = must_fail ||
              (cs_suite_hex(intermediates, "ToBeSign_hex", &want) == CS_OK && cs_slice_eq(tbs, cs_buf_slice(&want)));

    cs_buf_free(&want);
    return ok;
}

typedef struct example {
    const json_t *doc, *input;
    cs_slice message;
    bool must_fail;
} example;

static bool signer_ok(const example *e, const json_t *signer, const json_t *intermediates, const cs_cose_headers *head,
                      cs_slice tbs, cs_slice signature)
{
    EVP_PKEY *key = key_of(json_object_get(signer, "key"));
    bool ok = key != NULL && tbs_ok(tbs, intermediates, e->must_fail) && head->has_alg &&
              head->alg == expected_alg(signer) && cs_cose_verify(key, head->alg, tbs, signature) == CS_OK;

    EVP_PKEY_free(key);
    return ok;
}

static cs_slice plaintext_of(const example *e, cs_buf *hex)
{
    if (cs_suite_hex(e->input, "plaintext_hex", hex) == CS_OK && hex->len > 0) {
        return cs_buf_slice(hex);
    }
    return cs_slice_str(cs_suite_str(e->input, "plaintext"));
}

static bool sign1_ok(const example *e)
{
    const json_t *sign0 = json_object_get(e->input, "sign0");
    cs_buf tbs = cs_buf_heap(65536), external = {0}, hex = {0};
    cs_cose_sign1 m;
    bool ok = cs_cose_sign1_parse(&m, e->message, LAXEST) == CS_OK;

    (void)!cs_suite_hex(sign0, "external", &external);
    if (ok && m.detached) {
        m.payload = plaintext_of(e, &hex);
    }
    ok = ok && cs_cose_sign1_tbs(&tbs, &m, cs_buf_slice(&external)) == CS_OK &&
         signer_ok(e, sign0, json_object_get(e->doc, "intermediates"), &m.head, cs_buf_slice(&tbs), m.signature);
    cs_buf_free(&tbs);
    cs_buf_free(&external);
    cs_buf_free(&hex);
    return ok;
}

static bool one_signer_ok(const example *e, const cs_cose_sign *m, size_t i)
{
    const json_t *signer = json_array_get(json_object_get(json_object_get(e->input, "sign"), "signers"), i);
    const json_t *inter = json_array_get(json_object_get(json_object_get(e->doc, "intermediates"), "signers"), i);
    cs_buf tbs = cs_buf_heap(65536), external = {0};
    bool ok;

    (void)!cs_suite_hex(signer, "external", &external);
    ok = cs_cose_sign_tbs(&tbs, m, &m->signer[i], cs_buf_slice(&external)) == CS_OK &&
         signer_ok(e, signer, inter, &m->signer[i].head, cs_buf_slice(&tbs), m->signer[i].signature);
    cs_buf_free(&tbs);
    cs_buf_free(&external);
    return ok;
}

static bool sign_ok(const example *e)
{
    static cs_cose_sign m;
    cs_buf hex = {0};
    bool ok = cs_cose_sign_parse(&m, e->message, LAXEST) == CS_OK;

    if (ok && m.detached) {
        m.payload = plaintext_of(e, &hex);
    }
    for (size_t i = 0; ok && i < m.num_signers; i++) {
        ok = one_signer_ok(e, &m, i);
    }
    cs_buf_free(&hex);
    return ok;
}

static void check_cose(cs_suite *s, const char *path)
{
    json_t *doc = cs_suite_json(s, path);
    cs_buf message = {0};
    example e = {.doc = doc,
                 .input = json_object_get(doc, "input"),
                 .must_fail = json_is_true(json_object_get(doc, "fail")) ||
                              json_is_true(json_object_get(json_object_get(doc, "input"), "fail"))};
    bool is_sign1 = json_object_get(e.input, "sign0") != NULL;

    if (doc == NULL) {
        return; /* counted */
    }
    if (!is_sign1 && json_object_get(e.input, "sign") == NULL) {
        cs_suite_skip(s, "COSE message other than COSE_Sign1 and COSE_Sign");
    } else if (cs_suite_hex(json_object_get(doc, "output"), "cbor", &message) != CS_OK) {
        cs_suite_fail(s, path, "no output.cbor");
    } else {
        e.message = cs_buf_slice(&message);
        cs_suite_check(s, (is_sign1 ? sign1_ok(&e) : sign_ok(&e)) == !e.must_fail, path,
                       e.must_fail ? "accepted" : "refused");
    }
    cs_buf_free(&message);
    json_decref(doc);
}

static void check_file(cs_suite *s, const char *path, void *cookie)
{
    if (strstr(path, "/cose-wg/") != NULL) {
        check_cose(s, path);
    } else {
        cs_suite_cbor_file(s, path);
    }
}

void cs_suite_cose_cbor(cs_suite *s, const char *dir)
{
    cs_suite_walk(s, dir, ".json", check_file, NULL);
}
