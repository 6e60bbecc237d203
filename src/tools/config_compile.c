/* See config_compile.h. The table of keys, and the sections that are made of their values (config_values.c). */
#include "tools/config_compile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "codec/cbor.h"
#include "tools/config_int.h"

enum { CORE = 1, KMS = 2, SERVICE = 4, INIT = 8, HOST = 16 };

#define TWO_PARTIES "both parties of a key sign, the enclave's and the client's (2-of-2)"

static const cs_ckey keys[] = {
    {"enclave.parentCid", NULL, CS_CK_UINT, INIT | KMS | SERVICE, "3", 1, UINT32_MAX - 1, NULL},
    {"enclave.clockSources", NULL, CS_CK_TEXTS, INIT, "kvm-clock tsc", 1, 32, NULL},
    {"enclave.systemCallFilter", NULL, CS_CK_FILTER, INIT, "kill", 0, 0, NULL},
    {"enclave.debugAllowed", NULL, CS_CK_BOOL, CORE, "false", 0, 0, NULL},
    {"kms.region", NULL, CS_CK_TEXT, CORE | KMS, NULL, 1, 64, NULL},
    {"kms.keyArn", NULL, CS_CK_TEXT, CORE | KMS, NULL, 1, 2048, NULL},
    {"kms.encryptionContext", NULL, CS_CK_MAP, CORE | KMS, "", 0, 0, NULL},
    {"kms.host", NULL, CS_CK_HOST, KMS, "", 1, 253, NULL},
    {"kms.proxyPort", NULL, CS_CK_UINT, KMS, "5000", 1, UINT32_MAX - 1, NULL},
    {"kms.caFile", "ca", CS_CK_CA, KMS, "", 0, 0, NULL},
    {"shares.publishers", NULL, CS_CK_HEXES, CORE, "", 0, 0, NULL},
    {"shares.requireSignedShares", NULL, CS_CK_BOOL, CORE, "true", 0, 0, NULL},
    {"shares.minGeneration", NULL, CS_CK_UINT, CORE, "0", 0, UINT64_MAX, NULL},
    {"shares.maxBytes", NULL, CS_CK_UINT, CORE | SERVICE, "268435456", CS_SHARES_MIN, CS_SHARES_MAX, NULL},
    {"limits.sessions", NULL, CS_CK_UINT, CORE | SERVICE, "1024", 1, 65536, NULL},
    {"limits.silenceMs", NULL, CS_CK_UINT, CORE | SERVICE, "10000", 100, 600000, NULL},
    {"limits.arenaMiB", NULL, CS_CK_UINT, CORE, "256", 4, 65536, NULL},
    {"gateway.url", "gatewayUrl", CS_CK_URL, SERVICE, "", 0, 0, NULL},
    {"gateway.egressPort", NULL, CS_CK_UINT, SERVICE, "8080", 1, UINT32_MAX - 1, NULL},
    {"server.host", NULL, CS_CK_LISTEN, HOST, "127.0.0.1", 0, 0, NULL},
    {"server.port", NULL, CS_CK_UINT, HOST, "50051", 1, 65535, NULL},
    {"server.index", "serverIndex", CS_CK_UINT, SERVICE, "1", 0, 1, NULL},
    {"mpc.enabled", NULL, CS_CK_BOOL, 0, "true", 0, 0, NULL},
    {"signerRpc.enabled", NULL, CS_CK_BOOL, 0, "false", 0, 0, NULL},
    {"mpc.threshold", NULL, CS_CK_FIXED, 0, "2", 0, 0, TWO_PARTIES},
    {"mpc.total_participants", NULL, CS_CK_FIXED, 0, "2", 0, 0, TWO_PARTIES},
    {"mpc.key_share_file", "keyShareFile", CS_CK_PATH, CORE, "", 0, 0, NULL},
    {"tee.enabled", "teeEnabled", CS_CK_BOOL, CORE | KMS, "false", 0, 0, NULL},
    {"tee.kmsKeyArns", "teeKmsKeyArns", CS_CK_TEXTS, CORE | KMS, "", 0, 2048, NULL},
    {"tee.dataKeyCacheSeconds", "teeDataKeyCacheSeconds", CS_CK_UINT, CORE, "0", 0, 3600, NULL},
    {"tee.dataKeyCacheEntries", "teeDataKeyCacheEntries", CS_CK_UINT, CORE, "1024", 1, 65536, NULL},
    {"tee.workers", "teeWorkers", CS_CK_UINT, CORE, "0", 0, 64, NULL},
    {"tee.queue", "teeQueue", CS_CK_UINT, CORE, "256", 1, 65536, NULL},
    {"tee.windowSeconds", "teeWindowSeconds", CS_CK_UINT, CORE, "60", 5, 600, NULL},
    {"tee.requireApproval", "teeRequireApproval", CS_CK_APPROVALS, CORE, "", 1, 16, NULL},
    {"logging.level", NULL, CS_CK_LEVEL, CORE | KMS | SERVICE | INIT, "info", 0, 0, NULL},
    {"logging.format", NULL, CS_CK_FIXED, 0, "json", 0, 0,
     "an enclave's log is JSON lines, text is made of it by its reader"},
};
#define NUM_KEYS (sizeof keys / sizeof *keys)

