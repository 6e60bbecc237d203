/* One HTTP request over libcurl, for the host's AWS clients: no redirects, no proxies, HTTP and HTTPS only, bounded in time and size. */
#ifndef CS_NET_AWS_CURL_H
#define CS_NET_AWS_CURL_H

#include "base/bytes.h"

#define CS_CURL_MAX_HEADERS 24

typedef struct cs_curl_request {
    const char *method; /* GET, HEAD, PUT or POST */
    const char *url;
    const char *headers[CS_CURL_MAX_HEADERS]; /* "Name: value", NULL-terminated when fewer */
    cs_slice body;                            /* PUT, POST */
    const char *ca_file;                      /* or NULL */
    uint32_t connect_ms, timeout_ms;
    uint64_t max_bytes; /* of the answer's body */
    bool keep_partial;  /* what came of the body before a transfer broke (CS_E_IO, CS_E_TIMEOUT) stays */
    /* Where to connect to instead of the URL's host, whose name stays the one of the certificate: "::HOST:PORT", or the path of a unix
     * socket. roots_pem: the only roots that are accepted, instead of ca_file. NULL and empty: none of it. */
    const char *connect_to, *unix_path;
    cs_slice roots_pem;
} cs_curl_request;

typedef struct cs_curl_reply {
    int status;
    bool connected; /* a connection came about, whatever followed */
    cs_buf *body;   /* appended to; as before on errors, but see keep_partial */
    /* called with each header of the answer; may be NULL */
    void (*on_header)(void *cookie, cs_slice name, cs_slice value);
    void *cookie;
} cs_curl_reply;

/* cs_curl_run - CS_OK for any status. CS_E_CONNECT | CS_E_DNS | CS_E_TIMEOUT | CS_E_TLS | CS_E_TOO_LARGE | CS_E_IO | CS_E_NO_MEMORY |
 * CS_E_LIBRARY (libcurl.so.4, loaded at the first call, is not installed) */
CS_MUST cs_err cs_curl_run(cs_curl_reply *reply, const cs_curl_request *request);
/* cs_curl_date - any of HTTP's forms of a date, in ms since 1970. CS_E_FORMAT. */
CS_MUST cs_err cs_curl_date(const char *text, uint64_t *out_ms);

#endif
