#include "base/bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

cs_slice cs_slice_str(const char *s)
{
    return cs_slice_of(s, strlen(s));
}

bool cs_slice_eq(cs_slice a, cs_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

bool cs_slice_eq_str(cs_slice a, const char *s)
{
    return cs_slice_eq(a, cs_slice_str(s));
}

void cs_store_u16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

void cs_store_u32(uint8_t *p, uint32_t v)
{
    cs_store_u16(p, (uint16_t)(v >> 16));
    cs_store_u16(p + 2, (uint16_t)v);
}

void cs_store_u64(uint8_t *p, uint64_t v)
{
    cs_store_u32(p, (uint32_t)(v >> 32));
    cs_store_u32(p + 4, (uint32_t)v);
}

uint16_t cs_load_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

uint32_t cs_load_u32(const uint8_t *p)
{
    return (uint32_t)cs_load_u16(p) << 16 | cs_load_u16(p + 2);
}

uint64_t cs_load_u64(const uint8_t *p)
{
    return (uint64_t)cs_load_u32(p) << 32 | cs_load_u32(p + 4);
}

cs_err cs_read_slice(cs_reader *r, cs_slice *out, size_t len)
{
    if (r->left < len) {
        return CS_E_FORMAT;
    }
    *out = cs_slice_of(r->p, len);
    if (len > 0) {
        r->p += len;
        r->left -= len;
    }
    return CS_OK;
}

cs_err cs_read_bytes(cs_reader *r, void *out, size_t len)
{
    cs_slice s;
    CS_TRY(cs_read_slice(r, &s, len));
    if (len > 0) {
        memcpy(out, s.p, len);
    }
    return CS_OK;
}

cs_err cs_read_u8(cs_reader *r, uint8_t *out)
{
    return cs_read_bytes(r, out, 1);
}

cs_err cs_read_u16(cs_reader *r, uint16_t *out)
{
    uint8_t b[2];
    CS_TRY(cs_read_bytes(r, b, sizeof b));
    *out = cs_load_u16(b);
    return CS_OK;
}

cs_err cs_read_u32(cs_reader *r, uint32_t *out)
{
    uint8_t b[4];
    CS_TRY(cs_read_bytes(r, b, sizeof b));
    *out = cs_load_u32(b);
    return CS_OK;
}

cs_err cs_read_u64(cs_reader *r, uint64_t *out)
{
    uint8_t b[8];
    CS_TRY(cs_read_bytes(r, b, sizeof b));
    *out = cs_load_u64(b);
    return CS_OK;
}

cs_err cs_read_line(cs_reader *r, cs_slice *out, size_t max_len)
{
    size_t window = r->left < max_len + 1 ? r->left : max_len + 1;
    const uint8_t *nl = window > 0 ? memchr(r->p, '\n', window) : NULL;
    if (nl == NULL) {
        return CS_E_FORMAT;
    }
    size_t len = (size_t)(nl - r->p);
    *out = cs_slice_of(r->p, len);
    r->p += len + 1;
    r->left -= len + 1;
    return CS_OK;
}

cs_err cs_read_end(const cs_reader *r)
{
    return r->left == 0 ? CS_OK : CS_E_FORMAT;
}

cs_buf cs_buf_wrap(void *mem, size_t cap)
{
    return (cs_buf){.p = mem, .cap = cap, .max = cap};
}

cs_buf cs_buf_heap(size_t max)
{
    return (cs_buf){.max = max, .heap = true};
}

static void wipe(void *p, size_t len)
{
    if (len > 0) {
        explicit_bzero(p, len);
    }
}

static cs_err grow(cs_buf *b, size_t need)
{
    size_t cap = b->cap > 0 ? b->cap : 64;
    while (cap < need) {
        cap = cap > b->max / 2 ? b->max : cap * 2;
    }
    if (cap > b->max) {
        cap = b->max;
    }
    /* not realloc: the old block may hold what must not stay on the heap */
    uint8_t *p = malloc(cap);
    if (p == NULL) {
        return CS_E_NO_MEMORY;
    }
    if (b->len > 0) {
        memcpy(p, b->p, b->len);
    }
    wipe(b->p, b->cap);
    free(b->p);
    b->p = p;
    b->cap = cap;
    return CS_OK;
}

cs_err cs_put_space(cs_buf *b, uint8_t **out, size_t len)
{
    static uint8_t nothing[1]; /* no bytes of a buffer without memory: NULL + 0 and memcpy to NULL are undefined */
    if (len > b->max - b->len) {
        return CS_E_RANGE;
    }
    if (len > b->cap - b->len) {
        CS_TRY(grow(b, b->len + len));
    }
    *out = b->p != NULL ? b->p + b->len : nothing;
    b->len += len;
    return CS_OK;
}

cs_err cs_put(cs_buf *b, const void *p, size_t len)
{
    uint8_t *at = NULL;
    if (len == 0) {
        return CS_OK;
    }
    CS_TRY(cs_put_space(b, &at, len));
    memcpy(at, p, len);
    return CS_OK;
}

cs_err cs_put_slice(cs_buf *b, cs_slice s)
{
    return cs_put(b, s.p, s.len);
}

cs_err cs_put_str(cs_buf *b, const char *s)
{
    return cs_put(b, s, strlen(s));
}

cs_err cs_put_u8(cs_buf *b, uint8_t v)
{
    return cs_put(b, &v, 1);
}

cs_err cs_put_u16(cs_buf *b, uint16_t v)
{
    uint8_t t[2];
    cs_store_u16(t, v);
    return cs_put(b, t, sizeof t);
}

cs_err cs_put_u32(cs_buf *b, uint32_t v)
{
    uint8_t t[4];
    cs_store_u32(t, v);
    return cs_put(b, t, sizeof t);
}

cs_err cs_put_u64(cs_buf *b, uint64_t v)
{
    uint8_t t[8];
    cs_store_u64(t, v);
    return cs_put(b, t, sizeof t);
}

cs_err cs_put_fmt(cs_buf *b, const char *fmt, ...)
{
    char tmp[512];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(tmp, sizeof tmp, fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= sizeof tmp) {
        return CS_E_RANGE;
    }
    return cs_put(b, tmp, (size_t)n);
}

void cs_buf_consume(cs_buf *b, size_t n)
{
    if (n > b->len) {
        abort(); /* a broken invariant of the caller */
    }
    if (n > 0) {
        memmove(b->p, b->p + n, b->len - n);
        b->len -= n;
    }
}

void cs_buf_wipe(cs_buf *b)
{
    wipe(b->p, b->cap);
    b->len = 0;
}

void cs_buf_free(cs_buf *b)
{
    cs_buf_wipe(b);
    if (b->heap) {
        free(b->p);
    }
    *b = (cs_buf){0};
}
