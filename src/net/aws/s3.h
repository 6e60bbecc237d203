/*
 * S3 objects for sign-host: Get, Head and Put with own SigV4 over libcurl; blocking; redirects are never followed: on a wrong
 * region the request is signed once more for the region that S3 names, to a host of our own making.
 * Source: specs/nitro-kms.md 9.2.
 */
#ifndef CS_NET_AWS_S3_H
#define CS_NET_AWS_S3_H

#include "base/limits.h"
#include "net/aws/creds.h"

#define CS_S3_MAX_AGE_KEY CS_AGE_KEY_MAX
#define CS_S3_MAX_SHARES CS_SHARES_MAX

typedef struct cs_s3_uri {
    char bucket[64];
    char key[1025];    /* as the user wrote it, not encoded */
    char version[257]; /* "" or the version that is asked for */
} cs_s3_uri;

typedef struct cs_s3_opts {
    const char *region;
    const char *
        endpoint; /* e.g. "http://127.0.0.1:9100", path style; NULL: https://s3.<region>.amazonaws.com and virtual host */
    const char *ca_file; /* PEM; NULL: the system's */
    const cs_aws_creds *creds;
    uint64_t max_bytes;  /* of the object */
    uint32_t connect_ms; /* 0: 3000 */
    uint32_t timeout_ms; /* of one transfer; 0: 60000 */
    uint32_t tries;      /* of cs_s3_get, when a transfer breaks or S3 is busy; 0: 6 */
} cs_s3_opts;

typedef struct cs_s3_info {
    int status;
    char code[65];   /* S3's error code, "" when none; letters and digits only */
    char region[65]; /* region named in a refusal */
    char etag[129];
    char version[1025]; /* x-amz-version-id */
    uint64_t size;      /* Content-Length */
    bool has_size;
    uint64_t from, total; /* of Content-Range */
    unsigned resumed;     /* how often the transfer broke and went on */
} cs_s3_info;

/*
 * cs_s3_parse_uri - "s3://bucket/key", "s3://bucket/key?versionId=ID". Bucket 3..63 of a-z 0-9 . -; key 1..1024 bytes, valid UTF-8;
 * ID 1..256 of letters, digits and ._-. CS_E_S3_URI.
 */
CS_MUST cs_err cs_s3_parse_uri(cs_s3_uri *out, const char *uri);
/* Where a request goes: NUL-terminated; path and query as on the wire. */
typedef struct cs_s3_address {
    char scheme[9], host[300], path[3200], query[800];
} cs_s3_address;
/*
 * cs_s3_address_of - virtual host (BUCKET.s3.REGION.amazonaws.com), or by path where the bucket's name has dots (no certificate matches
 * those) and at an endpoint that was given. Pure. CS_E_FORMAT (region, endpoint) | CS_E_RANGE.
 */
CS_MUST cs_err cs_s3_address_of(cs_s3_address *out, const cs_s3_uri *uri, const char *region, const char *endpoint);
/*
 * cs_s3_get - append the object to out. info may be NULL; it is filled on errors too. A transfer that breaks goes on where it was
 * (Range, If-Match); busy and unreachable services are asked again with back-off; an object that changes meanwhile is read anew.
 * CS_E_S3_NOT_FOUND | CS_E_S3_DENIED | CS_E_S3_TOKEN (expired or unknown credentials) | CS_E_S3_SIGNATURE | CS_E_S3_REGION |
 * CS_E_S3_THROTTLED | CS_E_S3_CHANGED | CS_E_TOO_LARGE (over max_bytes) | CS_E_S3 (other) | CS_E_CONNECT | CS_E_DNS | CS_E_TIMEOUT |
 * CS_E_IO | CS_E_TLS | CS_E_NO_MEMORY. On error out is as before.
 */
CS_MUST cs_err cs_s3_get(cs_buf *out, cs_s3_info *info, const cs_s3_uri *uri, const cs_s3_opts *opts);
/* cs_s3_head - metadata only. cs_s3_put - store body. One try each. Errors as above. */
CS_MUST cs_err cs_s3_head(cs_s3_info *info, const cs_s3_uri *uri, const cs_s3_opts *opts);
CS_MUST cs_err cs_s3_put(cs_s3_info *info, const cs_s3_uri *uri, cs_slice body, const cs_s3_opts *opts);
/*
 * cs_s3_parse_error - fill code and region from the XML of a refusal, found by their tags; pure. Anything else leaves them "".
 */
void cs_s3_parse_error(cs_s3_info *out, cs_slice xml);
/* cs_s3_err - the error row of a status and code. */
cs_err cs_s3_err(int status, const char *code);

#endif
