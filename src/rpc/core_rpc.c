/* The codec of the enclave's internal frames; see core_rpc.h for the table that drives it. */
#include "rpc/core_rpc.h"

#include <string.h>

#include "base/text.h"
#include "codec/cbor.h"

typedef struct row {
    cs_rpc_type type;
    const char *name;
    const char *fields;
} row;

static const row rows[] = {
#define CS_RPC_ROW(name, num, fields) {CS_RPC_##name, #name, fields},
    CS_RPC_TABLE(CS_RPC_ROW)
#undef CS_RPC_ROW
};

static const row *row_of(uint64_t type)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if ((uint64_t)rows[i].type == type) {
            return &rows[i];
        }
    }
    return NULL;
}

const char *cs_rpc_name(cs_rpc_type t)
{
    const row *r = row_of((uint64_t)t);
    return r == NULL ? NULL : r->name;
}

const char *cs_rpc_fields(cs_rpc_type t)
{
    const row *r = row_of((uint64_t)t);
    return r == NULL ? NULL : r->fields;
}

/* Deterministic order of text keys: by length of the encoding, then bytewise [RFC 8949 4.2.1]. */
static int key_cmp(cs_slice a, cs_slice b)
{
    if (a.len != b.len) {
        return a.len < b.len ? -1 : 1;
    }
    return a.len == 0 ? 0 : memcmp(a.p, b.p, a.len);
}

static cs_err decode_map(cs_cbor *c, cs_rpc_field *f)
{
    cs_cbor_iter it;

    CS_TRY(cs_cbor_map(c, &it));
    while (cs_cbor_more(c, &it)) {
        size_t n = f->m.num;

        if (n == CS_RPC_CONTEXT_MAX) {
            return CS_E_FORMAT;
        }
        CS_TRY(cs_cbor_text(c, &f->m.key[n]));
        CS_TRY(cs_cbor_text(c, &f->m.value[n]));
        if (n > 0 && key_cmp(f->m.key[n - 1], f->m.key[n]) >= 0) {
            return CS_E_FORMAT;
        }
        f->m.num = n + 1;
    }
    return CS_OK;
}

static cs_err decode_field(cs_cbor *c, cs_rpc_field *f, char letter)
{
    switch (letter) {
    case 'u':
        return cs_cbor_uint(c, &f->u);
    case 't':
        return cs_cbor_text(c, &f->s);
    case 'b':
        return cs_cbor_bytes(c, &f->s);
    default:
        return decode_map(c, f);
    }
}

static cs_err decode(cs_rpc_frame *out, cs_slice bytes)
{
    cs_cbor c = cs_cbor_of(bytes, CS_CBOR_STRICT);
    cs_cbor_iter it;
    uint64_t type = 0;
    const row *r = NULL;

    CS_TRY(cs_cbor_array(&c, &it));
    CS_TRY(cs_cbor_uint(&c, &type));
    CS_TRY(cs_cbor_uint(&c, &out->id));
    r = row_of(type);
    if (r == NULL || it.left != 2 + strlen(r->fields)) {
        return CS_E_FORMAT;
    }
    out->type = r->type;
    for (size_t i = 0; r->fields[i] != '\0'; i++) {
        CS_TRY(decode_field(&c, &out->f[i], r->fields[i]));
    }
    return cs_cbor_end(&c);
}

cs_err cs_rpc_decode(cs_rpc_frame *out, cs_slice bytes)
{
    cs_err err;

    for (size_t i = 0; i < CS_RPC_MAX_FIELDS; i++) {
        /* not the whole struct: a map's slots are 512 bytes that a 43 kB round does not need cleared */
        out->f[i].u = 0;
        out->f[i].s = CS_SLICE_NULL;
        out->f[i].m.num = 0;
    }
    out->type = (cs_rpc_type)0;
    out->id = 0;
    if (bytes.len > CS_RPC_MAX) {
        return CS_E_TOO_LARGE;
    }
    err = decode(out, bytes);
    if (err != CS_OK) {
        out->type = (cs_rpc_type)0;
    }
    return err;
}

