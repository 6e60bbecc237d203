/* The canonical request: path, query string and headers in the one form that both sides hash. See sigv4_canon.h. */
#include "net/aws/sigv4_canon.h"

#include <string.h>

typedef struct param {
    uint32_t key_at, key_len; /* offsets into the buffer of encoded text: it may move while it grows */
    uint32_t value_at, value_len;
} param;

typedef struct header_ref {
    const cs_sigv4_header *h;
    size_t index;
} header_ref;

static bool is_unreserved(uint8_t c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
           c == '.' || c == '~';
}

cs_err cs_sigv4_put_encoded(cs_buf *out, cs_slice text, bool keep_slash)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t len0 = out->len;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.p[i];
        uint8_t esc[3] = {'%', (uint8_t)digits[c >> 4], (uint8_t)digits[c & 15]};
        bool plain = is_unreserved(c) || (keep_slash && c == '/');
        cs_err err = plain ? cs_put_u8(out, c) : cs_put(out, esc, 3);
        if (err != CS_OK) {
            out->len = len0;
            return err;
        }
    }
    return CS_OK;
}

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* lenient: a '%' that starts no escape stands for itself, as in the request of a client that did not encode */
static cs_err put_decoded(cs_buf *out, cs_slice text, bool lenient)
{
    size_t len0 = out->len;
    cs_err err = CS_OK;
    for (size_t i = 0; i < text.len && err == CS_OK; i++) {
        uint8_t c = text.p[i];
        if (c == '%') {
            bool whole = text.len - i > 2;
            int hi = whole ? hex_value(text.p[i + 1]) : -1;
            int lo = whole ? hex_value(text.p[i + 2]) : -1;
            if (hi >= 0 && lo >= 0) {
                c = (uint8_t)(hi << 4 | lo);
                i += 2;
            } else if (!lenient) {
                err = CS_E_FORMAT;
                break;
            }
        }
        err = cs_put_u8(out, c);
    }
    if (err != CS_OK) {
        out->len = len0;
    }
    return err;
}

cs_err cs_sigv4_put_decoded(cs_buf *out, cs_slice text)
{
    return put_decoded(out, text, false);
}

/* Drop empty and "." segments, let ".." take the one before away; a final slash stays. */
static cs_err put_normalized(cs_buf *out, cs_slice path)
{
    size_t base = out->len;
    for (size_t i = 0; i < path.len;) {
        size_t end = i;
        while (end < path.len && path.p[end] != '/') {
            end++;
        }
        cs_slice seg = cs_slice_of(path.p + i, end - i);
        i = end + 1;
        if (seg.len == 0 || cs_slice_eq_str(seg, ".")) {
            continue;
        }
        if (cs_slice_eq_str(seg, "..")) {
            while (out->len > base && out->p[--out->len] != '/') {
            }
            continue;
        }
        CS_TRY(cs_put_u8(out, '/'));
        CS_TRY(cs_put_slice(out, seg));
    }
    if (out->len == base || (path.len > 0 && path.p[path.len - 1] == '/')) {
        CS_TRY(cs_put_u8(out, '/'));
    }
    return CS_OK;
}

static cs_err put_path(cs_buf *out, cs_slice path, unsigned flags)
{
    cs_buf tmp = cs_buf_heap(CS_SIGV4_MAX_TEXT);
    cs_err err;
    if (path.len == 0) {
        path = cs_slice_str("/");
    }
    if (flags & CS_SIGV4_SINGLE_ENCODE) {
        err = put_decoded(&tmp, path, true); /* then encoded once: one form whatever the client left plain */
    } else if (flags & CS_SIGV4_NORMALIZE) {
        err = put_normalized(&tmp, path);
    } else {
        err = cs_put_slice(&tmp, path);
    }
    if (err == CS_OK) {
        err = cs_sigv4_put_encoded(out, cs_buf_slice(&tmp), true);
    }
    cs_buf_free(&tmp);
    return err;
}

static int bytes_cmp(cs_slice a, cs_slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int c = n == 0 ? 0 : memcmp(a.p, b.p, n);
    return c != 0 ? c : (a.len > b.len) - (a.len < b.len);
}

