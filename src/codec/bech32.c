/* Bech32 and Bech32m, see bech32.h. Source: BIP-173, BIP-350. */
#include "codec/bech32.h"

#include <string.h>

#define CHECKSUM_LEN 6
#define MAX_DATA 120

static const char alphabet[] = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";

static uint32_t kind_constant(cs_bech32_kind kind)
{
    return kind == CS_BECH32M ? 0x2bc830a3 : 1;
}

/* One step of the BCH code; no branch on the value. */
static uint32_t step(uint32_t c, uint32_t value)
{
    static const uint32_t generator[5] = {0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3};
    uint32_t top = c >> 25;

    c = (c & 0x1ffffff) << 5 ^ value;
    for (unsigned i = 0; i < 5; i++) {
        c ^= generator[i] & (0 - (top >> i & 1));
    }
    return c;
}

/* 0xffffffff when a == b, else 0; both below 2^31. */
static uint32_t eq_mask(uint32_t a, uint32_t b)
{
    uint32_t d = a ^ b;

    return ((d | (0 - d)) >> 31) - 1;
}

static uint32_t lower(uint32_t c)
{
    uint32_t is_upper = ((uint32_t)('A' - 1) - c) & (c - (uint32_t)('Z' + 1)); /* sign bit set when 'A' <= c <= 'Z' */

    return c + (is_upper >> 31) * 32;
}

static uint32_t step_hrp(uint32_t c, cs_slice hrp)
{
    for (size_t i = 0; i < hrp.len; i++) {
        c = step(c, lower(hrp.p[i]) >> 5);
    }
    c = step(c, 0);
    for (size_t i = 0; i < hrp.len; i++) {
        c = step(c, lower(hrp.p[i]) & 31);
    }
    return c;
}

/* Group of a character, or bit 8 set when it is none. All 32 are compared, whichever it is. */
static uint32_t value_of(uint32_t c)
{
    uint32_t v = 0x100;

    for (uint32_t i = 0; i < 32; i++) {
        v ^= (0x100 ^ i) & eq_mask(c, (uint8_t)alphabet[i]);
    }
    return v;
}

static uint32_t char_of(uint32_t value)
{
    uint32_t c = 0;

    for (uint32_t i = 0; i < 32; i++) {
        c |= (uint8_t)alphabet[i] & eq_mask(value, i);
    }
    return c;
}

static bool printable_one_case(cs_slice text)
{
    uint32_t has_upper = 0, has_lower = 0, bad = 0;

    for (size_t i = 0; i < text.len; i++) {
        uint32_t c = text.p[i];

        has_upper |= lower(c) ^ c;
        has_lower |= ((uint32_t)('a' - 1) - c) & (c - (uint32_t)('z' + 1));
        bad |= (c - 33) | (126 - c);
    }
    return bad >> 31 == 0 && (has_upper == 0 || has_lower >> 31 == 0);
}

cs_err cs_bech32_decode(cs_bech32 *out, cs_slice text, size_t max_len, cs_bech32_kind kind)
{
    size_t sep = text.len;
    uint32_t c = 1, bad = 0;

    memset(out, 0, sizeof *out);
    if (text.len < 1 + 1 + CHECKSUM_LEN || text.len > max_len || text.len > CS_BECH32_MAX_LEN ||
        !printable_one_case(text)) {
        return CS_E_FORMAT;
    }
    while (sep > 0 && text.p[sep - 1] != '1') { /* "1" is in no data part: where it stands is public */
        sep--;
    }
    if (sep < 2 || sep - 1 > CS_BECH32_MAX_HRP || text.len - sep < CHECKSUM_LEN) {
        return CS_E_FORMAT;
    }
    c = step_hrp(c, cs_slice_of(text.p, sep - 1));
    for (size_t i = sep; i < text.len; i++) {
        uint32_t v = value_of(lower(text.p[i]));

        bad |= v & 0x100;
        c = step(c, v & 31);
        out->value[i - sep] = (uint8_t)(v & 31);
    }
    if (bad != 0 || c != kind_constant(kind)) {
        explicit_bzero(out, sizeof *out);
        return CS_E_FORMAT;
    }
    out->hrp = cs_slice_of(text.p, sep - 1);
    out->num_values = text.len - sep - CHECKSUM_LEN;
    memset(out->value + out->num_values, 0, CHECKSUM_LEN);
    return CS_OK;
}

cs_err cs_bech32_bytes(cs_buf *out, const uint8_t *values, size_t num_values)
{
    size_t len = num_values * 5 / 8, spare = num_values * 5 % 8, n = 0;
    uint32_t acc = 0, bits = 0;
    uint8_t *p = NULL;

    if (spare >= 5 || (spare > 0 && (values[num_values - 1] & ((1U << spare) - 1)) != 0)) {
        return CS_E_FORMAT;
    }
    CS_TRY(cs_put_space(out, &p, len));
    for (size_t i = 0; i < num_values; i++) {
        acc = (acc << 5 | values[i]) & 0xfff;
        bits += 5;
        if (bits >= 8) {
            bits -= 8;
            p[n++] = (uint8_t)(acc >> bits);
        }
    }
    return CS_OK;
}

