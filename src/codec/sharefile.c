/* The body of share files. Sealing roots and callers: sharefile_tee.c; header line and hex: sharefile_header.c. */
#include "codec/sharefile.h"

#include <string.h>

#include "base/text.h"
#include "codec/json.h"
#include "codec/sharefile_int.h"

#define NEED CS_SHAREFILE_NEED

/* ---- what every part is made of */

cs_err cs_sharefile_fail(cs_sharefile_parser *p, cs_err e, const char *what)
{
    if (p->what == NULL) {
        p->what = what;
    }
    return e;
}

cs_err cs_sharefile_hex(cs_sharefile_parser *p, uint8_t *out, size_t len)
{
    cs_slice hex;
    uint8_t quote = 0;
    NEED(p, cs_json_char(&p->j, '"'), "a hex string is expected");
    NEED(p, cs_read_slice(&p->j.r, &hex, 2 * len), "the file ends in a hex string");
    unsigned good = cs_hex_decode_ct(out, len, hex.p);
    NEED(p, cs_read_u8(&p->j.r, &quote), "the file ends in a hex string");
    return good && quote == '"'
               ? CS_OK
               : cs_sharefile_fail(p, CS_E_SHARES_FORMAT, "a hex string has another length, case or character");
}

cs_err cs_sharefile_number(cs_sharefile_parser *p, uint64_t max, uint64_t *out)
{
    cs_err err = cs_json_u64(&p->j, max, out);
    if (err == CS_E_RANGE) {
        return cs_sharefile_fail(p, CS_E_SHARES_ACCOUNT, "a number is out of range");
    }
    return err == CS_OK ? CS_OK : cs_sharefile_fail(p, CS_E_SHARES_FORMAT, "a number of digits only is expected");
}

cs_err cs_sharefile_text(cs_sharefile_parser *p, cs_slice *out)
{
    bool plain = false;
    NEED(p, cs_json_string(&p->j, out, &plain), "a string is expected");
    NEED(p, plain ? CS_OK : CS_E_FORMAT, "a string has an escape");
    return CS_OK;
}

cs_err cs_sharefile_key(cs_sharefile_parser *p, cs_slice *out)
{
    bool plain = false;
    NEED(p, cs_json_string(&p->j, out, &plain), "a key is expected");
    NEED(p, plain ? CS_OK : CS_E_FORMAT, "a key has an escape");
    NEED(p, cs_json_char(&p->j, ':'), "':' is expected");
    return CS_OK;
}

cs_err cs_sharefile_object(cs_sharefile_parser *p, cs_sharefile_field *field, uint32_t *out_seen)
{
    *out_seen = 0;
    NEED(p, cs_json_char(&p->j, '{'), "an object is expected");
    if (cs_json_try(&p->j, '}')) {
        return CS_OK;
    }
    do {
        cs_slice name;
        uint32_t bit = 0;
        CS_TRY(cs_sharefile_key(p, &name));
        CS_TRY(field(p, name, &bit));
        if (*out_seen & bit) {
            return cs_sharefile_fail(p, CS_E_SHARES_FORMAT, "a key comes twice");
        }
        *out_seen |= bit;
    } while (cs_json_try(&p->j, ','));
    NEED(p, cs_json_char(&p->j, '}'), "'}' is expected");
    return CS_OK;
}

cs_err cs_sharefile_unknown(cs_sharefile_parser *p)
{
    return cs_sharefile_fail(p, CS_E_SHARES_FORMAT, "unknown key");
}

/* ---- sets of parties and accounts */

/* a party number as key, 1..16 */
static cs_err party_name(cs_sharefile_parser *p, cs_slice name, unsigned *out, uint32_t *out_bit)
{
    uint64_t v = 0;
    if (cs_parse_u64(name, CS_SHAREFILE_MAX_PARTIES, &v) != CS_OK || v == 0) {
        return cs_sharefile_fail(p, CS_E_SHARES_FORMAT, "a party number from 1 to 16 is expected");
    }
    *out = (unsigned)v;
    *out_bit = 1u << (v - 1);
    return CS_OK;
}

static cs_err static_keys_field(cs_sharefile_parser *p, cs_slice name, uint32_t *out_bit)
{
    unsigned party = 0;
    CS_TRY(party_name(p, name, &party, out_bit));
    return cs_sharefile_hex(p, p->work->parties.static_keys[party - 1], 32);
}

static cs_err zero_seeds_field(cs_sharefile_parser *p, cs_slice name, uint32_t *out_bit)
{
    unsigned party = 0;
    CS_TRY(party_name(p, name, &party, out_bit));
    return cs_sharefile_hex(p, p->work->account.zero_seeds[party - 1], 32);
}

enum { P_INDEX = 1, P_N = 2, P_T = 4, P_STATIC = 8, P_KEYS = 16, P_ALL = 31 };

/* the bits of parties 1..n, as seen_map has them */
static uint32_t mask_of(unsigned n)
{
    return (1u << n) - 1;
}