static int param_cmp(const cs_buf *text, const param *a, const param *b)
{
    int c = bytes_cmp(cs_slice_of(text->p + a->key_at, a->key_len), cs_slice_of(text->p + b->key_at, b->key_len));
    if (c != 0) {
        return c;
    }
    return bytes_cmp(cs_slice_of(text->p + a->value_at, a->value_len),
                     cs_slice_of(text->p + b->value_at, b->value_len));
}

/* Append text decoded, then encoded: the same whatever the client encoded needlessly. */
static cs_err put_recoded(cs_buf *out, cs_slice text, uint32_t *at, uint32_t *len)
{
    cs_buf tmp = cs_buf_heap(CS_SIGV4_MAX_TEXT);
    cs_err err = put_decoded(&tmp, text, true);
    *at = (uint32_t)out->len;
    if (err == CS_OK) {
        err = cs_sigv4_put_encoded(out, cs_buf_slice(&tmp), false);
    }
    *len = (uint32_t)(out->len - *at);
    cs_buf_free(&tmp);
    return err;
}

static cs_err collect_params(cs_buf *text, param *params, size_t *num, cs_slice query)
{
    for (size_t i = 0; i < query.len;) {
        size_t end = i, eq;
        while (end < query.len && query.p[end] != '&') {
            end++;
        }
        for (eq = i; eq < end && query.p[eq] != '='; eq++) {
        }
        cs_slice key = cs_slice_of(query.p + i, eq - i);
        cs_slice value = eq < end ? cs_slice_of(query.p + eq + 1, end - eq - 1) : CS_SLICE_NULL;
        bool empty = end == i;
        i = end + 1;
        if (empty || cs_slice_eq_str(key, "X-Amz-Signature")) {
            continue;
        }
        if (*num == CS_SIGV4_MAX_PARAMS) {
            return CS_E_RANGE;
        }
        param p;
        CS_TRY(put_recoded(text, key, &p.key_at, &p.key_len));
        CS_TRY(put_recoded(text, value, &p.value_at, &p.value_len));
        size_t at = (*num)++;
        for (; at > 0 && param_cmp(text, &params[at - 1], &p) > 0; at--) {
            params[at] = params[at - 1];
        }
        params[at] = p;
    }
    return CS_OK;
}

/* a part of text; text has no memory yet when all its parts are empty */
static cs_slice part_of(const cs_buf *text, size_t at, size_t len)
{
    return len > 0 ? cs_slice_of(text->p + at, len) : CS_SLICE_NULL;
}

static cs_err put_query(cs_buf *out, cs_slice query)
{
    cs_buf text = cs_buf_heap(CS_SIGV4_MAX_TEXT);
    param params[CS_SIGV4_MAX_PARAMS];
    size_t num = 0;
    cs_err err = collect_params(&text, params, &num, query);
    for (size_t i = 0; i < num && err == CS_OK; i++) {
        err = i > 0 ? cs_put_u8(out, '&') : CS_OK;
        if (err == CS_OK) {
            err = cs_put_slice(out, part_of(&text, params[i].key_at, params[i].key_len));
        }
        if (err == CS_OK) {
            err = cs_put_u8(out, '=');
        }
        if (err == CS_OK) {
            err = cs_put_slice(out, part_of(&text, params[i].value_at, params[i].value_len));
        }
    }
    cs_buf_free(&text);
    return err;
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

int cs_sigv4_name_cmp(cs_slice a, cs_slice b)
{
    for (size_t i = 0; i < a.len && i < b.len; i++) {
        int d = (int)lower(a.p[i]) - (int)lower(b.p[i]);
        if (d != 0) {
            return d;
        }
    }
    return (a.len > b.len) - (a.len < b.len);
}

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n'; /* folded lines are blanks too */
}

static cs_err put_value(cs_buf *out, cs_slice v)
{
    bool any = false, gap = false;
    for (size_t i = 0; i < v.len; i++) {
        if (is_blank(v.p[i])) {
            gap = any;
            continue;
        }
        if (gap) {
            CS_TRY(cs_put_u8(out, ' '));
        }
        CS_TRY(cs_put_u8(out, v.p[i]));
        any = true;
        gap = false;
    }
    return CS_OK;
}

