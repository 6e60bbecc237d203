/* The canonical request of SigV4: internal to net/aws/sigv4*.c. Source: specs/nitro-kms.md 2.2. */
#ifndef CS_NET_AWS_SIGV4_CANON_H
#define CS_NET_AWS_SIGV4_CANON_H

#include "net/aws/sigv4.h"

/*
 * cs_sigv4_canonical - append the canonical request to out and the signed header names, joined by ';', to names.
 * only: NULL signs every header; else the list "a;b;c" of header names to take, which must be sorted, unique, lower case and
 * all present (CS_E_FORMAT). A query parameter X-Amz-Signature is left out.
 * CS_E_FORMAT | CS_E_RANGE | CS_E_NO_MEMORY
 */
CS_MUST cs_err cs_sigv4_canonical(cs_buf *out, cs_buf *names, const cs_sigv4_request *request, const char *only,
                                  unsigned flags);
/* cs_sigv4_expected - the signature that a request with these claims must have; errors as cs_sigv4_canonical. */
CS_MUST cs_err cs_sigv4_expected(char out[65], const cs_sigv4_auth *auth, const cs_sigv4_request *request,
                                 cs_slice secret, unsigned flags);
/* cs_sigv4_name_cmp - order of two header names, letter case ignored. */
int cs_sigv4_name_cmp(cs_slice a, cs_slice b);

#endif
