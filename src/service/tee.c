/*
 * countersign.v1.TeeCore/Call: one call of the TEE service becomes TEE_CALL to core, TEE_REPLY becomes the answer
 * (docs/formats/tee.md). Nothing of a call is read here: callers sign and seal for core, and core's replies are signed.
 */
#include <string.h>

#include "base/log.h"
#include "net/countersign.pb-c.h"
#include "net/h2/wire.h"
#include "net/trace.h"
#include "service/service.h"

#define WAIT_DEFAULT_MS 30000u /* a call without grpc-timeout */
#define WAIT_MAX_MS 600000u    /* whatever the client's patience: what core does not answer goes some time */
#define ENTRIES_TIMEOUT_MS 15000u
#define MARGIN_MS 20u      /* TEE_TIMEOUT is said before the client's own deadline, or nobody would hear it */
#define FRAME_HEAD_MAX 64u /* of TEE_CALL: array, type, id, heads of the fields */

static uint32_t wait_ms(const cs_grpc_call *call)
{
    uint64_t left = cs_grpc_call_left_ms(call);

    if (left == UINT64_MAX) {
        return WAIT_DEFAULT_MS;
    }
    left -= left / 8 < MARGIN_MS ? left / 8 : MARGIN_MS;
    return left > WAIT_MAX_MS ? WAIT_MAX_MS : (uint32_t)left;
}

/* The trace that a call belongs to, as the gateway says: core never sees it. A call without one is not worth a line. */
static void trace(const cs_grpc_call *call, cs_err err)
{
    cs_trace t;

    if (cs_trace_parent_read(&t, cs_grpc_call_header(call, "traceparent")) != CS_OK) {
        return;
    }
    if (err != CS_OK) {
        cs_log_err(CS_LOG_INFO, "tee_call", err, CS_LHEX("trace", cs_slice_of(t.id, sizeof t.id)),
                   CS_LHEX("span", cs_slice_of(t.parent, sizeof t.parent)));
    } else {
        cs_log(CS_LOG_DEBUG, "tee_call", CS_LHEX("trace", cs_slice_of(t.id, sizeof t.id)),
               CS_LHEX("span", cs_slice_of(t.parent, sizeof t.parent)));
    }
}

static void on_reply(void *cookie, const cs_rpc_frame *reply)
{
    cs_grpc_call *call = cookie;
    cs_service *s = cs_grpc_call_server_cookie(call);
    uint8_t head[CS_FRAME_HEAD_MAX];

    s->tee_calls--;
    if (reply == NULL || reply->type != CS_RPC_TEE_REPLY) {
        cs_err err = reply == NULL ? CS_E_TEE_TIMEOUT : CS_E_INTERNAL;
        trace(call, err);
        cs_grpc_finish(call, err, NULL);
        return;
    }
    trace(call, CS_OK);
    /* TeeCoreReply is what Frame is: field 1, bytes */
    cs_slice bytes = reply->f[0].s, parts[] = {cs_slice_of(head, cs_frame_head(head, bytes.len)), bytes};
    cs_grpc_finish(call, cs_grpc_send(call, parts, 2), NULL);
}

/* The client left: its id is forgotten, so that core's late reply finds nobody. */
static void on_gone(cs_grpc_call *call)
{
    cs_service *s = cs_grpc_call_server_cookie(call);

    cs_service_drop(cs_grpc_call_cookie(call));
    s->tee_calls--;
}

