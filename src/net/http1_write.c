/* HTTP/1.1 heads that are sent. See http1.h. */
#include <string.h>

#include "net/http1.h"

static bool clean(cs_slice s, bool spaces)
{
    for (size_t i = 0; i < s.len; i++) {
        if ((s.p[i] < 0x20 && s.p[i] != '\t') || s.p[i] == 0x7f || (!spaces && (s.p[i] == ' ' || s.p[i] == '\t'))) {
            return false;
        }
    }
    return true;
}

static cs_err put_headers(cs_buf *out, const cs_http1_header *headers, size_t num_headers, size_t body_len, bool length)
{
    for (size_t i = 0; i < num_headers; i++) {
        cs_slice name = headers[i].name;
        if (name.len == 0 || !clean(name, false) || memchr(name.p, ':', name.len) != NULL ||
            !clean(headers[i].value, true)) {
            return CS_E_FORMAT;
        }
        CS_TRY(cs_put_slice(out, name));
        CS_TRY(cs_put_str(out, ": "));
        CS_TRY(cs_put_slice(out, headers[i].value));
        CS_TRY(cs_put_str(out, "\r\n"));
    }
    if (length && body_len == CS_HTTP1_CHUNKED) {
        CS_TRY(cs_put_str(out, "Transfer-Encoding: chunked\r\n"));
    } else if (length) {
        CS_TRY(cs_put_fmt(out, "Content-Length: %zu\r\n", body_len));
    }
    return cs_put_str(out, "\r\n");
}

static cs_err put_request(cs_buf *out, cs_slice method, cs_slice target, const cs_http1_header *headers,
                          size_t num_headers, size_t body_len)
{
    if (method.len == 0 || target.len == 0 || !clean(method, false) || !clean(target, false)) {
        return CS_E_FORMAT;
    }
    CS_TRY(cs_put_slice(out, method));
    CS_TRY(cs_put_str(out, " "));
    CS_TRY(cs_put_slice(out, target));
    CS_TRY(cs_put_str(out, " HTTP/1.1\r\n"));
    bool get = cs_slice_eq_str(method, "GET") || cs_slice_eq_str(method, "HEAD");
    return put_headers(out, headers, num_headers, body_len, !get || body_len > 0);
}

/* On an error out is as before. */
cs_err cs_http1_put_request(cs_buf *out, cs_slice method, cs_slice target, const cs_http1_header *headers,
                            size_t num_headers, size_t body_len)
{
    size_t before = out->len;
    cs_err err = put_request(out, method, target, headers, num_headers, body_len);
    if (err != CS_OK) {
        out->len = before;
    }
    return err;
}

cs_err cs_http1_put_response(cs_buf *out, unsigned status, const cs_http1_header *headers, size_t num_headers,
                             size_t body_len)
{
    size_t before = out->len;
    cs_err err = cs_put_fmt(out, "HTTP/1.1 %u %s\r\n", status, cs_http1_reason(status));
    if (err == CS_OK) {
        err = put_headers(out, headers, num_headers, body_len, status >= 200 && status != 204 && status != 304);
    }
    if (err != CS_OK) {
        out->len = before;
    }
    return err;
}

static cs_err put_chunk(cs_buf *out, const cs_slice *parts, size_t num_parts)
{
    size_t len = 0;
    for (size_t i = 0; i < num_parts; i++) {
        if (parts[i].len > out->max - len) {
            return CS_E_RANGE;
        }
        len += parts[i].len;
    }
    if (len == 0) {
        return CS_E_RANGE;
    }
    CS_TRY(cs_put_fmt(out, "%zx\r\n", len));
    for (size_t i = 0; i < num_parts; i++) {
        CS_TRY(cs_put_slice(out, parts[i]));
    }
    return cs_put_str(out, "\r\n");
}

cs_err cs_http1_put_chunk(cs_buf *out, const cs_slice *parts, size_t num_parts)
{
    size_t before = out->len;
    cs_err err = put_chunk(out, parts, num_parts);
    if (err != CS_OK) {
        out->len = before;
    }
    return err;
}

const char *cs_http1_reason(unsigned status)
{
    static const struct {
        unsigned status;
        const char *text;
    } reasons[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {206, "Partial Content"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {415, "Unsupported Media Type"},
        {416, "Range Not Satisfiable"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
        if (reasons[i].status == status) {
            return reasons[i].text;
        }
    }
    return "Status";
}
