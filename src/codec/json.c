#include "codec/json.h"

#include <string.h>

#include "base/text.h"

cs_json cs_json_of(cs_slice text)
{
    return (cs_json){cs_reader_of(text)};
}

static void skip_space(cs_reader *r)
{
    while (r->left > 0 && (*r->p == ' ' || *r->p == '\t' || *r->p == '\n' || *r->p == '\r')) {
        r->p++;
        r->left--;
    }
}

void cs_json_space(cs_json *j)
{
    skip_space(&j->r);
}

/* the next byte, or -1 */
static int at(const cs_reader *r)
{
    return r->left > 0 ? *r->p : -1;
}

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

cs_json_type cs_json_peek(cs_json *j)
{
    cs_reader r = j->r;
    skip_space(&r);
    switch (at(&r)) {
    case '{':
        return CS_JSON_OBJECT;
    case '[':
        return CS_JSON_ARRAY;
    case '"':
        return CS_JSON_STRING;
    case 't':
    case 'f':
    case 'n':
        return CS_JSON_WORD;
    default:
        return at(&r) == '-' || is_digit(at(&r)) ? CS_JSON_NUMBER : CS_JSON_END;
    }
}

bool cs_json_try(cs_json *j, char c)
{
    cs_reader r = j->r;
    uint8_t got = 0;
    skip_space(&r);
    if (cs_read_u8(&r, &got) != CS_OK || got != (uint8_t)c) {
        return false;
    }
    j->r = r;
    return true;
}

cs_err cs_json_char(cs_json *j, char c)
{
    return cs_json_try(j, c) ? CS_OK : CS_E_FORMAT;
}

static bool is_hex(uint8_t c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static cs_err escape(cs_reader *r)
{
    uint8_t c = 0;
    CS_TRY(cs_read_u8(r, &c));
    switch (c) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        return CS_OK;
    case 'u':
        for (int i = 0; i < 4; i++) {
            CS_TRY(cs_read_u8(r, &c));
            if (!is_hex(c)) {
                return CS_E_FORMAT;
            }
        }
        return CS_OK;
    default:
        return CS_E_FORMAT;
    }
}

#define EACH(c) (0x0101010101010101u * (uint64_t)(c))
#define HAS_LESS(v, n) (((v)-EACH(n)) & ~(v)&EACH(0x80)) /* a byte below n; n at most 0x80 */

/* Skips bytes that need no look: printable ASCII but quote and backslash, eight at a time. Long strings are mostly such. */
static void skip_plain(cs_reader *r)
{
    while (r->left >= 8) {
        uint64_t v = 0;
        memcpy(&v, r->p, 8);
        if (((v & EACH(0x80)) | HAS_LESS(v, 0x20) | HAS_LESS(v ^ EACH('"'), 1) | HAS_LESS(v ^ EACH('\\'), 1)) != 0) {
            return;
        }
        r->p += 8;
        r->left -= 8;
    }
}

cs_err cs_json_string(cs_json *j, cs_slice *out_raw, bool *out_plain)
{
    cs_json k = *j;
    bool plain = true, ascii = true;
    uint8_t c = 0;
    CS_TRY(cs_json_char(&k, '"'));
    const uint8_t *start = k.r.p;
    size_t before = k.r.left;
    for (;;) {
        skip_plain(&k.r);
        CS_TRY(cs_read_u8(&k.r, &c));
        if (c == '"') {
            break;
        }
        if (c < 0x20) {
            return CS_E_FORMAT;
        }
        ascii = ascii && c < 0x80;
        if (c == '\\') {
            plain = false;
            CS_TRY(escape(&k.r));
        }
    }
    cs_slice raw = {start, before - k.r.left - 1};
    if (!ascii && !cs_utf8_valid(raw)) {
        return CS_E_FORMAT;
    }
    *j = k;
    *out_raw = raw;
    *out_plain = plain;
    return CS_OK;
}

