#include "core/pipeline/request.h"

#include <string.h>

#include "codec/hello.h"

#define CS_RPC_NONE 0

const cs_op_row cs_op_table[CS_NUM_OPS] = {
#define CS_OP_ROW(name, link, phases, refusal, answer)                                                                 \
    {CS_RPC_##name, CS_LINK_##link, (phases), CS_E_##refusal, (cs_rpc_type)CS_RPC_##answer},
    CS_OPS(CS_OP_ROW)
#undef CS_OP_ROW
};

void cs_request_of_frame(cs_hello *out, const cs_rpc_frame *f)
{
    *out = (cs_hello){.account_id = f->f[0].s, .tx_id = (int64_t)f->f[1].u, .execution_id = f->f[2].s};
    memcpy(out->digest32, f->f[3].s.p, sizeof out->digest32);
}

cs_err cs_request_decode(cs_request *out, cs_core_link link, cs_slice bytes)
{
    CS_TRY(cs_rpc_decode(&out->frame, bytes));
    for (unsigned op = 0; op < CS_NUM_OPS; op++) {
        if (cs_op_table[op].type == out->frame.type && cs_op_table[op].link == link) {
            out->op = (cs_op)op;
            return CS_OK;
        }
    }
    return CS_E_FORMAT;
}
