/* A JSON writer: correct escaping and commas, nothing else. Reading JSON is elsewhere (jansson outside the enclave). */
#ifndef CS_BASE_JSON_OUT_H
#define CS_BASE_JSON_OUT_H

#include "base/bytes.h"

/* Errors are sticky: check cs_jw_end only. */
typedef struct cs_jw {
    cs_buf *out;
    cs_err err;
    bool comma; /* a value came before in this container */
    int depth;
} cs_jw;

cs_jw cs_jw_begin(cs_buf *out);
/* key may be NULL inside arrays and at the top */
void cs_jw_object(cs_jw *w, const char *key);
void cs_jw_array(cs_jw *w, const char *key);
void cs_jw_close_object(cs_jw *w);
void cs_jw_close_array(cs_jw *w);
/* invalid UTF-8 is replaced by U+FFFD; control characters are escaped */
void cs_jw_str(cs_jw *w, const char *key, cs_slice value);
void cs_jw_cstr(cs_jw *w, const char *key, const char *value);
void cs_jw_u64(cs_jw *w, const char *key, uint64_t value);
void cs_jw_i64(cs_jw *w, const char *key, int64_t value);
void cs_jw_double(cs_jw *w, const char *key, double value);   /* %.6g; NaN and infinity become null */
void cs_jw_double15(cs_jw *w, const char *key, double value); /* the same with %.15g */
void cs_jw_bool(cs_jw *w, const char *key, bool value);
void cs_jw_null(cs_jw *w, const char *key);
void cs_jw_hex(cs_jw *w, const char *key, cs_slice bytes);
void cs_jw_b64(cs_jw *w, const char *key, cs_slice bytes); /* RFC 4648 section 4, padded */
/* cs_jw_end - the first error of all writes, or CS_E_INTERNAL when a container is open. */
CS_MUST cs_err cs_jw_end(const cs_jw *w);

#endif
