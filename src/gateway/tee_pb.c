/* Protobuf shapes of the TEE service. See tee_pb.h. */
#include "gateway/tee_pb.h"

#include <string.h>

#include "net/countersign.pb-c.h"

#define REPLY_MAX (512u * 1024u)

typedef struct pair {
    cs_tee_op op;
    const ProtobufCMessageDescriptor *in, *out;
} pair;

static const pair *pair_of(cs_tee_op op)
{
    static const pair pairs[] = {
        {CS_TEE_SIGN, &countersign__v1__tee_sign_request__descriptor, &countersign__v1__tee_sign_reply__descriptor},
        {CS_TEE_DECRYPT, &countersign__v1__tee_decrypt_request__descriptor,
         &countersign__v1__tee_sealed_reply__descriptor},
        {CS_TEE_UNSEAL, &countersign__v1__tee_unseal_request__descriptor,
         &countersign__v1__tee_sealed_reply__descriptor},
        {CS_TEE_GENERATE, &countersign__v1__tee_generate_request__descriptor,
         &countersign__v1__tee_key_reply__descriptor},
        {CS_TEE_PUBLIC_KEY, &countersign__v1__tee_public_key_request__descriptor,
         &countersign__v1__tee_key_reply__descriptor},
        {CS_TEE_ROTATE, &countersign__v1__tee_rotate_request__descriptor,
         &countersign__v1__tee_rotate_reply__descriptor},
        {CS_TEE_ATTEST, &countersign__v1__tee_attest_request__descriptor, &countersign__v1__attest_reply__descriptor},
        {CS_TEE_STATS, &countersign__v1__tee_stats_request__descriptor, &countersign__v1__tee_stats_reply__descriptor},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        if (pairs[i].op == op) {
            return &pairs[i];
        }
    }
    return NULL;
}

static cs_slice bytes_of(ProtobufCBinaryData b)
{
    return cs_slice_of(b.data, b.len);
}

/* ---------------------------------------------------------------- requests */

/* Where a member of a message is. Fields are described by protobuf-c with their offset. */
static const void *at(const ProtobufCMessage *m, size_t offset)
{
    return (const char *)m + offset;
}

static const ProtobufCFieldDescriptor *field(const ProtobufCMessage *m, const char *name)
{
    return protobuf_c_message_descriptor_get_field_by_name(m->descriptor, name);
}

static bool chosen(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    uint32_t which;
    if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) == 0) {
        return true;
    }
    memcpy(&which, at(m, f->quantifier_offset), sizeof which);
    return which == f->id;
}

static cs_slice slice_at(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    if (f->type == PROTOBUF_C_TYPE_BYTES) {
        ProtobufCBinaryData b;
        memcpy(&b, at(m, f->offset), sizeof b);
        return bytes_of(b);
    }
    const char *text;
    memcpy(&text, at(m, f->offset), sizeof text);
    return cs_slice_str(text);
}

static uint64_t number_at(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    if (f->type == PROTOBUF_C_TYPE_BOOL) {
        protobuf_c_boolean b;
        memcpy(&b, at(m, f->offset), sizeof b);
        return b != 0 ? 1 : 0;
    }
    uint32_t v;
    memcpy(&v, at(m, f->offset), sizeof v);
    return v;
}

static cs_err read_list(cs_slice *out, size_t *out_num, char *const *texts, size_t num)
{
    if (num > CS_TEE_ROWS_MAX) {
        return CS_E_TOO_LARGE;
    }
    for (size_t i = 0; i < num; i++) {
        out[i] = cs_slice_str(texts[i]);
    }
    *out_num = num;
    return CS_OK;
}

static cs_err read_records(cs_tee_named *n, const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    char **texts;
    size_t num;
    memcpy(&texts, at(m, f->offset), sizeof texts);
    memcpy(&num, at(m, f->quantifier_offset), sizeof num);
    return read_list(n->records, &n->num_records, texts, num);
}

static cs_err read_member(cs_tee_named *n, const ProtobufCMessage *m, const cs_tee_member *member)
{
    const ProtobufCFieldDescriptor *f = field(m, member->name);
    cs_tee_field *to = &n->f[member->at];
    cs_tee_alg alg = CS_TEE_DATA;

    switch (member->kind) {
    case CS_TEE_M_TEXT:
    case CS_TEE_M_BYTES:
        to->s = slice_at(m, f);
        return CS_OK;
    case CS_TEE_M_UINT:
    case CS_TEE_M_BOOL:
        to->u = number_at(m, f);
        return CS_OK;
    case CS_TEE_M_ALG:
        CS_TRY(cs_tee_alg_of(slice_at(m, f), &alg));
        to->u = (uint64_t)alg;
        return CS_OK;
    case CS_TEE_M_DIGEST:
    case CS_TEE_M_MESSAGE:
        if (chosen(m, f)) {
            n->has_input = true;
            n->f[2].u = member->kind == CS_TEE_M_MESSAGE ? 1 : 0;
            to->s = slice_at(m, f);
        }
        return CS_OK;
    case CS_TEE_M_RECORDS:
        return read_records(n, m, f);
    case CS_TEE_M_DATA_KEY:
        n->data_key = slice_at(m, f);
        return CS_OK;
    case CS_TEE_M_KMS_KEY:
        n->kms_key = slice_at(m, f);
        return CS_OK;
    default:
        return CS_E_INTERNAL;
    }
}

