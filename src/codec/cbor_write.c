/* CBOR writer: deterministic encoding, see cbor.h. Source: RFC 8949 sections 3 and 4.2. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "codec/cbor.h"

enum { MAJOR_UINT, MAJOR_NINT, MAJOR_BYTES, MAJOR_TEXT, MAJOR_ARRAY, MAJOR_MAP, MAJOR_TAG, MAJOR_SIMPLE };
enum { INFO_U8 = 24, INFO_U16 = 25, INFO_U32 = 26, INFO_U64 = 27 };
enum { SIMPLE_FALSE = 20, SIMPLE_TRUE = 21, SIMPLE_NULL = 22 };

/* Appends a head with an argument of exactly 2^(info - 24) bytes, or the argument itself when info is below 24. */
static cs_err put_head_as(cs_buf *b, unsigned major, unsigned info, uint64_t arg)
{
    size_t arg_len = info < INFO_U8 ? 0 : (size_t)1 << (info - INFO_U8);
    uint8_t raw[9], wide[8];

    raw[0] = (uint8_t)(major << 5 | info);
    cs_store_u64(wide, arg);
    memcpy(raw + 1, wide + sizeof wide - arg_len, arg_len);
    return cs_put(b, raw, 1 + arg_len);
}

static cs_err put_head(cs_buf *b, unsigned major, uint64_t arg)
{
    unsigned info = arg < INFO_U8       ? (unsigned)arg
                    : arg <= UINT8_MAX  ? INFO_U8
                    : arg <= UINT16_MAX ? INFO_U16
                    : arg <= UINT32_MAX ? INFO_U32
                                        : INFO_U64;

    return put_head_as(b, major, info, arg);
}

cs_err cs_cbor_put_uint(cs_buf *b, uint64_t v)
{
    return put_head(b, MAJOR_UINT, v);
}

cs_err cs_cbor_put_nint(cs_buf *b, uint64_t n)
{
    return put_head(b, MAJOR_NINT, n);
}

cs_err cs_cbor_put_int(cs_buf *b, int64_t v)
{
    return v >= 0 ? put_head(b, MAJOR_UINT, (uint64_t)v) : put_head(b, MAJOR_NINT, (uint64_t)(-1 - v));
}

static cs_err put_string(cs_buf *b, unsigned major, cs_slice v)
{
    size_t len = b->len;
    cs_err err = put_head(b, major, v.len);

    if (err == CS_OK && (err = cs_put_slice(b, v)) != CS_OK) {
        b->len = len;
    }
    return err;
}

cs_err cs_cbor_put_bytes(cs_buf *b, cs_slice v)
{
    return put_string(b, MAJOR_BYTES, v);
}

cs_err cs_cbor_put_text(cs_buf *b, const char *v)
{
    return put_string(b, MAJOR_TEXT, cs_slice_str(v));
}

cs_err cs_cbor_put_text_slice(cs_buf *b, cs_slice v)
{
    return put_string(b, MAJOR_TEXT, v);
}

cs_err cs_cbor_put_array(cs_buf *b, uint64_t count)
{
    return put_head(b, MAJOR_ARRAY, count);
}

cs_err cs_cbor_put_map(cs_buf *b, uint64_t count)
{
    return put_head(b, MAJOR_MAP, count);
}

cs_err cs_cbor_put_bool(cs_buf *b, bool v)
{
    return put_head(b, MAJOR_SIMPLE, v ? SIMPLE_TRUE : SIMPLE_FALSE);
}

cs_err cs_cbor_put_null(cs_buf *b)
{
    return put_head(b, MAJOR_SIMPLE, SIMPLE_NULL);
}

cs_err cs_cbor_put_tag(cs_buf *b, uint64_t tag)
{
    return put_head(b, MAJOR_TAG, tag);
}

cs_err cs_cbor_put_simple(cs_buf *b, uint8_t v)
{
    return v >= 24 && v < 32 ? CS_E_RANGE : put_head(b, MAJOR_SIMPLE, v);
}

/* The half precision bits of v when it has an exact one. */
static bool double_to_half(double v, uint16_t *out)
{
    uint16_t sign = signbit(v) != 0 ? 0x8000 : 0;
    double a = fabs(v);
    int exponent;

    if (isinf(v)) {
        *out = sign | 0x7c00;
        return true;
    }
    if (a > 65504 || a != ldexp(floor(ldexp(a, 24)), -24)) {
        return false;
    }
    if (a < ldexp(1, -14)) { /* zero and subnormal: units of 2^-24 */
        *out = sign | (uint16_t)ldexp(a, 24);
        return true;
    }
    (void)frexp(a, &exponent); /* a = f * 2^exponent, 0.5 <= f < 1; eleven significant bits */
    a = ldexp(a, 11 - exponent);
    if (a != floor(a)) {
        return false;
    }
    *out = (uint16_t)(sign | (unsigned)(exponent + 14) << 10 | ((unsigned)a & 0x3ff));
    return true;
}

cs_err cs_cbor_put_float(cs_buf *b, double v)
{
    uint16_t half = 0x7e00;
    uint32_t bits32;
    uint64_t bits64;
    float single;

    if (isnan(v) || double_to_half(v, &half)) {
        return put_head_as(b, MAJOR_SIMPLE, INFO_U16, half);
    }
    single = fabs(v) <= FLT_MAX ? (float)v : 0;
    if ((double)single == v) {
        memcpy(&bits32, &single, sizeof bits32);
        return put_head_as(b, MAJOR_SIMPLE, INFO_U32, bits32);
    }
    memcpy(&bits64, &v, sizeof bits64);
    return put_head_as(b, MAJOR_SIMPLE, INFO_U64, bits64);
}
