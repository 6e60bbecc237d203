/* Values of the measured configuration: from texts of the YAML file to CBOR, with every check that a kind has. */
#include "tools/config_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "codec/cbor.h"
#include "rpc/tee_rpc.h"

#define CONTEXT_MAX 16
#define LIST_MAX 16
#define TEXT_MAX 2048
#define PATH_MAX_BYTES 1023
#define PREFIX_MAX 240 /* of gateway.url: what net/room.h takes, with room for the names of rooms */

/* One text of the key k; line 0: a default. */
typedef struct given {
    const cs_ckey *k;
    const char *text;
    unsigned line;
} given;

#define REFUSE(c, g, ...) cs_yaml_fail((c)->fault, (g).line, CS_E_CONFIG, __VA_ARGS__)

static cs_err put_text(const cs_cvalues *c, cs_buf *out, given g, size_t min, size_t max)
{
    size_t len = strlen(g.text);

    if (len < min || len > max || !cs_utf8_valid(cs_slice_str(g.text))) {
        return REFUSE(c, g, "%s: text of %zu to %zu bytes is wanted", g.k->yaml, min, max);
    }
    return cs_cbor_put_text(out, g.text);
}

static cs_err put_host(const cs_cvalues *c, cs_buf *out, given g)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-";

    if (strspn(g.text, allowed) != strlen(g.text)) {
        return REFUSE(c, g, "%s: a host name without port or scheme is wanted", g.k->yaml);
    }
    return put_text(c, out, g, 1, g.k->max);
}

/* "http://HOST[:PORT][/prefix]" as it is stored: with its port, without a slash at the end. HOST: a name, IPv4 or [IPv6]. */
static cs_err canonical_url(cs_buf *out, const char *text)
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
    size_t host_len = (size_t)(end - host);
    if (host_len == 0 || host_len > 253) {
        return CS_E_FORMAT;
    }
    if (*end == ':') {
        size_t digits = strcspn(++end, "/");
        CS_TRY(cs_parse_u64(cs_slice_of(end, digits), 65535, &port));
        end += digits;
    }
    size_t path = strlen(end);
    if (port == 0 || path > PREFIX_MAX || (path > 0 && *end != '/') || strspn(end, path_set) != path ||
        strstr(end, "//") != NULL || strstr(end, "/.") != NULL) {
        return CS_E_FORMAT;
    }
    path -= path > 0 && end[path - 1] == '/' ? 1 : 0;
    CS_TRY(cs_put_str(out, "http://"));
    CS_TRY(cs_put(out, host, host_len));
    CS_TRY(cs_put_fmt(out, ":%u", (unsigned)port));
    return cs_put(out, end, path);
}

static cs_err put_url(const cs_cvalues *c, cs_buf *out, given g)
{
    uint8_t mem[CS_CONFIG_URL_MAX + 1]; /* cs_put_fmt may want room for a NUL */
    cs_buf url = cs_buf_wrap(mem, sizeof mem);

    if (g.text[0] != '\0' && (canonical_url(&url, g.text) != CS_OK || url.len > CS_CONFIG_URL_MAX)) {
        return REFUSE(c, g,
                      "%s: http://HOST:PORT[/prefix] of at most %d bytes is wanted (rooms are plain HTTP through the "
                      "egress bridge)",
                      g.k->yaml, CS_CONFIG_URL_MAX);
    }
    return cs_cbor_put_text_slice(out, cs_buf_slice(&url));
}

/* The seed system's names of levels are taken too. */
static cs_err put_level(const cs_cvalues *c, cs_buf *out, given g)
{
    const char *name = strcmp(g.text, "warning") == 0 ? "warn" : strcmp(g.text, "trace") == 0 ? "debug" : g.text;
    cs_log_level level;

    if (cs_log_level_of(cs_slice_str(name), &level) != CS_OK) {
        return REFUSE(c, g, "%s: debug, info, warn or error is wanted (trace is debug, warning is warn)", g.k->yaml);
    }
    return cs_cbor_put_text(out, name);
}

