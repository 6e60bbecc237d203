/*
 * Wycheproof (vectors/wycheproof): `result` valid must be accepted with the right output, invalid refused,
 * acceptable may be
 * either. Each algorithm goes through the product's function where there is one (adapters in wycheproof_*.c);
 * algorithms
 * that no component uses are skipped by name.
 */
#include <stdio.h>
#include <string.h>

#include "suite.h"
#include "wycheproof.h"

void cs_suite_wycheproof(cs_suite *s, const char *dir);

/* which of the runners an algorithm's file belongs to; NULL: no component uses it */
static wp_run *runner_of(const json_t *root, const json_t *group, const char *file)
{
    static const struct {
        const char *type, *key, *value, *key2, *value2;
        wp_run *run;
    } rows[] = {
        {"XdhComp", "curve", "curve25519", NULL, NULL, wp_x25519},
        {"EddsaVerify", NULL, NULL, NULL, NULL, wp_ed25519},
        {"IndCpaTest", NULL, NULL, NULL, NULL, wp_aes_cbc},
        {"RsaesOaepDecrypt", "sha", "SHA-256", "mgfSha", "SHA-256", wp_rsa_oaep},
        {"EcdsaP1363Verify", NULL, NULL, NULL, NULL, wp_ecdsa_p1363},
        {"EcdsaBitcoinVerify", NULL, NULL, NULL, NULL, wp_ecdsa_bitcoin},
        {"JsonWebSignature", NULL, NULL, NULL, NULL, wp_jws},
    };
    static const struct {
        const char *algorithm;
        wp_run *run;
    } by_name[] = {{"CHACHA20-POLY1305", wp_chacha20_poly1305},
                   {"AES-GCM", wp_aes_gcm},
                   {"HKDF-SHA-256", wp_hkdf_sha256},
                   {"HMACSHA256", wp_hmac_sha256},
                   {"HMACSHA512", wp_hmac_sha512}};
    const char *type = cs_suite_str(group, "type"), *algorithm = cs_suite_str(root, "algorithm");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(type, rows[i].type) == 0 &&
            (rows[i].key == NULL || strcmp(cs_suite_str(group, rows[i].key), rows[i].value) == 0) &&
            (rows[i].key2 == NULL || strcmp(cs_suite_str(group, rows[i].key2), rows[i].value2) == 0)) {
            return rows[i].run;
        }
    }
    for (size_t i = 0; i < sizeof by_name / sizeof by_name[0]; i++) {
        if (strcmp(algorithm, by_name[i].algorithm) == 0) {
            return by_name[i].run;
        }
    }
    if (strcmp(type, "EcdsaVerify") == 0) {
        return strstr(file, "_bitcoin") != NULL ? wp_ecdsa_bitcoin : wp_ecdsa_der;
    }
    return NULL;
}

static void one_case(cs_suite *s, const char *file, wp_run *run, const json_t *group, const json_t *test)
{
    char id[256];
    const char *result = cs_suite_str(test, "result");
    (void)snprintf(id, sizeof id, "tcId %lld: %.180s", (long long)json_integer_value(json_object_get(test, "tcId")),
                   cs_suite_str(test, "comment"));
    wp_broken = NULL;
    wp_verdict v = run(group, test);
    if (wp_broken != NULL || v == WP_NO_KEY) {
        cs_suite_failf(s, file, "%s: %s is missing or malformed", id, wp_broken != NULL ? wp_broken : "the key");
    } else if (v == WP_NOT_OURS) {
        char why[128];
        (void)snprintf(why, sizeof why, "no component uses this variant (hash, key size, nonce, label): %s", file);
        cs_suite_skip(s, why);
    } else if (strcmp(result, "acceptable") == 0) {
        cs_suite_check(s, v != WP_WRONG, file, id);
    } else if (strcmp(result, "valid") == 0) {
        cs_suite_check(s, v == WP_ACCEPTED, file, id);
    } else {
        cs_suite_check(s, strcmp(result, "invalid") == 0 && v == WP_REFUSED, file, id);
    }
}

static void one_file(cs_suite *s, const char *path, void *cookie)
{
    const char *slash = strrchr(path, '/');
    const char *file = slash != NULL ? slash + 1 : path;
    json_t *root = cs_suite_json(s, path);
    size_t g, t;
    json_t *group, *test;
    unsigned cases = 0;
    (void)cookie;
    json_array_foreach(json_object_get(root, "testGroups"), g, group)
    {
        wp_run *run = runner_of(root, group, file);
        json_array_foreach(json_object_get(group, "tests"), t, test)
        {
            cases++;
            if (run != NULL) {
                one_case(s, file, run, group, test);
            } else {
                char why[128];
                (void)snprintf(why, sizeof why, "no component: %s%s", file,
                               strncmp(file, "bls_", 4) == 0 ? " (BLS comes with blst, issue 6)" : "");
                cs_suite_skip(s, why);
            }
        }
    }
    if (root != NULL && cases == 0) {
        cs_suite_fail(s, file, "no test cases");
    }
    json_decref(root);
}

void cs_suite_wycheproof(cs_suite *s, const char *dir)
{
    cs_suite_walk(s, dir, ".json", one_file, NULL);
}
