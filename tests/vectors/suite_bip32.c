/* bip32: the chains of BIP-32 and SLIP-10, each step from its parent, private and (where that is possible) public; texts refused. */
#include <stdlib.h>
#include <string.h>

#include "secret/hd.h"
#include "suite.h"

void cs_suite_bip32(cs_suite *s, const char *dir);

static bool text_is(const cs_hd_key *k, const char *want)
{
    uint8_t mem[CS_HD_TEXT_MAX];
    cs_buf out = cs_buf_wrap(mem, sizeof mem);
    return cs_hd_put(&out, k) == CS_OK && cs_slice_eq_str(cs_buf_slice(&out), want);
}

static bool hex_is(const json_t *v, const char *key, const void *p, size_t len)
{
    cs_buf want = {0};
    bool ok = cs_suite_hex(v, key, &want) == CS_OK && cs_slice_eq(cs_buf_slice(&want), cs_slice_of(p, len));
    cs_buf_free(&want);
    return ok;
}

/* the last step of "m/0'/1" or "m/0H/1"; false: the path is the root's or malformed */
static bool last_index(const char *path, uint32_t *out)
{
    const char *slash = strrchr(path, '/');
    char *end = NULL;
    if (slash == NULL || slash[1] < '0' || slash[1] > '9') {
        return false;
    }
    unsigned long v = strtoul(slash + 1, &end, 10);
    bool hardened = *end == '\'' || *end == 'H' || *end == 'h';
    *out = (uint32_t)v | (hardened ? CS_HD_HARDENED : 0);
    return v < CS_HD_HARDENED && end[hardened ? 1 : 0] == '\0';
}

/* BIP-32's own form */
static bool xkeys(const json_t *step, const cs_hd_key *k)
{
    cs_hd_key pub = *k, parsed;
    cs_hd_public(&pub);
    const char *xprv = cs_suite_str(step, "xprv"), *xpub = cs_suite_str(step, "xpub");
    return text_is(k, xprv) && text_is(&pub, xpub) && cs_hd_parse(&parsed, cs_slice_str(xprv)) == CS_OK &&
           text_is(&parsed, xprv) && cs_hd_parse(&parsed, cs_slice_str(xpub)) == CS_OK && text_is(&parsed, xpub);
}

/* SLIP-10's */
static bool fields(const json_t *step, const cs_hd_key *k)
{
    return hex_is(step, "fingerprint", k->parent4, 4) && hex_is(step, "chain code", k->chain.b, 32) &&
           hex_is(step, "private", k->secret.b, 32) && hex_is(step, "public", k->point33, 33);
}

static bool step_ok(const json_t *step, const cs_hd_key *k)
{
    return json_object_get(step, "xprv") != NULL ? xkeys(step, k) : fields(step, k);
}

/* the public child of the public parent is the private child's */
static bool public_way(const cs_hd_key *parent, const cs_hd_key *child, uint32_t index)
{
    cs_hd_key pub = *parent, got;
    cs_hd_public(&pub);
    cs_err err = cs_hd_child(&got, &pub, index);
    if ((index & CS_HD_HARDENED) != 0) {
        return err == CS_E_STATE;
    }
    return parent->curve != CS_HD_SECP256K1 ||
           (err == CS_OK && memcmp(got.point33, child->point33, 33) == 0 && memcmp(&got.chain, &child->chain, 32) == 0);
}

static void chain(cs_suite *s, const char *path, const json_t *v, cs_hd_curve curve)
{
    const json_t *steps = json_object_get(v, "chain");
    cs_hd_key k = {0};
    cs_buf seed = {0};
    bool ok = cs_suite_hex(v, "seed", &seed) == CS_OK && cs_hd_master(&k, curve, cs_buf_slice(&seed)) == CS_OK;
    for (size_t i = 0; i < json_array_size(steps); i++) {
        const json_t *step = json_array_get(steps, i);
        cs_hd_key parent = k;
        uint32_t index = 0;
        if (i > 0) { /* each path is one longer than the one before */
            ok = ok && last_index(cs_suite_str(step, "path"), &index) && cs_hd_child(&k, &parent, index) == CS_OK &&
                 public_way(&parent, &k, index);
        }
        ok = ok && step_ok(step, &k);
        cs_suite_check(s, ok, path, cs_suite_str(step, "path"));
    }
    cs_buf_free(&seed);
}

static bool curve_of(const json_t *v, cs_hd_curve *out)
{
    static const struct {
        const char *name;
        cs_hd_curve curve;
    } rows[] = {{"secp256k1", CS_HD_SECP256K1}, {"nist256p1", CS_HD_P256}, {"ed25519", CS_HD_ED25519}};
    const char *title = cs_suite_str(v, "title"), *curve = cs_suite_str(v, "curve");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (strstr(title, rows[i].name) != NULL || strcmp(curve, rows[i].name) == 0) {
            *out = rows[i].curve;
            return true;
        }
    }
    return false;
}

/* an extended key that is no good: a text, or an object with one */
static void refused(cs_suite *s, const char *path, const json_t *v)
{
    static const char *const names[] = {"key", "text", "xkey", "xprv", "xpub", "value"};
    const char *text = json_string_value(v);
    cs_hd_key k;
    for (size_t i = 0; text == NULL && i < sizeof names / sizeof *names; i++) {
        text = json_string_value(json_object_get(v, names[i]));
    }
    cs_suite_check(s, text != NULL && text[0] != '\0' && cs_hd_parse(&k, cs_slice_str(text)) == CS_E_FORMAT, path,
                   text != NULL ? text : "an invalid key that could not be read");
}

static void one_file(cs_suite *s, const char *path, void *cookie)
{
    json_t *root = cs_suite_json(s, path);
    const json_t *valid = json_is_array(root) ? root : json_object_get(root, "valid");
    const json_t *invalid = json_object_get(root, "invalid");
    (void)cookie;
    for (size_t i = 0; i < json_array_size(valid); i++) {
        const json_t *v = json_array_get(valid, i);
        cs_hd_curve curve = CS_HD_SECP256K1;
        if (json_is_array(root) && !curve_of(v, &curve)) {
            cs_suite_skip(s, "another curve: no component");
        } else {
            chain(s, path, v, curve);
        }
    }
    for (size_t i = 0; i < json_array_size(invalid); i++) {
        refused(s, path, json_array_get(invalid, i));
    }
    json_decref(root);
}

void cs_suite_bip32(cs_suite *s, const char *dir)
{
    cs_suite_walk(s, dir, ".json", one_file, NULL);
}
