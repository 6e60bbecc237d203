/* Shapes of named operations, and what a request comes to. See tee_shape.h. */
#include "gateway/tee_shape.h"

#include <openssl/evp.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"

#define RECORDS_MAX (CS_TEE_ROWS_MAX * (CS_TEE_RECORD_MAX + 4u) + 16u)

static const cs_tee_member sign_in[] = {{"record", CS_TEE_M_TEXT, 0},
                                        {"algorithm", CS_TEE_M_ALG, 1},
                                        {"digest", CS_TEE_M_DIGEST, 3},
                                        {"message", CS_TEE_M_MESSAGE, 3},
                                        {0}};
static const cs_tee_member sign_out[] = {
    {"signature", CS_TEE_M_BYTES, 0}, {"recovery_id", CS_TEE_M_UINT, 1}, {"public_key", CS_TEE_M_BYTES, 2}, {0}};
static const cs_tee_member decrypt_in[] = {
    {"record", CS_TEE_M_TEXT, 0},        {"aad", CS_TEE_M_BYTES, 1},
    {"ciphertext", CS_TEE_M_BYTES, 2},   {"data_key_ciphertext", CS_TEE_M_DATA_KEY, 0},
    {"kms_key_id", CS_TEE_M_KMS_KEY, 0}, {0}};
static const cs_tee_member sealed_out[] = {{"sealed_result", CS_TEE_M_SEALED, 0}, {0}};
static const cs_tee_member unseal_in[] = {{"record", CS_TEE_M_TEXT, 0}, {"version", CS_TEE_M_UINT, 1}, {0}};
static const cs_tee_member generate_in[] = {{"record", CS_TEE_M_TEXT, 0}, {"algorithm", CS_TEE_M_ALG, 1}, {0}};
static const cs_tee_member generate_out[] = {{"public_key", CS_TEE_M_BYTES, 0}, {"algorithm", CS_TEE_M_ASKED, 0}, {0}};
static const cs_tee_member public_in[] = {{"record", CS_TEE_M_TEXT, 0}, {0}};
static const cs_tee_member public_out[] = {{"public_key", CS_TEE_M_BYTES, 0}, {"algorithm", CS_TEE_M_ALG, 1}, {0}};
static const cs_tee_member rotate_in[] = {
    {"records", CS_TEE_M_RECORDS, 0}, {"kms_key_id", CS_TEE_M_TEXT, 1}, {"fresh", CS_TEE_M_BOOL, 2}, {0}};
static const cs_tee_member rotate_out[] = {{"rotated", CS_TEE_M_UINT, 0}, {"rows", CS_TEE_M_ROTATED, 0}, {0}};
static const cs_tee_member attest_in[] = {{"nonce", CS_TEE_M_BYTES, 0}, {0}};
static const cs_tee_member attest_out[] = {{"document", CS_TEE_M_BYTES, 0}, {0}};
static const cs_tee_member stats_in[] = {{0}};
static const cs_tee_member stats_out[] = {{"json", CS_TEE_M_TEXT, 0}, {0}};

static const cs_tee_shape shapes[] = {
    {CS_TEE_SIGN, true, sign_in, sign_out},           {CS_TEE_DECRYPT, true, decrypt_in, sealed_out},
    {CS_TEE_UNSEAL, true, unseal_in, sealed_out},     {CS_TEE_GENERATE, true, generate_in, generate_out},
    {CS_TEE_PUBLIC_KEY, true, public_in, public_out}, {CS_TEE_ROTATE, true, rotate_in, rotate_out},
    {CS_TEE_ATTEST, false, attest_in, attest_out},    {CS_TEE_STATS, false, stats_in, stats_out},
};

const cs_tee_shape *cs_tee_shape_of(cs_tee_op op)
{
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        if (shapes[i].op == op) {
            return &shapes[i];
        }
    }
    return NULL;
}

cs_err cs_tee_sha256(uint8_t out32[32], const cs_slice *parts, size_t num_parts)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1;
    for (size_t i = 0; ok && i < num_parts; i++) {
        ok = EVP_DigestUpdate(ctx, parts[i].p, parts[i].len) == 1;
    }
    ok = ok && EVP_DigestFinal_ex(ctx, out32, NULL) == 1;
    EVP_MD_CTX_free(ctx);
    return ok ? CS_OK : CS_E_INTERNAL;
}

/* ---------------------------------------------------------------- asking */

void cs_tee_ask_cleanup(cs_tee_ask *a)
{
    cs_buf_free(&a->call);
    cs_buf_free(&a->data_key);
    cs_buf_free(&a->kms_key);
    cs_buf_free(&a->records);
    *a = (cs_tee_ask){0};
}

static void ask_init(cs_tee_ask *a)
{
    *a = (cs_tee_ask){.call = cs_buf_heap(CS_TEE_SEALED_MAX),
                      .data_key = cs_buf_heap(CS_TEE_DATA_KEY_MAX),
                      .kms_key = cs_buf_heap(CS_TEE_KMS_KEY_MAX),
                      .records = cs_buf_heap(RECORDS_MAX)};
}

