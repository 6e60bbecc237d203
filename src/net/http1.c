/* HTTP/1.1 messages over llhttp. See http1.h. */
#include "net/http1.h"

#include <llhttp/llhttp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"

#define HEAD_DEFAULT (16u * 1024u)
#define VALUE_NONE UINT32_MAX

/* Names and values lie in `text`, which may move while it grows: offsets until the message is complete. */
typedef struct span {
    uint32_t at, len;
} span;

struct cs_http1_parser {
    llhttp_t ll;
    cs_http1_limits limits;
    cs_http1_kind kind;
    cs_buf text, body;
    span method, target;
    span names[CS_HTTP1_HEADERS], values[CS_HTTP1_HEADERS];
    size_t num;
    size_t head_bytes; /* fed before the head was complete: bounds white space and trailers too */
    bool started, head_done, done, no_body, has_length, has_coding, trailer;
    cs_http1_body_fn *body_fn; /* or NULL: the body is kept */
    void *body_cookie;
    uint8_t last; /* last byte fed: a bare CR or LF is found across calls */
    cs_err err;
    cs_http1_msg msg;
};

static int stop(cs_http1_parser *p, cs_err err)
{
    p->err = p->err == CS_OK ? err : p->err;
    return HPE_USER;
}

static int add_text(cs_http1_parser *p, span *to, const char *at, size_t len)
{
    if (len > p->limits.head_max || p->text.len > p->limits.head_max - len) {
        return stop(p, CS_E_TOO_LARGE);
    }
    if (to->len == 0) {
        to->at = (uint32_t)p->text.len;
    }
    if (cs_put(&p->text, at, len) != CS_OK) {
        return stop(p, CS_E_NO_MEMORY);
    }
    to->len += (uint32_t)len;
    return HPE_OK;
}

static int on_method(llhttp_t *ll, const char *at, size_t len)
{
    cs_http1_parser *p = ll->data;
    return add_text(p, &p->method, at, len);
}

static int on_url(llhttp_t *ll, const char *at, size_t len)
{
    cs_http1_parser *p = ll->data;
    return add_text(p, &p->target, at, len);
}

static int on_field(llhttp_t *ll, const char *at, size_t len)
{
    cs_http1_parser *p = ll->data;
    if (p->head_done) { /* trailers of a chunked body: no one needs them, and they are a way to smuggle */
        return stop(p, CS_E_UNSUPPORTED);
    }
    if (p->num >= CS_HTTP1_HEADERS) {
        return stop(p, CS_E_TOO_LARGE);
    }
    return add_text(p, &p->names[p->num], at, len);
}

static int on_value(llhttp_t *ll, const char *at, size_t len)
{
    cs_http1_parser *p = ll->data;
    return p->num < CS_HTTP1_HEADERS ? add_text(p, &p->values[p->num], at, len) : stop(p, CS_E_TOO_LARGE);
}

static bool name_is(const cs_http1_parser *p, size_t i, const char *name)
{
    return p->names[i].len == strlen(name) &&
           strncasecmp((const char *)p->text.p + p->names[i].at, name, p->names[i].len) == 0;
}

static int on_value_complete(llhttp_t *ll)
{
    cs_http1_parser *p = ll->data;
    size_t i = p->num++;
    if (p->names[i].len == 0) {
        return stop(p, CS_E_FORMAT);
    }
    if (name_is(p, i, "content-length")) {
        if (p->has_length || p->has_coding) {
            return stop(p, CS_E_FORMAT);
        }
        p->has_length = true;
    } else if (name_is(p, i, "transfer-encoding")) {
        bool chunked =
            p->values[i].len == 7 && strncasecmp((const char *)p->text.p + p->values[i].at, "chunked", 7) == 0;
        if (p->has_length || p->has_coding) {
            return stop(p, CS_E_FORMAT);
        }
        if (!chunked) {
            return stop(p, CS_E_UNSUPPORTED);
        }
        p->has_coding = true;
    }
    return HPE_OK;
}

static void fill_message(cs_http1_parser *p);

static int on_headers_complete(llhttp_t *ll)
{
    cs_http1_parser *p = ll->data;
    p->head_done = true;
    if (ll->http_major != 1 || ll->http_minor > 1 || ll->upgrade != 0 || (ll->flags & F_UPGRADE) != 0) {
        return stop(p, CS_E_UNSUPPORTED);
    }
    if (p->kind == CS_HTTP1_REQUEST && ll->http_minor == 1) {
        size_t hosts = 0;
        for (size_t i = 0; i < p->num; i++) {
            hosts += name_is(p, i, "host") ? 1 : 0;
        }
        if (hosts != 1) { /* RFC 9112 3.2 */
            return stop(p, CS_E_FORMAT);
        }
    }
    if (ll->http_minor == 0 && p->has_coding) { /* RFC 9112 6.1: its framing is faulty */
        return stop(p, CS_E_FORMAT);
    }
    if (!p->no_body && p->has_length && p->body_fn == NULL && ll->content_length > p->limits.body_max) {
        return stop(p, CS_E_TOO_LARGE);
    }
    if (p->body_fn != NULL) {
        fill_message(p);
    }
    return p->no_body ? 1 : 0;
}