static cs_err encode_text(cs_buf *out, cs_slice s)
{
    return cs_utf8_valid(s) ? cs_cbor_put_text_slice(out, s) : CS_E_RANGE;
}

static cs_err encode_map(cs_buf *out, const cs_rpc_field *f)
{
    size_t order[CS_RPC_CONTEXT_MAX];

    if (f->m.num > CS_RPC_CONTEXT_MAX) {
        return CS_E_RANGE;
    }
    for (size_t i = 0; i < f->m.num; i++) {
        size_t j = i;

        for (; j > 0 && key_cmp(f->m.key[order[j - 1]], f->m.key[i]) > 0; j--) {
            order[j] = order[j - 1];
        }
        if (j > 0 && key_cmp(f->m.key[order[j - 1]], f->m.key[i]) == 0) {
            return CS_E_RANGE;
        }
        order[j] = i;
    }
    CS_TRY(cs_cbor_put_map(out, f->m.num));
    for (size_t i = 0; i < f->m.num; i++) {
        CS_TRY(encode_text(out, f->m.key[order[i]]));
        CS_TRY(encode_text(out, f->m.value[order[i]]));
    }
    return CS_OK;
}

static cs_err encode_field(cs_buf *out, const cs_rpc_field *f, char letter)
{
    switch (letter) {
    case 'u':
        return cs_cbor_put_uint(out, f->u);
    case 't':
        return encode_text(out, f->s);
    case 'b':
        return cs_cbor_put_bytes(out, f->s);
    default:
        return encode_map(out, f);
    }
}

static cs_err encode_head(cs_buf *out, const row *r, uint64_t id)
{
    CS_TRY(cs_cbor_put_array(out, 2 + strlen(r->fields)));
    CS_TRY(cs_cbor_put_uint(out, (uint64_t)r->type));
    return cs_cbor_put_uint(out, id);
}

static cs_err encode(cs_buf *out, const row *r, const cs_rpc_frame *f)
{
    CS_TRY(encode_head(out, r, f->id));
    for (size_t i = 0; r->fields[i] != '\0'; i++) {
        CS_TRY(encode_field(out, &f->f[i], r->fields[i]));
    }
    return CS_OK;
}

cs_err cs_rpc_encode(cs_buf *out, const cs_rpc_frame *f)
{
    const row *r = row_of((uint64_t)f->type);
    size_t before = out->len;
    cs_err err = r == NULL ? CS_E_RANGE : encode(out, r, f);

    if (err == CS_OK && out->len - before > CS_RPC_MAX) {
        err = CS_E_RANGE;
    }
    if (err != CS_OK) {
        out->len = before;
    }
    return err;
}

/* The head of a byte string that the caller fills [RFC 8949 3]: cs_cbor_put_bytes would need the bytes. */
static cs_err put_bytes_head(cs_buf *out, size_t len)
{
    size_t at = out->len;

    CS_TRY(cs_cbor_put_uint(out, len));
    out->p[at] = (uint8_t)(out->p[at] | 0x40);
    return CS_OK;
}

cs_err cs_rpc_encode_body(cs_buf *out, cs_rpc_type type, uint64_t id, size_t body_len, uint8_t **body)
{
    const row *r = row_of((uint64_t)type);
    size_t before = out->len;
    cs_err err = CS_E_RANGE;

    if (r == NULL || strcmp(r->fields, "b") != 0) {
        return CS_E_RANGE;
    }
    if ((err = encode_head(out, r, id)) != CS_OK || (err = put_bytes_head(out, body_len)) != CS_OK) {
        goto out;
    }
    err = out->len - before + body_len > CS_RPC_MAX || body_len > CS_RPC_MAX ? CS_E_RANGE
                                                                             : cs_put_space(out, body, body_len);
out:
    if (err != CS_OK) {
        out->len = before;
    }
    return err;
}
