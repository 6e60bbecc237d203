/* kmstool_enclave_cli: one call to KMS through the parent's proxy, with TLS that ends here. See kmstool.h. */
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/clock.h"
#include "init/nsm_codec.h"
#include "net/aws/kms.h"
#include "net/aws/region.h"
#include "net/tls.h"
#include "secret/cms.h"
#include "tools/kmstool.h"

#define SPKI_MAX 512
#define CA_MAX ((size_t)1 << 20)
#define SEED_ROUNDS 4 /* of 256 bytes: as much as the reference takes */

static void say(const char *text, cs_err err)
{
    (void)fprintf(stderr, "%s: %s: %s\nfix: %s\n", text, cs_err_code(err), cs_err_cause(err), cs_err_fix(err));
}

cs_err cs_kmstool_host(char out[CS_KMSTOOL_HOST_MAX], const char *region)
{
    if (strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(region) || region[0] == '\0') {
        return CS_E_RANGE;
    }
    int n = snprintf(out, CS_KMSTOOL_HOST_MAX, "kms.%s.%s", region, cs_aws_suffix(region));
    return n < CS_KMSTOOL_HOST_MAX ? CS_OK : CS_E_RANGE;
}

/* The module's random bytes into OpenSSL's generator, beside the kernel's, which nobody may have seeded in this image. */
static cs_err seed(void)
{
    uint8_t mem[64], out[CS_INIT_NSM_RESPONSE_MAX], random[CS_INIT_NSM_RANDOM_MAX];
    cs_err err = CS_OK;

    for (int i = 0; i < SEED_ROUNDS && err == CS_OK; i++) {
        cs_buf request = cs_buf_wrap(mem, sizeof mem), response = cs_buf_wrap(out, sizeof out);
        cs_buf bytes = cs_buf_wrap(random, sizeof random);
        if ((err = cs_init_put_get_random(&request)) == CS_OK &&
            (err = cs_kmstool_platform_linked.call(cs_buf_slice(&request), &response)) == CS_OK &&
            (err = cs_init_read_random(&bytes, cs_buf_slice(&response))) == CS_OK) {
            RAND_add(bytes.p, (int)bytes.len, (double)bytes.len);
        }
    }
    cs_wipe(out, sizeof out);
    cs_wipe(random, sizeof random);
    return err;
}

static cs_err attest(cs_buf *document, EVP_PKEY *key)
{
    uint8_t spki[SPKI_MAX], out[CS_INIT_NSM_RESPONSE_MAX], mem[SPKI_MAX + 64], *p = spki;
    cs_buf request = cs_buf_wrap(mem, sizeof mem), response = cs_buf_wrap(out, sizeof out);
    int len = i2d_PUBKEY(key, NULL);

    if (len <= 0 || len > SPKI_MAX || i2d_PUBKEY(key, &p) != len) {
        return CS_E_INTERNAL;
    }
    CS_TRY(cs_kmstool_put_attestation(&request, cs_slice_of(spki, (size_t)len)));
    CS_TRY(cs_kmstool_platform_linked.call(cs_buf_slice(&request), &response));
    return cs_kmstool_read_document(document, cs_buf_slice(&response));
}

static cs_err read_roots(cs_buf *out, const char *given)
{
    static const char *const places[] = {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
                                         "/etc/ssl/cert.pem"};
    uint8_t chunk[8192];
    int fd = given != NULL ? open(given, O_RDONLY | O_CLOEXEC) : -1;
    ssize_t n;
    cs_err err = CS_OK;

    for (size_t i = 0; given == NULL && fd < 0 && i < sizeof places / sizeof places[0]; i++) {
        fd = open(places[i], O_RDONLY | O_CLOEXEC);
    }
    if (fd < 0) {
        return CS_E_NOT_FOUND;
    }
    while (err == CS_OK && (n = read(fd, chunk, sizeof chunk)) != 0) {
        err = n < 0 ? CS_E_IO : cs_put(out, chunk, (size_t)n);
    }
    (void)close(fd);
    return err;
}

static cs_err dial(cs_io *io, cs_tls_ctx *tls, const cs_kmstool_opts *o, const char *host)
{
    char text[64];
    cs_endpoint ep;
    cs_err err;

    if (o->cid == CS_EP_CID_PARENT) {
        (void)snprintf(text, sizeof text, "vsock:parent:%u", o->port);
    } else {
        (void)snprintf(text, sizeof text, "vsock:%u:%u", o->cid, o->port);
    }
    if ((err = cs_endpoint_parse(&ep, cs_slice_str(text))) == CS_OK) {
        err = cs_io_connect(io, &ep, CS_IO_CONNECT_MS);
    }
    if (err != CS_OK) {
        (void)fprintf(
            stderr,
            "Connection failed with error %s: no proxy for KMS at %s\nfix: start one on the parent: sign-host proxy "
            "%u %s 443\n",
            cs_err_code(err), text, o->port, host);
        return err;
    }
    err = cs_tls_connect_io(io, tls, host, CS_IO_HANDSHAKE_MS);
    if (err != CS_OK) {
        (void)fprintf(stderr,
                      "Connection failed with error %s: TLS with %s: %s\nfix: the proxy must lead to KMS of this "
                      "region; check the CA "
                      "file and the clock\n",
                      cs_err_code(err), host, err == CS_E_TLS ? cs_tls_last_error() : cs_err_cause(err));
        cs_io_close(io);
    }
    return err;
}

