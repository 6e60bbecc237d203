/* gRPC countersign.v1.Tee: named operations and calls. See tee.h. */
#include <stdlib.h>
#include <string.h>

#include "gateway/tee.h"
#include "gateway/tee_pb.h"

#define PREFIX "/countersign.v1.Tee/"
#define MARGIN_MS 20u
#define REPLY_MAX (512u * 1024u)

/* One call of a client. */
typedef struct asked {
    cs_grpc_call *call;
    cs_tee_waiter *waiter;
    cs_tee_ask ask; /* operation, shape and algorithm: what the answer needs */
    cs_tel_call *seen;
} asked;

static void answer(cs_grpc_call *call, const cs_tee_ask *ask, cs_slice reply)
{
    cs_buf out = cs_buf_heap(REPLY_MAX);
    cs_err err = ask->shape != NULL ? cs_tee_pb_told(&out, ask, reply) : cs_tee_pb_reply(&out, reply);
    cs_slice part = cs_buf_slice(&out);
    if (err == CS_OK) {
        err = cs_grpc_send(call, &part, 1);
    }
    cs_grpc_finish(call, err, NULL);
    cs_buf_free(&out);
}

/* A refusal that is in the audit log is answered with its entry to a Call: who made the body can read the reply. */
static void on_done(void *cookie, const cs_tee_outcome *o)
{
    asked *a = cookie;
    cs_grpc_call *call = a->call;
    cs_tee_ask ask = a->ask;
    cs_tee_reply r;
    cs_tel_end(a->seen, o->err);
    free(a);
    cs_grpc_call_set_cookie(call, NULL);
    bool entered = o->reply.len > 0 && cs_tee_reply_decode(&r, o->reply) == CS_OK && r.entry.len > 0 &&
                   cs_slice_eq_str(r.code, cs_err_code(o->err));
    if (o->err == CS_OK || (ask.shape == NULL && entered)) {
        answer(call, &ask, o->reply);
    } else {
        cs_grpc_finish(call, o->err, o->detail);
    }
}

static void on_gone(cs_grpc_call *c)
{
    asked *a = cs_grpc_call_cookie(c);
    if (a != NULL) {
        cs_tee_flow_leave(a->waiter);
        cs_tel_gone(a->seen);
        free(a);
    }
}

static cs_err read_ask(cs_tee_ask *ask, const char **what, const char *path, cs_slice message)
{
    const char *name = path + sizeof PREFIX - 1;
    const cs_tee_op_row *row = cs_tee_op_named(cs_slice_str(name));
    if (row == NULL) {
        return cs_tee_pb_given(ask, what, message);
    }
    return cs_tee_pb_named(ask, what, cs_tee_shape_of(row->op), message);
}

/* TEE_TIMEOUT is said before the client's own deadline, or nobody would hear it. */
static uint64_t patience_ms(const cs_grpc_call *c)
{
    uint64_t left = cs_grpc_call_left_ms(c);
    return left == UINT64_MAX ? left : left - (left / 8 < MARGIN_MS ? left / 8 : MARGIN_MS);
}

static void on_message(cs_grpc_call *c, cs_slice message)
{
    cs_gate *g = cs_grpc_call_server_cookie(c);
    const char *detail = "";
    cs_tee_ask ask = {0};
    asked *a = calloc(1, sizeof *a);
    cs_tel_call *seen = cs_tel_begin_grpc(g->telemetry, c);
    cs_grpc_call_set_cookie(c, NULL);
    cs_err err = a != NULL ? cs_tee_admit(g->tee, cs_grpc_call_header(c, "authorization"), &detail) : CS_E_NO_MEMORY;
    if (err == CS_OK) {
        err = read_ask(&ask, &detail, cs_grpc_call_path(c), message);
    }
    if (err == CS_OK) {
        cs_tee_seen(&ask, seen);
        *a = (asked){.call = c, .ask = {.op = ask.op, .shape = ask.shape, .alg = ask.alg}, .seen = seen};
        err = cs_tee_start(&a->waiter, g->tee, &detail, &ask, patience_ms(c), on_done, a);
    }
    if (err != CS_OK) {
        free(a);
        cs_tel_end(seen, err);
        cs_grpc_finish(c, err, detail);
        return;
    }
    cs_grpc_call_set_cookie(c, a);
}

#define METHOD(name)                                                                                                   \
    {                                                                                                                  \
        .path = PREFIX name, .on_message = on_message, .on_gone = on_gone                                              \
    }

const cs_grpc_method cs_tee_grpc_methods[] = {
    METHOD("Sign"),
    METHOD("Decrypt"),
    METHOD("Unseal"),
    METHOD("Generate"),
    METHOD("PublicKey"),
    METHOD("Rotate"),
    METHOD("Attest"),
    METHOD("Stats"),
    METHOD("Call"),
    {.path = PREFIX "Records", .on_message = cs_tee_records, .on_gone = cs_tee_records_gone},
    {0},
};
