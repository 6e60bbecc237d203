/*
 * AWS Signature Version 4: signing of requests (headers or query string) and verification of signed requests.
 * Pure: bytes in, bytes out; the clock is an argument. Used by sign-kms, sign-host and, to verify, by the emulator.
 * Source: specs/nitro-kms.md 2.2 and Appendix A.1; the aws-c-auth signing test suite.
 */
#ifndef CS_NET_AWS_SIGV4_H
#define CS_NET_AWS_SIGV4_H

#include "base/bytes.h"

#define CS_SIGV4_MAX_HEADERS 64
#define CS_SIGV4_MAX_PARAMS 64
#define CS_SIGV4_MAX_TEXT 65536u /* a canonical request */
#define CS_SIGV4_TIME_LEN 16     /* YYYYMMDDTHHMMSSZ */
#define CS_SIGV4_EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define CS_SIGV4_UNSIGNED "UNSIGNED-PAYLOAD"

enum {
    CS_SIGV4_NORMALIZE = 1,      /* remove empty, "." and ".." segments of the path (all services but S3) */
    CS_SIGV4_SINGLE_ENCODE = 2,  /* the path is encoded once (S3); otherwise the path on the wire is encoded again */
    CS_SIGV4_TOKEN_UNSIGNED = 4, /* the session token is added to the request but is not part of the signature */
    CS_SIGV4_CONTENT_SHA256 = 8, /* add and sign x-amz-content-sha256 (mandatory for S3); header signing only */
};

typedef struct cs_sigv4_header {
    cs_slice name;  /* any case */
    cs_slice value; /* as on the wire; outer blanks are trimmed, inner runs of blanks become one space */
} cs_sigv4_header;

typedef struct cs_sigv4_request {
    cs_slice method;
    cs_slice path;  /* as on the wire, without the query; empty means "/" */
    cs_slice query; /* as on the wire, without '?' */
    const cs_sigv4_header *headers;
    size_t num_headers;
    cs_slice payload_hash; /* 64 hex digits, or a literal such as UNSIGNED-PAYLOAD */
} cs_sigv4_request;

typedef struct cs_sigv4_signer {
    cs_slice access_key_id;
    cs_slice secret_key; /* secret */
    cs_slice token;      /* empty: none */
    cs_slice region;
    cs_slice service;
    uint64_t time_ms;   /* since 1970 */
    uint64_t expires_s; /* query signing: 1..604800 */
    unsigned flags;
} cs_sigv4_signer;

/* What a signature is made of. The buffers are the caller's; canonical and string_to_sign may be NULL. */
typedef struct cs_sigv4_result {
    cs_buf *canonical; /* canonical request */
    cs_buf *string_to_sign;
    char signature[65]; /* 64 hex digits, NUL */
    char time[CS_SIGV4_TIME_LEN + 1];
    cs_buf
        *out; /* header signing: value of Authorization; query signing: the whole query string of the signed request */
} cs_sigv4_result;

/* cs_sigv4_hash - lower-case hex SHA-256 of body, NUL-terminated. */
CS_MUST cs_err cs_sigv4_hash(char out[65], cs_slice body);
/* cs_sigv4_time - "YYYYMMDDTHHMMSSZ" and NUL. CS_E_RANGE after the year 9999. */
CS_MUST cs_err cs_sigv4_time(char out[CS_SIGV4_TIME_LEN + 1], uint64_t time_ms);
/* cs_sigv4_parse_time - the inverse. CS_E_FORMAT. */
CS_MUST cs_err cs_sigv4_parse_time(cs_slice text, uint64_t *out_ms);
/* cs_sigv4_put_encoded - percent-encode all but A-Za-z0-9-_.~ (and '/' when keep_slash). */
CS_MUST cs_err cs_sigv4_put_encoded(cs_buf *out, cs_slice text, bool keep_slash);
/* cs_sigv4_put_decoded - undo percent-encoding; '+' stays. CS_E_FORMAT for a broken escape. */
CS_MUST cs_err cs_sigv4_put_decoded(cs_buf *out, cs_slice text);

/*
 * cs_sigv4_sign - sign with headers. The request is sent with its headers plus X-Amz-Date (out->time), X-Amz-Security-Token (the
 * token, if any), X-Amz-Content-Sha256 (payload_hash, with that flag) and Authorization (out->out): these may not be in
 * request->headers, Host must be. Secret: signer->secret_key and what is derived of it, wiped.
 * CS_E_FORMAT (request) | CS_E_RANGE (too many or too long) | CS_E_NO_MEMORY | CS_E_INTERNAL
 */
CS_MUST cs_err cs_sigv4_sign(cs_sigv4_result *out, const cs_sigv4_request *request, const cs_sigv4_signer *signer);
/* cs_sigv4_presign - sign in the query string; errors as above. */
CS_MUST cs_err cs_sigv4_presign(cs_sigv4_result *out, const cs_sigv4_request *request, const cs_sigv4_signer *signer);

/* The signature of a request as received, not verified. */
typedef struct cs_sigv4_auth {
    char access_key_id[129];
    char time[CS_SIGV4_TIME_LEN + 1];
    char date[9]; /* of the credential scope */
    char region[65];
    char service[33];
    char signed_headers[2049]; /* names joined by ';' */
    char signature[65];
    char token[4097]; /* "" when none */
    bool in_query;
    uint64_t expires_s; /* in_query only */
} cs_sigv4_auth;

/*
 * cs_sigv4_parse - find and take apart the signature of a request (Authorization header or X-Amz-* parameters).
 * CS_E_NOT_FOUND (no signature at all) | CS_E_FORMAT (incomplete or malformed; also both forms at once)
 */
CS_MUST cs_err cs_sigv4_parse(cs_sigv4_auth *out, const cs_sigv4_request *request);
/*
 * cs_sigv4_verify - check the signature with the secret key of auth->access_key_id. Constant-time comparison.
 * Requires: host and every x-amz-* header of the request signed, names sorted and all present, the scope's date equal to the
 * time's. max_skew_ms bounds |now - time| (header form); the query form holds from 5 minutes before its time to time + expires.
 * CS_OK | CS_E_AUTH (mismatch) | CS_E_TIMEOUT (outside the window) | CS_E_FORMAT (rules above) | CS_E_RANGE | CS_E_NO_MEMORY
 */
typedef struct cs_sigv4_check {
    cs_slice secret_key;
    uint64_t now_ms;
    uint64_t max_skew_ms;
    unsigned flags; /* CS_SIGV4_NORMALIZE, CS_SIGV4_SINGLE_ENCODE */
} cs_sigv4_check;
CS_MUST cs_err cs_sigv4_verify(const cs_sigv4_auth *auth, const cs_sigv4_request *request, const cs_sigv4_check *check);

/* cs_sigv4_header_find - value of the first header of that name (any case); false when there is none. */
bool cs_sigv4_header_find(const cs_sigv4_request *request, const char *name, cs_slice *out);

#endif
