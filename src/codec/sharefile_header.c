/* The header line of share files, and hex in constant time. See sharefile.h. */
#include <string.h>

#include "base/text.h"
#include "codec/sharefile.h"

#define MAGIC "countersign-shares/1"

/* ---- constant-time hex: no table, no branch on a digit */

/* 0xff when lo <= c <= hi, else 0 */
static unsigned in_range(unsigned c, unsigned lo, unsigned hi)
{
    return ((lo - 1 - c) & (c - hi - 1)) >> 8 & 0xff;
}

unsigned cs_hex_decode_ct(uint8_t *out, size_t out_len, const uint8_t *hex)
{
    unsigned good = 0xff;
    for (size_t i = 0; i < out_len; i++) {
        unsigned v[2];
        for (size_t k = 0; k < 2; k++) {
            unsigned c = hex[2 * i + k];
            unsigned digit = in_range(c, '0', '9'), letter = in_range(c, 'a', 'f');
            v[k] = (digit & (c - '0')) | (letter & (c - 'a' + 10));
            good &= digit | letter;
        }
        out[i] = (uint8_t)(v[0] << 4 | v[1]);
    }
    return good & 1;
}

cs_err cs_put_hex_ct(cs_buf *out, const uint8_t *in, size_t len)
{
    uint8_t *at = NULL;
    CS_TRY(cs_put_space(out, &at, 2 * len));
    for (size_t i = 0; i < 2 * len; i++) {
        unsigned v = i % 2 == 0 ? in[i / 2] >> 4 : in[i / 2] & 15;
        at[i] = (uint8_t)('0' + v + (in_range(v, 10, 15) & ('a' - '0' - 10)));
    }
    return CS_OK;
}

/* ---- header line */

static cs_err expect(cs_reader *r, const char *text)
{
    cs_slice got;
    CS_TRY(cs_read_slice(r, &got, strlen(text)));
    return cs_slice_eq_str(got, text) ? CS_OK : CS_E_SHARES_FORMAT;
}

/* " name=" and 2 len hex digits, lower case */
static cs_err hex_field(cs_reader *r, const char *name, uint8_t *out, size_t len)
{
    cs_slice hex;
    CS_TRY(expect(r, name));
    CS_TRY(cs_read_slice(r, &hex, 2 * len));
    return cs_hex_decode_ct(out, len, hex.p) ? CS_OK : CS_E_SHARES_FORMAT;
}

static cs_err header_fields(cs_sharefile_header *h, cs_slice line)
{
    cs_reader r = cs_reader_of(line);
    size_t digits = 0;
    cs_slice number;
    CS_TRY(expect(&r, MAGIC " generation="));
    while (digits < r.left && r.p[digits] != ' ') {
        digits++;
    }
    CS_TRY(cs_read_slice(&r, &number, digits));
    CS_TRY(cs_parse_u64(number, UINT64_MAX, &h->generation));
    cs_reader none = r;
    if (expect(&none, " publisher=none") == CS_OK) {
        r = none;
    } else {
        h->is_signed = true;
        CS_TRY(hex_field(&r, " publisher=", h->publisher32, 32));
    }
    CS_TRY(hex_field(&r, " sha256=", h->sha256, 32));
    h->signed_part = cs_slice_of(line.p, line.len - r.left);
    if (h->is_signed) {
        CS_TRY(hex_field(&r, " sig=", h->sig64, 64));
    }
    return cs_read_end(&r);
}

cs_err cs_sharefile_header_parse(cs_sharefile_header *out, cs_slice file)
{
    cs_sharefile_header h = {0};
    cs_reader r = cs_reader_of(file);
    cs_slice line;
    if (cs_read_line(&r, &line, CS_SHAREFILE_HEADER_MAX - 1) != CS_OK || header_fields(&h, line) != CS_OK) {
        return CS_E_SHARES_FORMAT;
    }
    h.body = cs_slice_of(r.p, r.left);
    *out = h;
    return CS_OK;
}

cs_err cs_sharefile_header_put(cs_buf *out, uint64_t generation, const uint8_t *publisher32, const uint8_t sha256[32])
{
    CS_TRY(cs_put_fmt(out, MAGIC " generation=%llu publisher=", (unsigned long long)generation));
    if (publisher32 != NULL) {
        CS_TRY(cs_put_hex(out, cs_slice_of(publisher32, 32)));
    } else {
        CS_TRY(cs_put_str(out, "none"));
    }
    CS_TRY(cs_put_str(out, " sha256="));
    return cs_put_hex(out, cs_slice_of(sha256, 32));
}

cs_err cs_sharefile_header_end(cs_buf *out, const uint8_t *sig64)
{
    if (sig64 != NULL) {
        CS_TRY(cs_put_str(out, " sig="));
        CS_TRY(cs_put_hex(out, cs_slice_of(sig64, 64)));
    }
    return cs_put_u8(out, '\n');
}
