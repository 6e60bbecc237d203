#include "codec/sharefile.h"

#include <string.h>

#include "base/text.h"
#include "codec/json.h"

#define MAGIC "countersign-shares/1"
#define PARTIES_KEY "countersign/parties"

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

/* ---- body */

typedef struct parser {
    cs_json j;
    cs_sharefile_work *work;
    const char *what; /* of the first fault */
    uint32_t num_sets;
    unsigned unit; /* what comes next */
} parser;

static cs_err fault(parser *p, cs_err e, const char *what)
{
    if (p->what == NULL) {
        p->what = what;
    }
    return e;
}

#define NEED(p, x, what)                                                                                               \
    do {                                                                                                               \
        if ((x) != CS_OK) {                                                                                            \
            return fault((p), CS_E_SHARES_FORMAT, (what));                                                             \
        }                                                                                                              \
    } while (0)

/* "<hex>" of exactly len bytes. The digits may be secret: no scanning, no escape. */
static cs_err hex_value(parser *p, uint8_t *out, size_t len)
{
    cs_slice hex;
    uint8_t quote = 0;
    NEED(p, cs_json_char(&p->j, '"'), "a hex string is expected");
    NEED(p, cs_read_slice(&p->j.r, &hex, 2 * len), "the file ends in a hex string");
    unsigned good = cs_hex_decode_ct(out, len, hex.p);
    NEED(p, cs_read_u8(&p->j.r, &quote), "the file ends in a hex string");
    return good && quote == '"' ? CS_OK
                                : fault(p, CS_E_SHARES_FORMAT, "a hex string has another length, case or character");
}

static cs_err number(parser *p, uint64_t max, uint64_t *out)
{
    cs_err err = cs_json_u64(&p->j, max, out);
    if (err == CS_E_RANGE) {
        return fault(p, CS_E_SHARES_ACCOUNT, "a number is out of range");
    }
    return err == CS_OK ? CS_OK : fault(p, CS_E_SHARES_FORMAT, "a number of digits only is expected");
}

static cs_err key(parser *p, cs_slice *out)
{
    bool plain = false;
    NEED(p, cs_json_string(&p->j, out, &plain), "a key is expected");
    NEED(p, plain ? CS_OK : CS_E_FORMAT, "a key has an escape");
    NEED(p, cs_json_char(&p->j, ':'), "':' is expected");
    return CS_OK;
}

/*
 * One object: field is called for each key, which it must know and which must not come twice: it returns the bit of the key.
 * The bits seen are in *out_seen.
 */
typedef cs_err field_fn(parser *p, cs_slice name, uint32_t *out_bit);

static cs_err object(parser *p, field_fn *field, uint32_t *out_seen)
{
    *out_seen = 0;
    NEED(p, cs_json_char(&p->j, '{'), "an object is expected");
    if (cs_json_try(&p->j, '}')) {
        return CS_OK;
    }
    do {
        cs_slice name;
        uint32_t bit = 0;
        CS_TRY(key(p, &name));
        CS_TRY(field(p, name, &bit));
        if (*out_seen & bit) {
            return fault(p, CS_E_SHARES_FORMAT, "a key comes twice");
        }
        *out_seen |= bit;
    } while (cs_json_try(&p->j, ','));
    NEED(p, cs_json_char(&p->j, '}'), "'}' is expected");
    return CS_OK;
}

static cs_err unknown_key(parser *p)
{
    return fault(p, CS_E_SHARES_FORMAT, "unknown key");
}

/* a party number as key, 1..16 */
static cs_err party_name(parser *p, cs_slice name, unsigned *out, uint32_t *out_bit)
{
    uint64_t v = 0;
    if (cs_parse_u64(name, CS_SHAREFILE_MAX_PARTIES, &v) != CS_OK || v == 0) {
        return fault(p, CS_E_SHARES_FORMAT, "a party number from 1 to 16 is expected");
    }
    *out = (unsigned)v;
    *out_bit = 1u << (v - 1);
    return CS_OK;
}

static cs_err static_keys_field(parser *p, cs_slice name, uint32_t *out_bit)
{
    unsigned party = 0;
    CS_TRY(party_name(p, name, &party, out_bit));
    return hex_value(p, p->work->parties.static_keys[party - 1], 32);
}

static cs_err zero_seeds_field(parser *p, cs_slice name, uint32_t *out_bit)
{
    unsigned party = 0;
    CS_TRY(party_name(p, name, &party, out_bit));
    return hex_value(p, p->work->account.zero_seeds[party - 1], 32);
}

enum { P_INDEX = 1, P_N = 2, P_T = 4, P_STATIC = 8, P_KEYS = 16, P_ALL = 31 };

/* the bits of parties 1..n, as seen_map has them */
static uint32_t mask_of(unsigned n)
{
    return (1u << n) - 1;
}

static cs_err small_number(parser *p, uint16_t *out)
{
    uint64_t v = 0;
    CS_TRY(number(p, CS_SHAREFILE_MAX_PARTIES, &v));
    *out = (uint16_t)v;
    return CS_OK;
}

