/* What is around the body of a TEE request: call, attachments, reply, result. See tee_rpc.h. */
#include "rpc/tee_int.h"

#define CALL_MAX (CS_TEE_BODY_MAX + 4096u)
#define MESSAGE_MAX (256u * 1024u)
#define ROW_FIELDS 8u

/* ---------------------------------------------------------------- the call */

static cs_err decode_approvals(cs_cbor *c, cs_tee_call *out)
{
    cs_cbor_iter it;

    CS_TRY(cs_cbor_array(c, &it));
    if (it.left > CS_TEE_APPROVALS_MAX) {
        return CS_E_FORMAT;
    }
    while (cs_cbor_more(c, &it)) {
        cs_tee_approval *a = &out->approval[out->num_approvals];

        CS_TRY(cs_tee_array_of(c, 2));
        CS_TRY(cs_cbor_text(c, &a->approver));
        CS_TRY(cs_tee_exactly(c, &a->sig64, CS_TEE_SIGNATURE));
        if (a->approver.len < 1 || !cs_name_valid(a->approver, CS_TEE_CALLER_MAX)) {
            return CS_E_FORMAT;
        }
        out->num_approvals++;
    }
    return CS_OK;
}

static cs_err parse_call(cs_tee_call *out, cs_slice bytes)
{
    cs_cbor c = cs_cbor_of(bytes, CS_CBOR_STRICT);

    CS_TRY(cs_tee_array_of(&c, 3));
    CS_TRY(cs_cbor_bytes(&c, &out->body));
    CS_TRY(cs_cbor_bytes(&c, &out->signature));
    if (out->signature.len != 0 && out->signature.len != CS_TEE_SIGNATURE) {
        return CS_E_FORMAT;
    }
    CS_TRY(decode_approvals(&c, out));
    return cs_cbor_end(&c);
}

cs_err cs_tee_call_decode(cs_tee_call *out, cs_slice bytes)
{
    *out = (cs_tee_call){0};
    return cs_tee_cleared(out, sizeof *out, bytes.len <= CALL_MAX ? parse_call(out, bytes) : CS_E_TOO_LARGE);
}

static cs_err encode_call(cs_buf *out, const cs_tee_call *call)
{
    CS_TRY(cs_cbor_put_array(out, 3));
    CS_TRY(cs_cbor_put_bytes(out, call->body));
    CS_TRY(cs_cbor_put_bytes(out, call->signature));
    CS_TRY(cs_cbor_put_array(out, call->num_approvals));
    for (size_t i = 0; i < call->num_approvals; i++) {
        CS_TRY(cs_cbor_put_array(out, 2));
        CS_TRY(cs_tee_put_text(out, call->approval[i].approver));
        CS_TRY(cs_cbor_put_bytes(out, cs_slice_of(call->approval[i].sig64, CS_TEE_SIGNATURE)));
    }
    return CS_OK;
}

cs_err cs_tee_call_encode(cs_buf *out, const cs_tee_call *call)
{
    const size_t before = out->len;
    cs_tee_call again;
    cs_err err = call->num_approvals <= CS_TEE_APPROVALS_MAX ? encode_call(out, call) : CS_E_RANGE;

    return cs_tee_undo(out, before, err == CS_OK ? cs_tee_call_decode(&again, cs_tee_written(out, before)) : err);
}

/* ---------------------------------------------------------------- rows */

static cs_err decode_row(cs_cbor *c, cs_tee_row *row)
{
    CS_TRY(cs_tee_array_of(c, ROW_FIELDS));
    CS_TRY(cs_cbor_text(c, &row->record));
    CS_TRY(cs_cbor_text(c, &row->code));
    CS_TRY(cs_cbor_uint(c, &row->version));
    CS_TRY(cs_cbor_text(c, &row->kms_key));
    CS_TRY(cs_cbor_bytes(c, &row->data_key));
    CS_TRY(cs_cbor_bytes(c, &row->blob));
    CS_TRY(cs_cbor_uint(c, &row->alg));
    CS_TRY(cs_cbor_bytes(c, &row->public_key));
    if (!cs_tee_record_valid(row->record) || !cs_tee_code_valid(row->code) || row->version > UINT32_MAX ||
        !cs_name_valid(row->kms_key, CS_TEE_KMS_KEY_MAX) || cs_tee_alg_name(row->alg) == NULL) {
        return CS_E_FORMAT;
    }
    return (row->kms_key.len == 0) == (row->data_key.len == 0) ? CS_OK : CS_E_FORMAT;
}

