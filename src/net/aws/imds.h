/*
 * Instance metadata service, version 2 (token first), for sign-host. libcurl; blocking; no redirects, no proxies.
 * Source: specs/nitro-kms.md 9.1.
 */
#ifndef CS_NET_AWS_IMDS_H
#define CS_NET_AWS_IMDS_H

#include "net/aws/creds.h"

#define CS_IMDS_DEFAULT "http://169.254.169.254"
#define CS_IMDS_MAX_BODY 16384u

typedef struct cs_imds_opts {
    const char *endpoint; /* without a final slash; NULL: CS_IMDS_DEFAULT */
    uint32_t timeout_ms;  /* of one request; 0: 2000 */
    uint32_t tries;       /* of one request on I/O errors and 5xx; 0: 3 */
} cs_imds_opts;

/*
 * cs_imds_credentials - the role's credentials. json receives the answer as it came (what port 7100 takes), out the parsed form
 * (either may be NULL). A token that expired between two requests is renewed once. Secret: json, *out.
 * CS_E_IMDS_ABSENT (nobody answers) | CS_E_IMDS_HOP (it connects, but the token never comes) | CS_E_IMDS_V1 (no tokens there) |
 * CS_E_IMDS_OFF (403) | CS_E_IMDS_TOKEN (a fresh token is refused) | CS_E_IMDS_ROLE (no role) | CS_E_IMDS_CODE (Code is not Success) |
 * CS_E_CRED_EXPIRED | CS_E_CRED_FORMAT | CS_E_IMDS (anything else) | CS_E_RANGE
 */
CS_MUST cs_err cs_imds_credentials(cs_buf *json, cs_aws_creds *out, const cs_imds_opts *opts);

typedef struct cs_imds_identity {
    char region[65];
    char instance_id[65];
    char account_id[33];
} cs_imds_identity;
/* cs_imds_identity_get - from the instance identity document. Errors as above. */
CS_MUST cs_err cs_imds_identity_get(cs_imds_identity *out, const cs_imds_opts *opts);
/* cs_imds_parse_identity - the document itself; pure. CS_E_IMDS. */
CS_MUST cs_err cs_imds_parse_identity(cs_imds_identity *out, cs_slice json);

#endif
