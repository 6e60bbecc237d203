/* Text codecs: hex and base64, strict. Variable time: for public data (secret decoding is in secret/). */
#ifndef CS_BASE_TEXT_H
#define CS_BASE_TEXT_H

#include "base/bytes.h"

/* cs_hex_encode - lower-case hex of in, NUL-terminated; out holds 2*in.len + 1 bytes. */
void cs_hex_encode(char *out, cs_slice in);
/* cs_hex_decode - exactly out_len bytes from 2*out_len hex digits of either case; CS_E_FORMAT otherwise (out unchanged). */
CS_MUST cs_err cs_hex_decode(uint8_t *out, size_t out_len, cs_slice hex);
/* cs_put_hex - append lower-case hex. */
CS_MUST cs_err cs_put_hex(cs_buf *b, cs_slice in);

typedef enum cs_b64 {
    CS_B64_STD,     /* RFC 4648 section 4, padding required */
    CS_B64_URL,     /* RFC 4648 section 5, no padding */
    CS_B64_STD_RAW, /* section 4 alphabet, no padding (age) */
} cs_b64;

/* cs_b64_put - append the encoding of in. */
CS_MUST cs_err cs_b64_put(cs_buf *out, cs_slice in, cs_b64 kind);
/*
 * cs_b64_get - decode strictly and append: no white space, right padding, unused bits zero, nothing behind.
 * CS_E_FORMAT (out as before) | CS_E_RANGE (out too small).
 */
CS_MUST cs_err cs_b64_get(cs_buf *out, cs_slice text, cs_b64 kind);

/* cs_parse_u64 - decimal, digits only, no leading zero but "0", <= max. CS_E_FORMAT | CS_E_RANGE. */
CS_MUST cs_err cs_parse_u64(cs_slice text, uint64_t max, uint64_t *out);
/* cs_parse_rfc3339 - "YYYY-MM-DDTHH:MM:SSZ" or with offset to milliseconds since the epoch. CS_E_FORMAT. */
CS_MUST cs_err cs_parse_rfc3339(cs_slice text, uint64_t *out_ms);
/* cs_put_rfc3339 - "YYYY-MM-DDTHH:MM:SS.mmmZ". */
CS_MUST cs_err cs_put_rfc3339(cs_buf *b, uint64_t ms);
/* cs_utf8_valid - true when text is well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms). */
bool cs_utf8_valid(cs_slice text);

/* cs_name_valid - at most max bytes of printable ASCII without '"', '\\' and space: names that need no escape anywhere. */
bool cs_name_valid(cs_slice name, size_t max);

/* cs_trim - text without the bytes of the set (" \t") at both ends. */
cs_slice cs_trim(cs_slice text, const char *set);

#define CS_EDIT_MAX 64
/*
 * cs_edit_distance - how many bytes to change, insert or remove to make b of a: for hints at the nearest known name.
 * SIZE_MAX when one is longer than CS_EDIT_MAX.
 */
size_t cs_edit_distance(const char *a, const char *b);

#endif