static cs_err decode_rows(cs_cbor *c, cs_slice *out, size_t *num)
{
    cs_cbor_iter it;
    cs_tee_row row;
    cs_cbor in;

    CS_TRY(cs_cbor_skip(c, out));
    in = cs_cbor_of(*out, CS_CBOR_STRICT);
    CS_TRY(cs_cbor_array(&in, &it));
    if (it.left > CS_TEE_ROWS_MAX) {
        return CS_E_FORMAT;
    }
    *num = (size_t)it.left;
    while (cs_cbor_more(&in, &it)) {
        CS_TRY(decode_row(&in, &row));
    }
    return CS_OK;
}

bool cs_tee_rows_next(cs_tee_iter *it, cs_tee_row *row)
{
    return cs_cbor_more(&it->rest, &it->left) && decode_row(&it->rest, row) == CS_OK;
}

static cs_err encode_rows(cs_buf *out, const cs_tee_row *rows, size_t num)
{
    CS_TRY(num <= CS_TEE_ROWS_MAX ? cs_cbor_put_array(out, num) : CS_E_RANGE);
    for (size_t i = 0; i < num; i++) {
        CS_TRY(cs_cbor_put_array(out, ROW_FIELDS));
        CS_TRY(cs_tee_put_text(out, rows[i].record));
        CS_TRY(cs_tee_put_text(out, rows[i].code));
        CS_TRY(cs_cbor_put_uint(out, rows[i].version));
        CS_TRY(cs_tee_put_text(out, rows[i].kms_key));
        CS_TRY(cs_cbor_put_bytes(out, rows[i].data_key));
        CS_TRY(cs_cbor_put_bytes(out, rows[i].blob));
        CS_TRY(cs_cbor_put_uint(out, rows[i].alg));
        CS_TRY(cs_cbor_put_bytes(out, rows[i].public_key));
    }
    return CS_OK;
}

/* ---------------------------------------------------------------- attachments */

/* In the order of their encodings [RFC 8949 4.2.1]: shorter keys first. */
enum { NEW, ROWS, KMS_KEY, DATA_KEY, NUM_ATTACHED };
static const char *const attached_keys[NUM_ATTACHED] = {"new", "rows", "kms_key", "data_key"};

/* What is empty is left out: there is one encoding. */
static cs_err decode_attached(cs_cbor *c, cs_tee_attached *out, int key)
{
    switch (key) {
    case NEW:
        CS_TRY(cs_cbor_bytes(c, &out->fresh));
        return out->fresh.len > 0 ? CS_OK : CS_E_FORMAT;
    case ROWS:
        CS_TRY(decode_rows(c, &out->rows, &out->num_rows));
        return out->num_rows > 0 ? CS_OK : CS_E_FORMAT;
    case KMS_KEY:
        CS_TRY(cs_cbor_text(c, &out->kms_key));
        return out->kms_key.len > 0 && cs_name_valid(out->kms_key, CS_TEE_KMS_KEY_MAX) ? CS_OK : CS_E_FORMAT;
    default:
        CS_TRY(cs_cbor_bytes(c, &out->data_key));
        return out->data_key.len > 0 ? CS_OK : CS_E_FORMAT;
    }
}

static cs_err parse_attached(cs_tee_attached *out, cs_slice bytes)
{
    cs_cbor c = cs_cbor_of(bytes, CS_CBOR_STRICT);
    cs_cbor_iter it;
    cs_slice name;
    int key = -1;

    CS_TRY(cs_cbor_map(&c, &it));
    while (cs_cbor_more(&c, &it)) {
        CS_TRY(cs_cbor_text(&c, &name));
        do { /* in their order, each at most once */
            key++;
        } while (key < NUM_ATTACHED && !cs_slice_eq_str(name, attached_keys[key]));
        if (key >= NUM_ATTACHED) {
            return CS_E_FORMAT;
        }
        CS_TRY(decode_attached(&c, out, key));
    }
    return cs_cbor_end(&c);
}

