/* Operations of the TEE service and the body of a request. See tee_rpc.h; what is around the body is in tee_msg.c. */
#include "rpc/tee_rpc.h"

#include <string.h>

#include "base/text.h"

#define BODY_VERSION 1u
#define BODY_HEAD 5u /* version, operation, id, time, caller */
#define NONCE_MIN 16u
#define NONCE_MAX 512u
#define KEY_LEN 32u
#define VERSION_MAX UINT32_MAX

static const cs_tee_op_row ops[CS_TEE_NUM_OPS] = {
#define CS_TEE_ROW(name, num, text, in, out, flags) {CS_TEE_##name, text, in, out, flags},
    CS_TEE_OPS(CS_TEE_ROW)
#undef CS_TEE_ROW
};

static const char *const algs[] = {"data", "ecdsa-secp256k1", "ecdsa-p256", "ed25519", "schnorr-bip340"};
#define NUM_ALGS (sizeof algs / sizeof *algs)

const cs_tee_op_row *cs_tee_op_of(uint64_t number)
{
    for (size_t i = 0; i < CS_TEE_NUM_OPS; i++) {
        if ((uint64_t)ops[i].op == number) {
            return &ops[i];
        }
    }
    return NULL;
}

const cs_tee_op_row *cs_tee_op_named(cs_slice name)
{
    for (size_t i = 0; i < CS_TEE_NUM_OPS; i++) {
        if (cs_slice_eq_str(name, ops[i].name)) {
            return &ops[i];
        }
    }
    return NULL;
}

uint32_t cs_tee_grant_of(cs_slice name)
{
    const cs_tee_op_row *row = cs_tee_op_named(name);

    if (cs_slice_eq_str(name, "Approve")) {
        return 1u << CS_TEE_APPROVE;
    }
    return row == NULL ? 0 : 1u << row->op;
}

const char *cs_tee_alg_name(uint64_t alg)
{
    return alg < NUM_ALGS ? algs[alg] : NULL;
}

cs_err cs_tee_alg_of(cs_slice name, cs_tee_alg *out)
{
    for (size_t i = 0; i < NUM_ALGS; i++) {
        if (cs_slice_eq_str(name, algs[i])) {
            *out = (cs_tee_alg)i;
            return CS_OK;
        }
    }
    return CS_E_ALGORITHM;
}

bool cs_tee_record_valid(cs_slice record)
{
    return record.len > 0 && cs_name_valid(record, CS_TEE_RECORD_MAX);
}

/* ---------------------------------------------------------------- ranges */

/* Sign: digests are 32 bytes; Ed25519 has no form for them. */
static cs_err check_sign(const cs_tee_field *f)
{
    if (f[1].u == CS_TEE_DATA || f[1].u >= NUM_ALGS || f[2].u > 1 || (f[2].u == 0 && f[1].u == CS_TEE_ED25519)) {
        return CS_E_ALGORITHM;
    }
    return f[2].u == 1 || f[3].s.len == 32 ? CS_OK : CS_E_DIGEST_LENGTH;
}

static cs_err check_key_alg(uint64_t alg)
{
    return alg == CS_TEE_DATA || alg >= NUM_ALGS ? CS_E_ALGORITHM : CS_OK;
}

static cs_err in_range(bool yes)
{
    return yes ? CS_OK : CS_E_RANGE;
}

/* What the letters do not say. */
static cs_err check(const cs_tee_request *r)
{
    const cs_tee_field *f = r->f;

    if (!cs_name_valid(r->caller, CS_TEE_CALLER_MAX) || (r->row->in[0] == 't' && !cs_tee_record_valid(f[0].s))) {
        return CS_E_RANGE;
    }
    switch (r->row->op) {
    case CS_TEE_SIGN:
        return check_sign(f);
    case CS_TEE_DECRYPT:
        return in_range(f[1].s.len <= CS_TEE_DATA_MAX && f[2].s.len >= 28 && f[2].s.len <= CS_TEE_DATA_MAX + 28);
    case CS_TEE_SEAL:
        return in_range(f[1].u >= 1 && f[1].u <= VERSION_MAX && f[2].s.len <= CS_TEE_DATA_MAX);
    case CS_TEE_UNSEAL:
        return in_range(f[1].u <= VERSION_MAX);
    case CS_TEE_GENERATE:
        return check_key_alg(f[1].u);
    case CS_TEE_IMPORT:
        CS_TRY(check_key_alg(f[1].u));
        return in_range(f[2].s.len == KEY_LEN);
    case CS_TEE_ROTATE:
        return in_range(cs_name_valid(f[1].s, CS_TEE_KMS_KEY_MAX) && f[2].u <= 1);
    case CS_TEE_ATTEST:
        return in_range(f[0].s.len >= NONCE_MIN && f[0].s.len <= NONCE_MAX);
    default:
        return CS_OK;
    }
}

/* ---------------------------------------------------------------- records of Rotate */

cs_tee_iter cs_tee_iter_of(cs_slice checked_array)
{
    cs_tee_iter it = {.rest = cs_cbor_of(checked_array, CS_CBOR_STRICT)};

    if (checked_array.len == 0 || cs_cbor_array(&it.rest, &it.left) != CS_OK) {
        it.left = (cs_cbor_iter){0};
    }
    return it;
}

bool cs_tee_records_next(cs_tee_iter *it, cs_slice *record)
{
    return cs_cbor_more(&it->rest, &it->left) && cs_cbor_text(&it->rest, record) == CS_OK;
}

static bool seen_before(cs_slice array, cs_slice record)
{
    cs_tee_iter it = cs_tee_iter_of(array);
    cs_slice other;

    while (cs_tee_records_next(&it, &other) && other.p != record.p) {
        if (cs_slice_eq(other, record)) {
            return true;
        }
    }
    return false;
}

