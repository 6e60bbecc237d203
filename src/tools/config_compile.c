/* See config_compile.h. */
#include "tools/config_compile.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/log.h"
#include "base/text.h"
#include "codec/cbor.h"

#define CONTEXT_MAX 16
#define LIST_MAX 16
#define TEXT_MAX 2048
#define PREFIX_MAX 240 /* of gateway.url: what net/room.h takes, with room for the names of rooms */

enum { CORE = 1, KMS = 2, SERVICE = 4, INIT = 8 };
typedef enum kind { UINT, BOOL, TEXT, HOST, URL, LEVEL, TEXTS, HEXES, MAP, CA } kind;

typedef struct key {
    const char *yaml; /* "group.name" */
    const char *cbor; /* name in the sections, when it is not the last part of yaml */
    kind kind;
    unsigned sections;
    const char *def;   /* default as text; NULL: required. Lists and maps: "" is empty */
    uint64_t min, max; /* UINT: range; TEXT: bytes */
} key;

static const key keys[] = {
    {"enclave.parentCid", NULL, UINT, INIT | KMS | SERVICE, "3", 1, UINT32_MAX - 1},
    {"enclave.clockSources", NULL, TEXTS, INIT, "kvm-clock tsc", 1, 32},
    {"enclave.debugAllowed", NULL, BOOL, CORE, "false", 0, 0},
    {"kms.region", NULL, TEXT, CORE | KMS, NULL, 1, 64},
    {"kms.keyArn", NULL, TEXT, CORE | KMS, NULL, 1, TEXT_MAX},
    {"kms.encryptionContext", NULL, MAP, CORE | KMS, "", 0, 0},
    {"kms.host", NULL, HOST, KMS, "", 1, 253},
    {"kms.proxyPort", NULL, UINT, KMS, "5000", 1, UINT32_MAX - 1},
    {"kms.caFile", "ca", CA, KMS, "", 0, 0},
    {"shares.publishers", NULL, HEXES, CORE, "", 0, 0},
    {"shares.requireSignedShares", NULL, BOOL, CORE, "true", 0, 0},
    {"shares.minGeneration", NULL, UINT, CORE, "0", 0, UINT64_MAX},
    {"shares.maxBytes", NULL, UINT, CORE | SERVICE, "268435456", 1024, (uint64_t)1 << 30},
    {"limits.sessions", NULL, UINT, CORE | SERVICE, "1024", 1, 65536},
    {"limits.silenceMs", NULL, UINT, CORE, "10000", 100, 600000},
    {"limits.arenaMiB", NULL, UINT, CORE, "256", 4, 65536},
    {"gateway.url", "gatewayUrl", URL, SERVICE, "", 0, CS_CONFIG_URL_MAX},
    {"gateway.egressPort", NULL, UINT, SERVICE, "8080", 1, UINT32_MAX - 1},
    {"server.index", "serverIndex", UINT, SERVICE, "1", 0, 1},
    {"logging.level", NULL, LEVEL, CORE | KMS | SERVICE | INIT, "info", 0, 0},
};
#define NUM_KEYS (sizeof keys / sizeof *keys)
#define KEY_REGION 3

typedef struct compiler {
    yaml_document_t doc;
    cs_config_fault *fault;
    const cs_config_files *files;
    cs_buf value[NUM_KEYS]; /* CBOR; empty: not given yet */
    char region[65];
} compiler;

__attribute__((format(printf, 4, 5))) static cs_err fail(const compiler *c, const yaml_node_t *at, cs_err err,
                                                         const char *fmt, ...)
{
    va_list args;

    c->fault->line = at == NULL ? 0 : (unsigned)at->start_mark.line + 1;
    va_start(args, fmt);
    (void)vsnprintf(c->fault->text, sizeof c->fault->text, fmt, args);
    va_end(args);
    /* what the file says may be any bytes: keep the message one printable line */
    for (char *p = c->fault->text; *p != '\0'; p++) {
        *p = *p < 0x20 || *p > 0x7e ? '?' : *p;
    }
    return err;
}

/* ---------------------------------------------------------------- names */

