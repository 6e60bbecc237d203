#include "party/eth_typed.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

#define NAME_MAX_LEN 128u

typedef struct typed {
    const json_t *types;
    cs_eth_typed_fault *fault;
    unsigned depth;
} typed;

static cs_err bad(const typed *t, const char *what, const char *why)
{
    (void)snprintf(t->fault->text, sizeof t->fault->text, "%.60s: %s", what, why);
    return CS_E_FORMAT;
}

static cs_err encode_value(typed *t, uint8_t out32[32], const char *type, const json_t *v);

/* ---- numbers and bytes */

/* the number behind a prefix: 1..max, no zero in front; 0: none */
static unsigned size_behind(const char *type, const char *prefix, unsigned max)
{
    size_t n = strlen(prefix);
    unsigned v = 0;
    if (strncmp(type, prefix, n) != 0 || type[n] == '0' || type[n] == '\0') {
        return 0;
    }
    for (const char *p = type + n; *p != '\0'; p++) {
        if (*p < '0' || *p > '9') {
            return 0;
        }
        v = 10 * v + (unsigned)(*p - '0');
        if (v > max) {
            return 0;
        }
    }
    return v;
}

static void negate(cs_u256 *v)
{
    unsigned carry = 1;
    for (size_t i = 32; i-- > 0;) {
        carry += (uint8_t)~v->b[i];
        v->b[i] = (uint8_t)carry;
        carry >>= 8;
    }
}

/* bits from `bits` upwards are all equal to fill (0 or 0xff), and for signed ones so is the bit below */
static bool fits(const cs_u256 *v, unsigned bits, bool is_signed, bool negative)
{
    uint8_t fill = is_signed && negative ? 0xff : 0;
    for (size_t i = 0; i < 32 - bits / 8; i++) {
        if (v->b[i] != fill) {
            return false;
        }
    }
    return !is_signed || (v->b[32 - bits / 8] >> 7) == (negative ? 1 : 0);
}

static cs_err encode_number(const typed *t, uint8_t out32[32], const char *type, const json_t *v)
{
    bool is_signed = type[0] == 'i', negative = false;
    unsigned bits = size_behind(type, is_signed ? "int" : "uint", 256);
    cs_u256 n = {{0}};
    if (bits == 0) {
        bits = 256; /* "int", "uint" */
    }
    if (json_is_integer(v)) {
        json_int_t i = json_integer_value(v);
        negative = i < 0;
        cs_u256_from_u64(&n, negative ? (uint64_t)0 - (uint64_t)i : (uint64_t)i);
    } else if (json_is_string(v)) {
        cs_slice s = cs_slice_of(json_string_value(v), json_string_length(v));
        negative = s.len > 0 && s.p[0] == '-';
        if (cs_u256_parse(&n, negative ? cs_slice_of(s.p + 1, s.len - 1) : s) != CS_OK) {
            return bad(t, type, "neither decimal nor 0x hex of at most 256 bits");
        }
    } else {
        return bad(t, type, "not a number");
    }
    negative = negative && !cs_u256_is_zero(&n);
    if (negative && (!is_signed || ((n.b[0] & 0x80) != 0 && bits < 256))) {
        return bad(t, type, "below the range");
    }
    if (negative) {
        negate(&n);
    }
    if (!fits(&n, bits, is_signed, negative)) {
        return bad(t, type, "out of range");
    }
    memcpy(out32, n.b, 32);
    return CS_OK;
}

/* "0x" and whole bytes, in a heap buffer */
static cs_err hex_bytes(const typed *t, cs_buf *out, const char *type, const json_t *v)
{
    cs_slice s = json_is_string(v) ? cs_slice_of(json_string_value(v), json_string_length(v)) : CS_SLICE_NULL;
    uint8_t *at = NULL;
    *out = cs_buf_heap(CS_ETH_TYPED_MAX);
    if (s.len < 2 || s.len % 2 != 0 || s.p[0] != '0' || s.p[1] != 'x') {
        return bad(t, type, "not 0x and whole bytes of hex");
    }
    if (s.len == 2) {
        return CS_OK;
    }
    cs_err err = cs_put_space(out, &at, s.len / 2 - 1);
    if (err == CS_OK && cs_hex_decode(at, s.len / 2 - 1, cs_slice_of(s.p + 2, s.len - 2)) != CS_OK) {
        err = bad(t, type, "not hex");
    }
    return err;
}

