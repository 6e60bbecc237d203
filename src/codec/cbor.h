/*
 * CBOR (RFC 8949), strict: a pull reader over untrusted bytes and a writer of deterministic CBOR (section 4.2.1).
 *
 * The reader takes each item's head in its shortest form only, refuses reserved values, checks UTF-8 of text and never
 * allocates; nesting is bounded by the caller's own descent (CS_CBOR_MAX_DEPTH for cs_cbor_skip). Indefinite lengths
 * (arrays, maps, strings) are refused unless the reader is made with CS_CBOR_INDEFINITE: attestation documents use them.
 * CS_CBOR_LAX_INT additionally accepts heads that are not in shortest form (specs/nitro-kms.md 5.2: optional).
 * Getters fail with CS_E_FORMAT and then leave the reader unchanged.
 */
#ifndef CS_CODEC_CBOR_H
#define CS_CODEC_CBOR_H

#include "base/bytes.h"

#define CS_CBOR_MAX_DEPTH 16

typedef enum cs_cbor_type {
    CS_CBOR_UINT,
    CS_CBOR_NINT,
    CS_CBOR_BYTES,
    CS_CBOR_TEXT,
    CS_CBOR_ARRAY,
    CS_CBOR_MAP,
    CS_CBOR_TAG,
    CS_CBOR_SIMPLE, /* false, true, null, undefined and other simple values */
    CS_CBOR_FLOAT,
    CS_CBOR_BREAK, /* end of an indefinite array or map */
    CS_CBOR_END,   /* nothing left */
} cs_cbor_type;

enum { CS_CBOR_STRICT = 0, CS_CBOR_INDEFINITE = 1, CS_CBOR_LAX_INT = 2 };

typedef struct cs_cbor {
    cs_reader r;
    unsigned flags;
} cs_cbor;

cs_cbor cs_cbor_of(cs_slice bytes, unsigned flags);
/* cs_cbor_peek - type of the next item (CS_CBOR_END when none). An invalid initial byte reads as CS_CBOR_END + 1. */
cs_cbor_type cs_cbor_peek(const cs_cbor *c);
CS_MUST cs_err cs_cbor_uint(cs_cbor *c, uint64_t *out);
/* cs_cbor_int - any integer that fits int64_t. */
CS_MUST cs_err cs_cbor_int(cs_cbor *c, int64_t *out);
/* cs_cbor_bytes, cs_cbor_text - zero-copy; an indefinite string is CS_E_FORMAT here (use cs_cbor_bytes_copy). */
CS_MUST cs_err cs_cbor_bytes(cs_cbor *c, cs_slice *out);
CS_MUST cs_err cs_cbor_text(cs_cbor *c, cs_slice *out);
/* cs_cbor_bytes_copy, cs_cbor_text_copy - append definite or (if allowed) indefinite strings. CS_E_FORMAT | CS_E_RANGE. */
CS_MUST cs_err cs_cbor_bytes_copy(cs_cbor *c, cs_buf *out);
CS_MUST cs_err cs_cbor_text_copy(cs_cbor *c, cs_buf *out);
CS_MUST cs_err cs_cbor_bool(cs_cbor *c, bool *out);
CS_MUST cs_err cs_cbor_null(cs_cbor *c);
/* cs_cbor_simple - any simple value: 0..19 or 32..255 unassigned, 20 false, 21 true, 22 null, 23 undefined. */
CS_MUST cs_err cs_cbor_simple(cs_cbor *c, uint8_t *out);
/* cs_cbor_nint - a negative integer of any size: its value is -1 - *out. */
CS_MUST cs_err cs_cbor_nint(cs_cbor *c, uint64_t *out);
/* cs_cbor_float - half, single or double precision; every width is accepted for every value. */
CS_MUST cs_err cs_cbor_float(cs_cbor *c, double *out);
CS_MUST cs_err cs_cbor_tag(cs_cbor *c, uint64_t *out);

/* Containers: begin, then cs_cbor_more before each element (each key of a map); it consumes the break. */
typedef struct cs_cbor_iter {
    uint64_t left;
    bool indefinite;
} cs_cbor_iter;
CS_MUST cs_err cs_cbor_array(cs_cbor *c, cs_cbor_iter *it);
CS_MUST cs_err cs_cbor_map(cs_cbor *c, cs_cbor_iter *it);
/* cs_cbor_more - true when another element follows. A definite count larger than the bytes left was refused at begin. */
bool cs_cbor_more(cs_cbor *c, cs_cbor_iter *it);
/* cs_cbor_skip - one whole item of any kind, well-formed, depth <= CS_CBOR_MAX_DEPTH; *out (may be NULL) its bytes. */
CS_MUST cs_err cs_cbor_skip(cs_cbor *c, cs_slice *out);
/* cs_cbor_end - CS_OK when nothing is left. */
CS_MUST cs_err cs_cbor_end(const cs_cbor *c);
/*
 * cs_cbor_check - the bytes are exactly one well-formed item; with CS_CBOR_STRICT also no duplicate map keys. Maps whose
 * keys are in bytewise order cost nothing extra; at most CS_CBOR_MAX_UNORDERED keys of the whole item may be out of order
 * (CS_E_FORMAT beyond that), which bounds the work over hostile input.
 */
#define CS_CBOR_MAX_UNORDERED 256
CS_MUST cs_err cs_cbor_check(cs_slice bytes, unsigned flags);

/* Writer: deterministic heads; the caller writes map keys in bytewise order of their encodings. */
CS_MUST cs_err cs_cbor_put_uint(cs_buf *b, uint64_t v);
CS_MUST cs_err cs_cbor_put_int(cs_buf *b, int64_t v);
CS_MUST cs_err cs_cbor_put_bytes(cs_buf *b, cs_slice v);
CS_MUST cs_err cs_cbor_put_text(cs_buf *b, const char *v);
CS_MUST cs_err cs_cbor_put_text_slice(cs_buf *b, cs_slice v);
CS_MUST cs_err cs_cbor_put_array(cs_buf *b, uint64_t count);
CS_MUST cs_err cs_cbor_put_map(cs_buf *b, uint64_t count);
CS_MUST cs_err cs_cbor_put_bool(cs_buf *b, bool v);
CS_MUST cs_err cs_cbor_put_null(cs_buf *b);
CS_MUST cs_err cs_cbor_put_tag(cs_buf *b, uint64_t tag);
/* cs_cbor_put_nint - the integer -1 - n. cs_cbor_put_simple - CS_E_RANGE for 24..31. */
CS_MUST cs_err cs_cbor_put_nint(cs_buf *b, uint64_t n);
CS_MUST cs_err cs_cbor_put_simple(cs_buf *b, uint8_t v);
/* cs_cbor_put_float - the shortest of half, single and double that keeps the value; every NaN becomes f9 7e00. */
CS_MUST cs_err cs_cbor_put_float(cs_buf *b, double v);

#endif