static cs_err parties_field(parser *p, cs_slice name, uint32_t *out_bit)
{
    cs_sharefile_parties *s = &p->work->parties;
    if (cs_slice_eq_str(name, "index")) {
        *out_bit = P_INDEX;
        return small_number(p, &s->index);
    }
    if (cs_slice_eq_str(name, "n")) {
        *out_bit = P_N;
        return small_number(p, &s->n);
    }
    if (cs_slice_eq_str(name, "t")) {
        *out_bit = P_T;
        return small_number(p, &s->t);
    }
    if (cs_slice_eq_str(name, "static_key")) {
        *out_bit = P_STATIC;
        return hex_value(p, s->static_key32, 32);
    }
    if (cs_slice_eq_str(name, "static_keys")) {
        *out_bit = P_KEYS;
        return object(p, static_keys_field, &p->work->seen_map);
    }
    return unknown_key(p);
}

static cs_err parties_entry(parser *p, const cs_sharefile_events *events, void *cookie)
{
    cs_sharefile_parties *s = &p->work->parties;
    uint32_t seen = 0;
    if (p->num_sets == CS_SHAREFILE_MAX_SETS) {
        return fault(p, CS_E_SHARES_FORMAT, "more than 1024 sets of parties");
    }
    memset(s, 0, sizeof *s);
    CS_TRY(object(p, parties_field, &seen));
    if (seen != P_ALL) {
        return fault(p, CS_E_SHARES_FORMAT, "a set of parties lacks a key");
    }
    if (s->t < 2 || s->n < s->t || s->index < 1 || s->index > s->n) {
        return fault(p, CS_E_SHARES_ACCOUNT, "index, n or t is out of range");
    }
    if (p->work->seen_map != mask_of(s->n)) {
        return fault(p, CS_E_SHARES_FORMAT, "static_keys does not name the parties 1 to n");
    }
    p->work->set_n[p->num_sets] = s->n;
    p->work->set_index[p->num_sets] = s->index;
    cs_err err = events->on_parties(cookie, p->num_sets, s);
    p->num_sets++;
    return err == CS_OK ? CS_OK : fault(p, err, "this set of parties is not accepted");
}

enum { A_PARTIES = 1, A_EPOCH = 2, A_PUBLIC = 4, A_CHAIN = 8, A_SHARE = 16, A_ZERO = 32, A_ALL = 63 };

static cs_err account_field(parser *p, cs_slice name, uint32_t *out_bit)
{
    cs_sharefile_account *a = &p->work->account;
    uint64_t v = 0;
    if (cs_slice_eq_str(name, "parties")) {
        *out_bit = A_PARTIES;
        CS_TRY(number(p, CS_SHAREFILE_MAX_SETS - 1, &v));
        a->parties = (uint32_t)v;
        return CS_OK;
    }
    if (cs_slice_eq_str(name, "epoch")) {
        *out_bit = A_EPOCH;
        CS_TRY(number(p, UINT32_MAX, &v));
        a->epoch = (uint32_t)v;
        return CS_OK;
    }
    if (cs_slice_eq_str(name, "public_key")) {
        *out_bit = A_PUBLIC;
        return hex_value(p, a->public_key33, 33);
    }
    if (cs_slice_eq_str(name, "chain_code")) {
        *out_bit = A_CHAIN;
        return hex_value(p, a->chain_code32, 32);
    }
    if (cs_slice_eq_str(name, "share")) {
        *out_bit = A_SHARE;
        return hex_value(p, a->share32, 32);
    }
    if (cs_slice_eq_str(name, "zero_seeds")) {
        *out_bit = A_ZERO;
        return object(p, zero_seeds_field, &p->work->seen_map);
    }
    return unknown_key(p);
}

static cs_err account_entry(parser *p, cs_slice id, const cs_sharefile_events *events, void *cookie)
{
    cs_sharefile_account *a = &p->work->account;
    uint32_t seen = 0;
    memset(a, 0, sizeof *a);
    NEED(p, cs_account_id_valid(id) ? CS_OK : CS_E_FORMAT, "an account id is not allowed");
    memcpy(a->id, id.p, id.len);
    a->id_len = id.len;
    CS_TRY(object(p, account_field, &seen));
    if (seen != A_ALL) {
        return fault(p, CS_E_SHARES_FORMAT, "an account lacks a key");
    }
    if (a->parties >= p->num_sets) {
        return fault(p, CS_E_SHARES_ACCOUNT, "an account names a set of parties that is not there");
    }
    unsigned n = p->work->set_n[a->parties], own = p->work->set_index[a->parties];
    if (p->work->seen_map != (mask_of(n) & ~(1u << (own - 1)))) {
        return fault(p, CS_E_SHARES_FORMAT, "zero_seeds does not name the other parties");
    }
    /* close the gap of the own index */
    memmove(a->zero_seeds[own - 1], a->zero_seeds[own], (size_t)(n - own) * 32);
    cs_err err = events->on_account(cookie, a);
    return err == CS_OK ? CS_OK : fault(p, err, "this account is not accepted");
}

/* ---- one unit after the other: head, sets of parties, accounts, tail */

enum { U_HEAD, U_SET, U_ACCOUNT, U_TAIL };