static cs_err read_auth(cs_tee_named *n, const char **what, const ProtobufCMessage *m)
{
    const Countersign__V1__TeeAuth *auth;
    memcpy(&auth, at(m, field(m, "auth")->offset), sizeof auth);
    if (auth == NULL) {
        return CS_OK;
    }
    n->id = bytes_of(auth->request_id);
    n->time_ms = auth->time_ms;
    n->caller = cs_slice_str(auth->caller);
    n->signature = bytes_of(auth->signature);
    *what = "auth.approvals";
    if (auth->n_approvals > CS_TEE_APPROVALS_MAX) {
        return CS_E_TOO_LARGE;
    }
    for (size_t i = 0; i < auth->n_approvals; i++) {
        const Countersign__V1__TeeApproval *a = auth->approvals[i];
        if (a->signature.len != 64) {
            return CS_E_FORMAT;
        }
        n->approval[n->num_approvals++] = (cs_tee_approval){cs_slice_str(a->approver), a->signature.data};
    }
    return CS_OK;
}

cs_err cs_tee_pb_named(cs_tee_ask *out, const char **what, const cs_tee_shape *shape, cs_slice message)
{
    cs_tee_named n = {.shape = shape};
    *what = "protobuf";
    ProtobufCMessage *m = protobuf_c_message_unpack(pair_of(shape->op)->in, NULL, message.len, message.p);
    if (m == NULL) {
        return CS_E_FORMAT;
    }
    cs_err err = shape->auth ? read_auth(&n, what, m) : CS_OK;
    for (const cs_tee_member *member = shape->in; err == CS_OK && member->name != NULL; member++) {
        *what = member->name;
        err = read_member(&n, m, member);
    }
    if (err == CS_OK) {
        err = cs_tee_ask_named(out, what, &n);
    }
    protobuf_c_message_free_unpacked(m, NULL);
    return err;
}

cs_err cs_tee_pb_given(cs_tee_ask *out, const char **what, cs_slice message)
{
    *what = "protobuf";
    Countersign__V1__TeeCall *m = countersign__v1__tee_call__unpack(NULL, message.len, message.p);
    if (m == NULL) {
        return CS_E_FORMAT;
    }
    cs_tee_given g = {.call = bytes_of(m->call),
                      .sealed = m->sealed != 0,
                      .operation = cs_slice_str(m->operation),
                      .caller = cs_slice_str(m->caller),
                      .id = bytes_of(m->request_id),
                      .data_key = bytes_of(m->data_key_ciphertext),
                      .kms_key = cs_slice_str(m->kms_key_id)};
    *what = "records";
    cs_err err = read_list(g.records, &g.num_records, m->records, m->n_records);
    if (err == CS_OK) {
        err = cs_tee_ask_given(out, what, &g);
    }
    countersign__v1__tee_call__free_unpacked(m, NULL);
    return err;
}

/* ---------------------------------------------------------------- replies */

/* A message written by hand, field by field in the order of the table: what the generated code would need is copies of all of it. */
static cs_err put_varint(cs_buf *out, uint64_t v)
{
    while (v >= 0x80) {
        CS_TRY(cs_put_u8(out, (uint8_t)(v & 0x7f) | 0x80));
        v >>= 7;
    }
    return cs_put_u8(out, (uint8_t)v);
}

static cs_err put_uint(cs_buf *out, unsigned number, uint64_t v)
{
    if (v == 0) {
        return CS_OK;
    }
    CS_TRY(put_varint(out, number << 3));
    return put_varint(out, v);
}

static cs_err put_bytes(cs_buf *out, unsigned number, cs_slice s)
{
    if (s.len == 0) {
        return CS_OK;
    }
    CS_TRY(put_varint(out, number << 3 | 2u));
    CS_TRY(put_varint(out, s.len));
    return cs_put_slice(out, s);
}

static cs_err put_message(cs_buf *out, unsigned number, cs_slice s)
{
    CS_TRY(put_varint(out, number << 3 | 2u));
    CS_TRY(put_varint(out, s.len));
    return cs_put_slice(out, s);
}

static unsigned number_of(const ProtobufCMessageDescriptor *d, const char *name)
{
    return protobuf_c_message_descriptor_get_field_by_name(d, name)->id;
}

