/* What is around the body of a TEE request: call, attachments, reply, result, audit entry, what core vouches for. See tee_rpc.h. */
#include <string.h>

#include "base/text.h"
#include "rpc/tee_rpc.h"

#define CALL_MAX (CS_TEE_BODY_MAX + 4096u)
#define MESSAGE_MAX (256u * 1024u)
#define SIGNATURE 64u
#define HASH 32u
#define BOOT 16u
#define ROW_FIELDS 8u
#define ENTRY_FIELDS 13u
#define CODE_MAX 64u

/* ---------------------------------------------------------------- pieces */

static cs_err exactly(cs_cbor *c, const uint8_t **out, size_t len)
{
    cs_slice s;

    CS_TRY(cs_cbor_bytes(c, &s));
    *out = s.p;
    return s.len == len ? CS_OK : CS_E_FORMAT;
}

static cs_err array_of(cs_cbor *c, uint64_t count)
{
    cs_cbor_iter it;

    CS_TRY(cs_cbor_array(c, &it));
    return it.left == count ? CS_OK : CS_E_FORMAT;
}

static cs_err put_text(cs_buf *out, cs_slice s)
{
    return cs_utf8_valid(s) ? cs_cbor_put_text_slice(out, s) : CS_E_RANGE;
}

/* Writers that fail leave the buffer as it was. */
static cs_err undo(cs_buf *out, size_t before, cs_err err)
{
    if (err != CS_OK) {
        out->len = before;
    }
    return err;
}

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

        CS_TRY(array_of(c, 2));
        CS_TRY(cs_cbor_text(c, &a->approver));
        CS_TRY(exactly(c, &a->sig64, SIGNATURE));
        if (a->approver.len < 1 || a->approver.len > CS_TEE_CALLER_MAX) {
            return CS_E_FORMAT;
        }
        out->num_approvals++;
    }
    return CS_OK;
}

cs_err cs_tee_call_decode(cs_tee_call *out, cs_slice bytes)
{
    cs_cbor c = cs_cbor_of(bytes, CS_CBOR_STRICT);

    *out = (cs_tee_call){0};
    if (bytes.len > CALL_MAX) {
        return CS_E_TOO_LARGE;
    }
    CS_TRY(array_of(&c, 3));
    CS_TRY(cs_cbor_bytes(&c, &out->body));
    CS_TRY(cs_cbor_bytes(&c, &out->signature));
    if (out->signature.len != 0 && out->signature.len != SIGNATURE) {
        return CS_E_FORMAT;
    }
    CS_TRY(decode_approvals(&c, out));
    return cs_cbor_end(&c);
}

static cs_err encode_call(cs_buf *out, const cs_tee_call *call)
{
    CS_TRY(cs_cbor_put_array(out, 3));
    CS_TRY(cs_cbor_put_bytes(out, call->body));
    CS_TRY(cs_cbor_put_bytes(out, call->signature));
    CS_TRY(cs_cbor_put_array(out, call->num_approvals));
    for (size_t i = 0; i < call->num_approvals; i++) {
        CS_TRY(cs_cbor_put_array(out, 2));
        CS_TRY(put_text(out, call->approval[i].approver));
        CS_TRY(cs_cbor_put_bytes(out, cs_slice_of(call->approval[i].sig64, SIGNATURE)));
    }
    return CS_OK;
}

cs_err cs_tee_call_encode(cs_buf *out, const cs_tee_call *call)
{
    return undo(out, out->len, call->num_approvals <= CS_TEE_APPROVALS_MAX ? encode_call(out, call) : CS_E_RANGE);
}

/* ---------------------------------------------------------------- rows */

