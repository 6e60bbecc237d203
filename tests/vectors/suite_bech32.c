/* Examples of BIP-173 and BIP-350 (vectors/bech32): strings under the strict 90 character limit, addresses to scripts. */
#include <string.h>

#include "base/text.h"
#include "codec/bech32.h"
#include "suite.h"

void cs_suite_bech32(cs_suite *s, const char *dir);

typedef struct rules {
    const char *path;
    cs_bech32_kind kind;
    cs_segwit_rules segwit;
} rules;

static void check_string(cs_suite *s, const rules *r, const json_t *row, bool valid)
{
    cs_buf text = {0};
    cs_bech32 b;

    if (cs_suite_hex(row, "hex", &text) != CS_OK) {
        cs_suite_fail(s, r->path, "row without hex");
        return;
    }
    if ((cs_bech32_decode(&b, cs_buf_slice(&text), CS_BECH32_STRICT_LEN, r->kind) == CS_OK) == valid) {
        cs_suite_pass(s);
    } else {
        cs_suite_failf(s, r->path, "string %s: %s", cs_suite_str(row, "hex"), valid ? "refused" : "accepted");
    }
    cs_buf_free(&text);
}

static void check_address(cs_suite *s, const rules *r, const json_t *row, bool valid)
{
    cs_buf text = {0}, want = {0}, script;
    uint8_t mem[64];
    cs_err err;

    if (cs_suite_hex(row, "hex", &text) != CS_OK || (valid && cs_suite_hex(row, "scriptPubKey", &want) != CS_OK)) {
        cs_suite_fail(s, r->path, "row without hex or scriptPubKey");
        cs_buf_free(&text);
        return;
    }
    script = cs_buf_wrap(mem, sizeof mem);
    err = cs_segwit_script(&script, "bc", cs_buf_slice(&text), r->segwit);
    if (err != CS_OK) {
        err = cs_segwit_script(&script, "tb", cs_buf_slice(&text), r->segwit);
    }
    if ((err == CS_OK) == valid && (!valid || cs_slice_eq(cs_buf_slice(&script), cs_buf_slice(&want)))) {
        cs_suite_pass(s);
    } else {
        cs_suite_failf(s, r->path, "address %s: %s", cs_suite_str(row, "hex"), cs_err_code(err));
    }
    cs_buf_free(&text);
    cs_buf_free(&want);
}

typedef void check_fn(cs_suite *s, const rules *r, const json_t *row, bool valid);

static void check_list(cs_suite *s, const rules *r, const json_t *doc, const char *key, check_fn *check)
{
    const json_t *list = json_object_get(doc, key);

    for (size_t i = 0; i < json_array_size(list); i++) {
        check(s, r, json_array_get(list, i), strncmp(key, "valid", 5) == 0);
    }
}

static void check_file(cs_suite *s, const char *path, void *cookie)
{
    bool old = strstr(path, "173") != NULL;
    rules r = {path, old ? CS_BECH32 : CS_BECH32M, old ? CS_SEGWIT_BIP173 : CS_SEGWIT_BIP350};
    json_t *doc = cs_suite_json(s, path);

    check_list(s, &r, doc, "valid_strings", check_string);
    check_list(s, &r, doc, "invalid_strings", check_string);
    check_list(s, &r, doc, "valid_addresses", check_address);
    check_list(s, &r, doc, "invalid_addresses", check_address);
    json_decref(doc);
}

void cs_suite_bech32(cs_suite *s, const char *dir)
{
    cs_suite_walk(s, dir, ".json", check_file, NULL);
}
