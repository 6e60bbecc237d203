/* A small strict JSON reader. See json.h. */
#include "net/aws/json.h"

#include <string.h>

#include "base/text.h"

typedef struct in {
    const uint8_t *p, *end;
} in;

static void skip_blanks(in *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r')) {
        s->p++;
    }
}

static bool take(in *s, char c)
{
    skip_blanks(s);
    if (s->p < s->end && *s->p == (uint8_t)c) {
        s->p++;
        return true;
    }
    return false;
}

static cs_err hex4(in *s, uint32_t *out)
{
    uint8_t b[2];
    if (s->end - s->p < 4) {
        return CS_E_FORMAT;
    }
    CS_TRY(cs_hex_decode(b, 2, cs_slice_of(s->p, 4)));
    *out = cs_load_u16(b);
    s->p += 4;
    return CS_OK;
}

static cs_err put_utf8(cs_buf *out, uint32_t c)
{
    uint8_t b[4];
    size_t n;
    if (c < 0x80) {
        b[0] = (uint8_t)c;
        n = 1;
    } else if (c < 0x800) {
        b[0] = (uint8_t)(0xc0 | c >> 6);
        b[1] = (uint8_t)(0x80 | (c & 0x3f));
        n = 2;
    } else if (c < 0x10000) {
        b[0] = (uint8_t)(0xe0 | c >> 12);
        b[1] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
        b[2] = (uint8_t)(0x80 | (c & 0x3f));
        n = 3;
    } else {
        b[0] = (uint8_t)(0xf0 | c >> 18);
        b[1] = (uint8_t)(0x80 | (c >> 12 & 0x3f));
        b[2] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
        b[3] = (uint8_t)(0x80 | (c & 0x3f));
        n = 4;
    }
    return out == NULL ? CS_OK : cs_put(out, b, n);
}

/* After the backslash. Surrogates only in pairs. */
static cs_err escape(in *s, cs_buf *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    uint32_t c = 0, low = 0;
    if (s->p == s->end) {
        return CS_E_FORMAT;
    }
    uint8_t e = *s->p++;
    if (e != 'u') {
        const char *at = e == 0 ? NULL : strchr(from, e);
        return at == NULL ? CS_E_FORMAT : put_utf8(out, (uint8_t)to[at - from]);
    }
    CS_TRY(hex4(s, &c));
    if (c >= 0xd800 && c < 0xe000) {
        if (c >= 0xdc00 || s->end - s->p < 6 || s->p[0] != '\\' || s->p[1] != 'u') {
            return CS_E_FORMAT;
        }
        s->p += 2;
        CS_TRY(hex4(s, &low));
        if (low < 0xdc00 || low >= 0xe000) {
            return CS_E_FORMAT;
        }
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    }
    return put_utf8(out, c);
}

/* A string from its opening quote; out NULL only checks. */
static cs_err string(in *s, cs_buf *out)
{
    if (!take(s, '"')) {
        return CS_E_FORMAT;
    }
    for (;;) {
        const uint8_t *run = s->p;
        while (s->p < s->end && *s->p != '"' && *s->p != '\\' && *s->p >= 0x20) {
            s->p++;
        }
        cs_slice plain = cs_slice_of(run, (size_t)(s->p - run));
        if (s->p == s->end || *s->p < 0x20 || !cs_utf8_valid(plain)) {
            return CS_E_FORMAT;
        }
        if (out != NULL) {
            CS_TRY(cs_put_slice(out, plain));
        }
        if (*s->p++ == '"') {
            return CS_OK;
        }
        CS_TRY(escape(s, out));
    }
}

static bool digits(in *s)
{
    const uint8_t *start = s->p;
    while (s->p < s->end && *s->p >= '0' && *s->p <= '9') {
        s->p++;
    }
    return s->p > start;
}

static cs_err number(in *s)
{
    if (s->p < s->end && *s->p == '-') {
        s->p++;
    }
    const uint8_t *first = s->p;
    if (!digits(s) || (*first == '0' && s->p - first > 1)) {
        return CS_E_FORMAT;
    }
    if (s->p < s->end && *s->p == '.') {
        s->p++;
        if (!digits(s)) {
            return CS_E_FORMAT;
        }
    }
    if (s->p < s->end && (*s->p | 0x20) == 'e') {
        s->p++;
        if (s->p < s->end && (*s->p == '+' || *s->p == '-')) {
            s->p++;
        }
        if (!digits(s)) {
            return CS_E_FORMAT;
        }
    }
    return CS_OK;
}

