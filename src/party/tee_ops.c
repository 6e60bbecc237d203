/* The installed C API of the TEE service: operations. See include/countersign/tee.h. */
#include <string.h>

#include "party/tee_api.h"
#include "secret/sign/scheme.h"

#define RECORDS_BYTES (COUNTERSIGN_TEE_RECORDS_MAX * (CS_TEE_RECORD_MAX + 3u) + 8u)

/* One call of the API: what is asked, and what came. */
typedef struct op {
    countersign_tee *tee;
    const countersign_tee_call *call;
    cs_tee_ask ask;
    cs_slice record;
    cs_tee_approval approval[CS_TEE_APPROVALS_MAX];
    cs_tee_answer answer;
    cs_trace trace; /* the span that the call came with */
} op;

static cs_slice text(const char *s)
{
    return s != NULL ? cs_slice_str(s) : CS_SLICE_NULL;
}

/* ---------------------------------------------------------------- what all operations do */

static cs_err begin(op *o, countersign_tee *tee, const countersign_tee_call *call, cs_tee_op number)
{
    static const countersign_tee_call none = {0};

    *o = (op){.tee = tee, .call = call != NULL ? call : &none, .ask.request.row = cs_tee_op_of(number)};
    if (o->call->num_approvals > CS_TEE_APPROVALS_MAX) {
        return CS_E_RANGE;
    }
    for (size_t i = 0; i < o->call->num_approvals; i++) {
        const countersign_tee_approval *a = &o->call->approvals[i];
        o->approval[i] = (cs_tee_approval){text(a->approver), a->signature};
        if (o->approval[i].approver.len < 1 || o->approval[i].approver.len > CS_TEE_CALLER_MAX) {
            return CS_E_RANGE;
        }
    }
    if (o->call->traceparent != NULL) {
        CS_TRY(cs_trace_parent_read(&o->trace, cs_slice_str(o->call->traceparent)));
        memcpy(o->trace.span, o->trace.parent, sizeof o->trace.span);
        o->ask.trace = &o->trace;
    }
    o->ask.id16 = o->call->request_id;
    o->ask.time_ms = o->call->time_ms;
    o->ask.timeout_ms = o->call->timeout_ms;
    o->ask.approvals = o->approval;
    o->ask.num_approvals = o->call->num_approvals;
    return CS_OK;
}

/* The same with one record, as first field. */
static cs_err begin_record(op *o, countersign_tee *tee, const countersign_tee_call *call, cs_tee_op number,
                           const char *record)
{
    CS_TRY(begin(o, tee, call, number));
    o->record = text(record);
    o->ask.records = &o->record;
    o->ask.num_records = 1;
    o->ask.request.f[0].s = o->record;
    return CS_OK;
}

static void tell_audit(const op *o, cs_err err)
{
    const cs_tee_answer *a = &o->answer;
    countersign_tee_audit audit = {.time_ms = a->time_ms, .attempts = a->attempts, .audited = a->audited};

    memcpy(audit.request_id, a->id16, sizeof audit.request_id);
    memcpy(audit.trace_id, a->trace.id, sizeof audit.trace_id);
    audit.operation = o->ask.request.row->name;
    audit.code = cs_err_code(err);
    if (a->audited && a->reply.entry.len <= sizeof audit.entry) {
        memcpy(audit.boot, a->entry.boot16, sizeof audit.boot);
        audit.counter = a->entry.counter;
        audit.entry_time_ms = a->entry.time_ms;
        memcpy(audit.head, a->head32, sizeof audit.head);
        memcpy(audit.entry, a->reply.entry.p, a->reply.entry.len);
        audit.entry_len = a->reply.entry.len;
        memcpy(audit.entry_signature, a->reply.entry_sig.p, sizeof audit.entry_signature);
    }
    if (a->audited && o->tee->on_audit != NULL) {
        o->tee->on_audit(o->tee->audit_cookie, &audit);
    }
    if (o->call->audit != NULL) {
        *o->call->audit = audit;
    }
}

