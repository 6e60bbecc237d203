/*
 * The log: one JSON line per event to one descriptor (stderr by default), metadata only.
 * {"ts":"2026-01-02T03:04:05.678Z","level":"info","program":"sign-core","event":"phase","phase":"SERVING"}
 * Never pass secrets, plaintext, credentials, digests' pre-images or request bodies. Libraries (codec, secret, attest,
 * net) do not log; programs do, once, where they decide.
 */
#ifndef CS_BASE_LOG_H
#define CS_BASE_LOG_H

#include "base/bytes.h"

typedef enum cs_log_level { CS_LOG_DEBUG, CS_LOG_INFO, CS_LOG_WARN, CS_LOG_ERROR } cs_log_level;

typedef struct cs_log_field {
    const char *key;
    enum { CS_LF_END, CS_LF_STR, CS_LF_CSTR, CS_LF_U64, CS_LF_I64, CS_LF_BOOL, CS_LF_HEX } kind;
    union {
        cs_slice s;
        const char *c;
        uint64_t u;
        int64_t i;
        bool b;
    } v;
} cs_log_field;

#define CS_LSTR(k, sl) ((cs_log_field){(k), CS_LF_STR, {.s = (sl)}})
#define CS_LC(k, cstr) ((cs_log_field){(k), CS_LF_CSTR, {.c = (cstr)}})
#define CS_LU(k, n) ((cs_log_field){(k), CS_LF_U64, {.u = (uint64_t)(n)}})
#define CS_LI(k, n) ((cs_log_field){(k), CS_LF_I64, {.i = (int64_t)(n)}})
#define CS_LB(k, x) ((cs_log_field){(k), CS_LF_BOOL, {.b = (x)}})
#define CS_LHEX(k, sl) ((cs_log_field){(k), CS_LF_HEX, {.s = (sl)}})

/* cs_log_init - program name (kept by pointer), lowest level written, descriptor. */
void cs_log_init(const char *program, cs_log_level level, int fd);
/* cs_log_set_sink - whole lines, with their LF, go to fn instead of the descriptor; NULL: to the descriptor again. */
typedef void cs_log_sink(void *cookie, cs_slice line);
void cs_log_set_sink(cs_log_sink *fn, void *cookie);
/* cs_log_level_of - "debug", "info", "warn", "error"; CS_E_FORMAT. */
CS_MUST cs_err cs_log_level_of(cs_slice name, cs_log_level *out);
/* cs_log_event - fields end with CS_LF_END (the macro adds it). A line longer than 4096 bytes is cut at a field. */
void cs_log_event(cs_log_level level, const char *event, const cs_log_field *fields);
/* cs_log_refusal - event with code, class, cause and fix of e, and the fields. */
void cs_log_refusal(cs_log_level level, const char *event, cs_err e, const cs_log_field *fields);
#ifdef __cppcheck__ /* does not know __VA_OPT__ */
#define cs_log(level, event, ...) cs_log_event((level), (event), NULL)
#define cs_log_err(level, event, e, ...) cs_log_refusal((level), (event), (e), NULL)
#else
#define cs_log(level, event, ...) cs_log_event((level), (event), (const cs_log_field[]){__VA_ARGS__ __VA_OPT__(, ){0}})
#define cs_log_err(level, event, e, ...)                                                                               \
    cs_log_refusal((level), (event), (e), (const cs_log_field[]){__VA_ARGS__ __VA_OPT__(, ){0}})
#endif

#endif