static cs_err decode_records(cs_cbor *c, cs_slice *out)
{
    cs_cbor_iter left;
    cs_cbor in;
    cs_slice record;

    CS_TRY(cs_cbor_skip(c, out));
    in = cs_cbor_of(*out, CS_CBOR_STRICT);
    CS_TRY(cs_cbor_array(&in, &left));
    if (left.left < 1 || left.left > CS_TEE_ROWS_MAX) {
        return CS_E_RANGE;
    }
    while (cs_cbor_more(&in, &left)) {
        CS_TRY(cs_cbor_text(&in, &record));
        if (!cs_tee_record_valid(record) || seen_before(*out, record)) {
            return CS_E_RANGE;
        }
    }
    return CS_OK;
}

/* ---------------------------------------------------------------- the body */

static cs_err decode_field(cs_cbor *c, cs_tee_request *out, size_t i)
{
    switch (out->row->in[i]) {
    case 'u':
        return cs_cbor_uint(c, &out->f[i].u);
    case 't':
        return cs_cbor_text(c, &out->f[i].s);
    case 'b':
        return cs_cbor_bytes(c, &out->f[i].s);
    default:
        return decode_records(c, &out->records);
    }
}

static cs_err decode(cs_tee_request *out, cs_slice body)
{
    cs_cbor c = cs_cbor_of(body, CS_CBOR_STRICT);
    cs_cbor_iter it;
    uint64_t version = 0, op = 0;
    cs_slice id;

    CS_TRY(cs_cbor_array(&c, &it));
    CS_TRY(cs_cbor_uint(&c, &version));
    CS_TRY(cs_cbor_uint(&c, &op));
    CS_TRY(cs_cbor_bytes(&c, &id));
    CS_TRY(cs_cbor_uint(&c, &out->time_ms));
    CS_TRY(cs_cbor_text(&c, &out->caller));
    out->row = cs_tee_op_of(op);
    if (version != BODY_VERSION || out->row == NULL || id.len != CS_TEE_ID_LEN ||
        it.left != BODY_HEAD + strlen(out->row->in)) {
        return CS_E_FORMAT;
    }
    out->id16 = id.p;
    for (size_t i = 0; out->row->in[i] != '\0'; i++) {
        CS_TRY(decode_field(&c, out, i));
    }
    CS_TRY(cs_cbor_end(&c));
    return check(out);
}

cs_err cs_tee_request_decode(cs_tee_request *out, cs_slice body)
{
    *out = (cs_tee_request){0};
    cs_err err = body.len <= CS_TEE_BODY_MAX ? decode(out, body) : CS_E_TOO_LARGE;
    if (err != CS_OK) {
        *out = (cs_tee_request){0};
    }
    return err;
}

static cs_err encode_field(cs_buf *out, const cs_tee_request *r, size_t i)
{
    switch (r->row->in[i]) {
    case 'u':
        return cs_cbor_put_uint(out, r->f[i].u);
    case 't':
        return cs_utf8_valid(r->f[i].s) ? cs_cbor_put_text_slice(out, r->f[i].s) : CS_E_RANGE;
    case 'b':
        return cs_cbor_put_bytes(out, r->f[i].s);
    default:
        return cs_put_slice(out, r->records);
    }
}

static cs_err encode(cs_buf *out, const cs_tee_request *r)
{
    CS_TRY(cs_cbor_put_array(out, BODY_HEAD + strlen(r->row->in)));
    CS_TRY(cs_cbor_put_uint(out, BODY_VERSION));
    CS_TRY(cs_cbor_put_uint(out, (uint64_t)r->row->op));
    CS_TRY(cs_cbor_put_bytes(out, cs_slice_of(r->id16, CS_TEE_ID_LEN)));
    CS_TRY(cs_cbor_put_uint(out, r->time_ms));
    CS_TRY(cs_cbor_put_text_slice(out, r->caller));
    for (size_t i = 0; r->row->in[i] != '\0'; i++) {
        CS_TRY(encode_field(out, r, i));
    }
    return CS_OK;
}

cs_err cs_tee_request_encode(cs_buf *out, const cs_tee_request *r)
{
    const size_t before = out->len;
    cs_tee_request again;
    cs_err err = cs_name_valid(r->caller, CS_TEE_CALLER_MAX) ? encode(out, r) : CS_E_RANGE;

    if (err == CS_OK) { /* the same checks, on the very bytes */
        err = cs_tee_request_decode(&again, cs_slice_of(out->p + before, out->len - before));
    }
    if (err != CS_OK) {
        out->len = before;
    }
    return err;
}

static cs_err encode_records(cs_buf *out, const cs_slice *records, size_t num)
{
    CS_TRY(cs_cbor_put_array(out, num));
    for (size_t i = 0; i < num; i++) {
        CS_TRY(cs_tee_record_valid(records[i]) ? cs_cbor_put_text_slice(out, records[i]) : CS_E_RANGE);
    }
    return CS_OK;
}

cs_err cs_tee_records_encode(cs_buf *out, const cs_slice *records, size_t num)
{
    const size_t before = out->len;
    cs_err err = num >= 1 && num <= CS_TEE_ROWS_MAX ? encode_records(out, records, num) : CS_E_RANGE;

    if (err == CS_OK) { /* no two the same */
        cs_cbor c = cs_cbor_of(cs_slice_of(out->p + before, out->len - before), CS_CBOR_STRICT);
        cs_slice array;
        err = decode_records(&c, &array);
    }
    if (err != CS_OK) {
        out->len = before;
    }
    return err;
}
