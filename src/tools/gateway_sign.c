#include "tools/gateway_sign.h"

#include <stdlib.h>
#include <string.h>

#include "net/mpc.pb-c.h"

#define SIGN_PATH "/mpc.SignGateway/SignTx"

typedef struct call {
    cs_gateway_sign_fn *fn;
    void *cookie;
    cs_gateway_sign result;
    unsigned answers;
} call;

static cs_err read_answer(cs_gateway_sign *out, cs_slice message)
{
    Mpc__SignatureMessage *m = mpc__signature_message__unpack(NULL, message.len, message.p);
    cs_err err = m == NULL || m->r.len != 32 || m->s.len != 32 || m->v > 3 ? CS_E_FORMAT : CS_OK;
    if (err == CS_OK) {
        memcpy(out->r, m->r.data, 32);
        memcpy(out->s, m->s.data, 32);
        out->v = (uint8_t)m->v;
    }
    if (m != NULL) {
        mpc__signature_message__free_unpacked(m, NULL);
    }
    return err;
}

static void on_message(cs_grpc_call *c, void *cookie, cs_slice message)
{
    call *k = cookie;
    (void)c;
    k->result.err = k->answers++ == 0 ? read_answer(&k->result, message) : CS_E_FORMAT;
}

static void on_end(cs_grpc_call *c, void *cookie, const cs_grpc_result *result)
{
    call *k = cookie;
    (void)c;
    if (result->err != CS_OK) {
        k->result.err = result->err;
        for (size_t i = 0; i < result->message.len && i < sizeof k->result.detail - 1; i++) {
            uint8_t b = result->message.p[i];
            k->result.detail[i] = b >= 0x20 && b < 0x7f ? (char)b : '?';
        }
    } else if (k->answers == 0) {
        k->result.err = CS_E_FORMAT;
    }
    k->fn(k->cookie, &k->result);
    free(k);
}

static const cs_grpc_call_events events = {on_message, NULL, on_end};

static cs_err send_request(cs_grpc_call *c, const cs_psign_request *r)
{
    Mpc__SignMessage m = MPC__SIGN_MESSAGE__INIT;
    uint8_t packed[CS_HELLO_MAX_ACCOUNT + CS_HELLO_MAX_EXECUTION + 128], execution[CS_HELLO_MAX_EXECUTION], digest[32];
    char account[CS_HELLO_MAX_ACCOUNT + 1] = {0};
    memcpy(account, r->account_id.p, r->account_id.len);
    memcpy(execution, r->execution_id.p, r->execution_id.len);
    memcpy(digest, r->digest32, 32);
    m.tx_id = (int32_t)r->tx_id;
    m.execution_id = (ProtobufCBinaryData){r->execution_id.len, execution};
    m.data = (ProtobufCBinaryData){32, digest};
    m.account_id = account;
    cs_slice part = cs_slice_of(packed, mpc__sign_message__pack(&m, packed));
    CS_TRY(cs_grpc_send(c, &part, 1));
    cs_grpc_end(c);
    return CS_OK;
}

cs_err cs_gateway_sign_start(cs_grpc_client *gateway, const cs_psign_request *r, uint32_t timeout_ms,
                             cs_gateway_sign_fn *fn, void *cookie)
{
    cs_grpc_call *c = NULL;
    if (r->account_id.len > CS_HELLO_MAX_ACCOUNT || r->execution_id.len > CS_HELLO_MAX_EXECUTION || r->path_len != 0 ||
        r->tx_id < INT32_MIN || r->tx_id > INT32_MAX) {
        return CS_E_RANGE;
    }
    call *k = calloc(1, sizeof *k);
    if (k == NULL) {
        return CS_E_NO_MEMORY;
    }
    k->fn = fn;
    k->cookie = cookie;
    cs_err err = cs_grpc_call_new(&c, gateway, SIGN_PATH, timeout_ms, &events, k);
    if (err == CS_OK) {
        err = send_request(c, r);
        if (err != CS_OK) {
            cs_grpc_cancel(c);
        }
    }
    if (err != CS_OK) {
        free(k);
    }
    return err;
}
