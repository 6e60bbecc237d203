/* See attested.h. */
#include "host/attested.h"

#include <openssl/pem.h>
#include <stdio.h>
#include <sys/random.h>

#include "net/countersign.pb-c.h"
#include "net/h2/grpc.h"

#define NONCE 32

static cs_err read_root(cs_buf *der, const char *path)
{
    FILE *f = fopen(path, "re");
    unsigned char *bytes = NULL;

    if (f == NULL) {
        return CS_E_IO;
    }
    X509 *cert = PEM_read_X509(f, NULL, NULL, NULL);
    (void)fclose(f);
    int len = cert != NULL ? i2d_X509(cert, &bytes) : 0;
    cs_err err = len > 0 ? cs_put(der, bytes, (size_t)len) : CS_E_FORMAT;
    OPENSSL_free(bytes);
    X509_free(cert);
    return err;
}

static cs_err ask(cs_buf *document, const cs_endpoint *grpc, uint8_t nonce[NONCE], uint32_t timeout_ms)
{
    Countersign__V1__AttestRequest q = COUNTERSIGN__V1__ATTEST_REQUEST__INIT;
    uint8_t request[NONCE + 16];
    cs_buf answer = cs_buf_heap(CS_GRPC_MESSAGE_MAX);

    q.nonce.data = nonce;
    q.nonce.len = NONCE;
    q.account_id = (char *)(uintptr_t) "";
    size_t len = countersign__v1__attest_request__pack(&q, request);
    cs_err err =
        cs_grpc_unary(&answer, NULL, grpc, "/countersign.v1.Enclave/Attest", cs_slice_of(request, len), timeout_ms);
    Countersign__V1__AttestReply *reply =
        err == CS_OK ? countersign__v1__attest_reply__unpack(NULL, answer.len, answer.p) : NULL;
    if (err == CS_OK) {
        err = reply == NULL ? CS_E_ATT_FORMAT : cs_put(document, reply->document.data, reply->document.len);
    }
    if (reply != NULL) {
        countersign__v1__attest_reply__free_unpacked(reply, NULL);
    }
    cs_buf_free(&answer);
    return err;
}

cs_err cs_host_attested(cs_att_result *out, const cs_endpoint *grpc, const char *root_pem, uint32_t timeout_ms)
{
    uint8_t nonce[NONCE];
    cs_buf document = cs_buf_heap(CS_ATT_MAX_DOC), root = cs_buf_heap(8192);
    cs_slice want = cs_slice_of(nonce, sizeof nonce);
    cs_att_options o = {.time = CS_ATT_TIME_NOW, .nonce = &want, .any_pcrs = true, .allow_debug = true};

    cs_err err = getrandom(nonce, sizeof nonce, 0) == sizeof nonce ? CS_OK : CS_E_ENTROPY;
    if (err == CS_OK && root_pem != NULL) {
        err = read_root(&root, root_pem);
        o.root_der = cs_buf_slice(&root);
    }
    if (err == CS_OK) {
        err = ask(&document, grpc, nonce, timeout_ms);
    }
    if (err == CS_OK) {
        err = cs_att_verify(out, cs_buf_slice(&document), &o);
    }
    cs_buf_free(&document);
    cs_buf_free(&root);
    return err;
}
