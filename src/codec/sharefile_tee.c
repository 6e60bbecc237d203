/* What share files hold for the TEE service: sealing roots, which are secret, and callers, which are public. */
#include <string.h>

#include "base/text.h"
#include "codec/sharefile_int.h"

#define NEED CS_SHAREFILE_NEED

cs_err cs_sharefile_sealing(cs_sharefile_parser *p, const cs_sharefile_events *events, void *cookie)
{
    cs_sharefile_work *w = p->work;
    NEED(p, cs_json_char(&p->j, '['), "'[' is expected");
    do {
        if (w->num_roots == CS_SHAREFILE_MAX_ROOTS) {
            return cs_sharefile_fail(p, CS_E_SHARES_FORMAT, "more than 8 sealing roots");
        }
        CS_TRY(cs_sharefile_hex(p, w->root32, sizeof w->root32));
        w->num_roots++;
        cs_err err = events->on_root == NULL ? CS_OK : events->on_root(cookie, w->root32);
        if (err != CS_OK) {
            return cs_sharefile_fail(p, err, "this sealing root is not accepted");
        }
    } while (cs_json_try(&p->j, ','));
    NEED(p, cs_json_char(&p->j, ']'), "']' is expected");
    return CS_OK;
}

/* ---- callers */

static bool id_valid(cs_slice id)
{
    return id.len > 0 && cs_name_valid(id, CS_SHAREFILE_MAX_CALLER_ID);
}

static bool pattern_valid(cs_slice text)
{
    const size_t star = text.len > 0 && text.p[text.len - 1] == '*' ? 1 : 0;
    return text.len > 0 && cs_name_valid(text, CS_SHAREFILE_MAX_RECORD + star);
}

static bool operation_valid(cs_slice name)
{
    return name.len > 0 && cs_name_valid(name, CS_SHAREFILE_MAX_CALLER_ID);
}

static bool listed(const cs_slice *list, size_t num, cs_slice text)
{
    for (size_t i = 0; i < num; i++) {
        if (cs_slice_eq(list[i], text)) {
            return true;
        }
    }
    return false;
}

/* an array of texts, each valid and there once */
static cs_err texts(cs_sharefile_parser *p, cs_slice *out, size_t *num, size_t max, bool (*valid)(cs_slice))
{
    *num = 0;
    NEED(p, cs_json_char(&p->j, '['), "'[' is expected");
    if (cs_json_try(&p->j, ']')) {
        return CS_OK;
    }
    do {
        cs_slice text;
        CS_TRY(cs_sharefile_text(p, &text));
        if (!valid(text)) {
            return cs_sharefile_fail(p, CS_E_SHARES_FORMAT,
                                     "an operation or record pattern of a caller is not allowed");
        }
        if (*num == max || listed(out, *num, text)) {
            return cs_sharefile_fail(p, CS_E_SHARES_FORMAT, "a caller has a text twice, or more than 32 of them");
        }
        out[(*num)++] = text;
    } while (cs_json_try(&p->j, ','));
    NEED(p, cs_json_char(&p->j, ']'), "']' is expected");
    return CS_OK;
}

static cs_err rate(cs_sharefile_parser *p, uint32_t *out)
{
    uint64_t v = 0;
    CS_TRY(cs_sharefile_number(p, CS_SHAREFILE_MAX_RATE, &v));
    *out = (uint32_t)v;
    return v > 0 ? CS_OK : cs_sharefile_fail(p, CS_E_SHARES_ACCOUNT, "rate or burst is 0");
}

enum { C_ID = 1, C_ED = 2, C_X = 4, C_OPERATIONS = 8, C_RECORDS = 16, C_RATE = 32, C_BURST = 64, C_NEEDED = 31 };

static cs_err caller_field(cs_sharefile_parser *p, cs_slice name, uint32_t *out_bit)
{
    cs_sharefile_caller *c = &p->work->caller;
    if (cs_slice_eq_str(name, "id")) {
        *out_bit = C_ID;
        CS_TRY(cs_sharefile_text(p, &c->id));
        NEED(p, id_valid(c->id) ? CS_OK : CS_E_FORMAT, "a caller's id is not allowed");
        return CS_OK;
    }
    if (cs_slice_eq_str(name, "ed25519")) {
        *out_bit = C_ED;
        return cs_sharefile_hex(p, c->ed25519, sizeof c->ed25519);
    }
    if (cs_slice_eq_str(name, "x25519")) {
        *out_bit = C_X;
        return cs_sharefile_hex(p, c->x25519, sizeof c->x25519);
    }
    if (cs_slice_eq_str(name, "operations")) {
        *out_bit = C_OPERATIONS;
        return texts(p, c->operation, &c->num_operations, CS_SHAREFILE_MAX_OPERATIONS, operation_valid);
    }
    if (cs_slice_eq_str(name, "records")) {
        *out_bit = C_RECORDS;
        return texts(p, c->record, &c->num_records, CS_SHAREFILE_MAX_PATTERNS, pattern_valid);
    }
    if (cs_slice_eq_str(name, "rate")) {
        *out_bit = C_RATE;
        return rate(p, &c->rate);
    }
    if (cs_slice_eq_str(name, "burst")) {
        *out_bit = C_BURST;
        return rate(p, &c->burst);
    }
    return cs_sharefile_unknown(p);
}

