#include "base/text.h"

#include <string.h>

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static const char hex_chars[] = "0123456789abcdef";

void cs_hex_encode(char *out, cs_slice in)
{
    for (size_t i = 0; i < in.len; i++) {
        *out++ = hex_chars[in.p[i] >> 4];
        *out++ = hex_chars[in.p[i] & 15];
    }
    *out = '\0';
}

cs_err cs_put_hex(cs_buf *b, cs_slice in)
{
    uint8_t *at = NULL;
    if (in.len > (SIZE_MAX / 2)) {
        return CS_E_RANGE;
    }
    CS_TRY(cs_put_space(b, &at, 2 * in.len));
    for (size_t i = 0; i < in.len; i++) {
        at[2 * i] = (uint8_t)hex_chars[in.p[i] >> 4];
        at[2 * i + 1] = (uint8_t)hex_chars[in.p[i] & 15];
    }
    return CS_OK;
}

cs_err cs_hex_decode(uint8_t *out, size_t out_len, cs_slice hex)
{
    if (hex.len / 2 != out_len || hex.len % 2 != 0) {
        return CS_E_FORMAT;
    }
    for (size_t i = 0; i < hex.len; i++) {
        if (hex_digit(hex.p[i]) < 0) {
            return CS_E_FORMAT;
        }
    }
    for (size_t i = 0; i < out_len; i++) {
        out[i] = (uint8_t)(hex_digit(hex.p[2 * i]) << 4 | hex_digit(hex.p[2 * i + 1]));
    }
    return CS_OK;
}

static const char b64_std[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char b64_url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

cs_err cs_b64_put(cs_buf *out, cs_slice in, cs_b64 kind)
{
    const char *abc = kind == CS_B64_URL ? b64_url : b64_std;
    size_t rest = in.len % 3;
    size_t tail = rest == 0 ? 0 : (kind == CS_B64_STD ? 4 : rest + 1);
    uint8_t *o = NULL;
    if (in.len > SIZE_MAX / 2) {
        return CS_E_RANGE;
    }
    CS_TRY(cs_put_space(out, &o, in.len / 3 * 4 + tail));
    size_t i = 0;
    for (; i + 3 <= in.len; i += 3, o += 4) {
        uint32_t v = (uint32_t)in.p[i] << 16 | (uint32_t)in.p[i + 1] << 8 | in.p[i + 2];
        o[0] = (uint8_t)abc[v >> 18];
        o[1] = (uint8_t)abc[v >> 12 & 63];
        o[2] = (uint8_t)abc[v >> 6 & 63];
        o[3] = (uint8_t)abc[v & 63];
    }
    if (rest > 0) {
        uint32_t v = (uint32_t)in.p[i] << 16 | (rest == 2 ? (uint32_t)in.p[i + 1] << 8 : 0);
        *o++ = (uint8_t)abc[v >> 18];
        *o++ = (uint8_t)abc[v >> 12 & 63];
        if (rest == 2) {
            *o++ = (uint8_t)abc[v >> 6 & 63];
        }
        if (kind == CS_B64_STD) {
            *o++ = '=';
            if (rest == 1) {
                *o = '=';
            }
        }
    }
    return CS_OK;
}

#define B64_BAD 0x80u

static uint8_t b64_digit(uint8_t c, bool url)
{
    if (c >= 'A' && c <= 'Z') {
        return (uint8_t)(c - 'A');
    }
    if (c >= 'a' && c <= 'z') {
        return (uint8_t)(c - 'a' + 26);
    }
    if (c >= '0' && c <= '9') {
        return (uint8_t)(c - '0' + 52);
    }
    if (c == (url ? '-' : '+')) {
        return 62;
    }
    return c == (url ? '_' : '/') ? 63 : B64_BAD;
}

/* Digits of a whole text: large ones are looked up in a table that is made for the call. */
static cs_err b64_decode(uint8_t *o, cs_slice text, bool url)
{
    uint8_t value[256];
    uint8_t bad = 0;
    size_t i = 0;
    if (text.len >= sizeof value) {
        for (unsigned c = 0; c < sizeof value; c++) {
            value[c] = b64_digit((uint8_t)c, url);
        }
        for (; i + 4 <= text.len; i += 4, o += 3) {
            uint8_t a = value[text.p[i]], b = value[text.p[i + 1]], c = value[text.p[i + 2]], d = value[text.p[i + 3]];
            bad |= a | b | c | d;
            o[0] = (uint8_t)(a << 2 | b >> 4);
            o[1] = (uint8_t)(b << 4 | c >> 2);
            o[2] = (uint8_t)(c << 6 | d);
        }
    }
    uint32_t acc = 0;
    unsigned bits = 0;
    for (; i < text.len; i++) {
        uint8_t d = b64_digit(text.p[i], url);
        bad |= d;
        acc = acc << 6 | d;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            *o++ = (uint8_t)(acc >> bits);
        }
    }
    /* unused bits of the last digit must be zero: one encoding for each value */
    return (bad & B64_BAD) == 0 && (acc & ((1u << bits) - 1)) == 0 ? CS_OK : CS_E_FORMAT;
}