static cs_err head_unit(parser *p)
{
    cs_slice name;
    NEED(p, cs_json_char(&p->j, '{'), "a JSON object is expected");
    CS_TRY(key(p, &name));
    NEED(p, cs_slice_eq_str(name, PARTIES_KEY) ? CS_OK : CS_E_FORMAT, "countersign/parties must come first");
    NEED(p, cs_json_char(&p->j, '['), "'[' is expected");
    p->unit = U_SET;
    return CS_OK;
}

static cs_err set_unit(parser *p, const cs_sharefile_events *events, void *cookie)
{
    CS_TRY(parties_entry(p, events, cookie));
    if (!cs_json_try(&p->j, ',')) {
        NEED(p, cs_json_char(&p->j, ']'), "']' is expected");
        p->unit = U_ACCOUNT;
    }
    return CS_OK;
}

static cs_err account_unit(parser *p, const cs_sharefile_events *events, void *cookie)
{
    cs_slice id;
    if (cs_json_try(&p->j, ',')) {
        CS_TRY(key(p, &id));
        return account_entry(p, id, events, cookie);
    }
    NEED(p, cs_json_char(&p->j, '}'), "'}' is expected");
    p->unit = U_TAIL;
    return CS_OK;
}

static cs_err one_unit(parser *p, const cs_sharefile_events *events, void *cookie)
{
    switch (p->unit) {
    case U_HEAD:
        return head_unit(p);
    case U_SET:
        return set_unit(p, events, cookie);
    default:
        return account_unit(p, events, cookie);
    }
}

/* A unit sees no more than its largest length, so that a window which holds that much decides as the whole file would. */
static cs_err unit(parser *p, const cs_sharefile_events *events, void *cookie)
{
    const size_t behind = p->j.r.left > CS_SHAREFILE_UNIT_MAX ? p->j.r.left - CS_SHAREFILE_UNIT_MAX : 0;
    p->j.r.left -= behind;
    cs_err err = one_unit(p, events, cookie);
    p->j.r.left += behind;
    return err;
}

/* Units while a whole one must be there; all of them when nothing more comes. */
static cs_err units(parser *p, const cs_sharefile_events *events, void *cookie, bool last)
{
    while (p->unit != U_TAIL && (last || p->j.r.left >= CS_SHAREFILE_UNIT_MAX)) {
        CS_TRY(unit(p, events, cookie));
    }
    if (p->unit == U_TAIL) {
        cs_json_space(&p->j);
        NEED(p, cs_read_end(&p->j.r), "there is something behind the object");
    }
    return CS_OK;
}

/* not removed by the compiler, without secret/mem.h: codecs know nothing of the secret zone */
static void wipe(void *at, size_t len)
{
    explicit_bzero(at, len);
}

cs_err cs_sharefile_parse(const cs_sharefile_events *events, void *cookie, cs_sharefile_work *work, cs_slice text,
                          cs_sharefile_fault *out_fault)
{
    parser p = {.j = cs_json_of(text), .work = work};
    memset(work, 0, sizeof *work);
    cs_err err = units(&p, events, cookie, true);
    wipe(work, sizeof *work);
    if (out_fault != NULL) {
        *out_fault = (cs_sharefile_fault){text.len - p.j.r.left, p.what};
    }
    return err;
}

/* ---- a body that comes in pieces */

void cs_sharefile_stream_begin(cs_sharefile_stream *s, const cs_sharefile_events *events, void *cookie)
{
    wipe(s, sizeof *s);
    s->events = events;
    s->cookie = cookie;
}

static cs_err stream_units(cs_sharefile_stream *s, bool last)
{
    parser p = {
        .j = cs_json_of(cs_slice_of(s->window, s->len)), .work = &s->work, .num_sets = s->num_sets, .unit = s->unit};
    cs_err err = units(&p, s->events, s->cookie, last);
    const size_t used = s->len - p.j.r.left;
    s->num_sets = p.num_sets;
    s->unit = p.unit;
    s->parsed += used;
    if (err != CS_OK) {
        s->fault = (cs_sharefile_fault){s->parsed, p.what};
        wipe(&s->work, sizeof s->work);
        wipe(s->window, sizeof s->window);
        s->len = 0;
        s->err = err;
        return err;
    }
    memmove(s->window, s->window + used, s->len - used);
    s->len -= used;
    return CS_OK;
}

cs_err cs_sharefile_stream_push(cs_sharefile_stream *s, cs_slice piece)
{
    while (s->err == CS_OK && piece.len > 0) {
        const size_t room = sizeof s->window - s->len, n = piece.len < room ? piece.len : room;
        memcpy(s->window + s->len, piece.p, n);
        s->len += n;
        piece = cs_slice_of(piece.p + n, piece.len - n);
        CS_TRY(stream_units(s, false));
    }
    return s->err;
}

cs_err cs_sharefile_stream_end(cs_sharefile_stream *s)
{
    CS_TRY(s->err);
    CS_TRY(stream_units(s, true));
    wipe(&s->work, sizeof s->work);
    s->err = CS_E_STATE; /* nothing more may come */
    return CS_OK;
}
