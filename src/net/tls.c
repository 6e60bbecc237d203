/* TLS contexts, and TLS over a blocking io. TLS over streams is in tls_stream.c. See tls.h. */
#include "net/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/tls_int.h"

#define ALPN_DEFAULT "http/1.1"
#define PEM_MAX (4u * 1024u * 1024u)

static _Thread_local char last_error[160];

const char *cs_tls_last_error(void)
{
    return last_error;
}

/* Keeps OpenSSL's reason (or the certificate's) for the log and empties its error queue. */
cs_err cs_tls_failed(const SSL *ssl)
{
    long verify = ssl != NULL ? SSL_get_verify_result(ssl) : X509_V_OK;
    unsigned long e = ERR_peek_last_error();
    const char *reason = verify != X509_V_OK ? X509_verify_cert_error_string(verify) : ERR_reason_error_string(e);
    size_t len = reason != NULL ? strnlen(reason, sizeof last_error - 1) : 0;
    memcpy(last_error, reason != NULL ? reason : "", len);
    last_error[len] = '\0';
    ERR_clear_error();
    return CS_E_TLS;
}

static cs_tls_ctx *ctx_new(bool server)
{
    cs_tls_ctx *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return NULL;
    }
    c->ssl = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
    if (c->ssl == NULL || SSL_CTX_set_min_proto_version(c->ssl, TLS1_2_VERSION) != 1) {
        cs_tls_ctx_free(c);
        return NULL;
    }
    SSL_CTX_set_options(c->ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
    SSL_CTX_set_session_cache_mode(c->ssl, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(c->ssl, SSL_MODE_AUTO_RETRY | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                 SSL_MODE_RELEASE_BUFFERS);
    return c;
}

static BIO *pem_bio(cs_slice pem)
{
    return pem.len == 0 || pem.len > PEM_MAX ? NULL : BIO_new_mem_buf(pem.p, (int)pem.len);
}

static unsigned add_roots(SSL_CTX *ctx, BIO *bio)
{
    X509_STORE *store = SSL_CTX_get_cert_store(ctx);
    unsigned num = 0;
    X509 *cert;
    while ((cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
        num += X509_STORE_add_cert(store, cert) == 1 ? 1 : 0;
        X509_free(cert);
    }
    ERR_clear_error(); /* "no start line" ends the list */
    return num;
}

cs_err cs_tls_client_new(cs_tls_ctx **out, cs_slice roots_pem)
{
    cs_tls_ctx *c = ctx_new(false);
    if (c == NULL) {
        return CS_E_NO_MEMORY;
    }
    SSL_CTX_set_verify(c->ssl, SSL_VERIFY_PEER, NULL);
    BIO *bio = pem_bio(roots_pem);
    unsigned num = bio != NULL ? add_roots(c->ssl, bio) : 0;
    BIO_free(bio);
    if (num == 0 || cs_tls_set_alpn(c, ALPN_DEFAULT) != CS_OK) {
        cs_tls_ctx_free(c);
        return CS_E_FORMAT;
    }
    *out = c;
    return CS_OK;
}

cs_err cs_tls_set_alpn(cs_tls_ctx *ctx, const char *name)
{
    size_t len = strlen(name);
    if (len == 0 || len >= CS_TLS_ALPN_MAX) {
        return CS_E_RANGE;
    }
    ctx->alpn[0] = (unsigned char)len;
    memcpy(ctx->alpn + 1, name, len);
    ctx->alpn_len = (unsigned)len + 1;
    return SSL_CTX_set_alpn_protos(ctx->ssl, ctx->alpn, ctx->alpn_len) == 0 ? CS_OK : CS_E_NO_MEMORY;
}

/* The client's list must hold our protocol if it has one at all. */
static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
                       unsigned int in_len, void *cookie)
{
    const cs_tls_ctx *ctx = cookie;
    unsigned char *chosen = NULL;
    if (SSL_select_next_proto(&chosen, out_len, ctx->alpn, ctx->alpn_len, in, in_len) != OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static bool use_chain(SSL_CTX *ctx, BIO *chain, BIO *key)
{
    X509 *cert = PEM_read_bio_X509(chain, NULL, NULL, NULL);
    EVP_PKEY *pkey = PEM_read_bio_PrivateKey(key, NULL, NULL, NULL);
    bool ok = cert != NULL && pkey != NULL && SSL_CTX_use_certificate(ctx, cert) == 1 &&
              SSL_CTX_use_PrivateKey(ctx, pkey) == 1 && SSL_CTX_check_private_key(ctx) == 1;
    X509_free(cert);
    EVP_PKEY_free(pkey);
    while (ok && (cert = PEM_read_bio_X509(chain, NULL, NULL, NULL)) != NULL) {
        ok = SSL_CTX_add0_chain_cert(ctx, cert) == 1; /* transferred */
    }
    ERR_clear_error();
    return ok;
}

cs_err cs_tls_set_identity(cs_tls_ctx *ctx, cs_slice chain_pem, cs_slice key_pem)
{
    BIO *chain = pem_bio(chain_pem);
    BIO *key = pem_bio(key_pem);
    bool ok = chain != NULL && key != NULL && use_chain(ctx->ssl, chain, key);
    BIO_free(chain);
    BIO_free(key);
    return ok ? CS_OK : CS_E_FORMAT;
}

cs_err cs_tls_server_new(cs_tls_ctx **out, cs_slice chain_pem, cs_slice key_pem)
{
    cs_tls_ctx *c = ctx_new(true);
    if (c == NULL) {
        return CS_E_NO_MEMORY;
    }
    if (cs_tls_set_identity(c, chain_pem, key_pem) != CS_OK || cs_tls_set_alpn(c, ALPN_DEFAULT) != CS_OK) {
        cs_tls_ctx_free(c);
        return CS_E_FORMAT;
    }
    SSL_CTX_set_alpn_select_cb(c->ssl, select_alpn, c);
    *out = c;
    return CS_OK;
}

cs_err cs_tls_set_client_roots(cs_tls_ctx *ctx, cs_slice roots_pem)
{
    BIO *bio = pem_bio(roots_pem);
    unsigned num = bio != NULL ? add_roots(ctx->ssl, bio) : 0;
    BIO_free(bio);
    if (num == 0) {
        return CS_E_FORMAT;
    }
    SSL_CTX_set_verify(ctx->ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    return CS_OK;
}

void cs_tls_ctx_free(cs_tls_ctx *c)
{
    if (c != NULL) {
        SSL_CTX_free(c->ssl);
        free(c);
    }
}

SSL *cs_tls_client_ssl(cs_tls_ctx *ctx, const char *host)
{
    uint8_t addr[16];
    bool numeric = inet_pton(AF_INET, host, addr) == 1 || inet_pton(AF_INET6, host, addr) == 1;
    SSL *ssl = SSL_new(ctx->ssl);
    if (ssl == NULL) {
        return NULL;
    }
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    bool ok = host[0] != '\0' &&
              (numeric ? X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1
                       : X509_VERIFY_PARAM_set1_host(param, host, 0) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1);
    if (!ok) {
        SSL_free(ssl);
        return NULL;
    }
    SSL_set_connect_state(ssl);
    return ssl;
}

/* One step of OpenSSL on the io's descriptor: waits where it asks to; CS_OK: try the call again. */
static cs_err wait_ssl(cs_io *io, SSL *ssl, int rc, uint64_t deadline_ms)
{
    switch (SSL_get_error(ssl, rc)) {
    case SSL_ERROR_WANT_READ:
        return cs_io_wait(io->fd, false, deadline_ms);
    case SSL_ERROR_WANT_WRITE:
        return cs_io_wait(io->fd, true, deadline_ms);
    case SSL_ERROR_SYSCALL:
        ERR_clear_error();
        return errno == 0 || errno == ECONNRESET || errno == EPIPE ? CS_E_CLOSED : CS_E_IO;
    default:
        if (ERR_GET_REASON(ERR_peek_last_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
            ERR_clear_error();
            return CS_E_CLOSED; /* cut, not wrong: another try may go well */
        }
        return cs_tls_failed(ssl);
    }
}

static cs_err tls_read(cs_io *io, void *out, size_t cap, size_t *out_len, uint64_t deadline_ms)
{
    for (;;) {
        ERR_clear_error();
        errno = 0;
        int rc = SSL_read_ex(io->tls, out, cap, out_len);
        if (rc == 1) {
            return CS_OK;
        }
        if (SSL_get_error(io->tls, rc) == SSL_ERROR_ZERO_RETURN) {
            *out_len = 0;
            return CS_OK;
        }
        CS_TRY(wait_ssl(io, io->tls, rc, deadline_ms));
    }
}

static cs_err tls_write(cs_io *io, cs_slice data, uint64_t deadline_ms)
{
    while (data.len > 0) {
        size_t n = 0;
        ERR_clear_error();
        errno = 0;
        int rc = SSL_write_ex(io->tls, data.p, data.len, &n);
        if (rc == 1) {
            data = cs_slice_of(data.p + n, data.len - n);
        } else {
            CS_TRY(wait_ssl(io, io->tls, rc, deadline_ms));
        }
    }
    return CS_OK;
}

static void tls_close(cs_io *io)
{
    (void)SSL_shutdown(io->tls);
    ERR_clear_error();
    SSL_free(io->tls);
    close(io->fd);
}

cs_err cs_tls_connect_io(cs_io *io, cs_tls_ctx *ctx, const char *host, uint32_t timeout_ms)
{
    static const cs_io_ops tls_ops = {tls_read, tls_write, tls_close};
    uint64_t deadline = cs_clock_mono_ms() + timeout_ms;
    SSL *ssl = cs_tls_client_ssl(ctx, host);
    cs_err err = CS_OK;
    int rc = 0;
    if (ssl == NULL || SSL_set_fd(ssl, io->fd) != 1) {
        SSL_free(ssl);
        return CS_E_NO_MEMORY;
    }
    while (err == CS_OK && rc != 1) {
        ERR_clear_error();
        errno = 0;
        rc = SSL_do_handshake(ssl);
        err = rc == 1 ? CS_OK : wait_ssl(io, ssl, rc, deadline);
    }
    if (err != CS_OK) {
        SSL_free(ssl);
        return err;
    }
    io->tls = ssl; /* transferred */
    io->ops = &tls_ops;
    return CS_OK;
}