static cs_err put_attached(cs_tee_ask *a, const char **what, cs_slice data_key, cs_slice kms_key)
{
    *what = "data_key_ciphertext";
    CS_TRY(cs_put_slice(&a->data_key, data_key));
    if ((data_key.len == 0) != (kms_key.len == 0)) {
        *what = "data_key_ciphertext and kms_key_id: both, or none";
        return CS_E_FORMAT;
    }
    *what = "kms_key_id";
    return cs_put_slice(&a->kms_key, kms_key);
}

static cs_err put_who(cs_tee_ask *a, const char **what, cs_slice id, cs_slice caller)
{
    *what = "request_id";
    if (id.len != CS_TEE_ID_LEN) {
        return CS_E_FORMAT;
    }
    memcpy(a->id, id.p, CS_TEE_ID_LEN);
    *what = "caller";
    if (caller.len > CS_TEE_CALLER_MAX || (caller.len > 0 && memchr(caller.p, '\0', caller.len) != NULL)) {
        return CS_E_RANGE;
    }
    if (caller.len > 0) {
        memcpy(a->caller, caller.p, caller.len);
    }
    a->caller[caller.len] = '\0';
    return CS_OK;
}

static cs_err put_records(cs_tee_ask *a, const cs_slice *records, size_t num)
{
    a->num_records = num;
    return num > 0 ? cs_tee_records_encode(&a->records, records, num) : CS_OK;
}

/* The records that a decoded body is about. */
static cs_err records_of(cs_tee_ask *a, const cs_tee_request *r)
{
    if (r->row->op == CS_TEE_ROTATE) {
        cs_tee_iter it = cs_tee_iter_of(r->records);
        cs_slice record;
        while (cs_tee_records_next(&it, &record)) {
            a->num_records++;
        }
        return cs_put_slice(&a->records, r->records);
    }
    return r->row->in[0] == 't' ? put_records(a, &r->f[0].s, 1) : CS_OK;
}

static void facts_of(cs_tee_ask *a, const cs_tee_request *r)
{
    a->op = r->row;
    a->alg = r->row->op == CS_TEE_GENERATE ? r->f[1].u : 0;
    a->fresh = r->row->op == CS_TEE_ROTATE && r->f[2].u == 1;
}

static cs_err encode_named(cs_tee_ask *a, const char **what, const cs_tee_named *n, cs_tee_request *r, cs_buf *records)
{
    cs_buf body = cs_buf_heap(CS_TEE_BODY_MAX);
    cs_tee_call call = {.signature = n->signature, .num_approvals = n->num_approvals};
    cs_err err = CS_OK;

    memcpy(call.approval, n->approval, sizeof call.approval);
    if (r->row->op == CS_TEE_ROTATE) {
        *what = "records";
        err = n->num_records > 0 ? cs_tee_records_encode(records, n->records, n->num_records) : CS_E_FORMAT;
        r->records = cs_buf_slice(records);
    }
    if (err == CS_OK) {
        *what = "";
        err = cs_tee_request_encode(&body, r);
    }
    if (err == CS_OK) {
        err = records_of(a, r);
    }
    if (err == CS_OK) {
        call.body = cs_buf_slice(&body);
        err = cs_tee_call_encode(&a->call, &call);
    }
    cs_buf_free(&body);
    return err;
}

/* Operations without a caller need no id and no time of their own; the body has both. */
static cs_err fill_in(cs_tee_named *n, uint8_t id[CS_TEE_ID_LEN], const char **what)
{
    bool nobody =
        (cs_tee_op_of(n->shape->op)->flags & CS_TEE_CALLER) == 0 && n->caller.len == 0 && n->signature.len == 0;
    if (nobody && n->id.len == 0) {
        if (getrandom(id, CS_TEE_ID_LEN, 0) != CS_TEE_ID_LEN) {
            return CS_E_ENTROPY;
        }
        n->id = cs_slice_of(id, CS_TEE_ID_LEN);
    }
    if (nobody && n->time_ms == 0) {
        n->time_ms = cs_clock_wall_ms();
    }
    *what = "auth.request_id";
    if (n->id.len != CS_TEE_ID_LEN) {
        return CS_E_FORMAT;
    }
    *what = "auth.signature";
    return n->signature.len == 0 || n->signature.len == 64 ? CS_OK : CS_E_FORMAT;
}