/* Edit distance, for names of up to 63 bytes. */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[64];
    size_t na = strnlen(a, 63), nb = strnlen(b, 63);

    for (size_t j = 0; j <= nb; j++) {
        row[j] = (unsigned)j;
    }
    for (size_t i = 1; i <= na; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= nb; j++) {
            unsigned up = row[j], best = diagonal + (a[i - 1] != b[j - 1]);
            best = up + 1 < best ? up + 1 : best;
            row[j] = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            diagonal = up;
        }
    }
    return row[nb];
}

static const char *nearest(const char *name)
{
    const char *best = keys[0].yaml;
    unsigned best_distance = UINT32_MAX;

    for (size_t i = 0; i < NUM_KEYS; i++) {
        unsigned d = distance(name, keys[i].yaml);
        if (d < best_distance) {
            best_distance = d;
            best = keys[i].yaml;
        }
    }
    return best;
}

static bool is_group(const char *name)
{
    size_t len = strlen(name);

    for (size_t i = 0; i < NUM_KEYS; i++) {
        if (strncmp(keys[i].yaml, name, len) == 0 && keys[i].yaml[len] == '.') {
            return true;
        }
    }
    return false;
}

static const char *cbor_name(const key *k)
{
    return k->cbor != NULL ? k->cbor : strchr(k->yaml, '.') + 1;
}

/* ---------------------------------------------------------------- values */

/* A scalar as a C string; NULL when the node is none or holds a NUL byte. */
static const char *scalar(const yaml_node_t *n)
{
    if (n == NULL || n->type != YAML_SCALAR_NODE || memchr(n->data.scalar.value, '\0', n->data.scalar.length) != NULL) {
        return NULL;
    }
    return (const char *)n->data.scalar.value;
}

static cs_err put_text(compiler *c, const yaml_node_t *n, cs_buf *out, const key *k, const char *text, size_t min,
                       size_t max)
{
    size_t len = text == NULL ? 0 : strlen(text);

    if (text == NULL || len < min || len > max || !cs_utf8_valid(cs_slice_str(text))) {
        return fail(c, n, CS_E_CONFIG, "%s: text of %zu to %zu bytes is wanted", k->yaml, min, max);
    }
    return cs_cbor_put_text(out, text);
}

static cs_err put_host(compiler *c, const yaml_node_t *n, cs_buf *out, const key *k, const char *text)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-";

    if (text != NULL && strspn(text, allowed) != strlen(text)) {
        return fail(c, n, CS_E_CONFIG, "%s: a host name without port or scheme is wanted", k->yaml);
    }
    return put_text(c, n, out, k, text, 1, k->max);
}

