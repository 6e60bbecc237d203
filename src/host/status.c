/* The enclave's status, asked over gRPC like any client would. */
#include <string.h>

#include "host/host.h"
#include "net/countersign.pb-c.h"
#include "net/h2/grpc.h"

cs_err cs_host_status(cs_buf *json, char phase[32], const cs_endpoint *grpc, uint32_t timeout_ms)
{
    cs_buf answer = cs_buf_heap(CS_GRPC_MESSAGE_MAX);
    Countersign__V1__StatusReply *reply = NULL;
    cs_err err = cs_grpc_unary(&answer, NULL, grpc, "/countersign.v1.Enclave/Status", CS_SLICE_NULL, timeout_ms);

    if (err == CS_OK) {
        reply = countersign__v1__status_reply__unpack(NULL, answer.len, answer.p);
        err = reply == NULL ? CS_E_FORMAT : CS_OK;
    }
    if (err == CS_OK && phase != NULL) {
        memset(phase, 0, 32);
        memcpy(phase, reply->phase, strnlen(reply->phase, 31));
    }
    if (err == CS_OK && json != NULL) {
        err = cs_put_str(json, reply->json);
    }
    if (reply != NULL) {
        countersign__v1__status_reply__free_unpacked(reply, NULL);
    }
    cs_buf_free(&answer);
    return err;
}
