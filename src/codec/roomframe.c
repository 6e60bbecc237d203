#include "codec/roomframe.h"

#define VERSION 1u

static cs_err put_field(cs_buf *out, cs_slice s, size_t max)
{
    if (s.len < 1 || s.len > max) {
        return CS_E_RANGE;
    }
    CS_TRY(cs_put_u8(out, (uint8_t)s.len));
    return cs_put(out, s.p, s.len);
}

cs_err cs_room_head_put(cs_buf *out, cs_slice account_id, cs_slice execution_id)
{
    const size_t before = out->len;
    cs_err err = cs_put_u8(out, VERSION);

    if (err == CS_OK) {
        err = put_field(out, account_id, CS_ROOM_MAX_ACCOUNT);
    }
    if (err == CS_OK) {
        err = put_field(out, execution_id, CS_ROOM_MAX_EXECUTION);
    }
    if (err != CS_OK) {
        out->len = before;
    }
    return err;
}

static cs_err read_field(cs_reader *r, cs_slice *out, size_t max)
{
    uint8_t len = 0;

    CS_TRY(cs_read_u8(r, &len));
    if (len < 1 || len > max) {
        return CS_E_FORMAT;
    }
    return cs_read_slice(r, out, len);
}

cs_err cs_room_body_parse(cs_room_body *out, cs_slice body)
{
    cs_reader r = cs_reader_of(body);
    cs_room_body b;
    uint8_t version = 0;

    if (body.len == 0) {
        return CS_E_FORMAT;
    }
    CS_TRY(cs_read_u8(&r, &version));
    if (version != VERSION) {
        return CS_E_UNSUPPORTED;
    }
    CS_TRY(read_field(&r, &b.account_id, CS_ROOM_MAX_ACCOUNT));
    CS_TRY(read_field(&r, &b.execution_id, CS_ROOM_MAX_EXECUTION));
    if (r.left == 0) {
        return CS_E_FORMAT;
    }
    b.frame = cs_slice_of(r.p, r.left);
    *out = b;
    return CS_OK;
}

static bool code_fits(cs_slice code)
{
    if (code.len < 1 || code.len > CS_ROOM_END_CODE_MAX) {
        return false;
    }
    for (size_t i = 0; i < code.len; i++) {
        if (!(code.p[i] >= 'A' && code.p[i] <= 'Z') && code.p[i] != '_') {
            return false;
        }
    }
    return true;
}

static cs_err put_end(cs_buf *out, const cs_room_end *e)
{
    CS_TRY(cs_put_u8(out, CS_ROOM_END_KIND));
    CS_TRY(cs_put(out, e->channel16, 16));
    CS_TRY(cs_put(out, e->session16, 16));
    return cs_put(out, e->code.p, e->code.len);
}

cs_err cs_room_end_put(cs_buf *out, const cs_room_end *e)
{
    const size_t before = out->len;
    cs_err err = code_fits(e->code) ? put_end(out, e) : CS_E_RANGE;

    if (err != CS_OK) {
        out->len = before;
    }
    return err;
}

cs_err cs_room_end_parse(cs_room_end *out, cs_slice frame)
{
    cs_slice code;

    if (frame.len < 34 || frame.p[0] != CS_ROOM_END_KIND) {
        return CS_E_FORMAT;
    }
    code = cs_slice_of(frame.p + 33, frame.len - 33);
    if (!code_fits(code)) {
        return CS_E_FORMAT;
    }
    *out = (cs_room_end){.channel16 = frame.p + 1, .session16 = frame.p + 17, .code = code};
    return CS_OK;
}