cs_err cs_b64_get(cs_buf *out, cs_slice text, cs_b64 kind)
{
    size_t n = text.len;
    size_t before = out->len;
    if (kind == CS_B64_STD) {
        if (n % 4 != 0) {
            return CS_E_FORMAT;
        }
        for (int pad = 0; pad < 2 && n > 0 && text.p[n - 1] == '='; pad++) {
            n--;
        }
    }
    if (n % 4 == 1) {
        return CS_E_FORMAT;
    }
    if (n == 0) {
        return CS_OK;
    }
    uint8_t *o = NULL;
    cs_err room = cs_put_space(out, &o, n / 4 * 3 + (n % 4 == 0 ? 0 : n % 4 - 1));
    if (room != CS_OK) { /* what is wrong with the text comes first */
        for (size_t i = 0; i < n; i++) {
            if (b64_digit(text.p[i], kind == CS_B64_URL) == B64_BAD) {
                return CS_E_FORMAT;
            }
        }
        return room;
    }
    cs_err err = b64_decode(o, cs_slice_of(text.p, n), kind == CS_B64_URL);
    if (err != CS_OK) {
        out->len = before;
    }
    return err;
}

cs_err cs_parse_u64(cs_slice text, uint64_t max, uint64_t *out)
{
    if (text.len == 0 || text.len > 20 || (text.len > 1 && text.p[0] == '0')) {
        return CS_E_FORMAT;
    }
    uint64_t v = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.p[i] < '0' || text.p[i] > '9') {
            return CS_E_FORMAT;
        }
        if (__builtin_mul_overflow(v, 10u, &v) || __builtin_add_overflow(v, (uint64_t)(text.p[i] - '0'), &v)) {
            return CS_E_RANGE;
        }
    }
    if (v > max) {
        return CS_E_RANGE;
    }
    *out = v;
    return CS_OK;
}

/* days since 1970-01-01 of a civil date (proleptic Gregorian) */
static int64_t days_from_civil(int64_t y, unsigned m, unsigned d)
{
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    unsigned yoe = (unsigned)(y - era * 400);
    unsigned doy = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;
    unsigned doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return era * 146097 + (int64_t)doe - 719468;
}

static cs_err digits(cs_reader *r, size_t n, unsigned lo, unsigned hi, unsigned *out)
{
    cs_slice s;
    unsigned v = 0;
    CS_TRY(cs_read_slice(r, &s, n));
    for (size_t i = 0; i < n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') {
            return CS_E_FORMAT;
        }
        v = v * 10 + (s.p[i] - '0');
    }
    *out = v;
    return v >= lo && v <= hi ? CS_OK : CS_E_FORMAT;
}

static cs_err one_char(cs_reader *r, const char *any)
{
    uint8_t c;
    CS_TRY(cs_read_u8(r, &c));
    return c != 0 && strchr(any, c) != NULL ? CS_OK : CS_E_FORMAT;
}

cs_err cs_parse_rfc3339(cs_slice text, uint64_t *out_ms)
{
    static const uint8_t mdays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    cs_reader r = cs_reader_of(text);
    unsigned y, mo, d, h, mi, s, ms = 0, oh = 0, om = 0;
    CS_TRY(digits(&r, 4, 1970, 9999, &y));
    CS_TRY(one_char(&r, "-"));
    CS_TRY(digits(&r, 2, 1, 12, &mo));
    CS_TRY(one_char(&r, "-"));
    bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    CS_TRY(digits(&r, 2, 1, mdays[mo - 1] + (mo == 2 && leap ? 1u : 0u), &d));
    CS_TRY(one_char(&r, "Tt "));
    CS_TRY(digits(&r, 2, 0, 23, &h));
    CS_TRY(one_char(&r, ":"));
    CS_TRY(digits(&r, 2, 0, 59, &mi));
    CS_TRY(one_char(&r, ":"));
    CS_TRY(digits(&r, 2, 0, 60, &s));
    if (r.left > 0 && *r.p == '.') {
        unsigned scale = 100, digit;
        CS_TRY(one_char(&r, "."));
        CS_TRY(digits(&r, 1, 0, 9, &digit));
        for (ms = digit * scale; r.left > 0 && *r.p >= '0' && *r.p <= '9';) {
            CS_TRY(digits(&r, 1, 0, 9, &digit));
            scale /= 10;
            ms += digit * scale;
        }
    }
    uint8_t zone;
    CS_TRY(cs_read_u8(&r, &zone));
    int64_t sign = zone == '-' ? 1 : -1;
    if (zone == '+' || zone == '-') {
        CS_TRY(digits(&r, 2, 0, 23, &oh));
        CS_TRY(one_char(&r, ":"));
        CS_TRY(digits(&r, 2, 0, 59, &om));
    } else if (zone != 'Z' && zone != 'z') {
        return CS_E_FORMAT;
    }
    CS_TRY(cs_read_end(&r));
    int64_t secs = days_from_civil(y, mo, d) * 86400 + (int64_t)h * 3600 + (int64_t)mi * 60 + (int64_t)s +
                   sign * ((int64_t)oh * 3600 + (int64_t)om * 60);
    if (secs < 0) {
        return CS_E_FORMAT;
    }
    *out_ms = (uint64_t)secs * 1000 + ms;
    return CS_OK;
}

