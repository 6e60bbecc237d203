/* Calls to KMS by an operator's command, over libcurl: any operation, bodies and answers as JSON text. Never in the enclave. */
#ifndef CS_NET_AWS_KMS_ADMIN_H
#define CS_NET_AWS_KMS_ADMIN_H

#include "net/aws/creds.h"

typedef struct cs_kms_admin {
    const cs_aws_creds *creds;
    const char *region;
    const char *endpoint; /* URL without path, or NULL: https://kms.REGION.amazonaws.com (China: .com.cn) */
    const char *ca_file;  /* or NULL */
} cs_kms_admin;

/* KMS's own words of a refusal. */
typedef struct cs_kms_refusal {
    char type[65];     /* "AccessDeniedException"; "" when there was no answer */
    char message[513]; /* printable */
} cs_kms_refusal;

/*
 * cs_kms_admin_call - operation, e.g. "GetKeyPolicy"; the answer is appended to out. One try, 3 s to connect, 20 s in all.
 * The KMS_* row of the refusal | errors of cs_curl_run | CS_E_RANGE
 */
CS_MUST cs_err cs_kms_admin_call(cs_buf *out, cs_kms_refusal *why, const cs_kms_admin *k, const char *operation,
                                 cs_slice body);

#endif