typedef struct compiler {
    cs_cvalues c;
    cs_buf value[NUM_KEYS]; /* CBOR */
} compiler;

const char *cs_config_key(size_t i)
{
    return i < NUM_KEYS ? keys[i].yaml : NULL;
}

static size_t index_of(const char *name)
{
    size_t i = 0;

    while (i < NUM_KEYS && strcmp(keys[i].yaml, name) != 0) {
        i++;
    }
    return i;
}

static const char *cbor_name(const cs_ckey *k, unsigned section)
{
    if (section == KMS && strcmp(k->yaml, "tee.enabled") == 0) {
        return "lease"; /* all that sign-kms and the host have to know of it */
    }
    return k->cbor != NULL ? k->cbor : strchr(k->yaml, '.') + 1;
}

/* ---------------------------------------------------------------- values */

/* What --set says about a key, or the file; the item is the memory of an entry of --set. NULL: neither. */
static const cs_yaml_entry *find(const compiler *c, const char *name, cs_yaml_entry *made, cs_yaml_item *item)
{
    const cs_config_files *f = c->c.files;

    for (size_t i = f->num_set; i-- > 0;) {
        if (strcmp(f->set[i].key, name) == 0) {
            *item = (cs_yaml_item){.text = f->set[i].value};
            *made = (cs_yaml_entry){.key = name, .kind = CS_YAML_TEXT, .items = item, .num_items = 1};
            return made;
        }
    }
    return cs_yaml_get(c->c.yaml, name);
}

static bool given_text(const compiler *c, const char *name, const char **out)
{
    cs_yaml_entry made;
    cs_yaml_item item;
    const cs_yaml_entry *e = find(c, name, &made, &item);

    *out = e != NULL && e->kind == CS_YAML_TEXT ? e->items[0].text : "";
    return (*out)[0] != '\0';
}

/* With shares from a file nothing is asked of KMS: what names its key may be left out. Such a configuration is refused by
 * release programs anyway. */
static cs_err without_kms(const compiler *c, cs_buf *out, const cs_ckey *k)
{
    cs_ckey optional = *k;

    optional.def = strcmp(k->yaml, "kms.region") == 0 ? "us-east-1" : "none";
    return cs_cvalue_default(&c->c, out, &optional);
}

static cs_err put_values(compiler *c)
{
    const char *region, *share_file;

    (void)snprintf(c->c.region, sizeof c->c.region, "%s", given_text(c, "kms.region", &region) ? region : "us-east-1");
    bool file = given_text(c, "mpc.key_share_file", &share_file);
    /* what is given first: its faults are worth more than what is missing */
    for (size_t i = 0; i < NUM_KEYS; i++) {
        cs_yaml_entry made;
        cs_yaml_item item;
        const cs_yaml_entry *e = find(c, keys[i].yaml, &made, &item);
        if (e != NULL) {
            CS_TRY(cs_cvalue_put(&c->c, &c->value[i], &keys[i], e));
        }
    }
    for (size_t i = 0; i < NUM_KEYS; i++) {
        if (c->value[i].len == 0) {
            bool optional = keys[i].def == NULL && file;
            CS_TRY(optional ? without_kms(c, &c->value[i], &keys[i])
                            : cs_cvalue_default(&c->c, &c->value[i], &keys[i]));
        }
    }
    return CS_OK;
}

static bool is_true(const compiler *c, const char *name)
{
    static const uint8_t yes = 0xf5; /* CBOR */

    return cs_slice_eq(cs_buf_slice(&c->value[index_of(name)]), cs_slice_of(&yes, 1));
}

