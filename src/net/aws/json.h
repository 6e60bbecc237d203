/*
 * A small strict JSON reader for the answers of AWS inside the enclave, where no JSON library is linked: one object, of which the
 * members in a table are taken; all else is checked for being well formed and passed over. Pure, no allocation.
 * Source: RFC 8259; numbers, literals, escapes and UTF-8 are checked in full, nesting is at most CS_JSON_MAX_DEPTH.
 */
#ifndef CS_NET_AWS_JSON_H
#define CS_NET_AWS_JSON_H

#include "base/bytes.h"

#define CS_JSON_MAX_DEPTH 16

typedef enum cs_json_kind {
    CS_JSON_STRING, /* decoded text is appended to out */
    CS_JSON_NUMBER, /* raw: its text */
    CS_JSON_OBJECT, /* raw: its text, from brace to brace */
    CS_JSON_BOOL,   /* raw: "true" or "false" */
} cs_json_kind;

typedef struct cs_json_field {
    const char *key;
    cs_json_kind kind;
    cs_buf *out; /* CS_JSON_STRING */
    bool required;
    bool seen;    /* set by cs_json_read; null counts as absent */
    cs_slice raw; /* set by cs_json_read */
} cs_json_field;

/*
 * cs_json_read - take the fields out of one object with nothing but blanks around it. Outputs of string fields that were read
 * before an error are to be wiped by the caller when they are secret.
 * CS_E_FORMAT (not JSON, wrong kind, a field twice, a required field absent) | CS_E_RANGE (a string longer than its out)
 */
CS_MUST cs_err cs_json_read(cs_slice text, cs_json_field *fields, size_t num_fields);

#endif
