/*
 * CBOR examples of the vectors/cose-cbor folder: RFC 8949 appendix A (value as JSON or in diagnostic notation, re-encoding) and
 * appendix F.1 (not well-formed: refused under every setting). One case a row.
 */
#include <math.h>
#include <string.h>

#include "base/text.h"
#include "codec/cbor.h"
#include "suite.h"
#include "suite_cose.h"

#define LAXEST (CS_CBOR_INDEFINITE | CS_CBOR_LAX_INT)

/* Writes the next item again, in deterministic form. Indefinite items become definite through a buffer. */
static cs_err recode(cs_buf *out, cs_cbor *in);

static cs_err recode_container(cs_buf *out, cs_cbor *in, bool is_map)
{
    uint8_t mem[4096];
    cs_buf inner = cs_buf_wrap(mem, sizeof mem);
    cs_cbor_iter it;
    uint64_t count = 0;

    CS_TRY(is_map ? cs_cbor_map(in, &it) : cs_cbor_array(in, &it));
    for (; cs_cbor_more(in, &it); count++) {
        CS_TRY(recode(&inner, in));
        if (is_map) {
            CS_TRY(recode(&inner, in));
        }
    }
    CS_TRY(is_map ? cs_cbor_put_map(out, count) : cs_cbor_put_array(out, count));
    return cs_put_slice(out, cs_buf_slice(&inner));
}

static cs_err recode_number(cs_buf *out, cs_cbor *in)
{
    uint64_t u = 0;
    double d = 0;

    switch (cs_cbor_peek(in)) {
    case CS_CBOR_UINT:
        CS_TRY(cs_cbor_uint(in, &u));
        return cs_cbor_put_uint(out, u);
    case CS_CBOR_NINT:
        CS_TRY(cs_cbor_nint(in, &u));
        return cs_cbor_put_nint(out, u);
    default:
        CS_TRY(cs_cbor_float(in, &d));
        return cs_cbor_put_float(out, d);
    }
}

static cs_err recode(cs_buf *out, cs_cbor *in)
{
    uint8_t mem[4096], simple = 0;
    cs_buf text = cs_buf_wrap(mem, sizeof mem);
    uint64_t tag = 0;

    switch (cs_cbor_peek(in)) {
    case CS_CBOR_BYTES:
        CS_TRY(cs_cbor_bytes_copy(in, &text));
        return cs_cbor_put_bytes(out, cs_buf_slice(&text));
    case CS_CBOR_TEXT:
        CS_TRY(cs_cbor_text_copy(in, &text));
        return cs_cbor_put_text_slice(out, cs_buf_slice(&text));
    case CS_CBOR_ARRAY:
        return recode_container(out, in, false);
    case CS_CBOR_MAP:
        return recode_container(out, in, true);
    case CS_CBOR_TAG:
        CS_TRY(cs_cbor_tag(in, &tag));
        CS_TRY(cs_cbor_put_tag(out, tag));
        return recode(out, in);
    case CS_CBOR_SIMPLE:
        CS_TRY(cs_cbor_simple(in, &simple));
        return cs_cbor_put_simple(out, simple);
    case CS_CBOR_UINT:
    case CS_CBOR_NINT:
    case CS_CBOR_FLOAT:
        return recode_number(out, in);
    default:
        return CS_E_FORMAT;
    }
}

/* The next item equals a JSON value (numbers as double: the file is read so; re-encoding checks them exactly). */
static bool equals(cs_cbor *c, const json_t *want);

static bool number_equals(cs_cbor *c, double want)
{
    uint64_t u = 0, tag = 0;
    double got = 0;
    cs_slice big;

    switch (cs_cbor_peek(c)) {
    case CS_CBOR_UINT:
        return cs_cbor_uint(c, &u) == CS_OK && (double)u == want;
    case CS_CBOR_NINT:
        return cs_cbor_nint(c, &u) == CS_OK && -1.0 - (double)u == want;
    case CS_CBOR_FLOAT:
        return cs_cbor_float(c, &got) == CS_OK && got == want && signbit(got) == signbit(want);
    default: /* bignum: tag 2 or 3 */
        if (cs_cbor_tag(c, &tag) != CS_OK || (tag != 2 && tag != 3) || cs_cbor_bytes(c, &big) != CS_OK) {
            return false;
        }
        for (size_t i = 0; i < big.len; i++) {
            got = got * 256 + big.p[i];
        }
        return (tag == 2 ? got : -1.0 - got) == want;
    }
}