/* one or more digits; false when there is none */
static bool digits(cs_reader *r)
{
    size_t n = 0;
    for (; is_digit(at(r)); n++) {
        r->p++;
        r->left--;
    }
    return n > 0;
}

static bool take(cs_reader *r, int c)
{
    if (at(r) != c) {
        return false;
    }
    r->p++;
    r->left--;
    return true;
}

cs_err cs_json_number(cs_json *j, cs_slice *out)
{
    cs_reader r = j->r;
    skip_space(&r);
    cs_slice all = {r.p, r.left};
    (void)take(&r, '-');
    if (take(&r, '0') ? is_digit(at(&r)) : !digits(&r)) {
        return CS_E_FORMAT;
    }
    if (take(&r, '.') && !digits(&r)) {
        return CS_E_FORMAT;
    }
    if (take(&r, 'e') || take(&r, 'E')) {
        if (!take(&r, '+')) {
            (void)take(&r, '-');
        }
        if (!digits(&r)) {
            return CS_E_FORMAT;
        }
    }
    *out = cs_slice_of(all.p, all.len - r.left);
    j->r = r;
    return CS_OK;
}

cs_err cs_json_u64(cs_json *j, uint64_t max, uint64_t *out)
{
    cs_json k = *j;
    cs_slice text;
    CS_TRY(cs_json_number(&k, &text));
    CS_TRY(cs_parse_u64(text, max, out));
    *j = k;
    return CS_OK;
}

static cs_err word(cs_json *j)
{
    static const char *const words[] = {"true", "false", "null"};
    for (size_t i = 0; i < 3; i++) {
        cs_reader r = j->r;
        cs_slice got, want = cs_slice_str(words[i]);
        skip_space(&r);
        if (cs_read_slice(&r, &got, want.len) == CS_OK && cs_slice_eq(got, want)) {
            j->r = r;
            return CS_OK;
        }
    }
    return CS_E_FORMAT;
}

static cs_err scalar(cs_json *j)
{
    cs_slice s;
    bool plain;
    switch (cs_json_peek(j)) {
    case CS_JSON_STRING:
        return cs_json_string(j, &s, &plain);
    case CS_JSON_NUMBER:
        return cs_json_number(j, &s);
    case CS_JSON_WORD:
        return word(j);
    default:
        return CS_E_FORMAT;
    }
}

static cs_err member_key(cs_json *j)
{
    cs_slice s;
    bool plain;
    CS_TRY(cs_json_string(j, &s, &plain));
    return cs_json_char(j, ':');
}

/* Without recursion: a bit per open container, 1 = object. */
static cs_err skip(cs_json *j)
{
    uint64_t kinds = 0;
    unsigned depth = 0;
    for (;;) {
        bool object = cs_json_try(j, '{'), array = !object && cs_json_try(j, '[');
        if (object || array) {
            if (depth == CS_JSON_MAX_DEPTH) {
                return CS_E_FORMAT;
            }
            if (!cs_json_try(j, object ? '}' : ']')) {
                kinds = kinds << 1 | (object ? 1 : 0);
                depth++;
                if (object) {
                    CS_TRY(member_key(j));
                }
                continue;
            }
        } else {
            CS_TRY(scalar(j));
        }
        while (depth > 0 && cs_json_try(j, kinds & 1 ? '}' : ']')) {
            kinds >>= 1;
            depth--;
        }
        if (depth == 0) {
            return CS_OK;
        }
        CS_TRY(cs_json_char(j, ','));
        if (kinds & 1) {
            CS_TRY(member_key(j));
        }
    }
}

cs_err cs_json_skip(cs_json *j)
{
    cs_json k = *j;
    CS_TRY(skip(&k));
    *j = k;
    return CS_OK;
}

cs_err cs_json_end(cs_json *j)
{
    cs_reader r = j->r;
    skip_space(&r);
    return cs_read_end(&r);
}
