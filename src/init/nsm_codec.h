/*
 * The two requests that sign-init makes to /dev/nsm, and their responses: CBOR as the module takes it. Pure.
 * Source: specs/nitro-kms.md 4.2.
 */
#ifndef CS_INIT_NSM_CODEC_H
#define CS_INIT_NSM_CODEC_H

#include "base/bytes.h"

#define CS_INIT_NSM_IOCTL 0xC0200A00ul /* _IOWR(0x0A, 0, struct nsm_raw) [nitro-kms.md 4.1] */
#define CS_INIT_NSM_RESPONSE_MAX 12288u
#define CS_INIT_NSM_RANDOM_MAX 4096u /* bytes of one answer; the module gives 256 */
#define CS_INIT_PCR_BYTES 48u

/* cs_init_put_get_random, cs_init_put_describe_pcr - append a request (index 0..31). CS_E_RANGE. */
CS_MUST cs_err cs_init_put_get_random(cs_buf *out);
CS_MUST cs_err cs_init_put_describe_pcr(cs_buf *out, unsigned index);
/*
 * cs_init_read_random - append the random bytes of a response: 1 to CS_INIT_NSM_RANDOM_MAX, not all the same. They are secret
 * until they are in the kernel's pool. cs_init_read_pcr - the value of a response to DescribePCR.
 * CS_E_NSM for {"Error": ...} and for whatever is not the response (out unchanged); cs_init_read_random also CS_E_ENTROPY (no
 * byte, or one byte repeated) and CS_E_RANGE (out is too small).
 */
CS_MUST cs_err cs_init_read_random(cs_buf *out, cs_slice response);
CS_MUST cs_err cs_init_read_pcr(uint8_t out[CS_INIT_PCR_BYTES], cs_slice response);

#endif