static cs_err caller(cs_sharefile_parser *p)
{
    uint32_t seen = 0;
    memset(&p->work->caller, 0, sizeof p->work->caller);
    CS_TRY(cs_sharefile_object(p, caller_field, &seen));
    if ((seen & C_NEEDED) != C_NEEDED) {
        return cs_sharefile_fail(p, CS_E_SHARES_FORMAT, "a caller lacks a key");
    }
    if (((seen & C_RATE) == 0) != ((seen & C_BURST) == 0)) {
        return cs_sharefile_fail(p, CS_E_SHARES_FORMAT, "a caller has rate or burst alone");
    }
    return CS_OK;
}

cs_err cs_sharefile_caller_next(cs_sharefile_parser *p, const cs_sharefile_events *events, void *cookie)
{
    if (p->work->num_callers == CS_SHAREFILE_MAX_CALLERS) {
        return cs_sharefile_fail(p, CS_E_SHARES_FORMAT, "more than 4096 callers");
    }
    CS_TRY(caller(p));
    p->work->num_callers++;
    cs_err err = events->on_caller == NULL ? CS_OK : events->on_caller(cookie, &p->work->caller);
    return err == CS_OK ? CS_OK : cs_sharefile_fail(p, err, "this caller is not accepted");
}

cs_err cs_sharefile_caller_parse(cs_sharefile_caller *out, cs_slice json, cs_sharefile_fault *fault)
{
    cs_sharefile_work work = {0}; /* nothing secret */
    cs_sharefile_parser p = {.j = cs_json_of(json), .work = &work};
    cs_err err = caller(&p);
    if (err == CS_OK && cs_json_end(&p.j) != CS_OK) {
        err = cs_sharefile_fail(&p, CS_E_SHARES_FORMAT, "there is something behind the object");
    }
    if (fault != NULL) {
        *fault = (cs_sharefile_fault){json.len - p.j.r.left, p.what};
    }
    *out = err == CS_OK ? work.caller : (cs_sharefile_caller){0};
    return err;
}

/* ---- writer of one caller */

static cs_err put_texts(cs_buf *out, const char *name, const cs_slice *list, size_t num)
{
    CS_TRY(cs_put_fmt(out, ",\"%s\":[", name));
    for (size_t i = 0; i < num; i++) {
        CS_TRY(cs_put_str(out, i == 0 ? "\"" : ",\""));
        CS_TRY(cs_put_slice(out, list[i]));
        CS_TRY(cs_put_u8(out, '"'));
    }
    return cs_put_u8(out, ']');
}

static cs_err put_key(cs_buf *out, const char *name, const uint8_t key32[32])
{
    CS_TRY(cs_put_fmt(out, ",\"%s\":\"", name));
    CS_TRY(cs_put_hex(out, cs_slice_of(key32, 32)));
    return cs_put_u8(out, '"');
}

static bool all_valid(const cs_slice *list, size_t num, size_t max, bool (*valid)(cs_slice))
{
    for (size_t i = 0; num <= max && i < num; i++) {
        if (!valid(list[i]) || listed(list, i, list[i])) {
            return false;
        }
    }
    return num <= max;
}

cs_err cs_sharefile_caller_put(cs_buf *out, const cs_sharefile_caller *c)
{
    if (!id_valid(c->id) || !all_valid(c->operation, c->num_operations, CS_SHAREFILE_MAX_OPERATIONS, operation_valid) ||
        !all_valid(c->record, c->num_records, CS_SHAREFILE_MAX_PATTERNS, pattern_valid) ||
        c->rate > CS_SHAREFILE_MAX_RATE || c->burst > CS_SHAREFILE_MAX_RATE || (c->rate == 0) != (c->burst == 0)) {
        return CS_E_RANGE;
    }
    CS_TRY(cs_put_str(out, "{\"id\":\""));
    CS_TRY(cs_put_slice(out, c->id));
    CS_TRY(cs_put_u8(out, '"'));
    CS_TRY(put_key(out, "ed25519", c->ed25519));
    CS_TRY(put_key(out, "x25519", c->x25519));
    CS_TRY(put_texts(out, "operations", c->operation, c->num_operations));
    CS_TRY(put_texts(out, "records", c->record, c->num_records));
    if (c->rate > 0) {
        CS_TRY(cs_put_fmt(out, ",\"rate\":%u,\"burst\":%u", c->rate, c->burst));
    }
    return cs_put_u8(out, '}');
}