static cs_err put_rotated(cs_buf *out, unsigned number, const cs_tee_told *t)
{
    const ProtobufCMessageDescriptor *d = &countersign__v1__tee_rotated__descriptor;
    uint8_t mem[CS_TEE_RECORD_MAX + 128];
    cs_tee_iter it = cs_tee_iter_of(t->reply.rows);
    cs_tee_row row;

    while (cs_tee_rows_next(&it, &row)) {
        cs_buf one = cs_buf_wrap(mem, sizeof mem);
        CS_TRY(put_bytes(&one, number_of(d, "record"), row.record));
        CS_TRY(put_bytes(&one, number_of(d, "code"), row.code));
        CS_TRY(put_uint(&one, number_of(d, "version"), row.version));
        CS_TRY(put_message(out, number, cs_buf_slice(&one)));
    }
    return CS_OK;
}

static cs_err put_member(cs_buf *out, unsigned number, const cs_tee_member *member, const cs_tee_ask *ask,
                         const cs_tee_told *t)
{
    const cs_tee_field *f = &t->result.f[member->at];
    const char *alg = cs_tee_alg_name(member->kind == CS_TEE_M_ASKED ? ask->alg : f->u);

    switch (member->kind) {
    case CS_TEE_M_TEXT:
    case CS_TEE_M_BYTES:
        return put_bytes(out, number, f->s);
    case CS_TEE_M_UINT:
        return put_uint(out, number, f->u);
    case CS_TEE_M_ALG:
    case CS_TEE_M_ASKED:
        return alg != NULL ? put_bytes(out, number, cs_slice_str(alg)) : CS_E_UPSTREAM;
    case CS_TEE_M_SEALED:
        return put_bytes(out, number, t->reply.result);
    case CS_TEE_M_ROTATED:
        return put_rotated(out, number, t);
    default:
        return CS_E_INTERNAL;
    }
}

static cs_err put_audit(cs_buf *out, unsigned number, const cs_tee_told *t)
{
    const ProtobufCMessageDescriptor *d = &countersign__v1__tee_audit__descriptor;
    cs_buf audit = cs_buf_heap(REPLY_MAX);
    cs_err err;

    if ((err = put_bytes(&audit, number_of(d, "entry"), t->reply.entry)) == CS_OK &&
        (err = put_bytes(&audit, number_of(d, "signature"), t->reply.entry_sig)) == CS_OK &&
        (err = put_uint(&audit, number_of(d, "counter"), t->entry.counter)) == CS_OK &&
        (err = put_bytes(&audit, number_of(d, "hash"), cs_slice_of(t->hash32, sizeof t->hash32))) == CS_OK) {
        err = put_message(out, number, cs_buf_slice(&audit));
    }
    cs_buf_free(&audit);
    return err;
}

cs_err cs_tee_pb_told(cs_buf *out, const cs_tee_ask *ask, cs_slice reply)
{
    const ProtobufCMessageDescriptor *d = pair_of(ask->shape->op)->out;
    const ProtobufCFieldDescriptor *audit = protobuf_c_message_descriptor_get_field_by_name(d, "audit");
    cs_tee_told t;

    CS_TRY(cs_tee_told_read(&t, ask, reply));
    if (t.reply.sealed != (ask->shape->out[0].kind == CS_TEE_M_SEALED)) {
        return CS_E_UPSTREAM;
    }
    for (const cs_tee_member *member = ask->shape->out; member->name != NULL; member++) {
        CS_TRY(put_member(out, number_of(d, member->name), member, ask, &t));
    }
    return audit != NULL && t.has_entry ? put_audit(out, audit->id, &t) : CS_OK;
}

cs_err cs_tee_pb_reply(cs_buf *out, cs_slice reply)
{
    return put_bytes(out, number_of(&countersign__v1__tee_reply__descriptor, "reply"), reply);
}

cs_err cs_tee_pb_core_call(cs_buf *out, cs_slice call, bool sealed, cs_slice attachments)
{
    const ProtobufCMessageDescriptor *d = &countersign__v1__tee_core_call__descriptor;
    CS_TRY(put_bytes(out, number_of(d, "call"), call));
    CS_TRY(put_uint(out, number_of(d, "sealed"), sealed ? 1 : 0));
    return put_bytes(out, number_of(d, "attachments"), attachments);
}

cs_err cs_tee_pb_core_reply(cs_buf *out, cs_slice message)
{
    Countersign__V1__TeeCoreReply *m = countersign__v1__tee_core_reply__unpack(NULL, message.len, message.p);
    if (m == NULL) {
        return CS_E_UPSTREAM;
    }
    cs_err err = cs_put_slice(out, bytes_of(m->reply));
    countersign__v1__tee_core_reply__free_unpacked(m, NULL);
    return err;
}