static cs_err only_body(op *o)
{
    const countersign_tee_call *call = o->call;
    cs_tee_body body = {0};
    cs_err err = call->body_len == NULL ? CS_E_USAGE : cs_tee_client_body(&body, o->tee->client, &o->ask);

    if (err == CS_OK && body.body.len > call->body_cap) {
        err = CS_E_RANGE;
    }
    if (err == CS_OK) {
        memcpy(call->body, body.body.p, body.body.len);
        *call->body_len = body.body.len;
    }
    cs_tee_body_free(&body);
    return err;
}

/* Sends, or makes the body only: *out_sent. */
static cs_err run(op *o, bool *out_sent)
{
    cs_err err;

    *out_sent = o->call->body == NULL;
    if (!*out_sent) {
        return only_body(o);
    }
    err = o->ask.request.row->op == CS_TEE_ATTEST ? cs_tee_client_attest(o->tee->client, &o->answer, &o->ask)
                                                  : cs_tee_client_call(o->tee->client, &o->answer, &o->ask);
    tell_audit(o, err);
    return err;
}

static int finish(op *o, countersign_error *err, cs_err e)
{
    cs_tee_answer_free(&o->answer);
    return cs_api_result(err, e);
}

static cs_err put_public(countersign_tee_public_key *out, uint64_t algorithm, cs_slice key)
{
    size_t want = algorithm == CS_TEE_DATA                                         ? 0
                  : algorithm == CS_TEE_ECDSA_K1 || algorithm == CS_TEE_ECDSA_P256 ? 33
                                                                                   : 32;

    if (cs_tee_alg_name(algorithm) == NULL || key.len != want) {
        return CS_E_FORMAT;
    }
    *out = (countersign_tee_public_key){.algorithm = (countersign_tee_algorithm)algorithm, .len = key.len};
    if (key.len > 0) {
        memcpy(out->bytes, key.p, key.len);
    }
    return CS_OK;
}

static cs_err put_bytes(void *out, size_t out_cap, size_t *out_len, cs_slice s)
{
    *out_len = s.len;
    if (s.len > out_cap) {
        return CS_E_RANGE;
    }
    if (s.len > 0) {
        memcpy(out, s.p, s.len);
    }
    return CS_OK;
}

/* ---------------------------------------------------------------- keys */

static cs_err put_signature(countersign_tee_signature *out, const op *o, uint64_t algorithm)
{
    const cs_tee_field *r = o->answer.result.f, *in = o->ask.request.f;
    const cs_scheme_input input = {.is_digest = in[2].u == COUNTERSIGN_TEE_DIGEST, .payload = in[3].s};
    countersign_tee_signature sig = {0};
    cs_scheme_sig s;

    if (r[0].s.len != sizeof s.b || r[1].u > 3) {
        return CS_E_FORMAT;
    }
    CS_TRY(put_public(&sig.public_key, algorithm, r[2].s));
    memcpy(s.b, r[0].s.p, sizeof s.b);
    s.recid = r[1].u;
    if (cs_scheme_verify(cs_scheme_of(algorithm), &s, r[2].s, &input) != CS_OK) {
        return CS_E_BAD_SIGNATURE;
    }
    memcpy(sig.bytes, s.b, sizeof sig.bytes);
    sig.recovery_id = (uint32_t)s.recid;
    *out = sig;
    return CS_OK;
}

CS_API_EXPORT int countersign_tee_sign(countersign_tee *tee, const countersign_tee_call *call, const char *record,
                                       countersign_tee_algorithm algorithm, countersign_tee_input input,
                                       const void *payload, size_t payload_len, countersign_tee_signature *out,
                                       countersign_error *err)
{
    op o;
    bool sent = false;
    cs_err e = begin_record(&o, tee, call, CS_TEE_SIGN, record);

    if (e == CS_OK) {
        o.ask.request.f[1].u = (uint64_t)algorithm;
        o.ask.request.f[2].u = (uint64_t)input;
        o.ask.request.f[3].s = cs_slice_of(payload, payload_len);
        e = run(&o, &sent);
    }
    if (e == CS_OK && sent) {
        e = put_signature(out, &o, (uint64_t)algorithm);
    }
    return finish(&o, err, e);
}

