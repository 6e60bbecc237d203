/* TLS as a filter of a stream: memory BIOs between OpenSSL and the stream's queue. See tls.h. */
#include <openssl/bio.h>
#include <openssl/err.h>
#include <stdlib.h>

#include "net/tls.h"
#include "net/tls_int.h"

#define PLAIN_BUF (16u * 1024u)
#define WAITING_MAX (1u << 20)

typedef struct tls_filter {
    cs_stream *stream;
    SSL *ssl;
    BIO *in, *out;  /* owned by ssl */
    cs_buf waiting; /* written before the handshake was done */
    int busy;       /* calls of deliver on the stack */
    bool dead, ended;
} tls_filter;

static void tls_free(void *filter)
{
    tls_filter *f = filter;
    f->dead = true;
    if (f->busy == 0) {
        SSL_free(f->ssl);
        cs_buf_free(&f->waiting);
        free(f);
    }
}

/* Moves what OpenSSL wants to send into the stream's queue. */
static cs_err drain(tls_filter *f)
{
    char *p = NULL;
    long len = BIO_get_mem_data(f->out, &p);
    if (len > 0) {
        CS_TRY(cs_stream_filter_send(f->stream, cs_slice_of(p, (size_t)len)));
        (void)BIO_reset(f->out);
    }
    return CS_OK;
}

static cs_err check(tls_filter *f, int rc)
{
    int e = SSL_get_error(f->ssl, rc);
    cs_err sent = drain(f); /* an alert, too */
    if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE) {
        return sent;
    }
    return cs_tls_failed(f->ssl);
}

static cs_err write_plain(tls_filter *f, cs_slice data)
{
    while (data.len > 0) {
        size_t n = 0;
        ERR_clear_error();
        int rc = SSL_write_ex(f->ssl, data.p, data.len, &n);
        if (rc != 1) {
            cs_err err = check(f, rc);
            return err != CS_OK ? err : CS_E_TLS; /* memory BIOs never make a write wait */
        }
        data = cs_slice_of(data.p + n, data.len - n);
        CS_TRY(drain(f));
    }
    return CS_OK;
}

static cs_err handshake(tls_filter *f)
{
    ERR_clear_error();
    int rc = SSL_do_handshake(f->ssl);
    if (rc != 1) {
        return check(f, rc);
    }
    CS_TRY(drain(f));
    cs_err err = write_plain(f, cs_buf_slice(&f->waiting));
    cs_buf_free(&f->waiting);
    return err;
}

static cs_err read_plain(tls_filter *f)
{
    uint8_t buf[PLAIN_BUF];
    bool go_on = true;
    cs_err err = CS_OK;
    f->busy++;
    while (go_on && err == CS_OK && !f->dead && !f->ended) {
        size_t n = 0;
        ERR_clear_error();
        int rc = SSL_read_ex(f->ssl, buf, sizeof buf, &n);
        if (rc == 1) {
            go_on = cs_stream_filter_deliver(f->stream, cs_slice_of(buf, n));
        } else if (SSL_get_error(f->ssl, rc) == SSL_ERROR_ZERO_RETURN) {
            f->ended = true;
            cs_stream_filter_eof(f->stream);
        } else {
            err = check(f, rc);
            go_on = false;
        }
    }
    f->busy--;
    if (f->dead) {
        tls_free(f);
        return CS_OK;
    }
    return err;
}

static cs_err tls_from_socket(void *filter, cs_slice data)
{
    tls_filter *f = filter;
    size_t n = 0;
    if (f->ended) {
        return CS_OK;
    }
    if (data.len > 0 && (BIO_write_ex(f->in, data.p, data.len, &n) != 1 || n != data.len)) {
        return CS_E_NO_MEMORY;
    }
    if (!SSL_is_init_finished(f->ssl)) {
        CS_TRY(handshake(f));
    }
    if (!SSL_is_init_finished(f->ssl) || f->busy > 0) {
        return CS_OK;
    }
    return read_plain(f);
}

static cs_err tls_from_app(void *filter, cs_slice data)
{
    tls_filter *f = filter;
    if (SSL_is_init_finished(f->ssl)) {
        return write_plain(f, data);
    }
    CS_TRY(cs_put_slice(&f->waiting, data));
    return handshake(f);
}

/* The socket ended: without close_notify that is a truncation. */
static cs_err tls_at_eof(void *filter)
{
    tls_filter *f = filter;
    return f->ended ? CS_OK : CS_E_CLOSED;
}

static void tls_at_shutdown(void *filter)
{
    tls_filter *f = filter;
    ERR_clear_error();
    if (SSL_is_init_finished(f->ssl)) {
        (void)SSL_shutdown(f->ssl);
        ERR_clear_error();
    }
    cs_err err = drain(f);
    (void)err; /* a farewell that does not fit is not sent */
}

static cs_err wrap(cs_stream *s, SSL *ssl)
{
    static const cs_stream_filter ops = {tls_from_socket, tls_from_app, tls_at_eof, tls_at_shutdown, tls_free};
    tls_filter *f = calloc(1, sizeof *f);
    BIO *in = BIO_new(BIO_s_mem());
    BIO *out = BIO_new(BIO_s_mem());
    if (f == NULL || ssl == NULL || in == NULL || out == NULL) {
        free(f);
        BIO_free(in);
        BIO_free(out);
        SSL_free(ssl);
        return CS_E_NO_MEMORY;
    }
    BIO_set_mem_eof_return(in, -1);
    SSL_set_bio(ssl, in, out); /* transferred */
    *f = (tls_filter){.stream = s, .ssl = ssl, .in = in, .out = out, .waiting = cs_buf_heap(WAITING_MAX)};
    cs_stream_set_filter(s, &ops, f);
    return CS_OK;
}

cs_err cs_tls_accept(cs_stream *s, cs_tls_ctx *ctx)
{
    SSL *ssl = SSL_new(ctx->ssl);
    if (ssl != NULL) {
        SSL_set_accept_state(ssl);
    }
    return wrap(s, ssl);
}

cs_err cs_tls_connect(cs_stream *s, cs_tls_ctx *ctx, const char *host)
{
    return wrap(s, cs_tls_client_ssl(ctx, host));
}