static bool container_equals(cs_cbor *c, const json_t *want)
{
    bool is_map = json_is_object(want), ok = true;
    char key_mem[1024];
    cs_cbor_iter it;
    size_t i = 0;

    if ((is_map ? cs_cbor_map(c, &it) : cs_cbor_array(c, &it)) != CS_OK) {
        return false;
    }
    for (; ok && cs_cbor_more(c, &it); i++) {
        cs_buf key = cs_buf_wrap(key_mem, sizeof key_mem - 1);

        if (!is_map) {
            ok = equals(c, json_array_get(want, i));
            continue;
        }
        ok = cs_cbor_text_copy(c, &key) == CS_OK;
        key_mem[key.len] = '\0';
        ok = ok && equals(c, json_object_get(want, key_mem));
    }
    return ok && i == (is_map ? json_object_size(want) : json_array_size(want));
}

static bool equals(cs_cbor *c, const json_t *want)
{
    uint8_t mem[4096];
    cs_buf text = cs_buf_wrap(mem, sizeof mem);
    bool flag = false;

    switch (want == NULL ? -1 : (int)json_typeof(want)) {
    case JSON_OBJECT:
    case JSON_ARRAY:
        return container_equals(c, want);
    case JSON_STRING:
        return cs_cbor_text_copy(c, &text) == CS_OK &&
               cs_slice_eq(cs_buf_slice(&text), cs_slice_of(json_string_value(want), json_string_length(want)));
    case JSON_REAL:
    case JSON_INTEGER:
        return number_equals(c, json_number_value(want));
    case JSON_TRUE:
    case JSON_FALSE:
        return cs_cbor_bool(c, &flag) == CS_OK && flag == json_is_true(want);
    case JSON_NULL:
        return cs_cbor_null(c) == CS_OK;
    default:
        return false;
    }
}

/* Diagnostic notation [RFC 8949 8], as far as appendix A uses it without JSON values. */
static cs_err diagnose(cs_buf *out, cs_cbor *c);

static cs_err diagnose_map(cs_buf *out, cs_cbor *c)
{
    const char *comma = "{";
    cs_cbor_iter it;

    CS_TRY(cs_cbor_map(c, &it));
    for (; cs_cbor_more(c, &it); comma = ", ") {
        CS_TRY(cs_put_str(out, comma));
        CS_TRY(diagnose(out, c));
        CS_TRY(cs_put_str(out, ": "));
        CS_TRY(diagnose(out, c));
    }
    return cs_put_str(out, comma[0] == '{' ? "{}" : "}");
}

static cs_err diagnose_array(cs_buf *out, cs_cbor *c)
{
    const char *comma = "[";
    cs_cbor_iter it;

    CS_TRY(cs_cbor_array(c, &it));
    for (; cs_cbor_more(c, &it); comma = ", ") {
        CS_TRY(cs_put_str(out, comma));
        CS_TRY(diagnose(out, c));
    }
    return cs_put_str(out, comma[0] == '[' ? "[]" : "]");
}

static cs_err put_float(cs_buf *out, double d)
{
    if (isnan(d) || isinf(d)) {
        return cs_put_str(out, isnan(d) ? "NaN" : d > 0 ? "Infinity" : "-Infinity");
    }
    return cs_put_fmt(out, d == floor(d) ? "%.1f" : "%.15g", d);
}

static cs_err diagnose_string(cs_buf *out, cs_cbor *c, bool is_text)
{
    cs_slice s;

    if (is_text) {
        CS_TRY(cs_cbor_text(c, &s));
        CS_TRY(cs_put_str(out, "\""));
        CS_TRY(cs_put_slice(out, s));
        return cs_put_str(out, "\"");
    }
    if (cs_cbor_bytes(c, &s) == CS_OK) {
        CS_TRY(cs_put_str(out, "h'"));
        CS_TRY(cs_put_hex(out, s));
        return cs_put_str(out, "'");
    }
    /* indefinite: (_ h'..', h'..'), the chunks read as items of their own */
    const char *comma = "(_ ";
    uint8_t first = 0;

    CS_TRY(cs_read_u8(&c->r, &first));
    for (; cs_cbor_peek(c) != CS_CBOR_BREAK; comma = ", ") {
        CS_TRY(cs_put_str(out, comma));
        CS_TRY(diagnose_string(out, c, false));
    }
    CS_TRY(cs_read_u8(&c->r, &first));
    return cs_put_str(out, ")");
}

