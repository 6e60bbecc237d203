/* Signatures of the publisher (share files, unban orders) and the request label. */
#include <string.h>

#include "base/text.h"
#include "secret/noise.h"
#include "secret/share/share.h"
#include "secret/sign/ed25519.h"

#define UNBAN_MAGIC "countersign-unban/1"
#define UNBAN_FUTURE_S 300u

void cs_publisher_public(uint8_t out32[32], const uint8_t seed32[32])
{
    CS_SECRET(cs_secret32) seed = {{0}};
    memcpy(seed.b, seed32, 32);
    cs_ed25519_public(out32, &seed);
}

void cs_publisher_sign(uint8_t out64[64], const uint8_t seed32[32], cs_slice message)
{
    CS_SECRET(cs_secret32) seed = {{0}};
    memcpy(seed.b, seed32, 32);
    cs_ed25519_sign(out64, &seed, message);
}

cs_err cs_publisher_verify(const uint8_t public32[32], const uint8_t sig64[64], cs_slice message)
{
    return cs_ed25519_verify(public32, sig64, message);
}

cs_err cs_hello_label(uint8_t out32[32], const cs_hello *h)
{
    uint8_t text[CS_HELLO_LABEL_MAX];
    cs_buf in = cs_buf_wrap(text, sizeof text);
    CS_TRY(cs_hello_label_input(&in, h));
    cs_noise_sha256.digest(out32, (cs_slice[]){cs_buf_slice(&in)}, 1);
    return CS_OK;
}

cs_err cs_unban_put(cs_buf *out, const uint8_t seed32[32], const cs_unban *u)
{
    uint8_t public32[32], sig[64];
    size_t before = out->len;
    cs_publisher_public(public32, seed32);
    CS_TRY(cs_put_str(out, UNBAN_MAGIC " publisher="));
    CS_TRY(cs_put_hex(out, cs_slice_of(public32, 32)));
    CS_TRY(cs_put_str(out, " key="));
    CS_TRY(cs_put_hex(out, cs_slice_of(u->key32, 32)));
    CS_TRY(cs_put_fmt(out, " time=%llu", (unsigned long long)u->time_s));
    cs_publisher_sign(sig, seed32, cs_slice_of(out->p + before, out->len - before));
    CS_TRY(cs_put_str(out, " sig="));
    CS_TRY(cs_put_hex(out, cs_slice_of(sig, 64)));
    return cs_put_u8(out, '\n');
}

static cs_err expect(cs_reader *r, const char *text)
{
    cs_slice got;
    CS_TRY(cs_read_slice(r, &got, strlen(text)));
    return cs_slice_eq_str(got, text) ? CS_OK : CS_E_FORMAT;
}

static cs_err hex_field(cs_reader *r, const char *name, uint8_t *out, size_t len)
{
    cs_slice hex;
    CS_TRY(expect(r, name));
    CS_TRY(cs_read_slice(r, &hex, 2 * len));
    return cs_hex_decode_ct(out, len, hex.p) ? CS_OK : CS_E_FORMAT;
}

typedef struct unban_line {
    cs_unban order;
    uint8_t publisher32[32], sig64[64];
    cs_slice signed_part;
} unban_line;

static cs_err parse_unban(unban_line *out, cs_slice text)
{
    cs_reader all = cs_reader_of(text), r;
    cs_slice line, number;
    size_t digits = 0;
    CS_TRY(cs_read_line(&all, &line, CS_UNBAN_MAX - 1));
    CS_TRY(cs_read_end(&all));
    r = cs_reader_of(line);
    CS_TRY(expect(&r, UNBAN_MAGIC));
    CS_TRY(hex_field(&r, " publisher=", out->publisher32, 32));
    CS_TRY(hex_field(&r, " key=", out->order.key32, 32));
    CS_TRY(expect(&r, " time="));
    while (digits < r.left && r.p[digits] != ' ') {
        digits++;
    }
    CS_TRY(cs_read_slice(&r, &number, digits));
    CS_TRY(cs_parse_u64(number, UINT64_MAX / 2, &out->order.time_s));
    out->signed_part = cs_slice_of(line.p, line.len - r.left);
    CS_TRY(hex_field(&r, " sig=", out->sig64, 64));
    return cs_read_end(&r);
}

cs_err cs_unban_verify(cs_unban *out, cs_slice order, const cs_unban_check *check)
{
    unban_line u = {0};
    bool listed = false;
    if (parse_unban(&u, order) != CS_OK) {
        return CS_E_UNBAN;
    }
    for (size_t i = 0; i < check->num_publishers; i++) {
        listed = listed || cs_ct_eq(check->publishers[i], u.publisher32, 32);
    }
    if (!listed || cs_publisher_verify(u.publisher32, u.sig64, u.signed_part) != CS_OK ||
        u.order.time_s > check->now_s + UNBAN_FUTURE_S) {
        return CS_E_UNBAN;
    }
    *out = u.order;
    return CS_OK;
}