static int on_body(llhttp_t *ll, const char *at, size_t len)
{
    cs_http1_parser *p = ll->data;
    if (p->body_fn != NULL) {
        cs_err err = p->body_fn(p->body_cookie, cs_slice_of(at, len));
        return err == CS_OK ? HPE_OK : stop(p, err);
    }
    if (len > p->limits.body_max || p->body.len > p->limits.body_max - len) {
        return stop(p, CS_E_TOO_LARGE);
    }
    return cs_put(&p->body, at, len) == CS_OK ? HPE_OK : stop(p, CS_E_NO_MEMORY);
}

/* Nobody needs chunk extensions, and two readers that differ about their end are a way to smuggle. */
static int on_chunk_extension(llhttp_t *ll, const char *at, size_t len)
{
    cs_http1_parser *p = ll->data;
    (void)at;
    (void)len;
    return p->kind == CS_HTTP1_REQUEST ? stop(p, CS_E_UNSUPPORTED) : HPE_OK;
}

static int on_complete(llhttp_t *ll)
{
    cs_http1_parser *p = ll->data;
    p->done = true;
    return HPE_PAUSED; /* what follows belongs to the next message */
}

static const llhttp_settings_t settings = {
    .on_method = on_method,
    .on_url = on_url,
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_header_value_complete = on_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_chunk_extension_name = on_chunk_extension,
    .on_chunk_extension_value = on_chunk_extension,
    .on_message_complete = on_complete,
};

static void start(cs_http1_parser *p)
{
    llhttp_init(&p->ll, p->kind == CS_HTTP1_REQUEST ? HTTP_REQUEST : HTTP_RESPONSE, &settings);
    p->ll.data = p;
}

cs_err cs_http1_parser_new(cs_http1_parser **out, cs_http1_kind kind, const cs_http1_limits *limits)
{
    cs_http1_parser *p = calloc(1, sizeof *p);
    if (p == NULL) {
        return CS_E_NO_MEMORY;
    }
    p->limits = *limits;
    if (p->limits.head_max == 0) {
        p->limits.head_max = HEAD_DEFAULT;
    }
    p->kind = kind;
    p->text = cs_buf_heap(p->limits.head_max);
    p->body = cs_buf_heap(p->limits.body_max);
    start(p);
    *out = p;
    return CS_OK;
}

static cs_slice slice_of(const cs_http1_parser *p, span s)
{
    return s.len == 0 ? cs_slice_of("", 0) : cs_slice_of(p->text.p + s.at, s.len);
}

static void fill_message(cs_http1_parser *p)
{
    p->msg.method = slice_of(p, p->method);
    p->msg.target = slice_of(p, p->target);
    p->msg.status = p->kind == CS_HTTP1_RESPONSE ? p->ll.status_code : 0;
    p->msg.num_headers = p->num;
    for (size_t i = 0; i < p->num; i++) {
        p->msg.headers[i] = (cs_http1_header){slice_of(p, p->names[i]), slice_of(p, p->values[i])};
        p->msg.headers[i].value = cs_trim(p->msg.headers[i].value, " \t");
    }
    p->msg.body = p->body.len > 0 ? cs_buf_slice(&p->body) : cs_slice_of("", 0);
    p->msg.http10 = p->ll.http_minor == 0;
    p->msg.keep_alive = p->ll.http_minor == 1 && llhttp_should_keep_alive(&p->ll) != 0;
}

static cs_err error_of(const cs_http1_parser *p, llhttp_errno_t e)
{
    if (p->err != CS_OK) {
        return p->err;
    }
    if (e == HPE_PAUSED_UPGRADE || e == HPE_PAUSED_H2_UPGRADE || e == HPE_INVALID_VERSION) {
        return CS_E_UNSUPPORTED;
    }
    return CS_E_FORMAT;
}

/* llhttp lets single LFs end lines and joins folded ones; neither is accepted here. */
static cs_err check_head_bytes(cs_http1_parser *p, cs_slice data)
{
    for (size_t i = 0; i < data.len; i++) {
        uint8_t c = data.p[i];
        if ((c == '\n') != (p->last == '\r') || ((c == ' ' || c == '\t') && p->last == '\n')) {
            return CS_E_FORMAT;
        }
        p->last = c;
    }
    return CS_OK;
}

/* Bytes up to the empty line go in line by line, so that the strict check above never looks at a body. */
static size_t head_piece(const cs_http1_parser *p, cs_slice data)
{
    if (p->head_done) {
        return data.len;
    }
    const uint8_t *lf = memchr(data.p, '\n', data.len);
    return lf != NULL ? (size_t)(lf - data.p) + 1 : data.len;
}