static cs_err diagnose(cs_buf *out, cs_cbor *c)
{
    static const char *const names[] = {"false", "true", "null", "undefined"};
    uint64_t u = 0;
    uint8_t simple = 0;
    int64_t n = 0;
    double d = 0;

    switch (cs_cbor_peek(c)) {
    case CS_CBOR_UINT:
    case CS_CBOR_NINT:
        CS_TRY(cs_cbor_int(c, &n));
        return cs_put_fmt(out, "%lld", (long long)n);
    case CS_CBOR_FLOAT:
        CS_TRY(cs_cbor_float(c, &d));
        return put_float(out, d);
    case CS_CBOR_SIMPLE:
        CS_TRY(cs_cbor_simple(c, &simple));
        return simple >= 20 && simple < 24 ? cs_put_str(out, names[simple - 20])
                                           : cs_put_fmt(out, "simple(%u)", simple);
    case CS_CBOR_TAG:
        CS_TRY(cs_cbor_tag(c, &u));
        CS_TRY(cs_put_fmt(out, "%llu(", (unsigned long long)u));
        CS_TRY(diagnose(out, c));
        return cs_put_str(out, ")");
    case CS_CBOR_BYTES:
    case CS_CBOR_TEXT:
        return diagnose_string(out, c, cs_cbor_peek(c) == CS_CBOR_TEXT);
    case CS_CBOR_MAP:
        return diagnose_map(out, c);
    default:
        return diagnose_array(out, c);
    }
}

static bool value_ok(const json_t *row, cs_slice item)
{
    cs_cbor c = cs_cbor_of(item, CS_CBOR_INDEFINITE);
    const json_t *want = json_object_get(row, "decoded");
    uint8_t mem[4096];
    cs_buf text = cs_buf_wrap(mem, sizeof mem);

    if (want != NULL) {
        return equals(&c, want) && cs_cbor_end(&c) == CS_OK;
    }
    return diagnose(&text, &c) == CS_OK && cs_cbor_end(&c) == CS_OK &&
           cs_slice_eq_str(cs_buf_slice(&text), cs_suite_str(row, "diagnostic"));
}

static void check_valid(cs_suite *s, const char *path, const json_t *row)
{
    cs_buf item = {0}, again;
    uint8_t mem[4096];
    cs_cbor c;

    if (cs_suite_hex(row, "hex", &item) != CS_OK) {
        cs_suite_fail(s, path, "row without hex");
        return;
    }
    c = cs_cbor_of(cs_buf_slice(&item), CS_CBOR_INDEFINITE);
    again = cs_buf_wrap(mem, sizeof mem);
    if (item.len == 2 && item.p[0] == 0xf8 && item.p[1] < 32) {
        /* RFC 7049 had it in appendix A; in RFC 8949 (3.3, F.1) it is not well-formed */
        cs_suite_check(s, cs_cbor_check(cs_buf_slice(&item), LAXEST) != CS_OK, path, "reserved simple value accepted");
    } else if (cs_cbor_check(cs_buf_slice(&item), CS_CBOR_INDEFINITE) != CS_OK || !value_ok(row, cs_buf_slice(&item))) {
        cs_suite_failf(s, path, "%s: refused or another value", cs_suite_str(row, "hex"));
    } else if (recode(&again, &c) != CS_OK || (json_is_true(json_object_get(row, "roundtrip")) &&
                                               !cs_slice_eq(cs_buf_slice(&again), cs_buf_slice(&item)))) {
        cs_suite_failf(s, path, "%s: another encoding", cs_suite_str(row, "hex"));
    } else {
        cs_suite_pass(s);
    }
    cs_buf_free(&item);
}

static void check_invalid(cs_suite *s, const char *path, const json_t *row)
{
    static const unsigned flags[] = {CS_CBOR_STRICT, CS_CBOR_INDEFINITE, CS_CBOR_LAX_INT, LAXEST};
    cs_buf item = {0};
    bool ok = cs_suite_hex(row, "hex", &item) == CS_OK;

    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        ok = ok && cs_cbor_check(cs_buf_slice(&item), flags[i]) == CS_E_FORMAT;
    }
    if (ok) {
        cs_suite_pass(s);
    } else {
        cs_suite_failf(s, path, "%s: accepted", cs_suite_str(row, "hex"));
    }
    cs_buf_free(&item);
}

void cs_suite_cbor_file(cs_suite *s, const char *path)
{
    bool invalid = strstr(path, "not-well-formed") != NULL;
    cs_buf text = {0};
    json_t *rows = NULL;

    /* integers as double: the file has some beyond 64 bits */
    if (cs_suite_read(path, &text) == CS_OK) {
        rows = json_loadb((const char *)text.p, text.len, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, NULL);
    }
    if (!json_is_array(rows)) {
        cs_suite_fail(s, path, "no JSON array");
    }
    for (size_t i = 0; i < json_array_size(rows); i++) {
        (invalid ? check_invalid : check_valid)(s, path, json_array_get(rows, i));
    }
    json_decref(rows);
    cs_buf_free(&text);
}