static cs_err small_number(cs_sharefile_parser *p, uint16_t *out)
{
    uint64_t v = 0;
    CS_TRY(cs_sharefile_number(p, CS_SHAREFILE_MAX_PARTIES, &v));
    *out = (uint16_t)v;
    return CS_OK;
}

static cs_err parties_field(cs_sharefile_parser *p, cs_slice name, uint32_t *out_bit)
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
        return cs_sharefile_hex(p, s->static_key32, 32);
    }
    if (cs_slice_eq_str(name, "static_keys")) {
        *out_bit = P_KEYS;
        return cs_sharefile_object(p, static_keys_field, &p->work->seen_map);
    }
    return cs_sharefile_unknown(p);
}

static cs_err parties_entry(cs_sharefile_parser *p, const cs_sharefile_events *events, void *cookie)
{
    cs_sharefile_parties *s = &p->work->parties;
    uint32_t seen = 0;
    if (p->num_sets == CS_SHAREFILE_MAX_SETS) {
        return cs_sharefile_fail(p, CS_E_SHARES_FORMAT, "more than 1024 sets of parties");
    }
    memset(s, 0, sizeof *s);
    CS_TRY(cs_sharefile_object(p, parties_field, &seen));
    if (seen != P_ALL) {
        return cs_sharefile_fail(p, CS_E_SHARES_FORMAT, "a set of parties lacks a key");
    }
    if (s->t < 2 || s->n < s->t || s->index < 1 || s->index > s->n) {
        return cs_sharefile_fail(p, CS_E_SHARES_ACCOUNT, "index, n or t is out of range");
    }
    if (p->work->seen_map != mask_of(s->n)) {
        return cs_sharefile_fail(p, CS_E_SHARES_FORMAT, "static_keys does not name the parties 1 to n");
    }
    p->work->set_n[p->num_sets] = s->n;
    p->work->set_index[p->num_sets] = s->index;
    cs_err err = events->on_parties(cookie, p->num_sets, s);
    p->num_sets++;
    return err == CS_OK ? CS_OK : cs_sharefile_fail(p, err, "this set of parties is not accepted");
}

enum { A_PARTIES = 1, A_EPOCH = 2, A_PUBLIC = 4, A_CHAIN = 8, A_SHARE = 16, A_ZERO = 32, A_ALL = 63 };

static cs_err account_field(cs_sharefile_parser *p, cs_slice name, uint32_t *out_bit)
{
    cs_sharefile_account *a = &p->work->account;
    uint64_t v = 0;
    if (cs_slice_eq_str(name, "parties")) {
        *out_bit = A_PARTIES;
        CS_TRY(cs_sharefile_number(p, CS_SHAREFILE_MAX_SETS - 1, &v));
        a->parties = (uint32_t)v;
        return CS_OK;
    }
    if (cs_slice_eq_str(name, "epoch")) {
        *out_bit = A_EPOCH;
        CS_TRY(cs_sharefile_number(p, UINT32_MAX, &v));
        a->epoch = (uint32_t)v;
        return CS_OK;
    }
    if (cs_slice_eq_str(name, "public_key")) {
        *out_bit = A_PUBLIC;
        return cs_sharefile_hex(p, a->public_key33, 33);
    }
    if (cs_slice_eq_str(name, "chain_code")) {
        *out_bit = A_CHAIN;
        return cs_sharefile_hex(p, a->chain_code32, 32);
    }
    if (cs_slice_eq_str(name, "share")) {
        *out_bit = A_SHARE;
        return cs_sharefile_hex(p, a->share32, 32);
    }
    if (cs_slice_eq_str(name, "zero_seeds")) {
        *out_bit = A_ZERO;
        return cs_sharefile_object(p, zero_seeds_field, &p->work->seen_map);
    }
    return cs_sharefile_unknown(p);
}

static cs_err account_entry(cs_sharefile_parser *p, cs_slice id, const cs_sharefile_events *events, void *cookie)
{
    cs_sharefile_account *a = &p->work->account;
    uint32_t seen = 0;
    memset(a, 0, sizeof *a);
    NEED(p, cs_account_id_valid(id) ? CS_OK : CS_E_FORMAT, "an account id is not allowed");
    memcpy(a->id, id.p, id.len);
    a->id_len = id.len;
    CS_TRY(cs_sharefile_object(p, account_field, &seen));
    if (seen != A_ALL) {
        return cs_sharefile_fail(p, CS_E_SHARES_FORMAT, "an account lacks a key");
    }
    if (a->parties >= p->num_sets) {
        return cs_sharefile_fail(p, CS_E_SHARES_ACCOUNT, "an account names a set of parties that is not there");
    }
    unsigned n = p->work->set_n[a->parties], own = p->work->set_index[a->parties];
    if (p->work->seen_map != (mask_of(n) & ~(1u << (own - 1)))) {
        return cs_sharefile_fail(p, CS_E_SHARES_FORMAT, "zero_seeds does not name the other parties");
    }
    /* close the gap of the own index */
    memmove(a->zero_seeds[own - 1], a->zero_seeds[own], (size_t)(n - own) * 32);
    cs_err err = events->on_account(cookie, a);
    return err == CS_OK ? CS_OK : cs_sharefile_fail(p, err, "this account is not accepted");
}

