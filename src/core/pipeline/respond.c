#include "core/pipeline/respond.h"

#include "base/log.h"
#include "core/core_int.h"
#include "core/tee/tee.h"

void cs_respond_send(cs_core *c, cs_core_link link, const cs_buf *frame)
{
    if (!c->down[link]) {
        c->io.send(c->io.ctx, link, cs_buf_slice(frame));
    }
}

void cs_respond_frame(cs_core *c, cs_core_link link, const cs_rpc_frame *f)
{
    cs_buf b = cs_buf_wrap(c->out, CS_RPC_MAX);
    cs_err err = cs_rpc_encode(&b, f);

    if (err != CS_OK) {
        cs_log_err(CS_LOG_ERROR, "respond", CS_E_INTERNAL, CS_LC("frame", cs_rpc_name(f->type)));
        return;
    }
    cs_respond_send(c, link, &b);
}

void cs_respond_code(cs_core *c, cs_rpc_type type, uint64_t id, cs_err e)
{
    cs_rpc_frame f = {.type = type, .id = id};

    if ((unsigned)type == 0) {
        return;
    }
    if (type == CS_RPC_TEE_REPLY) { /* its field is a message of its own */
        cs_tee_respond_code(c, id, e);
        return;
    }
    f.f[0].s = cs_slice_str(cs_err_code(e)); /* the other fields stay empty */
    cs_respond_frame(c, CS_LINK_SERVICE, &f);
}

void cs_respond_reply(cs_core *c, uint64_t id, cs_err e, cs_slice detail)
{
    cs_rpc_frame f = {.type = CS_RPC_REPLY, .id = id};
    char text[CS_DETAIL_MAX];
    size_t n = detail.len < sizeof text ? detail.len : sizeof text;

    for (size_t i = 0; i < n; i++) {
        text[i] = detail.p[i] >= 0x20 && detail.p[i] < 0x7f ? (char)detail.p[i] : '?';
    }
    f.f[0].s = cs_slice_str(cs_err_code(e));
    f.f[1].s = cs_slice_of(text, n);
    cs_respond_frame(c, CS_LINK_SERVICE, &f);
}

cs_err cs_respond_body(cs_core *c, cs_rpc_type type, uint64_t id, size_t len, uint8_t **body, cs_buf *frame)
{
    *frame = cs_buf_wrap(c->out, CS_RPC_MAX);
    return cs_rpc_encode_body(frame, type, id, len, body);
}