/* What the image serves is part of what is measured: MPC, signatures with whole keys, or both. */
static cs_err check_served(const compiler *c)
{
    if (is_true(c, "signerRpc.enabled")) {
        return cs_yaml_fail(c->c.fault, 0, CS_E_NOT_IMPLEMENTED,
                            "not implemented: signerRpc.enabled (signatures with whole keys)");
    }
    if (!is_true(c, "mpc.enabled") && is_true(c, "tee.enabled")) {
        return cs_yaml_fail(c->c.fault, 0, CS_E_NOT_IMPLEMENTED,
                            "not implemented: mpc.enabled: false with tee.enabled (share files without accounts serve "
                            "the TEE service alone)");
    }
    if (!is_true(c, "mpc.enabled")) {
        return cs_yaml_fail(c->c.fault, 0, CS_E_CONFIG,
                            "mpc.enabled and signerRpc.enabled are both false: the image would serve nothing");
    }
    return CS_OK;
}

/* ---------------------------------------------------------------- output */

static int by_cbor_name(const void *a, const void *b, void *section)
{
    return cs_ctext_order(cbor_name(&keys[*(const size_t *)a], *(unsigned *)section),
                          cbor_name(&keys[*(const size_t *)b], *(unsigned *)section));
}

static cs_err put_section(const compiler *c, cs_buf *out, const char *name, unsigned section)
{
    size_t order[NUM_KEYS], num = 0, start = out->len;

    for (size_t i = 0; i < NUM_KEYS; i++) {
        if ((keys[i].sections & section) != 0) {
            order[num++] = i;
        }
    }
    qsort_r(order, num, sizeof *order, by_cbor_name, &section);
    CS_TRY(cs_cbor_put_text(out, name));
    CS_TRY(cs_cbor_put_map(out, num));
    for (size_t i = 0; i < num; i++) {
        CS_TRY(cs_cbor_put_text(out, cbor_name(&keys[order[i]], section)));
        CS_TRY(cs_put_slice(out, cs_buf_slice(&c->value[order[i]])));
    }
    if (section != KMS && out->len - start > CS_CONFIG_CORE_MAX) {
        return cs_yaml_fail(c->c.fault, 0, CS_E_CONFIG, "section %s is too large", name);
    }
    return CS_OK;
}

static cs_err put_all(const compiler *c, cs_buf *out)
{
    CS_TRY(cs_cbor_put_map(out, 5));
    CS_TRY(put_section(c, out, "kms", KMS));
    CS_TRY(put_section(c, out, "core", CORE));
    CS_TRY(put_section(c, out, "host", HOST));
    CS_TRY(put_section(c, out, "init", INIT));
    return put_section(c, out, "service", SERVICE);
}

static cs_err check_set(const cs_config_files *files, cs_yaml_fault *fault, const char *const *known)
{
    for (size_t i = 0; i < files->num_set; i++) {
        if (index_of(files->set[i].key) == NUM_KEYS) {
            return cs_yaml_fail(fault, 0, CS_E_CONFIG_KEY, "unknown key %.80s in --set; the nearest known one is %s",
                                files->set[i].key, cs_yaml_nearest(known, files->set[i].key));
        }
    }
    return CS_OK;
}

cs_err cs_config_compile(cs_buf *out, cs_yaml_fault *fault, cs_slice yaml, const cs_config_files *files)
{
    const char *known[NUM_KEYS + 1] = {0};
    compiler c = {.c = {.fault = fault, .files = files}};
    size_t before = out->len;
    cs_yaml *y = NULL;

    for (size_t i = 0; i < NUM_KEYS; i++) {
        known[i] = cs_config_key(i);
    }
    CS_TRY(cs_yaml_read(&y, fault, yaml, known));
    c.c.yaml = y;
    for (size_t i = 0; i < NUM_KEYS; i++) {
        c.value[i] = cs_buf_heap(CS_CONFIG_CA_MAX + 16);
    }
    cs_err err = check_set(files, fault, known);
    if (err == CS_OK) {
        err = put_values(&c);
    }
    if (err == CS_OK) {
        err = check_served(&c);
    }
    if (err == CS_OK) {
        err = put_all(&c, out);
    }
    for (size_t i = 0; i < NUM_KEYS; i++) {
        cs_buf_free(&c.value[i]);
    }
    cs_yaml_free(y);
    if (err != CS_OK) {
        out->len = before;
    }
    return err;
}