cs_err cs_tee_ask_named(cs_tee_ask *out, const char **what, const cs_tee_named *n)
{
    uint8_t id[CS_TEE_ID_LEN];
    cs_tee_named full = *n;
    cs_buf records = cs_buf_heap(RECORDS_MAX);

    *what = "";
    ask_init(out);
    cs_err err = fill_in(&full, id, what);
    if (err == CS_OK && n->shape->op == CS_TEE_SIGN && !n->has_input) {
        *what = "digest or message";
        err = CS_E_FORMAT;
    }
    if (err == CS_OK) {
        cs_tee_request r = {
            .row = cs_tee_op_of(n->shape->op), .id16 = full.id.p, .time_ms = full.time_ms, .caller = n->caller};
        memcpy(r.f, n->f, sizeof r.f);
        out->shape = n->shape;
        facts_of(out, &r);
        if ((err = put_who(out, what, full.id, n->caller)) == CS_OK &&
            (err = put_attached(out, what, n->data_key, n->kms_key)) == CS_OK) {
            err = encode_named(out, what, &full, &r, &records);
        }
    }
    cs_buf_free(&records);
    if (err != CS_OK) {
        cs_tee_ask_cleanup(out);
    }
    return err;
}

/* What is said beside a call in the clear must be in it: the gateway never has to choose whom to believe. */
static cs_err compare(const char **what, const cs_tee_ask *a, const cs_tee_given *g)
{
    cs_tee_iter it = cs_tee_iter_of(cs_buf_slice(&a->records));
    cs_slice record;

    *what = "operation: not that of the call";
    if (g->operation.len > 0 && !cs_slice_eq_str(g->operation, a->op->name)) {
        return CS_E_FORMAT;
    }
    *what = "caller: not that of the call";
    if (g->caller.len > 0 && !cs_slice_eq_str(g->caller, a->caller)) {
        return CS_E_FORMAT;
    }
    *what = "request_id: not that of the call";
    if (g->id.len > 0 && !cs_slice_eq(g->id, cs_slice_of(a->id, CS_TEE_ID_LEN))) {
        return CS_E_FORMAT;
    }
    *what = "records: not those of the call";
    if (g->num_records > 0 && g->num_records != a->num_records) {
        return CS_E_FORMAT;
    }
    for (size_t i = 0; i < g->num_records; i++) {
        if (!cs_tee_records_next(&it, &record) || !cs_slice_eq(record, g->records[i])) {
            return CS_E_FORMAT;
        }
    }
    *what = "";
    return CS_OK;
}

static cs_err given_clear(cs_tee_ask *a, const char **what, const cs_tee_given *g)
{
    cs_tee_request r;
    cs_tee_call call;

    *what = "call";
    CS_TRY(cs_tee_call_decode(&call, g->call));
    CS_TRY(cs_tee_request_decode(&r, call.body));
    facts_of(a, &r);
    CS_TRY(put_who(a, what, cs_slice_of(r.id16, CS_TEE_ID_LEN), r.caller));
    CS_TRY(records_of(a, &r));
    return compare(what, a, g);
}

static cs_err given_sealed(cs_tee_ask *a, const char **what, const cs_tee_given *g)
{
    size_t want = 0;

    *what = "operation";
    a->op = cs_tee_op_named(g->operation);
    if (a->op == NULL) {
        return CS_E_FORMAT;
    }
    CS_TRY(put_who(a, what, g->id, g->caller));
    *what = "records";
    want = a->op->in[0] == 't' ? 1 : 0;
    if (a->op->op == CS_TEE_ROTATE ? g->num_records < 1 : g->num_records != want) {
        return CS_E_FORMAT;
    }
    return put_records(a, g->records, g->num_records);
}

cs_err cs_tee_ask_given(cs_tee_ask *out, const char **what, const cs_tee_given *g)
{
    ask_init(out);
    out->sealed = g->sealed;
    *what = "call";
    cs_err err = g->call.len > 0 ? cs_put_slice(&out->call, g->call) : CS_E_FORMAT;
    if (err == CS_OK) {
        err = put_attached(out, what, g->data_key, g->kms_key);
    }
    if (err == CS_OK) {
        err = g->sealed ? given_sealed(out, what, g) : given_clear(out, what, g);
    }
    if (err != CS_OK) {
        cs_tee_ask_cleanup(out);
    }
    return err;
}

/* ---------------------------------------------------------------- answers */

cs_err cs_tee_told_read(cs_tee_told *out, const cs_tee_ask *ask, cs_slice reply)
{
    cs_tee_told t = {0};
    bool ok = cs_tee_reply_decode(&t.reply, reply) == CS_OK;

    t.has_entry = ok && t.reply.entry.len > 0;
    if (t.has_entry) {
        cs_slice parts[] = {cs_slice_str(CS_TEE_AUDIT_LINK), t.reply.entry, t.reply.entry_sig};
        CS_TRY(cs_tee_sha256(t.hash32, parts, 3));
        ok = cs_tee_entry_decode(&t.entry, t.reply.entry) == CS_OK;
    }
    if (ok && ask->op != NULL && cs_slice_eq_str(t.reply.code, "OK") && !t.reply.sealed) {
        ok = cs_tee_result_decode(&t.result, ask->op, t.reply.result) == CS_OK;
    }
    if (!ok) {
        return CS_E_UPSTREAM;
    }
    *out = t;
    return CS_OK;
}