cs_err cs_tee_attached_decode(cs_tee_attached *out, cs_slice bytes)
{
    *out = (cs_tee_attached){0};
    return cs_tee_cleared(out, sizeof *out, bytes.len <= MESSAGE_MAX ? parse_attached(out, bytes) : CS_E_TOO_LARGE);
}

static cs_err encode_attached(cs_buf *out, const cs_tee_attached *a, const cs_tee_row *rows, size_t num_rows)
{
    CS_TRY(cs_cbor_put_map(out, (uint64_t)(a->fresh.len > 0) + (num_rows > 0) + (a->kms_key.len > 0) +
                                    (a->data_key.len > 0)));
    if (a->fresh.len > 0) {
        CS_TRY(cs_cbor_put_text(out, attached_keys[NEW]));
        CS_TRY(cs_cbor_put_bytes(out, a->fresh));
    }
    if (num_rows > 0) {
        CS_TRY(cs_cbor_put_text(out, attached_keys[ROWS]));
        CS_TRY(encode_rows(out, rows, num_rows));
    }
    if (a->kms_key.len > 0) {
        CS_TRY(cs_cbor_put_text(out, attached_keys[KMS_KEY]));
        CS_TRY(cs_tee_put_text(out, a->kms_key));
    }
    if (a->data_key.len > 0) {
        CS_TRY(cs_cbor_put_text(out, attached_keys[DATA_KEY]));
        CS_TRY(cs_cbor_put_bytes(out, a->data_key));
    }
    return CS_OK;
}

cs_err cs_tee_attached_encode(cs_buf *out, const cs_tee_attached *a, const cs_tee_row *rows, size_t num_rows)
{
    const size_t before = out->len;
    cs_tee_attached again;
    cs_err err = encode_attached(out, a, rows, num_rows);

    return cs_tee_undo(out, before, err == CS_OK ? cs_tee_attached_decode(&again, cs_tee_written(out, before)) : err);
}

/* ---------------------------------------------------------------- the reply */

static cs_err parse_reply(cs_tee_reply *out, cs_slice bytes)
{
    cs_cbor c = cs_cbor_of(bytes, CS_CBOR_STRICT);
    uint64_t sealed = 0;

    CS_TRY(cs_tee_array_of(&c, 6));
    CS_TRY(cs_cbor_text(&c, &out->code));
    CS_TRY(cs_cbor_uint(&c, &sealed));
    CS_TRY(cs_cbor_bytes(&c, &out->result));
    CS_TRY(decode_rows(&c, &out->rows, &out->num_rows));
    CS_TRY(cs_cbor_bytes(&c, &out->entry));
    CS_TRY(cs_cbor_bytes(&c, &out->entry_sig));
    if (sealed > 1 || !cs_tee_code_valid(out->code) ||
        out->entry_sig.len != (out->entry.len > 0 ? CS_TEE_SIGNATURE : 0)) {
        return CS_E_FORMAT;
    }
    out->sealed = sealed == 1;
    if (cs_slice_eq_str(out->code, "OK") ? out->result.len == 0 : out->result.len > 0 || out->sealed) {
        return CS_E_FORMAT; /* a refusal has no result */
    }
    return cs_cbor_end(&c);
}

cs_err cs_tee_reply_decode(cs_tee_reply *out, cs_slice bytes)
{
    *out = (cs_tee_reply){0};
    return cs_tee_cleared(out, sizeof *out, bytes.len <= MESSAGE_MAX ? parse_reply(out, bytes) : CS_E_TOO_LARGE);
}