static cs_err put_request(cs_buf *out, const cs_kmstool_opts *o, const char *host, cs_slice document)
{
    cs_buf body = cs_buf_heap(CS_KMSTOOL_BODY_MAX);
    cs_sigv4_signer s = {cs_slice_str(o->access_key_id),
                         cs_slice_str(o->secret_key),
                         cs_slice_str(o->token),
                         cs_slice_str(o->region),
                         cs_slice_str("kms"),
                         cs_clock_wall_ms(),
                         0,
                         0};
    cs_err err = cs_kmstool_put_body(&body, &o->ask, document);

    if (err == CS_OK) {
        cs_kms_post post = {cs_kmstool_target(o->ask.op), cs_buf_slice(&body), cs_slice_str(host), true};
        err = cs_kms_put_signed(out, &post, &s);
    }
    cs_buf_free(&body);
    return err;
}

static void say_refusal(const cs_kmstool_answer *a, int status, cs_err err)
{
    if (status != 200) {
        (void)fprintf(stderr, "Got non-200 answer from KMS: %d\n", status);
    } else {
        (void)fprintf(stderr, "Could not read response from KMS\n");
    }
    if (a->type[0] != '\0') {
        (void)fprintf(stderr, "%s%s%s\n", a->type, a->message[0] != '\0' ? ": " : "", a->message);
    }
    (void)fprintf(stderr, "%s: %s\nfix: %s\n", cs_err_code(err), cs_err_cause(err), cs_err_fix(err));
}

static cs_err ask_kms(cs_kmstool_answer *out, const cs_kmstool_opts *o, const char *host, cs_slice document)
{
    static const cs_http1_limits limits = {.body_max = CS_KMSTOOL_ANSWER_MAX};
    cs_buf roots = cs_buf_heap(CA_MAX), request = cs_buf_heap(CS_KMSTOOL_BODY_MAX + 8192);
    cs_http1_parser *parser = NULL;
    cs_tls_ctx *tls = NULL;
    cs_io io = {.fd = -1};
    cs_err err = read_roots(&roots, o->ca_file);

    if (err != CS_OK || (err = cs_tls_client_new(&tls, cs_buf_slice(&roots))) != CS_OK) {
        say("Connection failed with error: the CA certificates of the image cannot be read", err);
        goto out;
    }
    if ((err = put_request(&request, o, host, document)) != CS_OK ||
        (err = cs_http1_parser_new(&parser, CS_HTTP1_RESPONSE, &limits)) != CS_OK) {
        say("The request cannot be made", err);
        goto out;
    }
    if ((err = dial(&io, tls, o, host)) != CS_OK) {
        goto out;
    }
    (void)fprintf(stderr, "Connected.\n");
    err = cs_http1_exchange_bytes(&io, parser, cs_buf_slice(&request), CS_IO_READ_MS);
    cs_io_close(&io);
    (void)fprintf(stderr, "Disconnected.\n");
    if (err != CS_OK) {
        say("Could not read response from KMS", err);
        goto out;
    }
    const cs_http1_msg *m = cs_http1_message(parser);
    err = cs_kmstool_read_answer(out, &o->ask, (int)m->status, cs_http1_header_get(m, "x-amzn-errortype"), m->body);
    if (err != CS_OK) {
        say_refusal(out, (int)m->status, err);
    }
out:
    cs_http1_parser_free(parser);
    cs_tls_ctx_free(tls);
    cs_buf_free(&request);
    cs_buf_free(&roots);
    return err;
}

static cs_err open_envelope(cs_buf *plain, const cs_kmstool_answer *a, EVP_PKEY *key)
{
    static cs_cms_fields fields;
    cs_slice envelope = cs_slice_of(a->envelope, a->envelope_len);
    cs_err err = cs_cms_parse(&fields, envelope);

    if (err != CS_OK) {
        say("Cannot parse CMS enveloped data.", err);
        return err;
    }
    err = cs_cms_open(plain, envelope, key);
    if (err != CS_OK) {
        say("Cannot decrypt CMS encrypted content", err);
    }
    return err;
}

cs_err cs_kmstool_run(cs_buf *plain, cs_buf *ciphertext, const cs_kmstool_opts *o)
{
    static cs_kmstool_answer answer;
    char host[CS_KMSTOOL_HOST_MAX];
    uint8_t mem[CS_KMSTOOL_DOCUMENT_MAX];
    cs_buf document = cs_buf_wrap(mem, sizeof mem);
    EVP_PKEY *key = NULL;
    cs_err err = cs_kmstool_host(host, o->region);

    if (err != CS_OK) {
        say("Invalid region", err);
        return err;
    }
    if ((err = seed()) != CS_OK) {
        say("Could not seed entropy from the Nitro Security Module", err);
        return err;
    }
    if ((key = EVP_RSA_gen(2048)) == NULL || (err = attest(&document, key)) != CS_OK) {
        err = key == NULL ? CS_E_NO_MEMORY : err;
        say("Could not get an attestation document", err);
        goto out;
    }
    if ((err = ask_kms(&answer, o, host, cs_buf_slice(&document))) == CS_OK &&
        (err = open_envelope(plain, &answer, key)) == CS_OK && answer.ciphertext_len > 0) {
        err = cs_put(ciphertext, answer.ciphertext, answer.ciphertext_len);
    }
out:
    EVP_PKEY_free(key); /* clears the private numbers */
    return err;
}
