/*
 * Whose credentials a command of an operator uses, as the AWS CLI finds them: the environment, the shared files, the instance's role.
 * Source: AWS CLI user guide, "Configuration and credential precedence", "Configuration and credential file settings".
 */
#ifndef CS_NET_AWS_PROFILE_H
#define CS_NET_AWS_PROFILE_H

#include "net/aws/creds.h"

#define CS_AWS_REGION_MAX 65
#define CS_AWS_PROFILE_FILE_MAX 65536u

/* What a section of a file says; "" where it says nothing. Secret. */
typedef struct cs_aws_profile {
    char access_key_id[129], secret_key[129], token[4097], region[CS_AWS_REGION_MAX];
} cs_aws_profile;

/*
 * cs_aws_profile_parse - the section of a profile; config: the file is ~/.aws/config, whose sections are [profile NAME] but for
 * [default]. Comments, blank lines, indented lines (nested settings) and other settings are passed over. Pure.
 * CS_E_NOT_FOUND (no such section) | CS_E_CRED_FORMAT (a value that is too long or not printable) | CS_E_TOO_LARGE; *out is then zero.
 */
CS_MUST cs_err cs_aws_profile_parse(cs_aws_profile *out, cs_slice text, const char *profile, bool config);

typedef struct cs_aws_login_opts {
    const char *profile;       /* NULL: AWS_PROFILE, then "default" */
    const char *imds_endpoint; /* NULL: AWS_EC2_METADATA_SERVICE_ENDPOINT, then IMDS's own */
} cs_aws_login_opts;

/*
 * cs_aws_login - AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN (not when a profile is asked for), then the shared
 * credentials file (AWS_SHARED_CREDENTIALS_FILE, ~/.aws/credentials) and config (AWS_CONFIG_FILE, ~/.aws/config), then IMDS unless
 * AWS_EC2_METADATA_DISABLED is true. *out: token "" when there is none, expires_ms 0 when it is not known; secret. *from: static text.
 * CS_E_CRED_MISSING | CS_E_CRED_FORMAT | CS_E_IO | errors of imds.h
 */
CS_MUST cs_err cs_aws_login(cs_aws_creds *out, const char **from, const cs_aws_login_opts *opts);
/* cs_aws_region - AWS_REGION, AWS_DEFAULT_REGION, the config file's; CS_E_NOT_FOUND. */
CS_MUST cs_err cs_aws_region(char out[CS_AWS_REGION_MAX], const cs_aws_login_opts *opts);

#endif
