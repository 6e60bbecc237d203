/* Inside of the share file's parser: sharefile.c (parties, accounts, units) and sharefile_tee.c (sealing roots, callers). */
#ifndef CS_CODEC_SHAREFILE_INT_H
#define CS_CODEC_SHAREFILE_INT_H

#include "codec/json.h"
#include "codec/sharefile.h"

typedef struct cs_sharefile_parser {
    cs_json j;
    cs_sharefile_work *work;
    const char *what; /* of the first fault */
    uint32_t num_sets;
    unsigned unit; /* what comes next */
} cs_sharefile_parser;

/* cs_sharefile_fail - e; what is kept when it is the first. */
cs_err cs_sharefile_fail(cs_sharefile_parser *p, cs_err e, const char *what);

#define CS_SHAREFILE_NEED(p, x, what)                                                                                  \
    do {                                                                                                               \
        if ((x) != CS_OK) {                                                                                            \
            return cs_sharefile_fail((p), CS_E_SHARES_FORMAT, (what));                                                 \
        }                                                                                                              \
    } while (0)

/* cs_sharefile_hex - "<hex>" of exactly len bytes. The digits may be secret: no scanning, no escape. */
cs_err cs_sharefile_hex(cs_sharefile_parser *p, uint8_t *out, size_t len);
/* cs_sharefile_number - digits only; CS_E_SHARES_ACCOUNT when above max. */
cs_err cs_sharefile_number(cs_sharefile_parser *p, uint64_t max, uint64_t *out);
/* cs_sharefile_text - a string without escapes. cs_sharefile_key - the same and ':'. */
cs_err cs_sharefile_text(cs_sharefile_parser *p, cs_slice *out);
cs_err cs_sharefile_key(cs_sharefile_parser *p, cs_slice *out);
/*
 * cs_sharefile_object - field is called for each key, which it must know and which must not come twice: it returns the bit of the
 * key. The bits seen are in *out_seen.
 */
typedef cs_err cs_sharefile_field(cs_sharefile_parser *p, cs_slice name, uint32_t *out_bit);
cs_err cs_sharefile_object(cs_sharefile_parser *p, cs_sharefile_field *field, uint32_t *out_seen);
cs_err cs_sharefile_unknown(cs_sharefile_parser *p);

/* cs_sharefile_sealing - the array behind "countersign/sealing":. cs_sharefile_caller_next - one caller of "countersign/callers". */
cs_err cs_sharefile_sealing(cs_sharefile_parser *p, const cs_sharefile_events *events, void *cookie);
cs_err cs_sharefile_caller_next(cs_sharefile_parser *p, const cs_sharefile_events *events, void *cookie);

#endif
