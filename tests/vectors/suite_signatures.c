/*
 * signatures: Ed25519, and by file ECDSA (sig_ecdsa.c, sig_nist.c), each through secret/sign. The answers to
 * Ed25519's edge cases are
 * those of our strict rule: what the sources leave open between implementations is refused.
 */
#include <string.h>

#include "secret/sign/ed25519.h"
#include "sig_suites.h"

void cs_suite_signatures(cs_suite *s, const char *dir);

bool cs_sig_fixed(uint8_t *out, size_t len, const char *hex)
{
    cs_buf b = {0};
    bool ok = cs_suite_hex_text(hex, &b) == CS_OK && b.len == len;
    if (ok && len > 0) {
        memcpy(out, b.p, len);
    }
    cs_buf_free(&b);
    return ok;
}

/* ---- whole vectors: key, message, signature */

static bool ed25519(const cs_secret32 *seed, const uint8_t pub[32], cs_slice msg, const uint8_t sig[64])
{
    uint8_t p[32], out[64];
    cs_ed25519_public(p, seed);
    cs_ed25519_sign(out, seed, msg);
    bool ok = memcmp(p, pub, 32) == 0 && memcmp(out, sig, 64) == 0 && cs_ed25519_verify(pub, sig, msg) == CS_OK;
    for (size_t i = 0; i < 64 && ok; i += 7) {
        out[i] ^= 4;
        ok = cs_ed25519_verify(pub, out, msg) == CS_E_AUTH;
        out[i] ^= 4;
    }
    return ok;
}

static void rfc8032(cs_suite *s, const char *path, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *v = json_array_get(list, i);
        cs_secret32 seed;
        uint8_t pub[32], sig[64];
        cs_buf msg = {0};
        bool ok = cs_sig_fixed(seed.b, 32, cs_suite_str(v, "priv")) && cs_sig_fixed(pub, 32, cs_suite_str(v, "pub")) &&
                  cs_sig_fixed(sig, 64, cs_suite_str(v, "sig")) && cs_suite_hex(v, "msg", &msg) == CS_OK &&
                  ed25519(&seed, pub, cs_buf_slice(&msg), sig);
        cs_suite_check(s, ok, path, "RFC 8032 vector");
        cs_buf_free(&msg);
    }
}