static cs_err encode_bytes(const typed *t, uint8_t out32[32], const char *type, const json_t *v)
{
    cs_buf b = {0};
    unsigned size = size_behind(type, "bytes", 32);
    cs_err err = hex_bytes(t, &b, type, v);
    if (err == CS_OK && size != 0 && b.len != size) {
        err = bad(t, type, "another length");
    }
    if (err == CS_OK && size == 0) {
        cs_keccak256(out32, (cs_slice[]){cs_buf_slice(&b)}, 1);
    } else if (err == CS_OK) {
        memset(out32, 0, 32);
        memcpy(out32, b.p, size);
    }
    cs_buf_free(&b);
    return err;
}

static bool is_number(const char *type)
{
    unsigned u = size_behind(type, "uint", 256), i = size_behind(type, "int", 256);
    return strcmp(type, "uint") == 0 || strcmp(type, "int") == 0 || (u != 0 && u % 8 == 0) || (i != 0 && i % 8 == 0);
}

static bool is_atomic(const char *type)
{
    return is_number(type) || size_behind(type, "bytes", 32) != 0 || strcmp(type, "bytes") == 0 ||
           strcmp(type, "string") == 0 || strcmp(type, "bool") == 0 || strcmp(type, "address") == 0;
}

static cs_err encode_atomic(const typed *t, uint8_t out32[32], const char *type, const json_t *v)
{
    cs_eth_addr a;
    if (is_number(type)) {
        return encode_number(t, out32, type, v);
    }
    if (strcmp(type, "string") == 0) {
        if (!json_is_string(v)) {
            return bad(t, type, "not a string");
        }
        cs_keccak256(out32, (cs_slice[]){cs_slice_of(json_string_value(v), json_string_length(v))}, 1);
        return CS_OK;
    }
    if (strcmp(type, "bool") == 0) {
        if (!json_is_boolean(v)) {
            return bad(t, type, "neither true nor false");
        }
        memset(out32, 0, 32);
        out32[31] = json_is_true(v);
        return CS_OK;
    }
    if (strcmp(type, "address") == 0) {
        if (!json_is_string(v) ||
            cs_eth_address_parse(&a, cs_slice_of(json_string_value(v), json_string_length(v))) != CS_OK) {
            return bad(t, type, "not an address, or its checksum is wrong");
        }
        memset(out32, 0, 12);
        memcpy(out32 + 12, a.b, 20);
        return CS_OK;
    }
    return encode_bytes(t, out32, type, v);
}

/* ---- structures */

static bool is_name(const char *s)
{
    size_t n = strlen(s);
    for (size_t i = 0; i < n; i++) {
        if (!isalnum((unsigned char)s[i]) && s[i] != '_' && s[i] != '$') {
            return false;
        }
    }
    return n > 0 && n < NAME_MAX_LEN && !isdigit((unsigned char)s[0]);
}

/* the fields of a structure, checked; NULL after bad() */
static const json_t *fields_of(const typed *t, const char *name)
{
    const json_t *list = json_object_get(t->types, name);
    if (!is_name(name) || is_atomic(name) || !json_is_array(list)) {
        (void)bad(t, name, "no such type");
        return NULL;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *f = json_array_get(list, i);
        const char *field = json_string_value(json_object_get(f, "name")),
                   *type = json_string_value(json_object_get(f, "type"));
        if (json_object_size(f) != 2 || field == NULL || type == NULL || !is_name(field) ||
            strlen(type) >= NAME_MAX_LEN) {
            (void)bad(t, name, "fields are {name, type}");
            return NULL;
        }
        for (size_t k = 0; k < i; k++) {
            if (strcmp(json_string_value(json_object_get(json_array_get(list, k), "name")), field) == 0) {
                (void)bad(t, field, "a field comes twice");
                return NULL;
            }
        }
    }
    return list;
}

typedef struct refs {
    const char *name[CS_ETH_TYPED_TYPES];
    size_t num;
} refs;

