/* What core signs or has signed for it: the audit entry, and user_data of its attestation document. See tee_rpc.h. */
#include "rpc/tee_int.h"

#define HASH 32u
#define BOOT 16u
#define ENTRY_FIELDS 13u
#define ENTRY_MAX 1024u

/* ---------------------------------------------------------------- the audit entry */

static cs_err parse_entry(cs_tee_entry *out, cs_slice bytes)
{
    cs_cbor c = cs_cbor_of(bytes, CS_CBOR_STRICT);
    uint64_t version = 0;

    CS_TRY(cs_tee_array_of(&c, ENTRY_FIELDS));
    CS_TRY(cs_cbor_uint(&c, &version));
    CS_TRY(cs_cbor_uint(&c, &out->counter));
    CS_TRY(cs_tee_exactly(&c, &out->boot16, BOOT));
    CS_TRY(cs_tee_exactly(&c, &out->previous32, HASH));
    CS_TRY(cs_cbor_uint(&c, &out->time_ms));
    CS_TRY(cs_tee_exactly(&c, &out->request_id16, CS_TEE_ID_LEN));
    CS_TRY(cs_tee_exactly(&c, &out->request_hash32, HASH));
    CS_TRY(cs_cbor_text(&c, &out->caller));
    CS_TRY(cs_cbor_uint(&c, &out->op));
    CS_TRY(cs_cbor_text(&c, &out->record));
    CS_TRY(cs_cbor_text(&c, &out->code));
    CS_TRY(cs_tee_exactly(&c, &out->pcr_digest32, HASH));
    CS_TRY(cs_tee_exactly(&c, &out->result_hash32, HASH));
    if (version != 1 || cs_tee_op_of(out->op) == NULL || !cs_name_valid(out->caller, CS_TEE_CALLER_MAX) ||
        !cs_name_valid(out->record, CS_TEE_RECORD_MAX) || !cs_tee_code_valid(out->code)) {
        return CS_E_FORMAT;
    }
    return cs_cbor_end(&c);
}

cs_err cs_tee_entry_decode(cs_tee_entry *out, cs_slice bytes)
{
    *out = (cs_tee_entry){0};
    return cs_tee_cleared(out, sizeof *out, bytes.len <= ENTRY_MAX ? parse_entry(out, bytes) : CS_E_TOO_LARGE);
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
    CS_TRY(cs_tee_put_text(out, e->caller));
    CS_TRY(cs_cbor_put_uint(out, e->op));
    CS_TRY(cs_tee_put_text(out, e->record));
    CS_TRY(cs_tee_put_text(out, e->code));
    CS_TRY(cs_cbor_put_bytes(out, cs_slice_of(e->pcr_digest32, HASH)));
    return cs_cbor_put_bytes(out, cs_slice_of(e->result_hash32, HASH));
}

cs_err cs_tee_entry_encode(cs_buf *out, const cs_tee_entry *e)
{
    const size_t before = out->len;
    cs_tee_entry again;
    cs_err err = encode_entry(out, e);

    return cs_tee_undo(out, before, err == CS_OK ? cs_tee_entry_decode(&again, cs_tee_written(out, before)) : err);
}

/* ---------------------------------------------------------------- what core vouches for */

static cs_err parse_vouch(cs_tee_vouch *out, cs_slice user_data)
{
    cs_cbor c = cs_cbor_of(user_data, CS_CBOR_STRICT);
    uint64_t version = 0;
    cs_slice kind;

    CS_TRY(cs_tee_array_of(&c, 5));
    CS_TRY(cs_cbor_uint(&c, &version));
    CS_TRY(cs_cbor_text(&c, &kind));
    CS_TRY(cs_tee_exactly(&c, &out->request_key32, HASH));
    CS_TRY(cs_tee_exactly(&c, &out->audit_key32, HASH));
    CS_TRY(cs_tee_exactly(&c, &out->boot16, BOOT));
    if (version != 1 || !cs_slice_eq_str(kind, "tee")) {
        return CS_E_FORMAT;
    }
    return cs_cbor_end(&c);
}

cs_err cs_tee_vouch_decode(cs_tee_vouch *out, cs_slice user_data)
{
    *out = (cs_tee_vouch){0};
    return cs_tee_cleared(out, sizeof *out, parse_vouch(out, user_data));
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
    const size_t before = out->len;
    cs_tee_vouch again;
    cs_err err = encode_vouch(out, v);

    return cs_tee_undo(out, before, err == CS_OK ? cs_tee_vouch_decode(&again, cs_tee_written(out, before)) : err);
}
