/* Settings of the TEE service at the gateway. See tee_settings.h. */
#include "gateway/tee_settings_int.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "store/store.h"

#define TIMEOUT_DEFAULT_S 5
#define TIMEOUT_MAX_S 3600
#define NAME_MAX_BYTES 64
#define VALUE_MAX 65536u
#define MIB (1024ull * 1024ull)

#define AT(field) offsetof(cs_tee_config, field)
#define TEXT_OF(field) 0, sizeof(((cs_tee_config *)NULL)->field) - 1, AT(field)

const cs_tee_setting_row cs_tee_setting_rows[] = {
    {"tee.enabled", CS_TEE_S_BOOL, 0, 1, AT(enabled), "false", NULL},
    {"tee.enclaveCID", CS_TEE_S_NUMBER, 3, 4294967294u, AT(enclave_cid), "16", NULL},
    {"tee.vsock.kmsPort", CS_TEE_S_NUMBER, 1, 4294967294u, AT(kms_port), "8000", NULL},
    {"tee.vsock.imdsPort", CS_TEE_S_NUMBER, 1, 4294967294u, AT(imds_port), "8001", NULL},
    {"tee.vsock.stsPort", CS_TEE_S_NUMBER, 1, 4294967294u, AT(sts_port), "8002", NULL},
    {"tee.kmsKeyARN", CS_TEE_S_TEXT, TEXT_OF(kms_key_arn), "", NULL},
    {"tee.allowedPCRs", CS_TEE_S_LIST, 0, 0, 0, "", NULL},
    {"tee.requestTimeoutSeconds", CS_TEE_S_SIGNED, 0, TIMEOUT_MAX_S, AT(timeout_s), "5", NULL},
    {"tee.idempotencySeconds", CS_TEE_S_NUMBER, 60, 31536000, AT(idempotency_s), "86400", NULL},
    {"tee.maxCalls", CS_TEE_S_NUMBER, 1, 65536, AT(calls), "1024", NULL},
    {"tee.maxBytes", CS_TEE_S_NUMBER, MIB, 65536 * MIB, AT(bytes), "268435456", NULL},
    {"tee.gateRecheckSeconds", CS_TEE_S_NUMBER, 1, 86400, AT(recheck_s), "3600", NULL},
    {"tee.attestationRoot", CS_TEE_S_TEXT, TEXT_OF(attest_root), "", NULL},
    {"tee.allowDebug", CS_TEE_S_BOOL, 0, 1, AT(allow_debug), "false", NULL},
    {"tee.store.driver", CS_TEE_S_TEXT, TEXT_OF(store_driver), "sqlite", "sqlite postgres"},
    {"tee.store.path", CS_TEE_S_TEXT, TEXT_OF(store_path), "/var/lib/countersign/tee.db", NULL},
    {"tee.store.dsn", CS_TEE_S_DSN, TEXT_OF(store_dsn), "", NULL},
    {"tee.store.adoptColumn", CS_TEE_S_TEXT, TEXT_OF(adopt_column), "", NULL},
    {"tee.store.connections", CS_TEE_S_NUMBER, 0, 64, AT(store_conns), "0", NULL},
    {"tee.tokens.keys", CS_TEE_S_TEXT, TEXT_OF(token_keys), "", NULL},
    {"tee.tokens.issuer", CS_TEE_S_TEXT, TEXT_OF(token_issuer), "", NULL},
    {"tee.tokens.audience", CS_TEE_S_TEXT, TEXT_OF(token_audience), "", NULL},
    {"tee.tokens.leewaySeconds", CS_TEE_S_NUMBER, 0, 3600, AT(token_leeway_s), "30", NULL},
    {"tee.tls.certFile", CS_TEE_S_TEXT, TEXT_OF(tls_cert), "", NULL},
    {"tee.tls.keyFile", CS_TEE_S_TEXT, TEXT_OF(tls_key), "", NULL},
    {"tee.tls.caFile", CS_TEE_S_TEXT, TEXT_OF(tls_ca), "", NULL},
    {0},
};
#define NUM_SETTINGS (sizeof cs_tee_setting_rows / sizeof *cs_tee_setting_rows - 1)