static bool literal(in *s, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(s->end - s->p) < n || memcmp(s->p, word, n) != 0) {
        return false;
    }
    s->p += n;
    return true;
}

static cs_err skip_value(in *s, int depth);

static cs_err skip_container(in *s, int depth, char close)
{
    if (depth >= CS_JSON_MAX_DEPTH) {
        return CS_E_FORMAT;
    }
    if (take(s, close)) {
        return CS_OK;
    }
    do {
        if (close == '}') {
            CS_TRY(string(s, NULL));
            if (!take(s, ':')) {
                return CS_E_FORMAT;
            }
        }
        CS_TRY(skip_value(s, depth + 1));
    } while (take(s, ','));
    return take(s, close) ? CS_OK : CS_E_FORMAT;
}

static cs_err skip_value(in *s, int depth)
{
    skip_blanks(s);
    if (s->p == s->end) {
        return CS_E_FORMAT;
    }
    switch (*s->p) {
    case '"':
        return string(s, NULL);
    case '{':
        s->p++;
        return skip_container(s, depth, '}');
    case '[':
        s->p++;
        return skip_container(s, depth, ']');
    case 't':
        return literal(s, "true") ? CS_OK : CS_E_FORMAT;
    case 'f':
        return literal(s, "false") ? CS_OK : CS_E_FORMAT;
    case 'n':
        return literal(s, "null") ? CS_OK : CS_E_FORMAT;
    default:
        return number(s);
    }
}

static cs_err take_field(in *s, cs_json_field *f)
{
    skip_blanks(s);
    if (f->seen) {
        return CS_E_FORMAT;
    }
    if (literal(s, "null")) {
        return CS_OK;
    }
    const uint8_t *start = s->p;
    uint8_t c = s->p < s->end ? *s->p : 0;
    f->seen = true;
    if (f->kind == CS_JSON_STRING) {
        return c == '"' ? string(s, f->out) : CS_E_FORMAT;
    }
    if ((f->kind == CS_JSON_OBJECT) != (c == '{') || (f->kind == CS_JSON_BOOL) != (c == 't' || c == 'f') || c == '"' ||
        c == '[') {
        return CS_E_FORMAT;
    }
    CS_TRY(skip_value(s, 1));
    f->raw = cs_slice_of(start, (size_t)(s->p - start));
    return CS_OK;
}

static cs_err member(in *s, cs_json_field *fields, size_t num)
{
    uint8_t mem[64];
    cs_buf key = cs_buf_wrap(mem, sizeof mem);
    in before = *s;
    cs_err err = string(s, &key);
    if (err == CS_E_RANGE) { /* longer than any name we look for */
        *s = before;
        key.len = 0;
        err = string(s, NULL);
    }
    if (err != CS_OK || !take(s, ':')) {
        return CS_E_FORMAT;
    }
    for (size_t i = 0; i < num; i++) {
        if (cs_slice_eq_str(cs_buf_slice(&key), fields[i].key)) {
            return take_field(s, &fields[i]);
        }
    }
    return skip_value(s, 1);
}

cs_err cs_json_read(cs_slice text, cs_json_field *fields, size_t num_fields)
{
    if (text.len == 0) {
        return CS_E_FORMAT;
    }
    in s = {text.p, text.p + text.len};
    if (!take(&s, '{')) {
        return CS_E_FORMAT;
    }
    if (!take(&s, '}')) {
        do {
            CS_TRY(member(&s, fields, num_fields));
        } while (take(&s, ','));
        if (!take(&s, '}')) {
            return CS_E_FORMAT;
        }
    }
    skip_blanks(&s);
    if (s.p != s.end) {
        return CS_E_FORMAT;
    }
    for (size_t i = 0; i < num_fields; i++) {
        if (fields[i].required && !fields[i].seen) {
            return CS_E_FORMAT;
        }
    }
    return CS_OK;
}