static cs_err put_filter(const cs_cvalues *c, cs_buf *out, given g)
{
    if (strcmp(g.text, "kill") != 0 && strcmp(g.text, "trap") != 0) {
        return REFUSE(c, g, "%s: kill or trap is wanted", g.k->yaml);
    }
    return cs_cbor_put_text(out, g.text);
}

static cs_err put_path(const cs_cvalues *c, cs_buf *out, given g)
{
    if (g.text[0] != '\0' && (g.text[0] != '/' || strlen(g.text) > PATH_MAX_BYTES)) {
        return REFUSE(c, g, "%s: an absolute path of at most %d bytes is wanted", g.k->yaml, PATH_MAX_BYTES);
    }
    return put_text(c, out, g, 0, PATH_MAX_BYTES);
}

/* Where the enclave's programs listen is the launch table's: what a file may say is that it means this machine. */
static cs_err put_listen(const cs_cvalues *c, cs_buf *out, given g)
{
    static const char *const here[] = {"127.0.0.1", "localhost", "::1", "[::1]", "0.0.0.0", "::", "[::]"};

    for (size_t i = 0; i < sizeof here / sizeof *here; i++) {
        if (strcmp(g.text, here[i]) == 0) {
            return cs_cbor_put_text(out, g.text);
        }
    }
    return REFUSE(c, g,
                  "%s: 127.0.0.1, ::1, localhost or 0.0.0.0 is wanted: an enclave has no other address (sign-host run "
                  "--listen says where callers connect)",
                  g.k->yaml);
}

static cs_err put_fixed(const cs_cvalues *c, cs_buf *out, given g)
{
    if (strcmp(g.text, g.k->def) != 0) {
        return REFUSE(c, g, "%s: only %s is possible: %s", g.k->yaml, g.k->def, g.k->why);
    }
    return cs_cbor_put_text(out, g.text);
}

static cs_err put_uint(const cs_cvalues *c, cs_buf *out, given g)
{
    uint64_t v = 0;

    if (cs_parse_u64(cs_slice_str(g.text), g.k->max, &v) != CS_OK || v < g.k->min) {
        return REFUSE(c, g, "%s: a number of %llu to %llu is wanted", g.k->yaml, (unsigned long long)g.k->min,
                      (unsigned long long)g.k->max);
    }
    return cs_cbor_put_uint(out, v);
}

static cs_err put_bool(const cs_cvalues *c, cs_buf *out, given g)
{
    if (strcmp(g.text, "true") != 0 && strcmp(g.text, "false") != 0) {
        return REFUSE(c, g, "%s: true or false is wanted", g.k->yaml);
    }
    return cs_cbor_put_bool(out, g.text[0] == 't');
}

static cs_err put_ca(const cs_cvalues *c, cs_buf *out, given g)
{
    cs_buf pem = cs_buf_heap(CS_CONFIG_CA_MAX);
    cs_err err = c->files->read_ca(c->files->cookie, &pem, g.text);

    if (err != CS_OK) {
        err = cs_yaml_fail(c->fault, g.line, err, "%s: %s cannot be read", g.k->yaml,
                           g.text != NULL ? g.text : "the default (Amazon's roots, package ca-certificates)");
    } else if (memmem(pem.p, pem.len, "-----BEGIN CERTIFICATE-----", 27) == NULL) {
        err = REFUSE(c, g, "%s: there is no PEM certificate in it", g.k->yaml);
    } else {
        err = cs_cbor_put_bytes(out, cs_buf_slice(&pem));
    }
    cs_buf_free(&pem);
    return err;
}