/* What stands in the file: names of two levels. A map of texts below it has the third. */
static const char *const keys[] = {"tee.enabled",
                                   "tee.enclaveCID",
                                   "tee.vsock",
                                   "tee.kmsKeyARN",
                                   "tee.allowedPCRs",
                                   "tee.requestTimeoutSeconds",
                                   "tee.maxCalls",
                                   "tee.maxBytes",

                                   "tee.gateRecheckSeconds",
                                   "tee.attestationRoot",
                                   "tee.idempotencySeconds",
                                   "tee.store",
                                   "tee.tokens",
                                   "tee.tls",
                                   "tee.allowDebug"};
#define NUM_KEYS (sizeof keys / sizeof *keys)

const char *cs_tee_setting(size_t i)
{
    return i < NUM_SETTINGS ? cs_tee_setting_rows[i].name : NULL;
}

size_t cs_tee_num_keys(void)
{
    return NUM_KEYS;
}

const char *cs_tee_key(size_t i)
{
    return keys[i];
}

/* ---------------------------------------------------------------- one value */

static void *member(cs_tee_config *c, const cs_tee_setting_row *s)
{
    return (uint8_t *)c + s->at;
}

typedef struct origin {
    cs_yaml_fault *fault;
    unsigned line;
} origin;

static cs_err set_bool(cs_tee_config *c, const origin *o, const cs_tee_setting_row *s, const char *v)
{
    static const char *const words[] = {"false", "true", "0", "1"};
    for (size_t i = 0; i < 4; i++) {
        if (strcasecmp(v, words[i]) == 0) {
            *(bool *)member(c, s) = (i & 1) != 0;
            return CS_OK;
        }
    }
    return cs_yaml_fail(o->fault, o->line, CS_E_CONFIG, "%s: true or false is wanted", s->name);
}

static cs_err set_number(cs_tee_config *c, const origin *o, const cs_tee_setting_row *s, const char *v)
{
    uint64_t n = 0;
    if (cs_parse_u64(cs_slice_str(v), s->max, &n) != CS_OK || n < s->min) {
        return cs_yaml_fail(o->fault, o->line, CS_E_CONFIG, "%s: a number of %llu to %llu is wanted", s->name,
                            (unsigned long long)s->min, (unsigned long long)s->max);
    }
    *(uint64_t *)member(c, s) = n;
    return CS_OK;
}

/* Numbers below 1 are taken here and become the default in the end. */
static cs_err set_signed(cs_tee_config *c, const origin *o, const cs_tee_setting_row *s, const char *v)
{
    bool minus = v[0] == '-';
    uint64_t n = 0;
    if (cs_parse_u64(cs_slice_str(v + (minus ? 1 : 0)), minus ? INT64_MAX : s->max, &n) != CS_OK) {
        return cs_yaml_fail(o->fault, o->line, CS_E_CONFIG, "%s: whole seconds, at most %llu", s->name,
                            (unsigned long long)s->max);
    }
    *(int64_t *)member(c, s) = minus ? -(int64_t)n : (int64_t)n;
    return CS_OK;
}

static bool is_word_of(const char *v, const char *words)
{
    size_t n = strlen(v);
    for (const char *p = words; *p != '\0'; p += strcspn(p, " ") + (p[strcspn(p, " ")] != '\0')) {
        if (strcspn(p, " ") == n && strncmp(p, v, n) == 0) {
            return true;
        }
    }
    return false;
}

static cs_err set_text(cs_tee_config *c, const origin *o, const cs_tee_setting_row *s, const char *v)
{
    size_t len = strlen(v);
    if (len > s->max) {
        return cs_yaml_fail(o->fault, o->line, CS_E_CONFIG, "%s: at most %llu bytes", s->name,
                            (unsigned long long)s->max);
    }
    for (const char *p = v; *p != '\0'; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f) {
            return cs_yaml_fail(o->fault, o->line, CS_E_CONFIG, "%s: a control character", s->name);
        }
    }
    if (s->one_of != NULL && !is_word_of(v, s->one_of)) {
        return cs_yaml_fail(o->fault, o->line, CS_E_CONFIG, "%s: one of: %s", s->name, s->one_of);
    }
    memcpy(member(c, s), v, len + 1);
    return CS_OK;
}

