/*
 * Target: cs_tee_told_read cs_tee_json_named cs_tee_json_given cs_tee_pb_named cs_tee_pb_given cs_tee_pb_core_reply
 * cs_tee_json_operation. TEE requests in JSON and protobuf, replies of core. The first byte chooses; what is read has a call that decodes to the
 * same operation.
 */
#include <string.h>

#include "gateway/tee_json.h"
#include "gateway/tee_pb.h"

static void check(const cs_tee_ask *a)
{
    cs_tee_request r;
    cs_tee_call call;
    if (a->sealed) {
        return;
    }
    if (cs_tee_call_decode(&call, cs_buf_slice(&a->call)) != CS_OK || cs_tee_request_decode(&r, call.body) != CS_OK ||
        r.row != a->op || memcmp(r.id16, a->id, CS_TEE_ID_LEN) != 0 || !cs_slice_eq_str(r.caller, a->caller)) {
        __builtin_trap();
    }
}

static void told(cs_slice in)
{
    cs_tee_ask ask = {.op = cs_tee_op_of(1 + in.p[0] % CS_TEE_NUM_OPS)};
    cs_slice reply = cs_slice_of(in.p + 1, in.len - 1);
    cs_buf out = cs_buf_heap(1u << 20);
    ask.shape = cs_tee_shape_of(ask.op->op);
    if (ask.shape != NULL) {
        cs_err a = cs_tee_pb_told(&out, &ask, reply), b = cs_tee_json_told(&out, &ask, reply);
        if ((a == CS_OK) != (b == CS_OK)) {
            __builtin_trap();
        }
    }
    cs_buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *what = NULL;
    cs_tee_ask ask = {0};
    cs_err err = CS_E_FORMAT;
    if (size < 2) {
        return 0;
    }
    cs_slice in = cs_slice_of(data + 1, size - 1);
    unsigned op = data[0] & 15u, kind = data[0] >> 4;
    const cs_tee_shape *shape = cs_tee_shape_of((cs_tee_op)op);
    cs_buf out = cs_buf_heap(1u << 20);
    if (kind == 0 && shape != NULL) {
        err = cs_tee_json_named(&ask, &what, shape, in);
    } else if (kind == 1 && shape != NULL) {
        err = cs_tee_pb_named(&ask, &what, shape, in);
    } else if (kind == 2) {
        err = cs_tee_json_given(&ask, &what, in);
    } else if (kind == 3) {
        err = cs_tee_pb_given(&ask, &what, in);
    } else if (kind == 4) {
        told(in);
    } else if (kind == 5) {
        err = cs_tee_pb_core_reply(&out, in) == CS_OK ? CS_E_FORMAT : err;
    } else {
        (void)cs_tee_json_operation(in);
    }
    if (err == CS_OK) {
        check(&ask);
        cs_tee_ask_cleanup(&ask);
    }
    cs_buf_free(&out);
    return 0;
}