static cs_err decode_row(cs_cbor *c, cs_tee_row *row)
{
    CS_TRY(array_of(c, ROW_FIELDS));
    CS_TRY(cs_cbor_text(c, &row->record));
    CS_TRY(cs_cbor_text(c, &row->code));
    CS_TRY(cs_cbor_uint(c, &row->version));
    CS_TRY(cs_cbor_text(c, &row->kms_key));
    CS_TRY(cs_cbor_bytes(c, &row->data_key));
    CS_TRY(cs_cbor_bytes(c, &row->blob));
    CS_TRY(cs_cbor_uint(c, &row->alg));
    CS_TRY(cs_cbor_bytes(c, &row->public_key));
    if (!cs_tee_record_valid(row->record) || row->code.len < 1 || row->code.len > CODE_MAX ||
        row->version > UINT32_MAX || cs_tee_alg_name(row->alg) == NULL) {
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
        CS_TRY(put_text(out, rows[i].record));
        CS_TRY(put_text(out, rows[i].code));
        CS_TRY(cs_cbor_put_uint(out, rows[i].version));
        CS_TRY(put_text(out, rows[i].kms_key));
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

static cs_err decode_attached(cs_cbor *c, cs_tee_attached *out, int key)
{
    switch (key) {
    case NEW:
        return cs_cbor_bytes(c, &out->fresh);
    case ROWS:
        return decode_rows(c, &out->rows, &out->num_rows);
    case KMS_KEY:
        return cs_cbor_text(c, &out->kms_key);
    default:
        return cs_cbor_bytes(c, &out->data_key);
    }
}

cs_err cs_tee_attached_decode(cs_tee_attached *out, cs_slice bytes)
{
    cs_cbor c = cs_cbor_of(bytes, CS_CBOR_STRICT);
    cs_cbor_iter it;
    cs_slice name;
    int key = -1;

    *out = (cs_tee_attached){0};
    if (bytes.len > MESSAGE_MAX) {
        return CS_E_TOO_LARGE;
    }
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
        CS_TRY(put_text(out, a->kms_key));
    }
    if (a->data_key.len > 0) {
        CS_TRY(cs_cbor_put_text(out, attached_keys[DATA_KEY]));
        CS_TRY(cs_cbor_put_bytes(out, a->data_key));
    }
    return CS_OK;
}

cs_err cs_tee_attached_encode(cs_buf *out, const cs_tee_attached *a, const cs_tee_row *rows, size_t num_rows)
{
    return undo(out, out->len, encode_attached(out, a, rows, num_rows));
}

/* ---------------------------------------------------------------- the reply */

cs_err cs_tee_reply_decode(cs_tee_reply *out, cs_slice bytes)
{
    cs_cbor c = cs_cbor_of(bytes, CS_CBOR_STRICT);
    uint64_t sealed = 0;

    *out = (cs_tee_reply){0};
    if (bytes.len > MESSAGE_MAX) {
        return CS_E_TOO_LARGE;
    }
    CS_TRY(array_of(&c, 6));
    CS_TRY(cs_cbor_text(&c, &out->code));
    CS_TRY(cs_cbor_uint(&c, &sealed));
    CS_TRY(cs_cbor_bytes(&c, &out->result));
    CS_TRY(decode_rows(&c, &out->rows, &out->num_rows));
    CS_TRY(cs_cbor_bytes(&c, &out->entry));
    CS_TRY(cs_cbor_bytes(&c, &out->entry_sig));
    if (sealed > 1 || out->code.len < 1 || out->code.len > CODE_MAX ||
        out->entry_sig.len != (out->entry.len > 0 ? SIGNATURE : 0)) {
        return CS_E_FORMAT;
    }
    out->sealed = sealed == 1;
    return cs_cbor_end(&c);
}

static cs_err encode_reply(cs_buf *out, const cs_tee_reply *r, const cs_tee_row *rows, size_t num_rows)
{
    CS_TRY(cs_cbor_put_array(out, 6));
    CS_TRY(put_text(out, r->code));
    CS_TRY(cs_cbor_put_uint(out, r->sealed));
    CS_TRY(cs_cbor_put_bytes(out, r->result));
    CS_TRY(encode_rows(out, rows, num_rows));
    CS_TRY(cs_cbor_put_bytes(out, r->entry));
    return cs_cbor_put_bytes(out, r->entry_sig);
}

cs_err cs_tee_reply_encode(cs_buf *out, const cs_tee_reply *r, const cs_tee_row *rows, size_t num_rows)
{
    return undo(out, out->len, encode_reply(out, r, rows, num_rows));
}

cs_err cs_tee_result_decode(cs_tee_result *out, const cs_tee_op_row *row, cs_slice bytes)
{
    cs_cbor c = cs_cbor_of(bytes, CS_CBOR_STRICT);

    *out = (cs_tee_result){0};
    CS_TRY(array_of(&c, strlen(row->out)));
    for (size_t i = 0; row->out[i] != '\0'; i++) {
        CS_TRY(row->out[i] == 'u'   ? cs_cbor_uint(&c, &out->f[i].u)
               : row->out[i] == 't' ? cs_cbor_text(&c, &out->f[i].s)
                                    : cs_cbor_bytes(&c, &out->f[i].s));
    }
    return cs_cbor_end(&c);
}

static cs_err encode_result(cs_buf *out, const cs_tee_op_row *row, const cs_tee_result *r)
{
    CS_TRY(cs_cbor_put_array(out, strlen(row->out)));
    for (size_t i = 0; row->out[i] != '\0'; i++) {
        CS_TRY(row->out[i] == 'u'   ? cs_cbor_put_uint(out, r->f[i].u)
               : row->out[i] == 't' ? put_text(out, r->f[i].s)
                                    : cs_cbor_put_bytes(out, r->f[i].s));
    }
    return CS_OK;
}

cs_err cs_tee_result_encode(cs_buf *out, const cs_tee_op_row *row, const cs_tee_result *r)
{
    return undo(out, out->len, encode_result(out, row, r));
}

/* ---------------------------------------------------------------- the audit entry */

cs_err cs_tee_entry_decode(cs_tee_entry *out, cs_slice bytes)
{
    cs_cbor c = cs_cbor_of(bytes, CS_CBOR_STRICT);
    uint64_t version = 0;

    *out = (cs_tee_entry){0};
    CS_TRY(array_of(&c, ENTRY_FIELDS));
    CS_TRY(cs_cbor_uint(&c, &version));
    CS_TRY(cs_cbor_uint(&c, &out->counter));
    CS_TRY(exactly(&c, &out->boot16, BOOT));
    CS_TRY(exactly(&c, &out->previous32, HASH));
    CS_TRY(cs_cbor_uint(&c, &out->time_ms));
    CS_TRY(exactly(&c, &out->request_id16, CS_TEE_ID_LEN));
    CS_TRY(exactly(&c, &out->request_hash32, HASH));
    CS_TRY(cs_cbor_text(&c, &out->caller));
    CS_TRY(cs_cbor_uint(&c, &out->op));
    CS_TRY(cs_cbor_text(&c, &out->record));
    CS_TRY(cs_cbor_text(&c, &out->code));
    CS_TRY(exactly(&c, &out->pcr_digest32, HASH));
    CS_TRY(exactly(&c, &out->result_hash32, HASH));
    if (version != 1 || cs_tee_op_of(out->op) == NULL || out->caller.len > CS_TEE_CALLER_MAX ||
        out->record.len > CS_TEE_RECORD_MAX || out->code.len < 1 || out->code.len > CODE_MAX) {
        return CS_E_FORMAT;
    }
    return cs_cbor_end(&c);
}

static cs_err encode_entry(cs_buf *out, const cs_tee_entry *e)
{
    CS_TRY(cs_cbor_put_array(out, ENTRY_FIELDS));
    CS_TRY(cs_cbor_put_uint(out, 1));
    CS_TRY(cs_cbor_put_uint(out, e->counter));
    CS_TRY(cs_cbor_put_bytes(out, cs_slice_of(e->boot16, BOOT)));
    CS_TRY(cs_cbor_put_bytes(out, cs_slice_of(e->previous32, HASH)));
    CS_TRY(cs_cbor_put_uint(out, e->time_ms));
    CS_TRY(cs_cbor_put_bytes(out, cs_slice_of(e->request_id16, CS_TEE_ID_LEN)));
    CS_TRY(cs_cbor_put_bytes(out, cs_slice_of(e->request_hash32, HASH)));
    CS_TRY(put_text(out, e->caller));
    CS_TRY(cs_cbor_put_uint(out, e->op));
    CS_TRY(put_text(out, e->record));
    CS_TRY(put_text(out, e->code));
    CS_TRY(cs_cbor_put_bytes(out, cs_slice_of(e->pcr_digest32, HASH)));
    return cs_cbor_put_bytes(out, cs_slice_of(e->result_hash32, HASH));
}

cs_err cs_tee_entry_encode(cs_buf *out, const cs_tee_entry *e)
{
    return undo(out, out->len, encode_entry(out, e));
}

/* ---------------------------------------------------------------- what core vouches for */

cs_err cs_tee_vouch_decode(cs_tee_vouch *out, cs_slice user_data)
{
    cs_cbor c = cs_cbor_of(user_data, CS_CBOR_STRICT);
    uint64_t version = 0;
    cs_slice kind;

    *out = (cs_tee_vouch){0};
    CS_TRY(array_of(&c, 5));
    CS_TRY(cs_cbor_uint(&c, &version));
    CS_TRY(cs_cbor_text(&c, &kind));
    CS_TRY(exactly(&c, &out->request_key32, HASH));
    CS_TRY(exactly(&c, &out->audit_key32, HASH));
    CS_TRY(exactly(&c, &out->boot16, BOOT));
    if (version != 1 || !cs_slice_eq_str(kind, "tee")) {
        return CS_E_FORMAT;
    }
    return cs_cbor_end(&c);
}

static cs_err encode_vouch(cs_buf *out, const cs_tee_vouch *v)
{
    CS_TRY(cs_cbor_put_array(out, 5));
    CS_TRY(cs_cbor_put_uint(out, 1));
    CS_TRY(cs_cbor_put_text(out, "tee"));
    CS_TRY(cs_cbor_put_bytes(out, cs_slice_of(v->request_key32, HASH)));
    CS_TRY(cs_cbor_put_bytes(out, cs_slice_of(v->audit_key32, HASH)));
    return cs_cbor_put_bytes(out, cs_slice_of(v->boot16, BOOT));
}

cs_err cs_tee_vouch_encode(cs_buf *out, const cs_tee_vouch *v)
{
    return undo(out, out->len, encode_vouch(out, v));
}