/* name and all structures below it, each once; the first is name itself */
static cs_err collect(const typed *t, refs *r, const char *name)
{
    r->name[0] = name;
    r->num = 1;
    for (size_t at = 0; at < r->num; at++) {
        const json_t *list = fields_of(t, r->name[at]);
        if (list == NULL) {
            return CS_E_FORMAT;
        }
        for (size_t i = 0; i < json_array_size(list); i++) {
            const char *type = json_string_value(json_object_get(json_array_get(list, i), "type")), *found = NULL;
            char base[NAME_MAX_LEN];
            (void)snprintf(base, sizeof base, "%.*s", (int)strcspn(type, "["), type);
            for (size_t k = 0; k < r->num; k++) {
                found = strcmp(r->name[k], base) == 0 ? base : found;
            }
            if (found != NULL || is_atomic(base)) {
                continue;
            }
            void *iter = json_object_iter_at((json_t *)(uintptr_t)t->types, base);
            if (iter == NULL) {
                return bad(t, base, "no such type");
            }
            if (r->num == CS_ETH_TYPED_TYPES) {
                return CS_E_TOO_LARGE;
            }
            r->name[r->num++] = json_object_iter_key(iter);
        }
    }
    return CS_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* encodeType: the structure, then those that it refers to in order of their names */
static cs_err type_hash(const typed *t, uint8_t out32[32], const char *name)
{
    refs r;
    cs_buf text = cs_buf_heap(CS_ETH_TYPED_MAX);
    cs_err err = collect(t, &r, name);
    if (err == CS_OK) {
        qsort(r.name + 1, r.num - 1, sizeof *r.name, by_name);
    }
    for (size_t k = 0; err == CS_OK && k < r.num; k++) {
        const json_t *list = json_object_get(t->types, r.name[k]);
        err = cs_put_fmt(&text, "%s(", r.name[k]);
        for (size_t i = 0; err == CS_OK && i < json_array_size(list); i++) {
            const json_t *f = json_array_get(list, i);
            err = cs_put_fmt(&text, "%s%s %s", i > 0 ? "," : "", json_string_value(json_object_get(f, "type")),
                             json_string_value(json_object_get(f, "name")));
        }
        err = err == CS_OK ? cs_put_u8(&text, ')') : err;
    }
    if (err == CS_OK) {
        cs_keccak256(out32, (cs_slice[]){cs_buf_slice(&text)}, 1);
    }
    cs_buf_free(&text);
    return err == CS_E_RANGE ? CS_E_TOO_LARGE : err;
}

/* encodeData, appended to out */
static cs_err encode_struct(typed *t, cs_buf *out, const char *name, const json_t *v)
{
    uint8_t word[32];
    CS_TRY(type_hash(t, word, name));
    CS_TRY(cs_put(out, word, 32));
    const json_t *list = json_object_get(t->types, name);
    if (!json_is_object(v) || json_object_size(v) != json_array_size(list)) {
        return bad(t, name, "not an object with exactly the fields of its type");
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *f = json_array_get(list, i);
        const char *field = json_string_value(json_object_get(f, "name"));
        const json_t *value = json_object_get(v, field);
        if (value == NULL) {
            return bad(t, field, "missing");
        }
        CS_TRY(encode_value(t, word, json_string_value(json_object_get(f, "type")), value));
        CS_TRY(cs_put(out, word, 32));
    }
    return CS_OK;
}

/* type is BASE[N] or BASE[]; base gets what is in front of the last bracket */
static cs_err encode_array(typed *t, cs_buf *out, const char *type, const json_t *v)
{
    char base[NAME_MAX_LEN], count[16];
    const char *open = strrchr(type, '[');
    size_t n = open != NULL ? strlen(open) : 0;
    uint8_t word[32];
    if (n < 2 || n - 2 >= sizeof count || open == type) {
        return bad(t, type, "no such type");
    }
    (void)snprintf(base, sizeof base, "%.*s", (int)(open - type), type);
    (void)snprintf(count, sizeof count, "%.*s", (int)(n - 2), open + 1);
    if (count[0] != '\0' && size_behind(count, "", 100000) == 0) {
        return bad(t, type, "no such type");
    }
    if (!json_is_array(v) || (count[0] != '\0' && json_array_size(v) != size_behind(count, "", 100000))) {
        return bad(t, type, "not an array of that length");
    }
    for (size_t i = 0; i < json_array_size(v); i++) {
        CS_TRY(encode_value(t, word, base, json_array_get(v, i)));
        CS_TRY(cs_put(out, word, 32));
    }
    return CS_OK;
}

static cs_err encode_value(typed *t, uint8_t out32[32], const char *type, const json_t *v)
{
    size_t n = strlen(type);
    if (is_atomic(type)) {
        return encode_atomic(t, out32, type, v);
    }
    if (t->depth == CS_ETH_TYPED_DEPTH) {
        return CS_E_TOO_LARGE;
    }
    cs_buf data = cs_buf_heap(32 * (size_t)CS_ETH_TYPED_MAX);
    t->depth++;
    cs_err err = n > 0 && type[n - 1] == ']' ? encode_array(t, &data, type, v) : encode_struct(t, &data, type, v);
    t->depth--;
    if (err == CS_OK) {
        cs_keccak256(out32, (cs_slice[]){cs_buf_slice(&data)}, 1);
    }
    cs_buf_free(&data);
    return err == CS_E_RANGE ? CS_E_TOO_LARGE : err;
}

/* ---- domain */

/* types.EIP712Domain, or what follows from the fields that are there; a new reference */
static json_t *domain_types(const typed *t, const json_t *domain)
{
    static const struct {
        const char *name, *type;
    } known[] = {{"name", "string"},
                 {"version", "string"},
                 {"chainId", "uint256"},
                 {"verifyingContract", "address"},
                 {"salt", "bytes32"}};
    const json_t *given = json_object_get(t->types, "EIP712Domain");
    json_t *list = given != NULL ? json_deep_copy(given) : json_array();
    for (size_t i = 0; given == NULL && i < sizeof known / sizeof *known; i++) {
        if (json_object_get(domain, known[i].name) != NULL) {
            (void)json_array_append_new(list, json_pack("{s:s, s:s}", "name", known[i].name, "type", known[i].type));
        }
    }
    return json_pack("{s:o}", "EIP712Domain", list);
}

cs_err cs_eth_typed_digest(uint8_t out32[32], cs_buf *encoded, cs_eth_typed_fault *fault, const json_t *object)
{
    typed t = {.types = json_object_get(object, "types"), .fault = fault}, d = {.fault = fault};
    const char *primary = json_string_value(json_object_get(object, "primaryType"));
    const json_t *domain = json_object_get(object, "domain"), *message = json_object_get(object, "message");
    uint8_t separator[32], hash[32];
    cs_buf data = cs_buf_heap(32 * (size_t)CS_ETH_TYPED_MAX);
    fault->text[0] = '\0';
    if (!json_is_object(t.types) || primary == NULL || !json_is_object(domain) || !json_is_object(message)) {
        return bad(&t, "file", "not {types, primaryType, domain, message}");
    }
    json_t *own = domain_types(&t, domain);
    d.types = own;
    cs_err err = own != NULL ? encode_value(&d, separator, "EIP712Domain", domain) : CS_E_NO_MEMORY;
    if (err == CS_OK) {
        err = encode_struct(&t, &data, primary, message);
    }
    if (err == CS_OK && encoded != NULL) {
        err = cs_put_slice(encoded, cs_buf_slice(&data));
    }
    if (err == CS_OK) {
        cs_keccak256(hash, (cs_slice[]){cs_buf_slice(&data)}, 1);
        cs_keccak256(out32, (cs_slice[]){cs_slice_str("\x19\x01"), {separator, 32}, {hash, 32}}, 3);
    }
    json_decref(own);
    cs_buf_free(&data);
    return err == CS_E_RANGE ? CS_E_TOO_LARGE : err;
}

cs_err cs_eth_typed_parse(uint8_t out32[32], cs_eth_typed_fault *fault, cs_slice text)
{
    json_error_t why;
    typed t = {.fault = fault};
    fault->text[0] = '\0';
    if (text.len > CS_ETH_TYPED_MAX) {
        return CS_E_TOO_LARGE;
    }
    json_t *object = json_loadb((const char *)text.p, text.len, JSON_REJECT_DUPLICATES, &why);
    if (object == NULL) {
        return bad(&t, "file", "not JSON, or a field comes twice");
    }
    cs_err err = cs_eth_typed_digest(out32, NULL, fault, object);
    json_decref(object);
    return err;
}
