/* Protobuf by hand for Frame. See wire.h. */
#include "net/h2/wire.h"

#define FRAME_BODY_TAG 0x0a /* field 1, length-delimited */
#define VARINT_MAX 10

size_t cs_frame_head(uint8_t out[CS_FRAME_HEAD_MAX], size_t body_len)
{
    size_t n = 0;
    uint64_t v = body_len;
    out[n++] = FRAME_BODY_TAG;
    while (v >= 0x80) {
        out[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    out[n++] = (uint8_t)v;
    return n;
}

static cs_err read_varint(cs_reader *r, uint64_t *out)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < VARINT_MAX; i++) {
        uint8_t b = 0;
        CS_TRY(cs_read_u8(r, &b));
        if (i == VARINT_MAX - 1 && b > 1) {
            return CS_E_FORMAT;
        }
        v |= (uint64_t)(b & 0x7f) << (7 * i);
        if ((b & 0x80) == 0) {
            *out = v;
            return CS_OK;
        }
    }
    return CS_E_FORMAT;
}

static cs_err read_delimited(cs_reader *r, cs_slice *out)
{
    uint64_t len = 0;
    CS_TRY(read_varint(r, &len));
    return len > r->left ? CS_E_FORMAT : cs_read_slice(r, out, (size_t)len);
}

/* Wire types: 0 varint, 1 eight bytes, 2 length-delimited, 5 four bytes; groups (3, 4) are not proto3. */
static cs_err skip(cs_reader *r, unsigned wire_type)
{
    uint64_t v;
    cs_slice s;
    switch (wire_type) {
    case 0:
        return read_varint(r, &v);
    case 1:
        return cs_read_slice(r, &s, 8);
    case 2:
        return read_delimited(r, &s);
    case 5:
        return cs_read_slice(r, &s, 4);
    default:
        return CS_E_FORMAT;
    }
}

cs_err cs_pb_field(cs_slice *out, cs_slice message, uint32_t field)
{
    cs_reader r = cs_reader_of(message);
    cs_slice found = cs_slice_of("", 0);
    while (r.left > 0) {
        uint64_t tag = 0;
        CS_TRY(read_varint(&r, &tag));
        if (tag >> 3 == 0 || tag > UINT32_MAX) {
            return CS_E_FORMAT;
        }
        if (tag == ((uint64_t)field << 3 | 2)) {
            CS_TRY(read_delimited(&r, &found));
        } else {
            CS_TRY(skip(&r, (unsigned)tag & 7));
        }
    }
    *out = found;
    return CS_OK;
}

cs_err cs_frame_body(cs_slice *out, cs_slice message)
{
    return cs_pb_field(out, message, FRAME_BODY_TAG >> 3);
}
