/* A BER reader for CMS: tag, length, contents, definite or indefinite. Internal to secret/cms. */
#ifndef CS_SECRET_CMS_BER_H
#define CS_SECRET_CMS_BER_H

#include "base/bytes.h"

#define CS_BER_MAX_DEPTH 10 /* the deepest place of a genuine envelope: the hash in the parameters of MGF1 */

enum {
    CS_BER_INTEGER = 0x02,
    CS_BER_OCTETS = 0x04,
    CS_BER_NULL = 0x05,
    CS_BER_OID = 0x06,
    CS_BER_SEQUENCE = 0x30,
    CS_BER_SET = 0x31,
    CS_BER_CONTEXT_0 = 0x80,             /* [0] primitive */
    CS_BER_CONTEXT_0_CONSTRUCTED = 0xa0, /* [0] constructed */
    CS_BER_CONTEXT_1_CONSTRUCTED = 0xa1,
};

/* The contents of one constructed element, or a whole input. */
typedef struct cs_ber {
    cs_reader r;
    unsigned depth;
} cs_ber;

cs_ber cs_ber_of(cs_slice bytes);
/* cs_ber_peek - identifier octet of the next element; -1 at the end. */
int cs_ber_peek(const cs_ber *b);
/*
 * cs_ber_get - the next element has this one-octet tag: its contents (without end-of-contents octets). Indefinite only when
 * constructed. Lengths of at most two octets, in any form. CS_E_FORMAT, *b as before.
 */
CS_MUST cs_err cs_ber_get(cs_ber *b, uint8_t tag, cs_slice *contents);
/* cs_ber_enter - the same for a constructed element, to be read itself. CS_E_FORMAT also beyond CS_BER_MAX_DEPTH. */
CS_MUST cs_err cs_ber_enter(cs_ber *b, uint8_t tag, cs_ber *child);
/* cs_ber_expect - the next element has this tag and exactly these contents. */
CS_MUST cs_err cs_ber_expect(cs_ber *b, uint8_t tag, cs_slice contents);
CS_MUST cs_err cs_ber_end(const cs_ber *b);

#endif
