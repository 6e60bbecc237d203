/* Releases of an enclave image: the PCRs that a key policy binds, from measurements, from an image or as text. */
#ifndef CS_TOOLS_RELEASE_H
#define CS_TOOLS_RELEASE_H

#include <jansson.h>

#include "attest/pcr.h"

#define CS_RELEASE_PCRS 16 /* PCR0..15: what the hypervisor measures; later ones the enclave extends itself */
#define CS_RELEASE_MAX 16  /* releases of one policy */

typedef struct cs_release {
    cs_pcr pcr[CS_RELEASE_PCRS];
    uint32_t mask; /* bit n: PCRn is bound; PCR0 always */
} cs_release;

/*
 * cs_release_parse - "PCR0[:PCR1:PCR2][:PCRn=HEX]...", each 96 hex digits.
 * CS_E_FORMAT | CS_E_ATT_DEBUG (PCR0, 1 or 2 is all zeros: a debug enclave)
 */
CS_MUST cs_err cs_release_parse(cs_release *out, const char *text);
/* cs_release_from_json - members PCRn of the object or of its member Measurements. PCR8 and later of zeros are passed over. Errors as above. */
CS_MUST cs_err cs_release_from_json(cs_release *out, const json_t *doc);
/*
 * cs_release_read - text as above, else the name of a file: measurements as nitro-cli and signctl print them, or an image (EIF),
 * which is measured (PCR8 too when it is signed). Errors as above, and of the file and the image.
 */
CS_MUST cs_err cs_release_read(cs_release *out, const char *arg);
/* cs_release_bind - bind PCR n too; CS_E_RANGE when it is bound to another value. */
CS_MUST cs_err cs_release_bind(cs_release *r, unsigned n, const cs_pcr *value);
bool cs_release_eq(const cs_release *a, const cs_release *b);

#endif
