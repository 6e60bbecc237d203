/* POST /v1/attest: the enclave's attestation document for a nonce, over HTTP (docs/formats/rooms.md). */
#include <stdlib.h>
#include <string.h>

#include "base/json_out.h"
#include "base/text.h"
#include "codec/json.h"
#include "gateway/gateway.h"
#include "net/countersign.pb-c.h"

#define CALL_MS 5000
#define NONCE_MAX 512
#define ACCOUNT_MAX 128
#define DOCUMENT_MAX 65536

typedef struct attest {
    cs_gate *gate;
    cs_http1_conn *conn;
    const cs_http1_msg *request;
    cs_pool_call *call;
    cs_buf document; /* the reply, as protobuf */
} attest;

typedef struct question {
    uint8_t nonce[NONCE_MAX];
    size_t nonce_len;
    char account[ACCOUNT_MAX + 1];
    unsigned seen;
} question;

static cs_err member(cs_json *j, question *q)
{
    cs_slice key, value;
    bool key_plain, plain;
    CS_TRY(cs_json_string(j, &key, &key_plain));
    CS_TRY(cs_json_char(j, ':'));
    CS_TRY(cs_json_string(j, &value, &plain));
    bool nonce = cs_slice_eq_str(key, "nonce");
    unsigned which = nonce ? 1u : 2u;
    if (!plain || (!nonce && !cs_slice_eq_str(key, "account_id")) || (q->seen & which) != 0) {
        return CS_E_FORMAT;
    }
    q->seen |= which;
    if (nonce) {
        cs_buf out = cs_buf_wrap(q->nonce, sizeof q->nonce);
        CS_TRY(cs_b64_get(&out, value, CS_B64_STD));
        q->nonce_len = out.len;
    } else {
        if (value.len > ACCOUNT_MAX) {
            return CS_E_RANGE;
        }
        memcpy(q->account, value.p, value.len);
        q->account[value.len] = '\0';
    }
    return CS_OK;
}

static cs_err read_question(question *q, cs_slice json)
{
    cs_json j = cs_json_of(json);
    CS_TRY(cs_json_char(&j, '{'));
    do {
        CS_TRY(member(&j, q));
    } while (cs_json_try(&j, ','));
    CS_TRY(cs_json_char(&j, '}'));
    CS_TRY(cs_json_end(&j));
    return (q->seen & 1) != 0 ? CS_OK : CS_E_FORMAT;
}

static void attest_free(attest *a)
{
    a->gate->attests--;
    cs_buf_free(&a->document);
    free(a);
}

static void on_gone(void *cookie)
{
    attest *a = cookie;
    cs_pool_cancel(a->call);
    attest_free(a);
}

static void on_message(void *cookie, cs_slice message)
{
    attest *a = cookie;
    a->document.len = 0;
    if (cs_put_slice(&a->document, message) != CS_OK) {
        a->document.len = 0; /* too long to be a document: seen at the end */
    }
}

static void on_drain(void *cookie)
{
    (void)cookie;
}

static cs_err put_document(cs_buf *json, const attest *a)
{
    Countersign__V1__AttestReply *r = countersign__v1__attest_reply__unpack(NULL, a->document.len, a->document.p);
    if (r == NULL || r->document.len == 0) {
        if (r != NULL) {
            countersign__v1__attest_reply__free_unpacked(r, NULL);
        }
        return CS_E_UPSTREAM;
    }
    cs_err err = cs_put_str(json, "{\"document\":\"");
    if (err == CS_OK) {
        err = cs_b64_put(json, cs_slice_of(r->document.data, r->document.len), CS_B64_STD);
    }
    if (err == CS_OK) {
        err = cs_put_str(json, "\"}");
    }
    countersign__v1__attest_reply__free_unpacked(r, NULL);
    return err;
}

static void on_end(void *cookie, const cs_pool_result *r)
{
    attest *a = cookie;
    cs_buf json = cs_buf_heap(2 * DOCUMENT_MAX);
    cs_err err = CS_OK;
    if (r->status != CS_GRPC_OK) {
        err = r->code != CS_OK ? r->code : CS_E_UPSTREAM;
    } else {
        err = put_document(&json, a);
    }
    if (err == CS_OK) {
        cs_gate_headers h;
        cs_gate_headers_init(&h, a->gate, a->request, "application/json");
        cs_http1_respond(a->conn, 200, h.h, h.num, cs_buf_slice(&json));
    } else {
        cs_gate_refuse(a->gate, a->conn, a->request, 0, err);
    }
    cs_buf_free(&json);
    attest_free(a);
}

static cs_err ask(attest *a, question *q)
{
    static const cs_pool_events events = {on_message, on_drain, on_end};
    Countersign__V1__AttestRequest in = COUNTERSIGN__V1__ATTEST_REQUEST__INIT;
    uint8_t bytes[NONCE_MAX + ACCOUNT_MAX + 16];
    in.nonce = (ProtobufCBinaryData){q->nonce_len, q->nonce};
    in.account_id = q->account;
    cs_slice part = cs_slice_of(bytes, countersign__v1__attest_request__pack(&in, bytes));
    CS_TRY(cs_pool_call_new(&a->call, a->gate->pool, "/countersign.v1.Enclave/Attest", CALL_MS, &events, a));
    cs_err err = cs_grpc_send(cs_pool_call_grpc(a->call), &part, 1);
    if (err != CS_OK) {
        cs_pool_cancel(a->call);
        return err;
    }
    cs_grpc_end(cs_pool_call_grpc(a->call));
    return CS_OK;
}

void cs_gate_attest(cs_gate *g, cs_http1_conn *conn, const cs_http1_msg *request)
{
    question q = {0};
    cs_err err = read_question(&q, request->body);
    if (err == CS_OK && g->attests >= g->config.attests) {
        err = CS_E_SESSION_LIMIT;
    }
    attest *a = err == CS_OK ? calloc(1, sizeof *a) : NULL;
    if (a == NULL) {
        cs_gate_refuse(g, conn, request, err == CS_E_RANGE ? 400 : 0, err != CS_OK ? err : CS_E_NO_MEMORY);
        return;
    }
    *a = (attest){.gate = g, .conn = conn, .request = request, .document = cs_buf_heap(DOCUMENT_MAX)};
    g->attests++;
    err = ask(a, &q);
    if (err != CS_OK) {
        attest_free(a);
        cs_gate_refuse(g, conn, request, 0, err);
        return;
    }
    cs_http1_conn_on_gone(conn, on_gone, a);
}