static cs_err encode_reply(cs_buf *out, const cs_tee_reply *r, const cs_tee_row *rows, size_t num_rows)
{
    CS_TRY(cs_cbor_put_array(out, 6));
    CS_TRY(cs_tee_put_text(out, r->code));
    CS_TRY(cs_cbor_put_uint(out, r->sealed));
    CS_TRY(cs_cbor_put_bytes(out, r->result));
    CS_TRY(encode_rows(out, rows, num_rows));
    CS_TRY(cs_cbor_put_bytes(out, r->entry));
    return cs_cbor_put_bytes(out, r->entry_sig);
}

cs_err cs_tee_reply_encode(cs_buf *out, const cs_tee_reply *r, const cs_tee_row *rows, size_t num_rows)
{
    const size_t before = out->len;
    cs_tee_reply again;
    cs_err err = encode_reply(out, r, rows, num_rows);

    return cs_tee_undo(out, before, err == CS_OK ? cs_tee_reply_decode(&again, cs_tee_written(out, before)) : err);
}

static bool public_key_valid(cs_slice key)
{
    return key.len == 32 || key.len == 33;
}

/* What the letters do not say. */
static bool result_valid(cs_tee_op op, const cs_tee_field *f)
{
    switch (op) {
    case CS_TEE_SIGN:
        return f[0].s.len == CS_TEE_SIGNATURE && f[1].u <= 3 && public_key_valid(f[2].s);
    case CS_TEE_DECRYPT:
        return f[0].s.len <= CS_TEE_DATA_MAX;
    case CS_TEE_SEAL:
        return f[0].u >= 1 && f[0].u <= UINT32_MAX;
    case CS_TEE_UNSEAL:
        return f[0].s.len <= CS_TEE_DATA_MAX && f[1].u >= 1 && f[1].u <= UINT32_MAX;
    case CS_TEE_GENERATE:
    case CS_TEE_IMPORT:
        return public_key_valid(f[0].s);
    case CS_TEE_PUBLIC_KEY:
        return public_key_valid(f[0].s) && f[1].u != CS_TEE_DATA && cs_tee_alg_name(f[1].u) != NULL;
    case CS_TEE_ROTATE:
        return f[0].u <= CS_TEE_ROWS_MAX;
    default:
        return f[0].s.len > 0;
    }
}

static cs_err parse_result(cs_tee_result *out, const cs_tee_op_row *row, cs_slice bytes)
{
    cs_cbor c = cs_cbor_of(bytes, CS_CBOR_STRICT);

    CS_TRY(cs_tee_array_of(&c, strlen(row->out)));
    for (size_t i = 0; row->out[i] != '\0'; i++) {
        CS_TRY(row->out[i] == 'u'   ? cs_cbor_uint(&c, &out->f[i].u)
               : row->out[i] == 't' ? cs_cbor_text(&c, &out->f[i].s)
                                    : cs_cbor_bytes(&c, &out->f[i].s));
    }
    CS_TRY(cs_cbor_end(&c));
    return result_valid(row->op, out->f) ? CS_OK : CS_E_FORMAT;
}

cs_err cs_tee_result_decode(cs_tee_result *out, const cs_tee_op_row *row, cs_slice bytes)
{
    *out = (cs_tee_result){0};
    return cs_tee_cleared(out, sizeof *out, bytes.len <= MESSAGE_MAX ? parse_result(out, row, bytes) : CS_E_TOO_LARGE);
}

static cs_err encode_result(cs_buf *out, const cs_tee_op_row *row, const cs_tee_result *r)
{
    CS_TRY(cs_cbor_put_array(out, strlen(row->out)));
    for (size_t i = 0; row->out[i] != '\0'; i++) {
        CS_TRY(row->out[i] == 'u'   ? cs_cbor_put_uint(out, r->f[i].u)
               : row->out[i] == 't' ? cs_tee_put_text(out, r->f[i].s)
                                    : cs_cbor_put_bytes(out, r->f[i].s));
    }
    return CS_OK;
}

cs_err cs_tee_result_encode(cs_buf *out, const cs_tee_op_row *row, const cs_tee_result *r)
{
    const size_t before = out->len;
    cs_tee_result again;
    cs_err err = encode_result(out, row, r);

    return cs_tee_undo(out, before,
                       err == CS_OK ? cs_tee_result_decode(&again, row, cs_tee_written(out, before)) : err);
}
