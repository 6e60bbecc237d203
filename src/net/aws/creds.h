/*
 * AWS credentials as IMDS gives them (specs/nitro-kms.md 9.1, seed 002): JSON with AccessKeyId, SecretAccessKey, Token and
 * Expiration. Pure. The struct holds secrets: it belongs in locked memory and is wiped by its owner.
 */
#ifndef CS_NET_AWS_CREDS_H
#define CS_NET_AWS_CREDS_H

#include "base/bytes.h"

#define CS_AWS_CREDS_MAX 16384u /* bytes of the JSON */

typedef struct cs_aws_creds {
    char access_key_id[129];
    char secret_key[129];
    char token[4097];
    uint64_t expires_ms; /* since 1970 */
} cs_aws_creds;

/*
 * cs_aws_creds_parse - from the JSON. Code, when present, must be "Success"; Token may be called SessionToken. Unknown members are
 * passed over. On error *out is wiped. Does not look at the clock.
 * CS_E_CRED_FORMAT | CS_E_TOO_LARGE (over CS_AWS_CREDS_MAX)
 */
CS_MUST cs_err cs_aws_creds_parse(cs_aws_creds *out, cs_slice json);
void cs_aws_creds_wipe(cs_aws_creds *c);

#endif
