/*
 * Target: cs_room_body_parse, cs_room_end_parse
 * What is accepted is written back byte for byte; an END inside it too.
 */
#include <stdlib.h>

#include "codec/roomframe.h"

static void same(const cs_buf *b, cs_slice expected)
{
    if (!cs_slice_eq(cs_buf_slice(b), expected)) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint8_t mem[CS_ROOM_HEAD_MAX], end_mem[CS_ROOM_END_MAX];
    cs_buf b = cs_buf_wrap(mem, sizeof mem), e = cs_buf_wrap(end_mem, sizeof end_mem);
    cs_room_body body;
    cs_room_end end;

    if (cs_room_body_parse(&body, cs_slice_of(data, len)) != CS_OK) {
        return 0;
    }
    if (cs_room_head_put(&b, body.account_id, body.execution_id) != CS_OK) {
        abort();
    }
    same(&b, cs_slice_of(data, len - body.frame.len));
    if (cs_room_end_parse(&end, body.frame) == CS_OK) {
        if (cs_room_end_put(&e, &end) != CS_OK) {
            abort();
        }
        same(&e, body.frame);
    }
    return 0;
}