/* Hands the call to core; on success on_reply or on_gone has the rest. */
static cs_err pass_on(cs_grpc_call *call, const Countersign__V1__TeeCoreCall *in)
{
    cs_service *s = cs_grpc_call_server_cookie(call);
    cs_rpc_frame f = {.type = CS_RPC_TEE_CALL};

    if (in->call.len > CS_RPC_MAX || in->attachments.len > CS_RPC_MAX ||
        in->call.len + in->attachments.len > CS_RPC_MAX - FRAME_HEAD_MAX) {
        return CS_E_TOO_LARGE;
    }
    /* half of the queue is for sessions under way: their messages cannot be refused */
    if (s->tee_calls >= CS_SERVICE_TEE_CALLS || (s->core != NULL && cs_link_full(s->core))) {
        return CS_E_TEE_BUSY;
    }
    f.id = ++s->next_id;
    f.f[0].u = in->sealed != 0;
    f.f[1].s = cs_slice_of(in->call.data, in->call.len);
    f.f[2].s = cs_slice_of(in->attachments.data, in->attachments.len);
    cs_pending *p = cs_service_expect(s, f.id, wait_ms(call), on_reply, call);
    if (p == NULL) {
        return CS_E_NO_MEMORY;
    }
    cs_err err = cs_service_send(s, &f);
    if (err != CS_OK) {
        cs_service_drop(p);
        return err == CS_E_RANGE ? CS_E_TEE_BUSY : err;
    }
    cs_grpc_call_set_cookie(call, p);
    s->tee_calls++;
    return CS_OK;
}

static void on_call(cs_grpc_call *call, cs_slice message)
{
    Countersign__V1__TeeCoreCall *in = countersign__v1__tee_core_call__unpack(NULL, message.len, message.p);

    if (in == NULL) {
        cs_grpc_finish_as(call, CS_GRPC_INTERNAL, CS_E_FORMAT, "the protobuf message is malformed");
        return;
    }
    cs_err err = pass_on(call, in);
    if (err != CS_OK) {
        trace(call, err);
        cs_grpc_finish(call, err, NULL);
    }
    countersign__v1__tee_core_call__free_unpacked(in, NULL);
}

/* ---------------------------------------------------------------- Entries */

static void on_entries_reply(void *cookie, const cs_rpc_frame *reply)
{
    cs_grpc_call *call = cookie;
    uint8_t head[CS_FRAME_HEAD_MAX];
    char code[48] = "";
    cs_err err = CS_E_INTERNAL;

    if (reply == NULL) {
        err = CS_E_TEE_TIMEOUT;
    } else if (reply->type == CS_RPC_TEE_ENTRIES_REPLY && reply->f[0].s.len < sizeof code) {
        memcpy(code, reply->f[0].s.p, reply->f[0].s.len);
        err = cs_slice_eq_str(reply->f[0].s, cs_err_code(CS_OK)) ? CS_OK : cs_err_from_code(code);
    }
    if (err != CS_OK) {
        cs_grpc_finish(call, err, NULL);
        return;
    }
    cs_slice bytes = reply->f[1].s, parts[] = {cs_slice_of(head, cs_frame_head(head, bytes.len)), bytes};
    cs_grpc_finish(call, cs_grpc_send(call, parts, 2), NULL);
}

static void on_entries_gone(cs_grpc_call *call)
{
    cs_service_forget(cs_grpc_call_server_cookie(call), call);
}

static void on_entries(cs_grpc_call *call, cs_slice message)
{
    Countersign__V1__TeeCoreEntries *in = countersign__v1__tee_core_entries__unpack(NULL, message.len, message.p);
    cs_rpc_frame f = {.type = CS_RPC_TEE_ENTRIES};

    if (in == NULL) {
        cs_grpc_finish_as(call, CS_GRPC_INTERNAL, CS_E_FORMAT, "the protobuf message is malformed");
        return;
    }
    f.f[0].u = in->from;
    countersign__v1__tee_core_entries__free_unpacked(in, NULL);
    cs_err err = cs_service_call(cs_grpc_call_server_cookie(call), &f, ENTRIES_TIMEOUT_MS, on_entries_reply, call);
    if (err != CS_OK) {
        cs_grpc_finish(call, err == CS_E_RANGE ? CS_E_TEE_BUSY : err, NULL);
    }
}

const cs_grpc_method cs_service_tee_entries_method = {
    .path = "/countersign.v1.TeeCore/Entries", .on_message = on_entries, .on_gone = on_entries_gone};

const cs_grpc_method cs_service_tee_method = {
    .path = "/countersign.v1.TeeCore/Call", .on_message = on_call, .on_gone = on_gone};