static cs_err add_pcrs(cs_tee_config *c, const origin *o, const char *v)
{
    size_t len = strlen(v);
    if (c->num_pcrs == CS_ATT_MAX_TUPLES || len == 0 || len >= CS_TEE_PATH_MAX) {
        return cs_yaml_fail(o->fault, o->line, CS_E_CONFIG, "tee.allowedPCRs: at most %d entries of 1 to %d bytes",
                            CS_ATT_MAX_TUPLES, CS_TEE_PATH_MAX - 1);
    }
    memcpy(c->pcrs[c->num_pcrs++], v, len + 1);
    return CS_OK;
}

/* "a,b": as the environment and --set have it. */
static cs_err set_list(cs_tee_config *c, const origin *o, const char *v)
{
    char one[CS_TEE_PATH_MAX];
    c->num_pcrs = 0;
    while (*v != '\0') {
        size_t n = strcspn(v, ",");
        cs_slice item = cs_trim(cs_slice_of(v, n), " \t");
        if (item.len >= sizeof one) {
            return cs_yaml_fail(o->fault, o->line, CS_E_CONFIG, "tee.allowedPCRs: an entry is too long");
        }
        memcpy(one, item.p, item.len);
        one[item.len] = '\0';
        CS_TRY(add_pcrs(c, o, one));
        v += n + (v[n] == ',' ? 1 : 0);
    }
    return CS_OK;
}

static cs_err set(cs_tee_config *c, const origin *o, const cs_tee_setting_row *s, const char *v)
{
    c->given = true;
    c->enabled_set |= s->at == AT(enabled) && s->kind == CS_TEE_S_BOOL;
    c->enclave_cid_set |= s->at == AT(enclave_cid) && s->kind == CS_TEE_S_NUMBER;
    switch (s->kind) {
    case CS_TEE_S_BOOL:
        return set_bool(c, o, s, v);
    case CS_TEE_S_NUMBER:
        return set_number(c, o, s, v);
    case CS_TEE_S_SIGNED:
        return set_signed(c, o, s, v);
    case CS_TEE_S_LIST:
        return set_list(c, o, v);
    default:
        return set_text(c, o, s, v);
    }
}

void cs_tee_settings_default(cs_tee_config *out)
{
    cs_yaml_fault fault;
    origin o = {&fault, 0};
    *out = (cs_tee_config){0};
    for (size_t i = 0; i < NUM_SETTINGS; i++) {
        if (set(out, &o, &cs_tee_setting_rows[i], cs_tee_setting_rows[i].def) != CS_OK) {
            abort(); /* the table's own values */
        }
    }
    out->given = false;
    out->enabled_set = false;
    out->enclave_cid_set = false;
}

/* ---------------------------------------------------------------- where values come from */

static const cs_tee_setting_row *find(const char *name)
{
    for (size_t i = 0; i < NUM_SETTINGS; i++) {
        if (strcmp(cs_tee_setting_rows[i].name, name) == 0) {
            return &cs_tee_setting_rows[i];
        }
    }
    return NULL;
}

static cs_err unknown(const origin *o, const char *name)
{
    const char *known[NUM_SETTINGS + 1] = {NULL};
    for (size_t i = 0; i < NUM_SETTINGS; i++) {
        known[i] = cs_tee_setting_rows[i].name;
    }
    return cs_yaml_fail(o->fault, o->line, CS_E_CONFIG_KEY, "unknown key %.80s; the nearest known one is %s", name,
                        cs_yaml_nearest(known, name));
}

