/* The public side: TLS and tokens. See public.h. */
#include "gateway/public.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "net/jws.h"

#define FILE_MAX (256u * 1024u)

static cs_err read_file(cs_buf *out, const char *what, const char *path, char why256[256])
{
    FILE *f = fopen(path, "re");
    uint8_t chunk[4096];
    size_t n = 0;
    cs_err err = f != NULL ? CS_OK : CS_E_IO;
    if (f != NULL) {
        (void)setvbuf(f, NULL, _IONBF, 0); /* no copy of a key is left in a buffer of stdio */
    }
    while (err == CS_OK && (n = fread(chunk, 1, sizeof chunk, f)) > 0) {
        err = cs_put(out, chunk, n);
    }
    if (err == CS_OK && ferror(f) != 0) {
        err = CS_E_IO;
    }
    if (err != CS_OK) {
        (void)snprintf(why256, 256, "%s: %.160s: %s", what, path, f == NULL ? strerror(errno) : "cannot be read");
    }
    if (f != NULL) {
        (void)fclose(f);
    }
    explicit_bzero(chunk, sizeof chunk);
    return err;
}

/* ---------------------------------------------------------------- where */

static bool on_loopback(const cs_endpoint *ep)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (ep->scheme == CS_EP_UNIX) {
        return true;
    }
    if (ep->scheme != CS_EP_TCP) {
        return false;
    }
    if (inet_pton(AF_INET, ep->host, &v4) == 1) {
        return ntohl(v4.s_addr) >> 24 == 127;
    }
    if (inet_pton(AF_INET6, ep->host, &v6) == 1) {
        return IN6_IS_ADDR_LOOPBACK(&v6);
    }
    return strcmp(ep->host, "localhost") == 0;
}

static cs_err check_plain(const cs_gate_config *c, char why256[256])
{
    if (!c->tee.enabled || (on_loopback(&c->http) && on_loopback(&c->grpc))) {
        return CS_OK;
    }
    (void)snprintf(
        why256, 256,
        "tee.enabled without TLS: listen on loopback (--listen-http, --listen-grpc), or set MPC_TLS_CERT_FILE and "
        "MPC_TLS_KEY_FILE");
    return CS_E_CONFIG;
}

/* ---------------------------------------------------------------- TLS */

static cs_err new_ctx(cs_tls_ctx **out, const char *alpn, const cs_buf *cert, const cs_buf *key, const cs_buf *ca)
{
    cs_tls_ctx *ctx = NULL;
    CS_TRY(cs_tls_server_new(&ctx, cs_buf_slice(cert), cs_buf_slice(key)));
    cs_err err = cs_tls_set_alpn(ctx, alpn);
    if (err == CS_OK && ca->len > 0) {
        err = cs_tls_set_client_roots(ctx, cs_buf_slice(ca));
    }
    if (err != CS_OK) {
        cs_tls_ctx_free(ctx);
        return err;
    }
    *out = ctx;
    return CS_OK;
}

static cs_err open_tls(cs_public *out, const cs_tee_config *c, char why256[256])
{
    cs_buf cert = cs_buf_heap(FILE_MAX), key = cs_buf_heap(FILE_MAX), ca = cs_buf_heap(FILE_MAX);
    cs_err err = read_file(&cert, "MPC_TLS_CERT_FILE", c->tls_cert, why256);
    if (err == CS_OK) {
        err = read_file(&key, "MPC_TLS_KEY_FILE", c->tls_key, why256);
    }
    if (err == CS_OK && c->tls_ca[0] != '\0') {
        err = read_file(&ca, "MPC_TLS_CA_CERT_FILE", c->tls_ca, why256);
        if (err == CS_OK && ca.len == 0) {
            err = CS_E_FORMAT;
        }
    }
    if (err == CS_OK && ((err = new_ctx(&out->http, "http/1.1", &cert, &key, &ca)) != CS_OK ||
                         (err = new_ctx(&out->grpc, "h2", &cert, &key, &ca)) != CS_OK)) {
        (void)snprintf(why256, 256, "TLS: certificate, key and roots must be PEM, and the key the certificate's");
    }
    cs_buf_free(&cert);
    cs_buf_free(&key);
    cs_buf_free(&ca);
    return err;
}

cs_err cs_public_wrap(struct cs_stream *s, void *ctx)
{
    return ctx != NULL ? cs_tls_accept(s, ctx) : CS_OK;
}

/* ---------------------------------------------------------------- tokens */

static cs_err open_tokens(cs_public *out, const cs_tee_config *c, char why256[256])
{
    cs_buf text = cs_buf_heap(FILE_MAX);
    cs_err err = read_file(&text, "tee.tokens.keys", c->token_keys, why256);
    if (err == CS_OK && (err = cs_jws_keys_read(&out->keys, cs_buf_slice(&text))) != CS_OK) {
        (void)snprintf(why256, 256,
                       "tee.tokens.keys: public keys of Ed25519 or P-256 as JWK, JWK set or PEM are wanted");
    }
    cs_buf_free(&text);
    return err;
}

/* "Bearer TOKEN"; the word in any case [RFC 9110 11.1] */
cs_err cs_public_token(const cs_public *p, const cs_tee_config *c, cs_slice authorization, const char **why)
{
    static const char bearer[] = "bearer ";
    size_t n = sizeof bearer - 1;
    cs_jwt jwt;
    *why = "";
    if (p->keys == NULL) {
        return CS_OK;
    }
    *why = "authorization: Bearer TOKEN is wanted";
    if (authorization.p == NULL || authorization.len <= n ||
        strncasecmp((const char *)authorization.p, bearer, n) != 0) {
        return CS_E_TOKEN;
    }
    cs_jwt_rules rules = {.issuer = c->token_issuer[0] != '\0' ? c->token_issuer : NULL,
                          .audience = c->token_audience[0] != '\0' ? c->token_audience : NULL,
                          .now_s = cs_clock_wall_ms() / 1000u,
                          .leeway_s = c->token_leeway_s};
    cs_slice token = cs_trim(cs_slice_of(authorization.p + n, authorization.len - n), " ");
    return cs_jwt_verify(&jwt, why, p->keys, token, &rules);
}

/* ---------------------------------------------------------------- life */

cs_err cs_public_open(cs_public *out, const cs_gate_config *c, char why256[256])
{
    why256[0] = '\0';
    if (c->tee.token_keys[0] != '\0') {
        CS_TRY(open_tokens(out, &c->tee, why256));
    }
    return c->tee.tls_cert[0] != '\0' ? open_tls(out, &c->tee, why256) : check_plain(c, why256);
}

void cs_public_cleanup(cs_public *p)
{
    cs_tls_ctx_free(p->http);
    cs_tls_ctx_free(p->grpc);
    cs_jws_keys_free(p->keys);
    *p = (cs_public){0};
}
