/* What the two ways of loading share: a whole file in memory (share.c) and a file in pieces (loader.c). Not for others. */
#ifndef CS_SECRET_SHARE_INT_H
#define CS_SECRET_SHARE_INT_H

#include "secret/share/share.h"

/* cs_share_check_header - publisher and signature. CS_E_SHARES_UNSIGNED | CS_E_SHARES_SIGNATURE. */
CS_MUST cs_err cs_share_check_header(const cs_sharefile_header *h, const cs_share_policy *policy);
/*
 * cs_share_begin - an empty set for a body of body_len bytes whose header was verified. cs_share_events fill it: their cookie is
 * the set. CS_E_SHARES_LIMIT | CS_E_ENTROPY.
 */
CS_MUST cs_err cs_share_begin(cs_share_set **out, const cs_sharefile_header *h, size_t body_len);
extern const cs_sharefile_events cs_share_events;
/*
 * cs_share_check_whole - what only the whole set shows: a file without accounts is refused, as a slip of the provisioner must not
 * empty an enclave that serves. CS_E_SHARES_FORMAT. fault may be NULL.
 */
CS_MUST cs_err cs_share_check_whole(const cs_share_set *s, cs_sharefile_fault *fault);

#endif
