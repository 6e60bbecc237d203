/*
 * Bytes: slices (input), a reader (the only way to parse) and buffers (output with a maximum fixed at init).
 * A getter of the reader fails or advances, never both. All integers on the wire are big endian.
 * Not for secrets that must be wiped: those live in secret/mem.h types (a cs_buf may point into such memory, see
 * cs_buf_wrap, and cs_buf_wipe wipes what was written).
 */
#ifndef CS_BASE_BYTES_H
#define CS_BASE_BYTES_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

typedef struct cs_slice {
    const uint8_t *p;
    size_t len;
} cs_slice;

#define CS_SLICE_NULL ((cs_slice){NULL, 0})

static inline cs_slice cs_slice_of(const void *p, size_t len)
{
    return (cs_slice){(const uint8_t *)p, len};
}
/* cs_slice_str - the bytes of a C string without its NUL. */
cs_slice cs_slice_str(const char *s);
/* cs_slice_eq - variable-time equality: for public data only. */
bool cs_slice_eq(cs_slice a, cs_slice b);
bool cs_slice_eq_str(cs_slice a, const char *s);

typedef struct cs_reader {
    const uint8_t *p;
    size_t left;
} cs_reader;

static inline cs_reader cs_reader_of(cs_slice s)
{
    return (cs_reader){s.p, s.len};
}
/* Getters: CS_OK and advanced, or CS_E_FORMAT and unchanged when fewer bytes are left. */
CS_MUST cs_err cs_read_u8(cs_reader *r, uint8_t *out);
CS_MUST cs_err cs_read_u16(cs_reader *r, uint16_t *out);
CS_MUST cs_err cs_read_u32(cs_reader *r, uint32_t *out);
CS_MUST cs_err cs_read_u64(cs_reader *r, uint64_t *out);
CS_MUST cs_err cs_read_bytes(cs_reader *r, void *out, size_t len);
CS_MUST cs_err cs_read_slice(cs_reader *r, cs_slice *out, size_t len);
/* cs_read_line - up to LF (not included, consumed); CS_E_FORMAT when there is no LF within max_len bytes. */
CS_MUST cs_err cs_read_line(cs_reader *r, cs_slice *out, size_t max_len);
/* cs_read_end - CS_OK when nothing is left. */
CS_MUST cs_err cs_read_end(const cs_reader *r);

/*
 * A buffer that never grows beyond `max`. Either wraps memory of the caller (heap == false) or owns heap memory.
 * The zero state is valid: a buffer of maximum 0. On error the contents are as before.
 */
typedef struct cs_buf {
    uint8_t *p;
    size_t len;
    size_t cap;
    size_t max;
    bool heap;
} cs_buf;

/* cs_buf_wrap - use `cap` bytes at `mem`; nothing is owned. */
cs_buf cs_buf_wrap(void *mem, size_t cap);
/* cs_buf_heap - grows on the heap up to max bytes; free with cs_buf_free. */
cs_buf cs_buf_heap(size_t max);
/* Writers: CS_OK, CS_E_RANGE (over max) or CS_E_NO_MEMORY. */
CS_MUST cs_err cs_put(cs_buf *b, const void *p, size_t len);
CS_MUST cs_err cs_put_slice(cs_buf *b, cs_slice s);
CS_MUST cs_err cs_put_str(cs_buf *b, const char *s);
CS_MUST cs_err cs_put_u8(cs_buf *b, uint8_t v);
CS_MUST cs_err cs_put_u16(cs_buf *b, uint16_t v);
CS_MUST cs_err cs_put_u32(cs_buf *b, uint32_t v);
CS_MUST cs_err cs_put_u64(cs_buf *b, uint64_t v);
/* cs_put_space - reserve len bytes for the caller to fill; *out stays valid until the next write, and is never NULL. */
CS_MUST cs_err cs_put_space(cs_buf *b, uint8_t **out, size_t len);
CS_MUST __attribute__((format(printf, 2, 3))) cs_err cs_put_fmt(cs_buf *b, const char *fmt, ...);
/* cs_buf_consume - drop the first n bytes (n <= len); the rest moves to the front. */
void cs_buf_consume(cs_buf *b, size_t n);
static inline cs_slice cs_buf_slice(const cs_buf *b)
{
    return (cs_slice){b->p, b->len};
}
/* cs_buf_wipe - zero what was written (whole capacity) and set len to 0; cs_buf_free - wipe, then free heap memory. */
void cs_buf_wipe(cs_buf *b);
void cs_buf_free(cs_buf *b);

/* cs_store_*, cs_load_* - big-endian integers at p. */
void cs_store_u16(uint8_t *p, uint16_t v);
void cs_store_u32(uint8_t *p, uint32_t v);
void cs_store_u64(uint8_t *p, uint64_t v);
uint16_t cs_load_u16(const uint8_t *p);
uint32_t cs_load_u32(const uint8_t *p);
uint64_t cs_load_u64(const uint8_t *p);

/* cs_try - return from the calling function with the error of x. For functions that own nothing yet. */
#define CS_TRY(x)                                                                                                      \
    do {                                                                                                               \
        cs_err cs_try_err_ = (x);                                                                                      \
        if (cs_try_err_ != CS_OK) {                                                                                    \
            return cs_try_err_;                                                                                        \
        }                                                                                                              \
    } while (0)

#endif