/* "http://HOST[:PORT][/prefix]" as it is stored: with its port, without a slash at the end. The host: a name, IPv4 or [IPv6]. */
static cs_err split_url(cs_buf *out, const char *text)
{
    static const char host_set[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-";
    static const char path_set[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_~/";
    const char *host = text + 7, *end;
    uint64_t port = 80;

    if (strncmp(text, "http://", 7) != 0) {
        return CS_E_FORMAT;
    }
    if (host[0] == '[') {
        end = host + 1 + strspn(host + 1, "0123456789abcdefABCDEF:.");
        end = end > host + 1 && *end == ']' ? end + 1 : host;
    } else {
        end = host + strspn(host, host_set);
    }
    size_t host_len = (size_t)(end - host), digits = 0;
    if (host_len == 0 || host_len > 253) {
        return CS_E_FORMAT;
    }
    if (*end == ':') {
        digits = strcspn(++end, "/");
        CS_TRY(cs_parse_u64(cs_slice_of(end, digits), 65535, &port));
        end += digits;
    }
    size_t path = strlen(end);
    if (port == 0 || path > PREFIX_MAX || (path > 0 && *end != '/') || strspn(end, path_set) != path ||
        strstr(end, "//") != NULL || strstr(end, "/.") != NULL) {
        return CS_E_FORMAT;
    }
    path -= path > 0 && end[path - 1] == '/' ? 1 : 0;
    char port_text[8];
    (void)snprintf(port_text, sizeof port_text, ":%u", (unsigned)port);
    CS_TRY(cs_put_str(out, "http://"));
    CS_TRY(cs_put(out, host, host_len));
    CS_TRY(cs_put_str(out, port_text));
    return cs_put(out, end, path);
}

static cs_err put_url(compiler *c, const yaml_node_t *n, cs_buf *out, const key *k, const char *text)
{
    uint8_t mem[CS_CONFIG_URL_MAX];
    cs_buf url = cs_buf_wrap(mem, sizeof mem);

    if (text[0] != '\0' && split_url(&url, text) != CS_OK) {
        return fail(c, n, CS_E_CONFIG,
                    "%s: http://HOST:PORT[/prefix] of at most %d bytes is wanted (rooms are plain HTTP through the "
                    "egress bridge)",
                    k->yaml, CS_CONFIG_URL_MAX);
    }
    return cs_cbor_put_text_slice(out, cs_buf_slice(&url));
}

static cs_err put_scalar(compiler *c, const yaml_node_t *n, cs_buf *out, const key *k, const char *text)
{
    cs_log_level level;
    uint64_t v = 0;

    if (text == NULL) {
        return fail(c, n, CS_E_CONFIG, "%s: one value is wanted", k->yaml);
    }
    switch (k->kind) {
    case UINT:
        if (cs_parse_u64(cs_slice_str(text), k->max, &v) != CS_OK || v < k->min) {
            return fail(c, n, CS_E_CONFIG, "%s: a number of %llu to %llu is wanted", k->yaml,
                        (unsigned long long)k->min, (unsigned long long)k->max);
        }
        return cs_cbor_put_uint(out, v);
    case BOOL:
        if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0) {
            return fail(c, n, CS_E_CONFIG, "%s: true or false is wanted", k->yaml);
        }
        return cs_cbor_put_bool(out, text[0] == 't');
    case LEVEL:
        if (cs_log_level_of(cs_slice_str(text), &level) != CS_OK) {
            return fail(c, n, CS_E_CONFIG, "%s: debug, info, warn or error is wanted", k->yaml);
        }
        return cs_cbor_put_text(out, text);
    case HOST:
        return put_host(c, n, out, k, text);
    case URL:
        return put_url(c, n, out, k, text);
    default:
        return put_text(c, n, out, k, text, k->min, k->max);
    }
}

static cs_err put_hex(compiler *c, const yaml_node_t *n, cs_buf *out, const key *k)
{
    const char *text = scalar(n);

    if (text == NULL || strlen(text) != 64 || strspn(text, "0123456789abcdef") != 64) {
        return fail(c, n, CS_E_CONFIG, "%s: each entry is 64 lower-case hex digits (an Ed25519 public key)", k->yaml);
    }
    return cs_cbor_put_text(out, text);
}

static cs_err put_list(compiler *c, const yaml_node_t *n, cs_buf *out, const key *k)
{
    if (n->type != YAML_SEQUENCE_NODE) {
        return fail(c, n, CS_E_CONFIG, "%s: a list is wanted", k->yaml);
    }
    size_t num = (size_t)(n->data.sequence.items.top - n->data.sequence.items.start);
    if (num > LIST_MAX || num < k->min) {
        return fail(c, n, CS_E_CONFIG, "%s: %llu to %d entries are wanted", k->yaml, (unsigned long long)k->min,
                    LIST_MAX);
    }
    CS_TRY(cs_cbor_put_array(out, num));
    for (size_t i = 0; i < num; i++) {
        const yaml_node_t *item = yaml_document_get_node(&c->doc, n->data.sequence.items.start[i]);
        if (k->kind == HEXES) {
            CS_TRY(put_hex(c, item, out, k));
        } else {
            CS_TRY(put_text(c, item, out, k, scalar(item), 1, k->max));
        }
    }
    return CS_OK;
}

/* Deterministic order of text keys (RFC 8949 4.2.1): their encodings begin with the length. */
static int text_order(const char *a, const char *b)
{
    size_t na = strlen(a), nb = strlen(b);

    return na != nb ? (na < nb ? -1 : 1) : strcmp(a, b);
}

typedef struct pair {
    const char *name, *value;
} pair;

static int by_name(const void *a, const void *b)
{
    return text_order(((const pair *)a)->name, ((const pair *)b)->name);
}

static cs_err put_map(compiler *c, const yaml_node_t *n, cs_buf *out, const key *k)
{
    pair pairs[CONTEXT_MAX];
    size_t num = 0;

    if (n->type != YAML_MAPPING_NODE) {
        return fail(c, n, CS_E_CONFIG, "%s: a map of texts is wanted", k->yaml);
    }
    for (const yaml_node_pair_t *p = n->data.mapping.pairs.start; p < n->data.mapping.pairs.top; p++) {
        const yaml_node_t *name = yaml_document_get_node(&c->doc, p->key),
                          *value = yaml_document_get_node(&c->doc, p->value);
        if (num == CONTEXT_MAX) {
            return fail(c, n, CS_E_CONFIG, "%s: at most %d entries", k->yaml, CONTEXT_MAX);
        }
        pairs[num++] = (pair){scalar(name), scalar(value)};
        if (pairs[num - 1].name == NULL || pairs[num - 1].value == NULL || pairs[num - 1].name[0] == '\0' ||
            strlen(pairs[num - 1].name) > 256 || strlen(pairs[num - 1].value) > TEXT_MAX ||
            !cs_utf8_valid(cs_slice_str(pairs[num - 1].name)) || !cs_utf8_valid(cs_slice_str(pairs[num - 1].value))) {
            return fail(c, name, CS_E_CONFIG, "%s: a name of 1 to 256 bytes and a text value are wanted", k->yaml);
        }
    }
    qsort(pairs, num, sizeof *pairs, by_name);
    CS_TRY(cs_cbor_put_map(out, num));
    for (size_t i = 0; i < num; i++) {
        if (i > 0 && strcmp(pairs[i].name, pairs[i - 1].name) == 0) {
            return fail(c, n, CS_E_CONFIG, "%s: an entry is there twice", k->yaml);
        }
        CS_TRY(cs_cbor_put_text(out, pairs[i].name));
        CS_TRY(cs_cbor_put_text(out, pairs[i].value));
    }
    return CS_OK;
}

static cs_err put_ca(compiler *c, const yaml_node_t *n, cs_buf *out, const key *k, const char *path)
{
    cs_buf pem = cs_buf_heap(CS_CONFIG_CA_MAX);
    cs_err err = c->files->read_ca(c->files->cookie, &pem, path);

    if (err != CS_OK) {
        err = fail(c, n, err, "%s: %s cannot be read", k->yaml,
                   path != NULL ? path : "the default (Amazon's roots, package ca-certificates)");
    } else if (memmem(pem.p, pem.len, "-----BEGIN CERTIFICATE-----", 27) == NULL) {
        err = fail(c, n, CS_E_CONFIG, "%s: there is no PEM certificate in it", k->yaml);
    } else {
        err = cs_cbor_put_bytes(out, cs_buf_slice(&pem));
    }
    cs_buf_free(&pem);
    return err;
}

static cs_err put_value(compiler *c, const yaml_node_t *n, size_t i)
{
    const key *k = &keys[i];
    cs_buf *out = &c->value[i];

    switch (k->kind) {
    case TEXTS:
    case HEXES:
        return put_list(c, n, out, k);
    case MAP:
        return put_map(c, n, out, k);
    case CA:
        return scalar(n) == NULL ? fail(c, n, CS_E_CONFIG, "%s: a path is wanted", k->yaml)
                                 : put_ca(c, n, out, k, scalar(n));
    default:
        CS_TRY(put_scalar(c, n, out, k, scalar(n)));
        if (i == KEY_REGION) {
            (void)snprintf(c->region, sizeof c->region, "%s", scalar(n));
        }
        return CS_OK;
    }
}

static cs_err put_default(compiler *c, size_t i)
{
    const key *k = &keys[i];
    cs_buf *out = &c->value[i];
    char host[128];

    if (k->def == NULL) {
        return fail(c, NULL, CS_E_CONFIG, "%s is required", k->yaml);
    }
    switch (k->kind) {
    case TEXTS:
        CS_TRY(cs_cbor_put_array(out, 2));
        CS_TRY(cs_cbor_put_text(out, "kvm-clock"));
        return cs_cbor_put_text(out, "tsc");
    case HEXES:
        return cs_cbor_put_array(out, 0);
    case MAP:
        return cs_cbor_put_map(out, 0);
    case CA:
        return put_ca(c, NULL, out, k, NULL);
    case HOST:
        (void)snprintf(host, sizeof host, "kms.%s.amazonaws.com", c->region);
        return put_host(c, NULL, out, k, host);
    default:
        return put_scalar(c, NULL, out, k, k->def);
    }
}

/* ---------------------------------------------------------------- the tree */

static cs_err take_key(compiler *c, const yaml_node_t *name_node, const yaml_node_t *value, const char *group)
{
    const char *last = scalar(name_node);
    char name[128];

    (void)snprintf(name, sizeof name, "%s.%s", group, last != NULL ? last : "?");
    for (size_t i = 0; i < NUM_KEYS; i++) {
        if (strcmp(keys[i].yaml, name) == 0) {
            return c->value[i].len > 0 ? fail(c, name_node, CS_E_CONFIG, "%s is there twice", name)
                                       : put_value(c, value, i);
        }
    }
    return fail(c, name_node, CS_E_CONFIG_KEY, "unknown key %s; the nearest known one is %s", name, nearest(name));
}

static cs_err take_group(compiler *c, const yaml_node_t *name_node, const yaml_node_t *group)
{
    const char *name = scalar(name_node);

    if (name == NULL || !is_group(name)) {
        return fail(c, name_node, CS_E_CONFIG_KEY, "unknown key %.64s; the nearest known one is %s",
                    name != NULL ? name : "?", nearest(name != NULL ? name : "?"));
    }
    if (group->type != YAML_MAPPING_NODE) {
        return fail(c, name_node, CS_E_CONFIG, "%s: keys are wanted below it", name);
    }
    for (const yaml_node_pair_t *p = group->data.mapping.pairs.start; p < group->data.mapping.pairs.top; p++) {
        CS_TRY(take_key(c, yaml_document_get_node(&c->doc, p->key), yaml_document_get_node(&c->doc, p->value), name));
    }
    return CS_OK;
}

/* A group may be written once: what a second one adds would be easy to overlook. */
static cs_err new_group(compiler *c, const yaml_node_t *root, const yaml_node_pair_t *last)
{
    const yaml_node_t *node = yaml_document_get_node(&c->doc, last->key);
    const char *name = scalar(node);

    for (const yaml_node_pair_t *p = root->data.mapping.pairs.start; p < last; p++) {
        const char *before = scalar(yaml_document_get_node(&c->doc, p->key));
        if (name != NULL && before != NULL && strcmp(name, before) == 0) {
            return fail(c, node, CS_E_CONFIG, "%s is there twice", name);
        }
    }
    return CS_OK;
}

static cs_err take_tree(compiler *c)
{
    const yaml_node_t *root = yaml_document_get_root_node(&c->doc);

    if (root == NULL || root->type != YAML_MAPPING_NODE) {
        return fail(c, root, CS_E_CONFIG, "the file is not a map of keys");
    }
    for (const yaml_node_pair_t *p = root->data.mapping.pairs.start; p < root->data.mapping.pairs.top; p++) {
        CS_TRY(new_group(c, root, p));
        CS_TRY(take_group(c, yaml_document_get_node(&c->doc, p->key), yaml_document_get_node(&c->doc, p->value)));
    }
    for (size_t i = 0; i < NUM_KEYS; i++) {
        if (c->value[i].len == 0) {
            CS_TRY(put_default(c, i));
        }
    }
    return CS_OK;
}

/* ---------------------------------------------------------------- output */

static int by_cbor_name(const void *a, const void *b)
{
    return text_order(cbor_name(&keys[*(const size_t *)a]), cbor_name(&keys[*(const size_t *)b]));
}

static cs_err put_section(const compiler *c, cs_buf *out, const char *name, unsigned section)
{
    size_t order[NUM_KEYS], num = 0, start = out->len;

    for (size_t i = 0; i < NUM_KEYS; i++) {
        if ((keys[i].sections & section) != 0) {
            order[num++] = i;
        }
    }
    qsort(order, num, sizeof *order, by_cbor_name);
    CS_TRY(cs_cbor_put_text(out, name));
    CS_TRY(cs_cbor_put_map(out, num));
    for (size_t i = 0; i < num; i++) {
        CS_TRY(cs_cbor_put_text(out, cbor_name(&keys[order[i]])));
        CS_TRY(cs_put_slice(out, cs_buf_slice(&c->value[order[i]])));
    }
    if (section != KMS && out->len - start > CS_CONFIG_CORE_MAX) {
        return fail(c, NULL, CS_E_CONFIG, "section %s is too large", name);
    }
    return CS_OK;
}

static cs_err put_all(const compiler *c, cs_buf *out)
{
    CS_TRY(cs_cbor_put_map(out, 4));
    CS_TRY(put_section(c, out, "kms", KMS));
    CS_TRY(put_section(c, out, "core", CORE));
    CS_TRY(put_section(c, out, "init", INIT));
    return put_section(c, out, "service", SERVICE);
}

/* libyaml sets no error on some of its failed allocations; a fault of the text always has a description */
static bool out_of_memory(const yaml_parser_t *parser)
{
    return parser->error == YAML_MEMORY_ERROR || parser->problem == NULL;
}

/* One document, nothing behind it. c->doc is the caller's to delete on CS_OK. */
static cs_err load(compiler *c, yaml_parser_t *parser)
{
    yaml_document_t more;
    bool failed;

    if (yaml_parser_load(parser, &c->doc) == 0) {
        if (out_of_memory(parser)) {
            return CS_E_NO_MEMORY;
        }
        c->fault->line = (unsigned)parser->problem_mark.line + 1;
        (void)snprintf(c->fault->text, sizeof c->fault->text, "not YAML: %s",
                       parser->problem != NULL ? parser->problem : "?");
        return CS_E_CONFIG;
    }
    failed = yaml_parser_load(parser, &more) == 0;
    if (!failed) {
        bool empty = yaml_document_get_root_node(&more) == NULL;
        yaml_document_delete(&more);
        if (empty) {
            return CS_OK;
        }
    }
    yaml_document_delete(&c->doc);
    if (failed && out_of_memory(parser)) {
        return CS_E_NO_MEMORY;
    }
    return fail(c, NULL, CS_E_CONFIG, "one YAML document is wanted");
}

cs_err cs_config_compile(cs_buf *out, cs_config_fault *fault, cs_slice yaml, const cs_config_files *files)
{
    compiler c = {.fault = fault, .files = files};
    yaml_parser_t parser;
    size_t before = out->len;

    *fault = (cs_config_fault){0};
    if (yaml.len > CS_CONFIG_YAML_MAX) {
        return fail(&c, NULL, CS_E_TOO_LARGE, "the file is longer than %u bytes", CS_CONFIG_YAML_MAX);
    }
    if (yaml_parser_initialize(&parser) == 0) {
        return CS_E_NO_MEMORY;
    }
    yaml_parser_set_input_string(&parser, yaml.p, yaml.len);
    cs_err err = load(&c, &parser);
    if (err == CS_OK) {
        for (size_t i = 0; i < NUM_KEYS; i++) {
            c.value[i] = cs_buf_heap(CS_CONFIG_CA_MAX + 16);
        }
        err = take_tree(&c);
        if (err == CS_OK) {
            err = put_all(&c, out);
        }
        for (size_t i = 0; i < NUM_KEYS; i++) {
            cs_buf_free(&c.value[i]);
        }
        yaml_document_delete(&c.doc);
    }
    yaml_parser_delete(&parser);
    if (err != CS_OK) {
        out->len = before;
    }
    return err;
}