static bool name_valid(cs_slice n)
{
    for (size_t i = 0; i < n.len; i++) {
        uint8_t c = n.p[i];
        if (c <= ' ' || c >= 0x7f || c == ':' || c == ';' || c == ',') {
            return false;
        }
    }
    return n.len > 0;
}

/* References sorted by name; equal names keep the order in which they were sent. */
static cs_err sort_headers(header_ref *refs, size_t *num, const cs_sigv4_request *r)
{
    if (r->num_headers > CS_SIGV4_MAX_HEADERS) {
        return CS_E_RANGE;
    }
    *num = 0;
    for (size_t i = 0; i < r->num_headers; i++) {
        if (!name_valid(r->headers[i].name)) {
            return CS_E_FORMAT;
        }
        size_t at = (*num)++;
        for (; at > 0 && cs_sigv4_name_cmp(refs[at - 1].h->name, r->headers[i].name) > 0; at--) {
            refs[at] = refs[at - 1];
        }
        refs[at] = (header_ref){&r->headers[i], i};
    }
    return CS_OK;
}

/* The next name of "a;b;c"; false at the end. */
static bool next_name(const char **list, cs_slice *out)
{
    if (**list == '\0') {
        return false;
    }
    size_t n = strcspn(*list, ";");
    *out = cs_slice_of(*list, n);
    *list += n + ((*list)[n] == ';' ? 1 : 0);
    return true;
}

static cs_err put_one_header(cs_buf *out, cs_buf *names, const header_ref *refs, size_t n)
{
    cs_slice name = refs[0].h->name;
    if (names->len > 0) {
        CS_TRY(cs_put_u8(names, ';'));
    }
    for (size_t i = 0; i < name.len; i++) {
        CS_TRY(cs_put_u8(out, lower(name.p[i])));
        CS_TRY(cs_put_u8(names, lower(name.p[i])));
    }
    for (size_t i = 0; i < n; i++) {
        CS_TRY(cs_put_u8(out, i == 0 ? ':' : ','));
        CS_TRY(put_value(out, refs[i].h->value));
    }
    return cs_put_u8(out, '\n');
}

static cs_err put_headers(cs_buf *out, cs_buf *names, const cs_sigv4_request *r, const char *only)
{
    header_ref refs[CS_SIGV4_MAX_HEADERS];
    size_t num = 0, i = 0;
    cs_slice want = CS_SLICE_NULL;
    CS_TRY(sort_headers(refs, &num, r));
    while (only == NULL ? i < num : next_name(&only, &want)) {
        /* both lists are sorted: a wanted name that is not ahead is missing, repeated or out of order */
        while (only != NULL && i < num && cs_sigv4_name_cmp(refs[i].h->name, want) < 0) {
            i++;
        }
        if (i == num || (only != NULL && cs_sigv4_name_cmp(refs[i].h->name, want) != 0)) {
            return CS_E_FORMAT;
        }
        size_t n = 1;
        while (i + n < num && cs_sigv4_name_cmp(refs[i + n].h->name, refs[i].h->name) == 0) {
            n++;
        }
        CS_TRY(put_one_header(out, names, refs + i, n));
        i += n;
    }
    return CS_OK;
}

cs_err cs_sigv4_canonical(cs_buf *out, cs_buf *names, const cs_sigv4_request *r, const char *only, unsigned flags)
{
    CS_TRY(cs_put_slice(out, r->method));
    CS_TRY(cs_put_u8(out, '\n'));
    CS_TRY(put_path(out, r->path, flags));
    CS_TRY(cs_put_u8(out, '\n'));
    CS_TRY(put_query(out, r->query));
    CS_TRY(cs_put_u8(out, '\n'));
    CS_TRY(put_headers(out, names, r, only));
    CS_TRY(cs_put_u8(out, '\n'));
    CS_TRY(cs_put(out, names->p, names->len));
    CS_TRY(cs_put_u8(out, '\n'));
    return cs_put_slice(out, r->payload_hash);
}
