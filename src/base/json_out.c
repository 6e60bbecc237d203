#include "base/json_out.h"

#include <math.h>

#include "base/text.h"

static void put(cs_jw *w, const void *p, size_t len)
{
    if (w->err == CS_OK) {
        w->err = cs_put(w->out, p, len);
    }
}

static void put_escaped(cs_jw *w, cs_slice s)
{
    put(w, "\"", 1);
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.p[i];
        if (c == '"' || c == '\\') {
            put(w, (uint8_t[]){'\\', c}, 2);
        } else if (c < 0x20 || c == 0x7f) {
            if (w->err == CS_OK) {
                w->err = cs_put_fmt(w->out, "\\u%04x", c);
            }
        } else if (c < 0x80) {
            put(w, &c, 1);
        } else {
            size_t n = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
            if (n <= s.len - i && cs_utf8_valid(cs_slice_of(s.p + i, n))) {
                put(w, s.p + i, n);
                i += n - 1;
            } else {
                put(w, "\xef\xbf\xbd", 3);
            }
        }
    }
    put(w, "\"", 1);
}

static void begin_value(cs_jw *w, const char *key)
{
    if (w->comma) {
        put(w, ",", 1);
    }
    w->comma = true;
    if (key != NULL) {
        put_escaped(w, cs_slice_str(key));
        put(w, ":", 1);
    }
}

cs_jw cs_jw_begin(cs_buf *out)
{
    return (cs_jw){.out = out};
}

static void open_container(cs_jw *w, const char *key, const char *bracket)
{
    begin_value(w, key);
    put(w, bracket, 1);
    w->comma = false;
    w->depth++;
}

static void close_container(cs_jw *w, const char *bracket)
{
    put(w, bracket, 1);
    w->comma = true;
    w->depth--;
}

void cs_jw_object(cs_jw *w, const char *key)
{
    open_container(w, key, "{");
}

void cs_jw_array(cs_jw *w, const char *key)
{
    open_container(w, key, "[");
}

void cs_jw_close_object(cs_jw *w)
{
    close_container(w, "}");
}

void cs_jw_close_array(cs_jw *w)
{
    close_container(w, "]");
}

void cs_jw_str(cs_jw *w, const char *key, cs_slice value)
{
    begin_value(w, key);
    put_escaped(w, value);
}

void cs_jw_cstr(cs_jw *w, const char *key, const char *value)
{
    cs_jw_str(w, key, cs_slice_str(value));
}

static void put_text(cs_jw *w, const char *key, const char *text)
{
    begin_value(w, key);
    if (w->err == CS_OK) {
        w->err = cs_put_str(w->out, text);
    }
}

void cs_jw_u64(cs_jw *w, const char *key, uint64_t value)
{
    put_text(w, key, "");
    if (w->err == CS_OK) {
        w->err = cs_put_fmt(w->out, "%llu", (unsigned long long)value);
    }
}

void cs_jw_i64(cs_jw *w, const char *key, int64_t value)
{
    put_text(w, key, "");
    if (w->err == CS_OK) {
        w->err = cs_put_fmt(w->out, "%lld", (long long)value);
    }
}

static void put_double(cs_jw *w, const char *key, double value, int digits)
{
    if (!isfinite(value)) {
        cs_jw_null(w, key);
        return;
    }
    put_text(w, key, "");
    if (w->err == CS_OK) {
        w->err = cs_put_fmt(w->out, "%.*g", digits, value);
    }
}

void cs_jw_double(cs_jw *w, const char *key, double value)
{
    put_double(w, key, value, 6);
}

void cs_jw_double15(cs_jw *w, const char *key, double value)
{
    put_double(w, key, value, 15);
}

void cs_jw_bool(cs_jw *w, const char *key, bool value)
{
    put_text(w, key, value ? "true" : "false");
}

void cs_jw_null(cs_jw *w, const char *key)
{
    put_text(w, key, "null");
}

void cs_jw_hex(cs_jw *w, const char *key, cs_slice bytes)
{
    put_text(w, key, "\"");
    if (w->err == CS_OK) {
        w->err = cs_put_hex(w->out, bytes);
    }
    put(w, "\"", 1);
}

void cs_jw_b64(cs_jw *w, const char *key, cs_slice bytes)
{
    put_text(w, key, "\"");
    if (w->err == CS_OK) {
        w->err = cs_b64_put(w->out, bytes, CS_B64_STD);
    }
    put(w, "\"", 1);
}

cs_err cs_jw_end(const cs_jw *w)
{
    if (w->err == CS_OK && w->depth != 0) {
        return CS_E_INTERNAL;
    }
    return w->err;
}