/* Generate and Import answer alike. */
static cs_err make_key(op *o, countersign_tee_algorithm algorithm, countersign_tee_public_key *out)
{
    bool sent = false;

    o->ask.request.f[1].u = (uint64_t)algorithm;
    CS_TRY(run(o, &sent));
    return sent ? put_public(out, (uint64_t)algorithm, o->answer.result.f[0].s) : CS_OK;
}

CS_API_EXPORT int countersign_tee_generate(countersign_tee *tee, const countersign_tee_call *call, const char *record,
                                           countersign_tee_algorithm algorithm, countersign_tee_public_key *out,
                                           countersign_error *err)
{
    op o;
    cs_err e = begin_record(&o, tee, call, CS_TEE_GENERATE, record);

    if (e == CS_OK) {
        e = make_key(&o, algorithm, out);
    }
    return finish(&o, err, e);
}

CS_API_EXPORT int countersign_tee_import(countersign_tee *tee, const countersign_tee_call *call, const char *record,
                                         countersign_tee_algorithm algorithm, const uint8_t private_key[32],
                                         countersign_tee_public_key *out, countersign_error *err)
{
    op o;
    cs_err e = begin_record(&o, tee, call, CS_TEE_IMPORT, record);

    if (e == CS_OK) {
        o.ask.request.f[2].s = cs_slice_of(private_key, 32);
        e = make_key(&o, algorithm, out);
    }
    return finish(&o, err, e);
}

CS_API_EXPORT int countersign_tee_public_key_of(countersign_tee *tee, const countersign_tee_call *call,
                                                const char *record, countersign_tee_public_key *out,
                                                countersign_error *err)
{
    op o;
    bool sent = false;
    cs_err e = begin_record(&o, tee, call, CS_TEE_PUBLIC_KEY, record);

    if (e == CS_OK && (e = run(&o, &sent)) == CS_OK && sent) {
        e = put_public(out, o.answer.result.f[1].u, o.answer.result.f[0].s);
    }
    return finish(&o, err, e);
}

/* ---------------------------------------------------------------- data */

static cs_err put_version(uint32_t *out_version, uint64_t version)
{
    if (version == 0 || version > UINT32_MAX) {
        return CS_E_FORMAT;
    }
    if (out_version != NULL) {
        *out_version = (uint32_t)version;
    }
    return CS_OK;
}

CS_API_EXPORT int countersign_tee_seal(countersign_tee *tee, const countersign_tee_call *call, const char *record,
                                       uint32_t version, const void *plaintext, size_t plaintext_len,
                                       uint32_t *out_version, countersign_error *err)
{
    op o;
    bool sent = false;
    cs_err e = begin_record(&o, tee, call, CS_TEE_SEAL, record);

    if (e == CS_OK) {
        o.ask.request.f[1].u = version;
        o.ask.request.f[2].s = cs_slice_of(plaintext, plaintext_len);
        e = run(&o, &sent);
    }
    if (e == CS_OK && sent) {
        e = put_version(out_version, o.answer.result.f[0].u);
    }
    return finish(&o, err, e);
}

CS_API_EXPORT int countersign_tee_unseal(countersign_tee *tee, const countersign_tee_call *call, const char *record,
                                         uint32_t version, void *out, size_t out_cap, size_t *out_len,
                                         uint32_t *out_version, countersign_error *err)
{
    op o;
    bool sent = false;
    cs_err e = begin_record(&o, tee, call, CS_TEE_UNSEAL, record);

    if (e == CS_OK) {
        o.ask.request.f[1].u = version;
        e = run(&o, &sent);
    }
    if (e == CS_OK && sent && (e = put_bytes(out, out_cap, out_len, o.answer.result.f[0].s)) == CS_OK) {
        e = put_version(out_version, o.answer.result.f[1].u);
    }
    return finish(&o, err, e);
}