static char cased(uint32_t c, bool upper)
{
    uint32_t is_lower = ((uint32_t)('a' - 1) - c) & (c - (uint32_t)('z' + 1));

    return (char)(upper ? c - (is_lower >> 31) * 32 : c);
}

/* The groups of data, then of the checksum. */
static size_t groups_of(uint8_t *value, uint32_t c, cs_slice data, cs_bech32_kind kind)
{
    uint32_t acc = 0, bits = 0;
    size_t n = 0;

    for (size_t i = 0; i < data.len; i++) {
        acc = (acc << 8 | data.p[i]) & 0xfff;
        for (bits += 8; bits >= 5; bits -= 5) {
            value[n++] = (uint8_t)(acc >> (bits - 5) & 31);
        }
    }
    if (bits > 0) {
        value[n++] = (uint8_t)(acc << (5 - bits) & 31);
    }
    for (size_t i = 0; i < n + CHECKSUM_LEN; i++) {
        c = step(c, i < n ? value[i] : 0);
    }
    c ^= kind_constant(kind);
    for (unsigned i = 0; i < CHECKSUM_LEN; i++) {
        value[n++] = (uint8_t)(c >> (25 - 5 * i) & 31);
    }
    return n;
}

cs_err cs_bech32_put(cs_buf *out, const char *hrp, cs_slice data, cs_bech32_kind kind, bool upper)
{
    cs_slice h = cs_slice_str(hrp);
    uint8_t value[MAX_DATA * 8 / 5 + 1 + CHECKSUM_LEN];
    uint8_t *p = NULL;
    size_t n;

    if (h.len == 0 || h.len > CS_BECH32_MAX_HRP || !printable_one_case(h)) {
        return CS_E_FORMAT;
    }
    if (data.len > MAX_DATA) {
        return CS_E_RANGE;
    }
    n = groups_of(value, step_hrp(1, h), data, kind);
    if (cs_put_space(out, &p, h.len + 1 + n) != CS_OK) {
        explicit_bzero(value, sizeof value);
        return CS_E_RANGE;
    }
    for (size_t i = 0; i < h.len; i++) {
        p[i] = (uint8_t)cased(lower(h.p[i]), upper);
    }
    p[h.len] = '1';
    for (size_t i = 0; i < n; i++) {
        p[h.len + 1 + i] = (uint8_t)cased(char_of(value[i]), upper);
    }
    explicit_bzero(value, sizeof value);
    return CS_OK;
}

static bool hrp_is(cs_slice got, const char *want)
{
    size_t len = strlen(want);
    bool same = got.len == len;

    for (size_t i = 0; same && i < len; i++) {
        same = lower(got.p[i]) == lower((uint8_t)want[i]);
    }
    return same;
}

/* Witness version and program; the kind of checksum must be the version's under the rules. */
static cs_err read_program(cs_buf *program, uint8_t *version, const cs_bech32 *b, cs_bech32_kind kind,
                           cs_segwit_rules rules)
{
    if (b->num_values == 0 || b->value[0] > 16) {
        return CS_E_FORMAT;
    }
    *version = b->value[0];
    if (kind != (rules == CS_SEGWIT_BIP173 || *version == 0 ? CS_BECH32 : CS_BECH32M) ||
        cs_bech32_bytes(program, b->value + 1, b->num_values - 1) != CS_OK || program->len < 2 ||
        (*version == 0 && program->len != 20 && program->len != 32)) {
        return CS_E_FORMAT;
    }
    return CS_OK;
}

cs_err cs_segwit_script(cs_buf *out, const char *hrp, cs_slice address, cs_segwit_rules rules)
{
    cs_bech32_kind kind = CS_BECH32;
    uint8_t program_mem[40], script_mem[2 + sizeof program_mem], version = 0;
    cs_buf program = cs_buf_wrap(program_mem, sizeof program_mem), script = cs_buf_wrap(script_mem, sizeof script_mem);
    cs_bech32 b;

    if (cs_bech32_decode(&b, address, CS_BECH32_STRICT_LEN, CS_BECH32) != CS_OK) {
        kind = CS_BECH32M;
        CS_TRY(cs_bech32_decode(&b, address, CS_BECH32_STRICT_LEN, CS_BECH32M));
    }
    if (!hrp_is(b.hrp, hrp)) {
        return CS_E_FORMAT;
    }
    CS_TRY(read_program(&program, &version, &b, kind, rules));
    /* OP_0 or OP_1..OP_16, then one push [BIP-141] */
    CS_TRY(cs_put_u8(&script, version == 0 ? 0 : (uint8_t)(0x50 + version)));
    CS_TRY(cs_put_u8(&script, (uint8_t)program.len));
    CS_TRY(cs_put_slice(&script, cs_buf_slice(&program)));
    return cs_put_slice(out, cs_buf_slice(&script));
}
