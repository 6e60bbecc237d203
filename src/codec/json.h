/*
 * JSON (RFC 8259), strict: a pull reader over bytes. No heap, no values stored. Objects may name a key twice as far as this
 * reader is concerned: who reads an object refuses that. Getters fail with CS_E_FORMAT and leave the reader unchanged.
 */
#ifndef CS_CODEC_JSON_H
#define CS_CODEC_JSON_H

#include "base/bytes.h"

#define CS_JSON_MAX_DEPTH 64

typedef struct cs_json {
    cs_reader r;
} cs_json;

typedef enum cs_json_type {
    CS_JSON_OBJECT,
    CS_JSON_ARRAY,
    CS_JSON_STRING,
    CS_JSON_NUMBER,
    CS_JSON_WORD, /* true, false, null */
    CS_JSON_END,  /* nothing left, or a byte that begins no value */
} cs_json_type;

cs_json cs_json_of(cs_slice text);
/* cs_json_peek - what comes next, behind white space. */
cs_json_type cs_json_peek(cs_json *j);
/* cs_json_char - white space and this punctuation byte. cs_json_try - the same; false when another byte comes. */
CS_MUST cs_err cs_json_char(cs_json *j, char c);
bool cs_json_try(cs_json *j, char c);
/* cs_json_string - the raw bytes between the quotes: UTF-8 and escapes are checked, not decoded. *out_plain: no escape in it. */
CS_MUST cs_err cs_json_string(cs_json *j, cs_slice *out_raw, bool *out_plain);
/* cs_json_number - the text of a number. cs_json_u64 - a number of digits only, at most max; CS_E_RANGE when above. */
CS_MUST cs_err cs_json_number(cs_json *j, cs_slice *out);
CS_MUST cs_err cs_json_u64(cs_json *j, uint64_t max, uint64_t *out);
/* cs_json_space - skips white space. */
void cs_json_space(cs_json *j);
/* cs_json_skip - one whole value, nested at most CS_JSON_MAX_DEPTH deep. cs_json_end - nothing but white space is left. */
CS_MUST cs_err cs_json_skip(cs_json *j);
CS_MUST cs_err cs_json_end(cs_json *j);

#endif
