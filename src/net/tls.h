/*
 * TLS over OpenSSL: TLS 1.2 or newer, ALPN "http/1.1" unless it is set, no renegotiation, no session tickets on the client side. Clients check chain, dates
 * and host name (SNI is set unless the host is an address); roots are given as PEM, the system's store is never used.
 * Linked by sign-kms, host programs and the emulator; not by sign-service.
 */
#ifndef CS_NET_TLS_H
#define CS_NET_TLS_H

#include "net/io.h"
#include "net/stream.h"

typedef struct cs_tls_ctx cs_tls_ctx;

/* cs_tls_client_new - roots: one or more PEM certificates. CS_E_FORMAT (no certificate) | CS_E_NO_MEMORY. */
CS_MUST cs_err cs_tls_client_new(cs_tls_ctx **out, cs_slice roots_pem);
/* cs_tls_server_new - chain_pem: leaf first. CS_E_FORMAT (does not parse or fit together). */
CS_MUST cs_err cs_tls_server_new(cs_tls_ctx **out, cs_slice chain_pem, cs_slice key_pem);
/* cs_tls_set_alpn - instead of "http/1.1"; e.g. "h2" for gRPC. 1..15 bytes. CS_E_RANGE | CS_E_NO_MEMORY. */
CS_MUST cs_err cs_tls_set_alpn(cs_tls_ctx *ctx, const char *name);
/* cs_tls_set_identity - a client's own certificate, leaf first, and its key (secret). CS_E_FORMAT (does not parse or fit together). */
CS_MUST cs_err cs_tls_set_identity(cs_tls_ctx *ctx, cs_slice chain_pem, cs_slice key_pem);
/* cs_tls_set_client_roots - a server's clients must show a certificate that leads to one of these (PEM). CS_E_FORMAT (no certificate). */
CS_MUST cs_err cs_tls_set_client_roots(cs_tls_ctx *ctx, cs_slice roots_pem);
void cs_tls_ctx_free(cs_tls_ctx *ctx);

/* cs_tls_accept, cs_tls_connect - put TLS on a fresh stream; the handshake starts with the first read or write; it is the
 * owner's timer that bounds it. Failure is on_close(CS_E_TLS). */
CS_MUST cs_err cs_tls_accept(cs_stream *s, cs_tls_ctx *ctx);
CS_MUST cs_err cs_tls_connect(cs_stream *s, cs_tls_ctx *ctx, const char *host);

/*
 * cs_tls_connect_io - handshake as client on a connected io, in place. host is the name to check and to send.
 * CS_E_TLS | CS_E_TIMEOUT | CS_E_CLOSED; on failure the io is as before, fit only for cs_io_close.
 */
CS_MUST cs_err cs_tls_connect_io(cs_io *io, cs_tls_ctx *ctx, const char *host, uint32_t timeout_ms);
/* cs_tls_last_error - reason of the thread's last CS_E_TLS, e.g. "certificate has expired"; static or thread-local text. */
const char *cs_tls_last_error(void);

#endif