static cs_err put_scalar(const cs_cvalues *c, cs_buf *out, given g)
{
    switch (g.k->kind) {
    case CS_CK_UINT:
        return put_uint(c, out, g);
    case CS_CK_BOOL:
        return put_bool(c, out, g);
    case CS_CK_HOST:
        return put_host(c, out, g);
    case CS_CK_URL:
        return put_url(c, out, g);
    case CS_CK_LEVEL:
        return put_level(c, out, g);
    case CS_CK_FILTER:
        return put_filter(c, out, g);
    case CS_CK_PATH:
        return put_path(c, out, g);
    case CS_CK_LISTEN:
        return put_listen(c, out, g);
    case CS_CK_FIXED:
        return put_fixed(c, out, g);
    case CS_CK_CA:
        return put_ca(c, out, g);
    default:
        return put_text(c, out, g, g.k->min, g.k->max);
    }
}

static cs_err put_hex(const cs_cvalues *c, cs_buf *out, given g)
{
    if (strlen(g.text) != 64 || strspn(g.text, "0123456789abcdef") != 64) {
        return REFUSE(c, g, "%s: each entry is 64 lower-case hex digits (an Ed25519 public key)", g.k->yaml);
    }
    return cs_cbor_put_text(out, g.text);
}

/* A list's default: its words. */
static cs_err put_words(cs_buf *out, const char *text)
{
    size_t num = 0;

    for (const char *p = text; *p != '\0'; p += strspn(p, " ")) {
        num++;
        p += strcspn(p, " ");
    }
    CS_TRY(cs_cbor_put_array(out, num));
    for (const char *p = text; *p != '\0'; p += strspn(p, " ")) {
        const size_t len = strcspn(p, " ");
        CS_TRY(cs_cbor_put_text_slice(out, cs_slice_of(p, len)));
        p += len;
    }
    return CS_OK;
}

static cs_err put_list(const cs_cvalues *c, cs_buf *out, const cs_ckey *k, const cs_yaml_entry *e)
{
    if (e->kind != CS_YAML_LIST) {
        return cs_yaml_fail(c->fault, e->line, CS_E_CONFIG, "%s: a list is wanted", k->yaml);
    }
    if (e->num_items > LIST_MAX || e->num_items < k->min) {
        return cs_yaml_fail(c->fault, e->line, CS_E_CONFIG, "%s: %llu to %d entries are wanted", k->yaml,
                            (unsigned long long)k->min, LIST_MAX);
    }
    CS_TRY(cs_cbor_put_array(out, e->num_items));
    for (size_t i = 0; i < e->num_items; i++) {
        given g = {k, e->items[i].text, e->items[i].line};
        CS_TRY(k->kind == CS_CK_HEXES ? put_hex(c, out, g) : put_text(c, out, g, 1, k->max));
    }
    return CS_OK;
}

int cs_ctext_order(const char *a, const char *b)
{
    size_t na = strlen(a), nb = strlen(b);

    return na != nb ? (na < nb ? -1 : 1) : strcmp(a, b);
}

static int by_name(const void *a, const void *b)
{
    return cs_ctext_order((*(const cs_yaml_item *const *)a)->name, (*(const cs_yaml_item *const *)b)->name);
}

/* The entries of a map, at most CONTEXT_MAX, by name. */
static cs_err sorted(const cs_cvalues *c, const cs_yaml_item *pairs[CONTEXT_MAX], size_t *num, const cs_ckey *k,
                     const cs_yaml_entry *e)
{
    if (e->kind != CS_YAML_MAP) {
        return cs_yaml_fail(c->fault, e->line, CS_E_CONFIG, "%s: a map is wanted", k->yaml);
    }
    if (e->num_items > CONTEXT_MAX) {
        return cs_yaml_fail(c->fault, e->line, CS_E_CONFIG, "%s: at most %d entries", k->yaml, CONTEXT_MAX);
    }
    *num = e->num_items;
    for (size_t i = 0; i < *num; i++) {
        pairs[i] = &e->items[i];
    }
    qsort(pairs, *num, sizeof *pairs, by_name);
    return CS_OK;
}

