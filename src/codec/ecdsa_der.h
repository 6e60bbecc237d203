/*
 * ECDSA-Sig-Value: SEQUENCE { r INTEGER, s INTEGER } <-> r || s of fixed width. Strict DER: one encoding for
 * each pair, as X.690 11 has
 * it; nothing negative, no zero in front that is not needed, nothing behind. Pure. Source: RFC 3279 2.2.3, SEC 1 C.5.
 */
#ifndef CS_CODEC_ECDSA_DER_H
#define CS_CODEC_ECDSA_DER_H

#include "base/bytes.h"

#define CS_ECDSA_WIDTH_MAX 66               /* P-521 */
#define CS_ECDSA_DER_MAX (3 + 2 * (3 + 66)) /* bytes of an encoded signature */

/*
 * cs_ecdsa_der_parse - out_rs: 2 * width bytes, width 1..CS_ECDSA_WIDTH_MAX. CS_E_FORMAT (no DER) | CS_E_RANGE
 * (a number that needs more
 * than width bytes; width). Whether r and s are in range of the curve is for the verifier. On error out is unchanged.
 * cs_ecdsa_der_put - append the encoding of rs. CS_E_RANGE (width; out) | CS_E_NO_MEMORY.
 */
CS_MUST cs_err cs_ecdsa_der_parse(uint8_t *out_rs, size_t width, cs_slice der);
CS_MUST cs_err cs_ecdsa_der_put(cs_buf *out, const uint8_t *rs, size_t width);

#endif
