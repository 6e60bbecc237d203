/* mpc.Participant/SignTx: the request is checked here, signed for by core through a bridge to the room (room.c). */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "codec/hello.h"
#include "net/h2/wire.h"
#include "net/mpc.pb-c.h"
#include "service/room.h"

#define DIGEST_LEN 32u
#define ACCOUNT_ID_FIELD 5u /* of mpc.SignMessage */

struct call {
    cs_sign_waiter waiter; /* first: the waiter is the call */
    cs_grpc_call *grpc;
};

static void answer(cs_grpc_call *call, const uint8_t *signature)
{
    Mpc__SignatureMessage out = MPC__SIGNATURE_MESSAGE__INIT;
    uint8_t sig[CS_SIGNATURE_LEN], bytes[2 * CS_SIGNATURE_LEN];

    memcpy(sig, signature, sizeof sig);
    out.r = (ProtobufCBinaryData){.data = sig, .len = 32};
    out.s = (ProtobufCBinaryData){.data = sig + 32, .len = 32};
    out.v = sig[64];
    cs_slice part = cs_slice_of(bytes, mpc__signature_message__pack(&out, bytes));
    cs_grpc_finish(call, cs_grpc_send(call, &part, 1), NULL);
}

static void on_signature(cs_sign_waiter *w, cs_err err, const uint8_t *signature)
{
    struct call *c = (struct call *)w;
    cs_grpc_call *grpc = c->grpc;

    free(c);
    cs_grpc_call_set_cookie(grpc, NULL);
    if (err == CS_OK) {
        answer(grpc, signature);
    } else {
        cs_grpc_finish(grpc, err, NULL);
    }
}

/* Fields in the order of the message; the first that is wrong decides. */
static cs_err check(cs_sign_request *out, const Mpc__SignMessage *in, cs_slice message)
{
    out->tx_id = in->tx_id;
    out->execution_id = cs_slice_of(in->execution_id.data, in->execution_id.len);
    if (in->execution_id.len < 1 || in->execution_id.len > CS_HELLO_MAX_EXECUTION) {
        return CS_E_RANGE;
    }
    if (in->chain != MPC__CHAIN__Ethereum && in->chain != MPC__CHAIN__Bitcoin) {
        return CS_E_RANGE;
    }
    if (in->data.len != DIGEST_LEN) {
        return CS_E_DIGEST_LENGTH;
    }
    out->digest32 = in->data.data;
    /* of the message itself: protobuf-c cuts a text at its first NUL, and that would be another account */
    CS_TRY(cs_pb_field(&out->account_id, message, ACCOUNT_ID_FIELD));
    return cs_account_id_valid(out->account_id) ? CS_OK : CS_E_ACCOUNT_UNKNOWN;
}

static void start(cs_grpc_call *grpc, const cs_sign_request *request)
{
    struct call *c = calloc(1, sizeof *c);
    cs_err err = CS_E_NO_MEMORY;

    if (c != NULL) {
        c->waiter.fn = on_signature;
        c->grpc = grpc;
        cs_grpc_call_set_cookie(grpc, c);
        err = cs_bridge_join(cs_grpc_call_server_cookie(grpc), request, &c->waiter);
    }
    if (err != CS_OK) {
        free(c);
        cs_grpc_call_set_cookie(grpc, NULL);
        cs_grpc_finish(grpc, err, NULL);
    }
}

static void on_message(cs_grpc_call *grpc, cs_slice message)
{
    Mpc__SignMessage *in = mpc__sign_message__unpack(NULL, message.len, message.p);
    cs_sign_request request = {0};

    cs_grpc_call_set_cookie(grpc, NULL);
    if (in == NULL) {
        cs_grpc_finish_as(grpc, CS_GRPC_INTERNAL, CS_E_FORMAT, "the protobuf message is malformed");
        return;
    }
    cs_err err = check(&request, in, message);
    if (err == CS_E_RANGE) {
        cs_grpc_finish(grpc, err, "execution_id is 1 to 64 bytes, chain 0 or 1");
    } else if (err != CS_OK) {
        cs_grpc_finish(grpc, err, NULL);
    } else {
        start(grpc, &request);
    }
    mpc__sign_message__free_unpacked(in, NULL);
}

static void on_gone(cs_grpc_call *grpc)
{
    struct call *c = cs_grpc_call_cookie(grpc);

    if (c != NULL) {
        cs_bridge_quit(&c->waiter);
        free(c);
    }
}

const cs_grpc_method cs_service_sign_tx_method = {
    .path = "/mpc.Participant/SignTx", .on_message = on_message, .on_gone = on_gone};
