#include "codec/ecdsa_der.h"

#include <string.h>

#define TAG_INTEGER 0x02
#define TAG_SEQUENCE 0x30

/* tag, length in its shortest form, contents (at most 255 bytes: no signature is longer) */
static cs_err read_tlv(cs_reader *r, uint8_t want, cs_slice *out)
{
    uint8_t tag, len;
    CS_TRY(cs_read_u8(r, &tag));
    CS_TRY(cs_read_u8(r, &len));
    if (tag != want || len > 0x81) {
        return CS_E_FORMAT;
    }
    if (len == 0x81) {
        CS_TRY(cs_read_u8(r, &len));
        if (len < 0x80) {
            return CS_E_FORMAT;
        }
    } else if (len == 0x80) {
        return CS_E_FORMAT; /* indefinite */
    }
    return cs_read_slice(r, out, len);
}

static cs_err read_number(cs_reader *r, uint8_t *out, size_t width)
{
    cs_slice n;
    CS_TRY(read_tlv(r, TAG_INTEGER, &n));
    if (n.len == 0 || (n.p[0] & 0x80) != 0) {
        return CS_E_FORMAT;
    }
    if (n.len > 1 && n.p[0] == 0) {
        if ((n.p[1] & 0x80) == 0) {
            return CS_E_FORMAT;
        }
        n = cs_slice_of(n.p + 1, n.len - 1);
    }
    if (n.len > width) {
        return CS_E_RANGE;
    }
    memset(out, 0, width - n.len);
    memcpy(out + (width - n.len), n.p, n.len);
    return CS_OK;
}

cs_err cs_ecdsa_der_parse(uint8_t *out_rs, size_t width, cs_slice der)
{
    uint8_t rs[2 * CS_ECDSA_WIDTH_MAX];
    cs_reader all = cs_reader_of(der), in;
    cs_slice seq;
    if (width == 0 || width > CS_ECDSA_WIDTH_MAX) {
        return CS_E_RANGE;
    }
    CS_TRY(read_tlv(&all, TAG_SEQUENCE, &seq));
    CS_TRY(cs_read_end(&all));
    in = cs_reader_of(seq);
    CS_TRY(read_number(&in, rs, width));
    CS_TRY(read_number(&in, rs + width, width));
    CS_TRY(cs_read_end(&in));
    memcpy(out_rs, rs, 2 * width);
    return CS_OK;
}

static cs_slice shortest(const uint8_t *n, size_t width)
{
    while (width > 1 && *n == 0) {
        n++;
        width--;
    }
    return cs_slice_of(n, width);
}

static cs_err put_number(cs_buf *out, cs_slice n)
{
    bool sign = (n.p[0] & 0x80) != 0; /* would read as negative */
    CS_TRY(cs_put_u8(out, TAG_INTEGER));
    CS_TRY(cs_put_u8(out, (uint8_t)(n.len + sign)));
    if (sign) {
        CS_TRY(cs_put_u8(out, 0));
    }
    return cs_put_slice(out, n);
}

cs_err cs_ecdsa_der_put(cs_buf *out, const uint8_t *rs, size_t width)
{
    size_t before = out->len;
    uint8_t mem[CS_ECDSA_DER_MAX];
    cs_buf body = cs_buf_wrap(mem, sizeof mem);
    if (width == 0 || width > CS_ECDSA_WIDTH_MAX) {
        return CS_E_RANGE;
    }
    CS_TRY(put_number(&body, shortest(rs, width)));
    CS_TRY(put_number(&body, shortest(rs + width, width)));
    cs_err err = cs_put_u8(out, TAG_SEQUENCE);
    if (err == CS_OK && body.len >= 0x80) {
        err = cs_put_u8(out, 0x81);
    }
    if (err == CS_OK) {
        err = cs_put_u8(out, (uint8_t)body.len);
    }
    if (err == CS_OK) {
        err = cs_put_slice(out, cs_buf_slice(&body));
    }
    if (err != CS_OK) {
        out->len = before;
    }
    return err;
}
