/* See text.h. */
#include "net/h2/text.h"

#define DIGITS_MAX 8
#define MAX_VALUE 99999999u

cs_err cs_grpc_timeout_parse(uint64_t *out_ms, cs_slice text)
{
    uint64_t v = 0;
    if (text.len < 2 || text.len > DIGITS_MAX + 1) {
        return CS_E_FORMAT;
    }
    for (size_t i = 0; i + 1 < text.len; i++) {
        if (text.p[i] < '0' || text.p[i] > '9') {
            return CS_E_FORMAT;
        }
        v = v * 10 + (uint64_t)(text.p[i] - '0');
    }
    switch (text.p[text.len - 1]) {
    case 'H':
        *out_ms = v * 3600000u;
        return CS_OK;
    case 'M':
        *out_ms = v * 60000u;
        return CS_OK;
    case 'S':
        *out_ms = v * 1000u;
        return CS_OK;
    case 'm':
        *out_ms = v;
        return CS_OK;
    case 'u':
        *out_ms = (v + 999u) / 1000u;
        return CS_OK;
    case 'n':
        *out_ms = (v + 999999u) / 1000000u;
        return CS_OK;
    default:
        return CS_E_FORMAT;
    }
}

cs_err cs_grpc_timeout_put(cs_buf *out, uint64_t ms)
{
    if (ms <= MAX_VALUE) {
        return cs_put_fmt(out, "%um", (unsigned)ms);
    }
    uint64_t s = ms / 1000 + (ms % 1000 != 0 ? 1 : 0);
    return cs_put_fmt(out, "%uS", (unsigned)(s < MAX_VALUE ? s : MAX_VALUE));
}

cs_err cs_percent_put(cs_buf *out, cs_slice text)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.p[i];
        if (c >= 0x20 && c <= 0x7e && c != '%') {
            CS_TRY(cs_put_u8(out, c));
        } else {
            CS_TRY(cs_put_u8(out, '%'));
            CS_TRY(cs_put_u8(out, (uint8_t)hex[c >> 4]));
            CS_TRY(cs_put_u8(out, (uint8_t)hex[c & 15]));
        }
    }
    return CS_OK;
}

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

cs_err cs_percent_get(cs_buf *out, cs_slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.p[i] == '%' && text.len - i > 2 && hex_value(text.p[i + 1]) >= 0 && hex_value(text.p[i + 2]) >= 0) {
            CS_TRY(cs_put_u8(out, (uint8_t)(hex_value(text.p[i + 1]) << 4 | hex_value(text.p[i + 2]))));
            i += 2;
        } else {
            CS_TRY(cs_put_u8(out, text.p[i]));
        }
    }
    return CS_OK;
}