/* The empty line behind the last chunk is the one that llhttp lets end in a single LF. n bytes of piece were the last ones. */
static cs_err check_end(const cs_http1_parser *p, cs_slice piece, size_t n)
{
    uint8_t before = n >= 2 ? piece.p[n - 2] : p->last;
    return !p->has_coding || p->no_body || before == '\r' ? CS_OK : CS_E_FORMAT;
}

cs_err cs_http1_feed(cs_http1_parser *p, size_t *out_used, bool *out_done, cs_slice data)
{
    *out_used = 0;
    *out_done = p->done;
    while (p->err == CS_OK && !p->done && *out_used < data.len) {
        cs_slice rest = cs_slice_of(data.p + *out_used, data.len - *out_used);
        cs_slice piece = cs_slice_of(rest.p, head_piece(p, rest));
        if (!p->head_done) {
            p->head_bytes += piece.len;
            p->err = p->head_bytes > p->limits.head_max ? CS_E_TOO_LARGE : check_head_bytes(p, piece);
            if (p->err != CS_OK) {
                break;
            }
        }
        bool in_body = p->head_done;
        p->started = true;
        llhttp_errno_t e = llhttp_execute(&p->ll, (const char *)piece.p, piece.len);
        if (p->done) { /* paused: error_pos is the first byte that was not taken */
            const char *pos = llhttp_get_error_pos(&p->ll);
            size_t used = e == HPE_PAUSED && pos != NULL ? (size_t)(pos - (const char *)piece.p) : piece.len;
            *out_used += used;
            p->err = in_body ? check_end(p, piece, used) : CS_OK;
        } else if (e != HPE_OK) {
            p->err = error_of(p, e);
        } else {
            *out_used += piece.len;
            p->last = piece.p[piece.len - 1];
        }
    }
    if (p->err == CS_OK && p->done && !*out_done) {
        fill_message(p);
    }
    *out_done = p->err == CS_OK && p->done;
    return p->err;
}

cs_err cs_http1_eof(cs_http1_parser *p, bool *out_done)
{
    *out_done = false;
    if (p->err != CS_OK || p->done) {
        *out_done = p->err == CS_OK;
        return p->err;
    }
    if (!p->head_done || llhttp_message_needs_eof(&p->ll) == 0) {
        return CS_E_CLOSED;
    }
    p->done = true;
    fill_message(p);
    p->msg.keep_alive = false;
    *out_done = true;
    return CS_OK;
}

const cs_http1_msg *cs_http1_message(const cs_http1_parser *p)
{
    return &p->msg;
}

bool cs_http1_wants_continue(const cs_http1_parser *p)
{
    for (size_t i = 0; p->head_done && !p->done && p->body.len == 0 && p->ll.http_minor == 1 && i < p->num; i++) {
        cs_slice v = slice_of(p, p->values[i]);
        v = cs_trim(v, " \t");
        if (name_is(p, i, "expect") && v.len == 12 && strncasecmp((const char *)v.p, "100-continue", 12) == 0) {
            return true;
        }
    }
    return false;
}

bool cs_http1_started(const cs_http1_parser *p)
{
    return p->started;
}

bool cs_http1_head_done(const cs_http1_parser *p)
{
    return p->head_done;
}

size_t cs_http1_held(const cs_http1_parser *p)
{
    return p->text.cap + p->body.cap;
}

void cs_http1_expects_no_body(cs_http1_parser *p)
{
    p->no_body = true;
}

void cs_http1_reset(cs_http1_parser *p)
{
    cs_buf text = p->text;
    cs_buf body = p->body;
    cs_http1_limits limits = p->limits;
    cs_http1_kind kind = p->kind;
    cs_buf_wipe(&text);
    cs_buf_wipe(&body);
    *p = (cs_http1_parser){.limits = limits,
                           .kind = kind,
                           .text = text,
                           .body = body,
                           .body_fn = p->body_fn,
                           .body_cookie = p->body_cookie};
    start(p);
}

void cs_http1_stream_body(cs_http1_parser *p, cs_http1_body_fn *fn, void *cookie)
{
    p->body_fn = fn;
    p->body_cookie = cookie;
}

void cs_http1_parser_free(cs_http1_parser *p)
{
    if (p != NULL) {
        cs_buf_free(&p->text);
        cs_buf_free(&p->body);
        free(p);
    }
}

cs_slice cs_http1_header_get(const cs_http1_msg *m, const char *name)
{
    for (size_t i = 0; i < m->num_headers; i++) {
        const cs_http1_header *h = &m->headers[i];
        if (h->name.len == strlen(name) && strncasecmp((const char *)h->name.p, name, h->name.len) == 0) {
            return h->value;
        }
    }
    return CS_SLICE_NULL;
}
