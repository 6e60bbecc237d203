/*
 * bip340: the table of BIP-340 (sign where a secret is given, verify always) and of BIP-341's keyPathSpending
 * the tweaked key and the
 * witness over the digest of the file; that digest itself is a transaction's, see the note that is printed.
 */
#include <string.h>

#include "party/btc.h"
#include "secret/sign/bip340.h"
#include "suite.h"

void cs_suite_bip340(cs_suite *s, const char *dir);

enum { INDEX, SECRET, PUBLIC, AUX, MESSAGE, SIGNATURE, RESULT, NUM_COLUMNS };

static bool fixed(uint8_t *out, size_t len, const char *hex)
{
    cs_buf b = {0};
    bool ok = cs_suite_hex_text(hex, &b) == CS_OK && b.len == len;
    if (ok) {
        memcpy(out, b.p, len);
    }
    cs_buf_free(&b);
    return ok;
}

static bool row_ok(char *const col[NUM_COLUMNS])
{
    uint8_t x[32], sig[64], aux[32], got[64], got_x[32];
    cs_secret32 key;
    cs_buf msg = {0};
    bool want = strcmp(col[RESULT], "TRUE") == 0;
    if ((!want && strcmp(col[RESULT], "FALSE") != 0) || !fixed(x, 32, col[PUBLIC]) || !fixed(sig, 64, col[SIGNATURE]) ||
        cs_suite_hex_text(col[MESSAGE], &msg) != CS_OK) {
        cs_buf_free(&msg);
        return false;
    }
    bool ok = (cs_bip340_verify(x, sig, cs_buf_slice(&msg)) == CS_OK) == want;
    if (ok && col[SECRET][0] != '\0') {
        ok = fixed(key.b, 32, col[SECRET]) && fixed(aux, 32, col[AUX]) && cs_bip340_public(got_x, &key) == CS_OK &&
             memcmp(got_x, x, 32) == 0 && cs_bip340_sign(got, &key, cs_buf_slice(&msg), aux) == CS_OK &&
             memcmp(got, sig, 64) == 0;
    }
    cs_buf_free(&msg);
    return ok;
}

/* strtok would join empty columns */
static size_t split(char *line, char *col[NUM_COLUMNS])
{
    size_t n = 0;
    while (line != NULL && n < NUM_COLUMNS) {
        col[n++] = strsep(&line, ",");
    }
    return n;
}

static void csv_file(cs_suite *s, const char *path, void *cookie)
{
    cs_buf b = {0};
    unsigned rows = 0;
    char *save = NULL;
    (void)cookie;
    if (cs_suite_read(path, &b) != CS_OK || cs_put_u8(&b, 0) != CS_OK) {
        cs_suite_fail(s, path, "cannot be read");
        cs_buf_free(&b);
        return;
    }
    for (char *line = strtok_r((char *)b.p, "\r\n", &save); line != NULL; line = strtok_r(NULL, "\r\n", &save)) {
        char *col[NUM_COLUMNS];
        if (strncmp(line, "index,", 6) == 0) {
            continue;
        }
        rows++;
        if (split(line, col) == NUM_COLUMNS && row_ok(col)) {
            cs_suite_pass(s);
        } else {
            cs_suite_failf(s, path, "row %.20s", line);
        }
    }
    if (rows == 0) {
        cs_suite_fail(s, path, "no rows");
    }
    cs_buf_free(&b);
}

#define MAX_INPUTS 32

/* a transaction of keyPathSpending with what its inputs spend */
typedef struct spending {
    cs_buf raw, script[MAX_INPUTS];
    cs_btc_spent spent[MAX_INPUTS];
    cs_btc_tx tx;
} spending;