static cs_err read_map(cs_tee_config *io, cs_yaml_fault *fault, const cs_yaml_entry *e)
{
    for (size_t i = 0; i < e->num_items; i++) {
        const cs_yaml_item *item = &e->items[i];
        char name[NAME_MAX_BYTES];
        origin o = {fault, item->line};
        (void)snprintf(name, sizeof name, "%s.%s", e->key, item->name);
        const cs_tee_setting_row *s = find(name);
        if (s == NULL) {
            return unknown(&o, name);
        }
        CS_TRY(set(io, &o, s, item->text));
    }
    return CS_OK;
}

static cs_err read_list(cs_tee_config *io, cs_yaml_fault *fault, const cs_yaml_entry *e)
{
    origin o = {fault, e->line};
    io->given = true;
    io->num_pcrs = 0;
    for (size_t i = 0; i < e->num_items; i++) {
        o.line = e->items[i].line;
        CS_TRY(add_pcrs(io, &o, e->items[i].text));
    }
    return CS_OK;
}

static cs_err read_entry(cs_tee_config *io, cs_yaml_fault *fault, const cs_yaml_entry *e)
{
    const cs_tee_setting_row *s = find(e->key);
    origin o = {fault, e->line};
    if (e->kind == CS_YAML_TEXT && e->items[0].null) { /* "tee.vsock:" with nothing behind: the defaults */
        io->given = true;
        return CS_OK;
    }
    if (s == NULL) {
        return e->kind == CS_YAML_MAP
                   ? read_map(io, fault, e)
                   : cs_yaml_fail(fault, e->line, CS_E_CONFIG, "%s: names are wanted below it", e->key);
    }
    if (s->kind == CS_TEE_S_LIST && e->kind == CS_YAML_LIST) {
        return read_list(io, fault, e);
    }
    if (e->kind != CS_YAML_TEXT) {
        return cs_yaml_fail(fault, e->line, CS_E_CONFIG,
                            s->kind == CS_TEE_S_LIST ? "%s: a list is wanted" : "%s: one value is wanted", e->key);
    }
    return set(io, &o, s, e->items[0].text);
}

cs_err cs_tee_settings_file(cs_tee_config *io, cs_yaml_fault *fault, const cs_yaml *y)
{
    for (size_t i = 0; i < NUM_KEYS; i++) {
        const cs_yaml_entry *e = cs_yaml_get(y, keys[i]);
        if (e != NULL) {
            CS_TRY(read_entry(io, fault, e));
        }
    }
    return CS_OK;
}

/* "tee.vsock.kmsPort" to "APP_TEE_VSOCK_KMSPORT" */
static void env_name(char out[NAME_MAX_BYTES], const char *name)
{
    int n = snprintf(out, NAME_MAX_BYTES, "APP_%s", name);
    for (int i = 0; i < n && i < NAME_MAX_BYTES - 1; i++) {
        out[i] = out[i] == '.' ? '_' : (char)toupper((unsigned char)out[i]);
    }
}

static const cs_tee_setting_row *find_env(const char *name, size_t len)
{
    static const struct {
        const char *env, *name;
    } others[] = {{"MPC_TLS_CERT_FILE", "tee.tls.certFile"},
                  {"MPC_TLS_KEY_FILE", "tee.tls.keyFile"},
                  {"MPC_TLS_CA_CERT_FILE", "tee.tls.caFile"}};
    char text[NAME_MAX_BYTES];
    for (size_t i = 0; i < NUM_SETTINGS; i++) {
        env_name(text, cs_tee_setting_rows[i].name);
        if (strlen(text) == len && strncmp(text, name, len) == 0) {
            return &cs_tee_setting_rows[i];
        }
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        if (strlen(others[i].env) == len && strncmp(others[i].env, name, len) == 0) {
            return find(others[i].name);
        }
    }
    return NULL;
}

static cs_err unknown_env(cs_yaml_fault *fault, const char *name, size_t len)
{
    char names[NUM_SETTINGS][NAME_MAX_BYTES], word[NAME_MAX_BYTES];
    const char *known[NUM_SETTINGS + 1] = {NULL};
    for (size_t i = 0; i < NUM_SETTINGS; i++) {
        env_name(names[i], cs_tee_setting_rows[i].name);
        known[i] = names[i];
    }
    (void)snprintf(word, sizeof word, "%.*s", (int)len, name);
    return cs_yaml_fail(fault, 0, CS_E_CONFIG_KEY, "environment: unknown name %s; the nearest known one is %s", word,
                        cs_yaml_nearest(known, word));
}

