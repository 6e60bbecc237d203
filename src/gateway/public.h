/*
 * The public side of the gateway: TLS with or without certificates of clients, bearer tokens, and where it may listen without TLS. See
 * docs/formats/gateway-config.md, "TLS and tokens".
 */
#ifndef CS_GATEWAY_PUBLIC_H
#define CS_GATEWAY_PUBLIC_H

#include "gateway/gateway.h"
#include "net/tls.h"

typedef struct cs_public {
    cs_tls_ctx *http, *grpc;  /* NULL: plain */
    struct cs_jws_keys *keys; /* NULL: no tokens are asked for */
} cs_public;

/*
 * cs_public_open - reads the files that the configuration names. With tee.enabled and without TLS both listeners must be on loopback or a unix
 * socket. CS_E_IO | CS_E_FORMAT (a file) | CS_E_CONFIG; why256 says which. Zero-initialised *out; cleanup on errors too.
 */
CS_MUST cs_err cs_public_open(cs_public *out, const cs_gate_config *c, char why256[256]);
void cs_public_cleanup(cs_public *p);
/* cs_public_wrap - for cs_grpc_opts.on_stream: cookie is the context, or NULL: plain. */
cs_err cs_public_wrap(struct cs_stream *s, void *ctx);
/* cs_public_token - the header `authorization` (p NULL: none). CS_E_TOKEN with *why (static text); CS_OK when none is asked for. */
CS_MUST cs_err cs_public_token(const cs_public *p, const cs_tee_config *c, cs_slice authorization, const char **why);

#endif