static bool spending_of(spending *out, const json_t *given)
{
    const json_t *list = json_object_get(given, "utxosSpent");
    bool ok = cs_suite_hex(given, "rawUnsignedTx", &out->raw) == CS_OK &&
              cs_btc_parse(&out->tx, cs_buf_slice(&out->raw)) == CS_OK && json_array_size(list) <= MAX_INPUTS &&
              json_array_size(list) == out->tx.num_inputs;
    for (size_t i = 0; ok && i < json_array_size(list); i++) {
        const json_t *u = json_array_get(list, i);
        ok = cs_suite_hex(u, "scriptPubKey", &out->script[i]) == CS_OK;
        out->spent[i].script = cs_buf_slice(&out->script[i]);
        out->spent[i].sats = (uint64_t)json_integer_value(json_object_get(u, "amountSats"));
    }
    return ok;
}

static void spending_free(spending *x)
{
    cs_buf_free(&x->raw);
    for (size_t i = 0; i < MAX_INPUTS; i++) {
        cs_buf_free(&x->script[i]);
    }
}

/* one input of BIP-341's keyPathSpending */
static bool taproot(const spending *all, const json_t *v)
{
    const json_t *given = json_object_get(v, "given"), *mid = json_object_get(v, "intermediary");
    const char *root_hex = cs_suite_str(given, "merkleRoot"); /* null: no scripts */
    const json_t *witness = json_array_get(json_object_get(json_object_get(v, "expected"), "witness"), 0);
    json_int_t type = json_integer_value(json_object_get(given, "hashType"));
    cs_secret32 key, tweaked;
    uint8_t want[32], digest[32], zeros[32] = {0}, sig[65], x[32];
    cs_buf root = {0}, wit = {0};
    bool ok = fixed(key.b, 32, cs_suite_str(given, "internalPrivkey")) && cs_suite_hex_text(root_hex, &root) == CS_OK &&
              cs_bip340_public(x, &key) == CS_OK && fixed(want, 32, cs_suite_str(mid, "internalPubkey")) &&
              memcmp(x, want, 32) == 0 && cs_bip340_tweak(&tweaked, &key, cs_buf_slice(&root)) == CS_OK &&
              fixed(want, 32, cs_suite_str(mid, "tweakedPrivkey")) && memcmp(tweaked.b, want, 32) == 0 &&
              fixed(want, 32, cs_suite_str(mid, "sigHash")) &&
              cs_btc_digest_key(digest, &all->tx, (uint32_t)json_integer_value(json_object_get(given, "txinIndex")),
                                all->spent, (uint8_t)type) == CS_OK &&
              memcmp(digest, want, 32) == 0 && json_is_string(witness) &&
              cs_suite_hex_text(json_string_value(witness), &wit) == CS_OK &&
              cs_bip340_sign(sig, &tweaked, cs_slice_of(digest, 32), zeros) == CS_OK;
    sig[64] = (uint8_t)type; /* left out when 0 [BIP-341] */
    ok = ok && cs_slice_eq(cs_buf_slice(&wit), cs_slice_of(sig, type == 0 ? 64 : 65));
    cs_buf_free(&root);
    cs_buf_free(&wit);
    return ok;
}

static void json_file(cs_suite *s, const char *path, void *cookie)
{
    json_t *root = cs_suite_json(s, path);
    const json_t *spends = json_object_get(root, "keyPathSpending");
    (void)cookie;
    for (size_t i = 0; i < json_array_size(spends); i++) {
        const json_t *inputs = json_object_get(json_array_get(spends, i), "inputSpending");
        spending x = {0};
        bool read = spending_of(&x, json_object_get(json_array_get(spends, i), "given"));
        for (size_t k = 0; k < json_array_size(inputs); k++) {
            cs_suite_check(s, read && taproot(&x, json_array_get(inputs, k)), path, "keyPathSpending");
        }
        spending_free(&x);
    }
    if (json_object_get(root, "scriptPubKey") != NULL) {
        cs_suite_skip_many(s, (unsigned)json_array_size(json_object_get(root, "scriptPubKey")),
                           "BIP-341: script trees: no component");
    } else if (root != NULL && spends == NULL) {
        cs_suite_skip(s, "a file of unknown form");
    }
    json_decref(root);
}

void cs_suite_bip340(cs_suite *s, const char *dir)
{
    cs_suite_walk(s, dir, ".csv", csv_file, NULL);
    cs_suite_walk(s, dir, ".json", json_file, NULL);
}
