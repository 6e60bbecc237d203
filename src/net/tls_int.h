/* Inside of tls*.c. */
#ifndef CS_NET_TLS_INT_H
#define CS_NET_TLS_INT_H

#include <openssl/ssl.h>

#include "net/tls.h"

#define CS_TLS_ALPN_MAX 16

struct cs_tls_ctx {
    SSL_CTX *ssl;
    unsigned char alpn[CS_TLS_ALPN_MAX]; /* length, name */
    unsigned alpn_len;
};

/* cs_tls_failed - remembers the reason for cs_tls_last_error; always CS_E_TLS. */
CS_MUST cs_err cs_tls_failed(const SSL *ssl);
/* cs_tls_client_ssl - a client SSL with name check and SNI; NULL on failure. */
SSL *cs_tls_client_ssl(cs_tls_ctx *ctx, const char *host);

#endif