CS_API_EXPORT int countersign_tee_decrypt(countersign_tee *tee, const countersign_tee_call *call, const char *record,
                                          const countersign_tee_foreign *in, void *out, size_t out_cap, size_t *out_len,
                                          countersign_error *err)
{
    op o;
    bool sent = false;
    cs_err e = begin_record(&o, tee, call, CS_TEE_DECRYPT, record);

    if (e == CS_OK) {
        o.ask.data_key = cs_slice_of(in->data_key, in->data_key_len);
        o.ask.kms_key = text(in->kms_key);
        o.ask.request.f[1].s = cs_slice_of(in->aad, in->aad_len);
        o.ask.request.f[2].s = cs_slice_of(in->ciphertext, in->ciphertext_len);
        e = o.ask.data_key.len == 0 || o.ask.data_key.len > 6144 || o.ask.kms_key.len == 0 ? CS_E_RANGE
                                                                                           : run(&o, &sent);
    }
    if (e == CS_OK && sent) {
        e = put_bytes(out, out_cap, out_len, o.answer.result.f[0].s);
    }
    return finish(&o, err, e);
}

/* ---------------------------------------------------------------- rotation */

/* Each record's code; those that the answer does not name were stored. */
static void put_row_errors(countersign_error *out, const op *o)
{
    cs_tee_iter it = cs_tee_iter_of(o->answer.reply.rows);
    char code[65];
    cs_tee_row row;

    for (size_t i = 0; i < o->ask.num_records; i++) {
        out[i] = cs_api_error(CS_OK);
    }
    while (cs_tee_rows_next(&it, &row)) {
        for (size_t i = 0; i < o->ask.num_records && row.code.len < sizeof code; i++) {
            if (cs_slice_eq(o->ask.records[i], row.record)) {
                memcpy(code, row.code.p, row.code.len);
                code[row.code.len] = '\0';
                out[i] = cs_api_error(cs_err_from_code(code));
            }
        }
    }
}

CS_API_EXPORT int countersign_tee_rotate(countersign_tee *tee, const countersign_tee_call *call,
                                         const char *const *records, size_t num_records, const char *kms_key, int fresh,
                                         uint32_t *out_rotated, countersign_error *row_errors, countersign_error *err)
{
    cs_slice names[COUNTERSIGN_TEE_RECORDS_MAX];
    uint8_t mem[RECORDS_BYTES];
    cs_buf array = cs_buf_wrap(mem, sizeof mem);
    bool sent = false;
    op o;
    cs_err e = begin(&o, tee, call, CS_TEE_ROTATE);

    if (e == CS_OK && (num_records < 1 || num_records > COUNTERSIGN_TEE_RECORDS_MAX)) {
        e = CS_E_RANGE;
    }
    for (size_t i = 0; e == CS_OK && i < num_records; i++) {
        names[i] = text(records[i]);
    }
    if (e == CS_OK && (e = cs_tee_records_encode(&array, names, num_records)) == CS_OK) {
        o.ask.records = names;
        o.ask.num_records = num_records;
        o.ask.request.records = cs_buf_slice(&array);
        o.ask.request.f[1].s = text(kms_key);
        o.ask.request.f[2].u = fresh != 0;
        e = run(&o, &sent);
    }
    if (e == CS_OK && sent && o.answer.result.f[0].u > num_records) {
        e = CS_E_FORMAT;
    }
    if (e == CS_OK && sent) {
        *out_rotated = (uint32_t)o.answer.result.f[0].u;
        if (row_errors != NULL) {
            put_row_errors(row_errors, &o);
        }
    }
    return finish(&o, err, e);
}