/* How many callers must approve an operation of the TEE service. */
static cs_err put_approvals(const cs_cvalues *c, cs_buf *out, const cs_ckey *k, const cs_yaml_entry *e)
{
    const cs_yaml_item *pairs[CONTEXT_MAX] = {NULL};
    size_t num = 0;

    CS_TRY(sorted(c, pairs, &num, k, e));
    CS_TRY(cs_cbor_put_map(out, num));
    for (size_t i = 0; i < num; i++) {
        uint64_t v = 0;
        if (cs_tee_op_named(cs_slice_str(pairs[i]->name)) == NULL) {
            return cs_yaml_fail(c->fault, pairs[i]->line, CS_E_CONFIG, "%s: %.40s is no operation", k->yaml,
                                pairs[i]->name);
        }
        if (cs_parse_u64(cs_slice_str(pairs[i]->text), k->max, &v) != CS_OK || v < k->min) {
            return cs_yaml_fail(c->fault, pairs[i]->line, CS_E_CONFIG, "%s.%s: a number of %llu to %llu is wanted",
                                k->yaml, pairs[i]->name, (unsigned long long)k->min, (unsigned long long)k->max);
        }
        CS_TRY(cs_cbor_put_text(out, pairs[i]->name));
        CS_TRY(cs_cbor_put_uint(out, v));
    }
    return CS_OK;
}

static cs_err put_map(const cs_cvalues *c, cs_buf *out, const cs_ckey *k, const cs_yaml_entry *e)
{
    const cs_yaml_item *pairs[CONTEXT_MAX] = {NULL};
    size_t num = 0;

    CS_TRY(sorted(c, pairs, &num, k, e));
    for (size_t i = 0; i < num; i++) {
        const cs_yaml_item *p = pairs[i];
        if (p->name[0] == '\0' || strlen(p->name) > 256 || strlen(p->text) > TEXT_MAX ||
            !cs_utf8_valid(cs_slice_str(p->name)) || !cs_utf8_valid(cs_slice_str(p->text))) {
            return cs_yaml_fail(c->fault, p->line, CS_E_CONFIG,
                                "%s: a name of 1 to 256 bytes and a text value are wanted", k->yaml);
        }
    }
    CS_TRY(cs_cbor_put_map(out, num));
    for (size_t i = 0; i < num; i++) {
        CS_TRY(cs_cbor_put_text(out, pairs[i]->name));
        CS_TRY(cs_cbor_put_text(out, pairs[i]->text));
    }
    return CS_OK;
}

cs_err cs_cvalue_put(const cs_cvalues *c, cs_buf *out, const cs_ckey *k, const cs_yaml_entry *e)
{
    if (k->kind == CS_CK_TEXTS || k->kind == CS_CK_HEXES) {
        return put_list(c, out, k, e);
    }
    if (k->kind == CS_CK_MAP) {
        return put_map(c, out, k, e);
    }
    if (k->kind == CS_CK_APPROVALS) {
        return put_approvals(c, out, k, e);
    }
    if (e->kind != CS_YAML_TEXT || (k->kind == CS_CK_CA && e->items[0].null)) {
        return cs_yaml_fail(c->fault, e->line, CS_E_CONFIG, "%s: %s is wanted", k->yaml,
                            k->kind == CS_CK_CA ? "a path" : "one value");
    }
    return put_scalar(c, out, (given){k, e->items[0].text, e->items[0].line});
}

cs_err cs_cvalue_default(const cs_cvalues *c, cs_buf *out, const cs_ckey *k)
{
    char host[128];

    if (k->def == NULL) {
        return cs_yaml_fail(c->fault, 0, CS_E_CONFIG, "%s is required", k->yaml);
    }
    switch (k->kind) {
    case CS_CK_TEXTS:
    case CS_CK_HEXES:
        return put_words(out, k->def);
    case CS_CK_MAP:
    case CS_CK_APPROVALS:
        return cs_cbor_put_map(out, 0);
    case CS_CK_CA:
        return put_ca(c, out, (given){k, NULL, 0});
    case CS_CK_HOST:
        (void)snprintf(host, sizeof host, "kms.%s.amazonaws.com", c->region);
        return put_host(c, out, (given){k, host, 0});
    default:
        return put_scalar(c, out, (given){k, k->def, 0});
    }
}