/* sk||pk:pk:msg:sig||msg: */
static bool djb_line(char *line)
{
    char *save = NULL, *sk = strtok_r(line, ":", &save), *pk = strtok_r(NULL, ":", &save), *rest = save;
    cs_secret32 seed;
    uint8_t pub[32], sig[64];
    cs_buf msg = {0};
    char *colon = rest != NULL ? strchr(rest, ':') : NULL;
    if (sk == NULL || pk == NULL || colon == NULL || strlen(sk) != 128 || strlen(colon + 1) < 128) {
        return false;
    }
    *colon = '\0';
    sk[64] = '\0';
    colon[1 + 128] = '\0';
    bool ok = cs_sig_fixed(seed.b, 32, sk) && cs_sig_fixed(pub, 32, pk) && cs_suite_hex_text(rest, &msg) == CS_OK &&
              cs_sig_fixed(sig, 64, colon + 1) && ed25519(&seed, pub, cs_buf_slice(&msg), sig);
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

/* ---- edge cases: the verdict is wanted, and the same one again */

static bool verdict_is(bool want, const char *key, const char *sig, cs_slice msg)
{
    uint8_t pub[32], rs[64];
    bool ok = cs_sig_fixed(pub, 32, key) && cs_sig_fixed(rs, 64, sig);
    for (int i = 0; i < 3 && ok; i++) {
        ok = (cs_ed25519_verify(pub, rs, msg) == CS_OK) == want;
    }
    return ok;
}

/* CCTV: what is small or not canonical is refused, and what only an equation times the cofactor would take */
static void cctv(cs_suite *s, const char *path, const json_t *v)
{
    static const char *const refused[] = {"low_order_A",     "low_order_R",       "non_canonical_A",
                                          "non_canonical_R", "low_order_residue", "reencoded_k"};
    const json_t *flags = json_object_get(v, "flags");
    bool want = true;
    for (size_t i = 0; i < json_array_size(flags); i++) {
        const char *flag = json_string_value(json_array_get(flags, i));
        for (size_t j = 0; j < sizeof refused / sizeof *refused; j++) {
            want = want && (flag == NULL || strcmp(flag, refused[j]) != 0);
        }
    }
    bool ok = verdict_is(want, cs_suite_str(v, "key"), cs_suite_str(v, "sig"), cs_slice_str(cs_suite_str(v, "msg")));
    if (ok) {
        cs_suite_pass(s);
    } else {
        cs_suite_failf(s, path, "number %lld", (long long)json_integer_value(json_object_get(v, "number")));
    }
}

/* ZIP 215: A and R of small order in all their encodings, over "Zcash"; none is taken */
static void zip215(cs_suite *s, const char *path, const json_t *v)
{
    cs_suite_check(s,
                   verdict_is(false, cs_suite_str(v, "vk_bytes"), cs_suite_str(v, "sig_bytes"), cs_slice_str("Zcash")),
                   path, cs_suite_str(v, "sig_bytes"));
}

/*
 * "Taming the many EdDSAs", table of 12: of all, only number 3 (A and R of mixed order, the equation holds
 * without the cofactor) is
 * taken: a signature over a point with a small component cannot be told from others without a multiplication by
 * the order.
 */
static void speccheck(cs_suite *s, const char *path, const json_t *v, bool want)
{
    cs_buf msg = {0};
    bool ok = cs_suite_hex(v, "message", &msg) == CS_OK &&
              verdict_is(want, cs_suite_str(v, "pub_key"), cs_suite_str(v, "signature"), cs_buf_slice(&msg));
    cs_suite_check(s, ok, path, cs_suite_str(v, "signature"));
    cs_buf_free(&msg);
}

static const char speccheck_mixed[] = "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d";

static bool edge_case(cs_suite *s, const char *path, const json_t *v)
{
    if (json_object_get(v, "vk_bytes") != NULL) {
        zip215(s, path, v);
    } else if (json_object_get(v, "flags") != NULL && json_object_get(v, "key") != NULL) {
        cctv(s, path, v);
    } else if (json_object_get(v, "pub_key") != NULL && json_object_get(v, "signature") != NULL) {
        bool mixed = strcmp(cs_suite_str(v, "pub_key"), speccheck_mixed) == 0 &&
                     strncmp(cs_suite_str(v, "signature"), "9046a64750444938", 16) == 0;
        speccheck(s, path, v, mixed);
    } else {
        return false;
    }
    return true;
}

/* ---- files */

static void json_file(cs_suite *s, const char *path, void *cookie)
{
    json_t *root = cs_suite_json(s, path);
    const json_t *first = json_array_get(root, 0);
    const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;
    (void)cookie;
    if (root == NULL) {
        return;
    }
    if (json_object_get(root, "valid") != NULL && json_object_get(root, "invalid") != NULL) {
        cs_sig_k1(s, path, root);
    } else if (json_object_get(first, "priv") != NULL && json_object_get(first, "sig") != NULL) {
        rfc8032(s, path, root);
    } else if (strncmp(name, "rfc6979", 7) == 0) {
        cs_sig_rfc6979(s, path, root);
    } else {
        char why[128];
        (void)snprintf(why, sizeof why, "%s: a file of unknown form", name);
        for (size_t i = 0; i < json_array_size(root); i++) {
            if (!edge_case(s, path, json_array_get(root, i))) {
                cs_suite_skip(s, why);
            }
        }
        if (json_array_size(root) == 0) {
            cs_suite_skip(s, why);
        }
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
    } else if (strstr(path, "nist-ecdsa") != NULL) {
        cs_sig_nist(s, path, (char *)b.p);
    } else {
        cs_suite_skip(s, "a text file of unknown form");
    }
    cs_buf_free(&b);
}

void cs_suite_signatures(cs_suite *s, const char *dir)
{
    cs_suite_walk(s, dir, ".json", json_file, NULL);
    cs_suite_walk(s, dir, ".txt", text_file, NULL);
}