cs_err cs_put_rfc3339(cs_buf *b, uint64_t ms)
{
    uint64_t days = ms / 86400000u;
    unsigned rest = (unsigned)(ms % 86400000u);
    int64_t z = (int64_t)days + 719468;
    int64_t era = z / 146097;
    unsigned doe = (unsigned)(z - era * 146097);
    unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    unsigned mp = (5 * doy + 2) / 153;
    unsigned d = doy - (153 * mp + 2) / 5 + 1;
    unsigned m = mp < 10 ? mp + 3 : mp - 9;
    int64_t y = (int64_t)yoe + era * 400 + (m <= 2);
    return cs_put_fmt(b, "%04lld-%02u-%02uT%02u:%02u:%02u.%03uZ", (long long)y, m, d, rest / 3600000, rest / 60000 % 60,
                      rest / 1000 % 60, rest % 1000);
}

/* number of continuation bytes of a lead byte, -1 when it is none; *min the least code point of that length */
static int utf8_tail(uint8_t c, uint32_t *cp, uint32_t *min)
{
    if (c < 0x80) {
        *cp = c;
        *min = 0;
        return 0;
    }
    if (c >= 0xc2 && c <= 0xdf) {
        *cp = c & 0x1f;
        *min = 0x80;
        return 1;
    }
    if (c >= 0xe0 && c <= 0xef) {
        *cp = c & 0x0f;
        *min = 0x800;
        return 2;
    }
    if (c >= 0xf0 && c <= 0xf4) {
        *cp = c & 0x07;
        *min = 0x10000;
        return 3;
    }
    return -1;
}

bool cs_utf8_valid(cs_slice text)
{
    for (size_t i = 0; i < text.len;) {
        uint32_t cp, min;
        int tail = utf8_tail(text.p[i++], &cp, &min);
        if (tail < 0 || (size_t)tail > text.len - i) {
            return false;
        }
        for (int k = 0; k < tail; k++, i++) {
            if ((text.p[i] & 0xc0) != 0x80) {
                return false;
            }
            cp = cp << 6 | (text.p[i] & 0x3f);
        }
        if (cp < min || cp > 0x10ffff || (cp >= 0xd800 && cp <= 0xdfff)) {
            return false;
        }
    }
    return true;
}

static size_t least(size_t a, size_t b, size_t c)
{
    size_t m = a < b ? a : b;
    return m < c ? m : c;
}

size_t cs_edit_distance(const char *a, const char *b)
{
    size_t row[CS_EDIT_MAX + 1];
    size_t la = strlen(a), lb = strlen(b);
    if (la > CS_EDIT_MAX || lb > CS_EDIT_MAX) {
        return SIZE_MAX;
    }
    for (size_t j = 0; j <= lb; j++) {
        row[j] = j;
    }
    for (size_t i = 1; i <= la; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= lb; j++) {
            size_t above = row[j];
            row[j] = least(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
        }
    }
    return row[lb];
}

bool cs_name_valid(cs_slice name, size_t max)
{
    for (size_t i = 0; name.len <= max && i < name.len; i++) {
        if (name.p[i] <= 0x20 || name.p[i] >= 0x7f || name.p[i] == '"' || name.p[i] == '\\') {
            return false;
        }
    }
    return name.len <= max;
}

cs_slice cs_trim(cs_slice text, const char *set)
{
    const size_t n = strlen(set);

    while (text.len > 0 && memchr(set, text.p[0], n) != NULL) {
        text = cs_slice_of(text.p + 1, text.len - 1);
    }
    while (text.len > 0 && memchr(set, text.p[text.len - 1], n) != NULL) {
        text.len--;
    }
    return text;
}