/* ---- one unit after the other: head, sets of parties, sealing roots, callers, accounts, tail */

enum { U_HEAD, U_SET, U_ENTRY, U_CALLER, U_TAIL };

static cs_err head_unit(cs_sharefile_parser *p)
{
    cs_slice name;
    NEED(p, cs_json_char(&p->j, '{'), "a JSON object is expected");
    CS_TRY(cs_sharefile_key(p, &name));
    NEED(p, cs_slice_eq_str(name, CS_SHAREFILE_PARTIES) ? CS_OK : CS_E_FORMAT, "countersign/parties must come first");
    NEED(p, cs_json_char(&p->j, '['), "'[' is expected");
    /* a file that serves nothing but the TEE operations has no parties */
    p->unit = cs_json_try(&p->j, ']') ? U_ENTRY : U_SET;
    return CS_OK;
}

static cs_err set_unit(cs_sharefile_parser *p, const cs_sharefile_events *events, void *cookie)
{
    CS_TRY(parties_entry(p, events, cookie));
    if (!cs_json_try(&p->j, ',')) {
        NEED(p, cs_json_char(&p->j, ']'), "']' is expected");
        p->unit = U_ENTRY;
    }
    return CS_OK;
}

static cs_err caller_unit(cs_sharefile_parser *p, const cs_sharefile_events *events, void *cookie)
{
    CS_TRY(cs_sharefile_caller_next(p, events, cookie));
    if (!cs_json_try(&p->j, ',')) {
        NEED(p, cs_json_char(&p->j, ']'), "']' is expected");
        p->unit = U_ENTRY;
    }
    return CS_OK;
}

/* Each part once and in order: sealing roots, callers, accounts. */
static cs_err begin_part(cs_sharefile_parser *p, unsigned part)
{
    if (p->work->part >= part) {
        return cs_sharefile_fail(p, CS_E_SHARES_FORMAT,
                                 "a part comes twice or too late: parties, sealing, callers, accounts");
    }
    p->work->part = part;
    return CS_OK;
}

enum { PART_SEALING = 1, PART_CALLERS, PART_ACCOUNTS };

static cs_err end_unit(cs_sharefile_parser *p)
{
    NEED(p, cs_json_char(&p->j, '}'), "'}' is expected");
    if (p->num_sets == 0 && p->work->num_roots == 0) {
        return cs_sharefile_fail(p, CS_E_SHARES_FORMAT, "neither parties nor sealing roots");
    }
    p->unit = U_TAIL;
    return CS_OK;
}

static cs_err entry_unit(cs_sharefile_parser *p, const cs_sharefile_events *events, void *cookie)
{
    cs_slice name;
    if (!cs_json_try(&p->j, ',')) {
        return end_unit(p);
    }
    CS_TRY(cs_sharefile_key(p, &name));
    if (cs_slice_eq_str(name, CS_SHAREFILE_SEALING)) {
        CS_TRY(begin_part(p, PART_SEALING));
        return cs_sharefile_sealing(p, events, cookie);
    }
    if (cs_slice_eq_str(name, CS_SHAREFILE_CALLERS)) {
        CS_TRY(begin_part(p, PART_CALLERS));
        NEED(p, cs_json_char(&p->j, '['), "'[' is expected");
        p->unit = U_CALLER;
        return CS_OK;
    }
    p->work->part = PART_ACCOUNTS;
    return account_entry(p, name, events, cookie);
}

static cs_err one_unit(cs_sharefile_parser *p, const cs_sharefile_events *events, void *cookie)
{
    switch (p->unit) {
    case U_HEAD:
        return head_unit(p);
    case U_SET:
        return set_unit(p, events, cookie);
    case U_CALLER:
        return caller_unit(p, events, cookie);
    default:
        return entry_unit(p, events, cookie);
    }
}

/* A unit sees no more than its largest length, so that a window which holds that much decides as the whole file would. */
static cs_err unit(cs_sharefile_parser *p, const cs_sharefile_events *events, void *cookie)
{
    const size_t behind = p->j.r.left > CS_SHAREFILE_UNIT_MAX ? p->j.r.left - CS_SHAREFILE_UNIT_MAX : 0;
    p->j.r.left -= behind;
    cs_err err = one_unit(p, events, cookie);
    p->j.r.left += behind;
    return err;
}

/* Units while a whole one must be there; all of them when nothing more comes. */
static cs_err units(cs_sharefile_parser *p, const cs_sharefile_events *events, void *cookie, bool last)
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
    cs_sharefile_parser p = {.j = cs_json_of(text), .work = work};
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
    cs_sharefile_parser p = {
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