static cs_err put_row(countersign_tee_row *out, const cs_tee_page_row *r)
{
    *out = (countersign_tee_row){.version = (uint32_t)r->version, .changed_ms = r->changed_ms};
    memcpy(out->record, r->record.p, r->record.len); /* 1..128: cs_tee_page_read */
    memcpy(out->data_key_sha256, r->data_key_hash32, sizeof out->data_key_sha256);
    return put_public(&out->public_key, r->alg, r->public_key);
}

static cs_err get_rows(countersign_tee *tee, cs_tee_page *page, const cs_tee_page_ask *ask, countersign_tee_row *out,
                       countersign_tee_list *list)
{
    CS_TRY(cs_tee_client_rows(tee->client, page, ask));
    for (size_t i = 0; i < page->num_rows; i++) {
        CS_TRY(put_row(&out[i], &page->rows[i]));
    }
    list->num_rows = page->num_rows;
    list->now_ms = page->now_ms;
    list->matching = page->matching;
    memcpy(list->next, page->next.p, page->next.len); /* less than CS_TEE_AFTER_MAX */
    list->next[page->next.len] = '\0';
    return CS_OK;
}

CS_API_EXPORT int countersign_tee_rows(countersign_tee *tee, const countersign_tee_filter *filter, const char *after,
                                       size_t limit, countersign_tee_row *out, countersign_tee_list *out_list,
                                       countersign_error *err)
{
    static const countersign_tee_filter any = {0};
    const countersign_tee_filter *f = filter != NULL ? filter : &any;
    cs_tee_page page = {0};
    cs_tee_page_ask ask = {.after = text(after),
                           .limit = limit <= CS_TEE_PAGE_MAX ? (uint32_t)limit : UINT32_MAX,
                           .kms_key = text(f->kms_key),
                           .not_kms_key = text(f->not_kms_key),
                           .data_key = cs_slice_of(f->data_key, f->data_key_len),
                           .changed_before_ms = f->changed_before_ms};
    cs_err e = get_rows(tee, &page, &ask, out, out_list);

    cs_tee_page_free(&page);
    return cs_api_result(err, e);
}

/* ---------------------------------------------------------------- attestation, statistics, approvals */

CS_API_EXPORT int countersign_tee_attest(countersign_tee *tee, const countersign_tee_call *call, const void *nonce,
                                         size_t nonce_len, void *out, size_t out_cap, size_t *out_len,
                                         countersign_error *err)
{
    op o;
    bool sent = false;
    cs_err e = begin(&o, tee, call, CS_TEE_ATTEST);

    if (e == CS_OK) {
        o.ask.request.f[0].s = cs_slice_of(nonce, nonce_len);
        e = run(&o, &sent);
    }
    if (e == CS_OK && sent) {
        e = put_bytes(out, out_cap, out_len, o.answer.result.f[0].s);
    }
    return finish(&o, err, e);
}

CS_API_EXPORT int countersign_tee_stats(countersign_tee *tee, const countersign_tee_call *call, char *out,
                                        size_t out_cap, countersign_error *err)
{
    op o;
    bool sent = false;
    size_t len = 0;
    cs_err e = begin(&o, tee, call, CS_TEE_STATS);

    if (e == CS_OK && (e = run(&o, &sent)) == CS_OK && sent) {
        e = out_cap == 0 ? CS_E_RANGE : put_bytes(out, out_cap - 1, &len, o.answer.result.f[0].s);
    }
    if (e == CS_OK && sent) {
        out[len] = '\0';
    }
    return finish(&o, err, e);
}

CS_API_EXPORT int countersign_tee_approve(countersign_tee *tee, const void *body, size_t body_len,
                                          countersign_tee_approval *out, countersign_error *err)
{
    uint8_t sig64[64];
    cs_err e =
        tee->identity == NULL ? CS_E_USAGE : cs_tee_body_approve(sig64, cs_slice_of(body, body_len), tee->identity);

    if (e == CS_OK) {
        out->approver = tee->identity->id;
        memcpy(out->signature, sig64, sizeof out->signature);
    }
    return cs_api_result(err, e);
}