cs_err cs_tee_settings_env(cs_tee_config *io, cs_yaml_fault *fault, char *const *environ_list)
{
    origin o = {fault, 0};
    *fault = (cs_yaml_fault){0};
    for (char *const *e = environ_list; *e != NULL; e++) {
        size_t len = strcspn(*e, "=");
        const cs_tee_setting_row *s = find_env(*e, len);
        bool tls_only = s != NULL && strncmp(*e, "MPC_", 4) == 0, given = io->given;
        if (s == NULL && strncmp(*e, "APP_TEE_", 8) == 0) {
            return unknown_env(fault, *e, len);
        }
        if (s != NULL && (*e)[len] == '=') {
            CS_TRY(set(io, &o, s, *e + len + 1));
            io->given = tls_only ? given : io->given; /* files of TLS alone do not turn the service on */
        }
    }
    return CS_OK;
}

cs_err cs_tee_settings_set(cs_tee_config *io, cs_yaml_fault *fault, const char *assignment)
{
    size_t len = strcspn(assignment, "=");
    char name[NAME_MAX_BYTES];
    origin o = {fault, 0};
    *fault = (cs_yaml_fault){0};
    (void)snprintf(name, sizeof name, "%.*s", (int)len, assignment);
    const cs_tee_setting_row *s = find(name);
    if (s == NULL || len >= sizeof name) {
        return unknown(&o, name);
    }
    if (assignment[len] != '=') {
        return cs_yaml_fail(fault, 0, CS_E_CONFIG, "%s: a value is wanted: %s=VALUE", name, name);
    }
    return set(io, &o, s, assignment + len + 1);
}

/* ---------------------------------------------------------------- all of them together */

cs_err cs_tee_settings_finish(cs_tee_config *io, cs_yaml_fault *fault, bool *out_warned)
{
    bool pg = strcmp(io->store_driver, "postgres") == 0;
    *fault = (cs_yaml_fault){0};
    *out_warned = false;
    if (!io->enabled_set) {
        io->enabled = io->given;
    }
    if (io->timeout_s <= 0) {
        io->timeout_s = TIMEOUT_DEFAULT_S;
        *out_warned = true;
    }
    if ((io->tls_cert[0] == '\0') != (io->tls_key[0] == '\0') || (io->tls_ca[0] != '\0' && io->tls_cert[0] == '\0')) {
        return cs_yaml_fail(
            fault, 0, CS_E_CONFIG,
            "tee.tls: certFile and keyFile (MPC_TLS_CERT_FILE, MPC_TLS_KEY_FILE) go together, caFile with both");
    }
    if (io->token_keys[0] != '\0' && (io->token_issuer[0] == '\0' || io->token_audience[0] == '\0')) {
        return cs_yaml_fail(fault, 0, CS_E_CONFIG, "tee.tokens.keys: issuer and audience are wanted with it");
    }
    if (!io->enabled) {
        return CS_OK;
    }
    if (io->num_pcrs == 0) {
        return cs_yaml_fail(fault, 0, CS_E_ATT_NO_POLICY,
                            "tee.allowedPCRs is empty and tee.enabled is true: no enclave would be accepted");
    }
    if (pg && io->store_dsn[0] == '\0') {
        return cs_yaml_fail(fault, 0, CS_E_CONFIG, "tee.store.driver is postgres: tee.store.dsn is wanted");
    }
    if (io->adopt_column[0] != '\0' && !cs_store_is_column(io->adopt_column)) {
        return cs_yaml_fail(fault, 0, CS_E_CONFIG, "tee.store.adoptColumn: the name of a column: letters, digits, _");
    }
    if (!pg && io->store_path[0] == '\0') {
        return cs_yaml_fail(fault, 0, CS_E_CONFIG, "tee.store.driver is sqlite: tee.store.path is wanted");
    }
    return CS_OK;
}
