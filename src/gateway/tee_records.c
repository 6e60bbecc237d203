/*
 * countersign.v1.Tee/Records: pages of what is in the store, without ciphertext. Record names are for those who may knock: with TLS the
 * gateway asks for a token or a certificate of the client first.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "gateway/public.h"
#include "gateway/tee.h"
#include "gateway/tee_shape.h"
#include "net/countersign.pb-c.h"

typedef struct asked {
    cs_grpc_call *call;
    cs_store_job *job;
    uint64_t now_ms;
    bool count;
} asked;

/* What the generated code wants: pointers, and texts with their NUL. */
typedef struct page {
    Countersign__V1__TeeRecord rows[CS_TEE_ROWS_MAX];
    Countersign__V1__TeeRecord *list[CS_TEE_ROWS_MAX];
    cs_buf texts; /* room for all of them: it never moves */
} page;

static cs_err put_text(page *p, char **out, cs_slice s)
{
    size_t at = p->texts.len;
    CS_TRY(cs_put_slice(&p->texts, s));
    CS_TRY(cs_put_u8(&p->texts, 0));
    *out = (char *)p->texts.p + at;
    return CS_OK;
}

static cs_err put_row(page *p, size_t i, const cs_store_row *rows)
{
    const cs_tee_row *row = &rows[i].row;
    Countersign__V1__TeeRecord *to = &p->rows[i];
    const char *alg = cs_tee_alg_name(row->alg);
    bool same = i > 0 && cs_slice_eq(row->kms_key, rows[i - 1].row.kms_key) &&
                cs_slice_eq(row->data_key, rows[i - 1].row.data_key);

    countersign__v1__tee_record__init(to);
    p->list[i] = to;
    to->version = (uint32_t)row->version;
    to->updated_ms = rows[i].updated_ms;
    CS_TRY(put_text(p, &to->record, row->record));
    CS_TRY(put_text(p, &to->algorithm, cs_slice_str(alg != NULL ? alg : "")));
    CS_TRY(put_text(p, &to->kms_key_id, same ? CS_SLICE_NULL : row->kms_key));
    if (!same) {
        to->data_key_ciphertext = (ProtobufCBinaryData){row->data_key.len, (uint8_t *)(uintptr_t)row->data_key.p};
    }
    to->public_key = (ProtobufCBinaryData){row->public_key.len, (uint8_t *)(uintptr_t)row->public_key.p};
    return CS_OK;
}

static cs_err make(page *p, cs_buf *out, const asked *a, const cs_store_out *found)
{
    Countersign__V1__TeeRecordsReply m = COUNTERSIGN__V1__TEE_RECORDS_REPLY__INIT;
    size_t room = found->next.len + 1, len = 0;
    uint8_t *to = NULL;

    for (size_t i = 0; i < found->num_rows; i++) {
        room += found->rows[i].row.record.len + found->rows[i].row.kms_key.len + 64;
    }
    if (found->num_rows > CS_TEE_ROWS_MAX || (p->texts.p = malloc(room)) == NULL) {
        return CS_E_NO_MEMORY;
    }
    p->texts = cs_buf_wrap(p->texts.p, room);
    for (size_t i = 0; i < found->num_rows; i++) {
        CS_TRY(put_row(p, i, found->rows));
    }
    m.records = p->list;
    m.n_records = found->num_rows;
    CS_TRY(put_text(p, &m.next, found->next));
    m.now_ms = a->now_ms;
    m.matching = a->count ? found->counts.rows : 0;
    len = countersign__v1__tee_records_reply__get_packed_size(&m);
    if (len == 0) { /* an empty page has no bytes, and the buffer no memory yet */
        return CS_OK;
    }
    CS_TRY(cs_put_space(out, &to, len));
    (void)countersign__v1__tee_records_reply__pack(&m, to);
    return CS_OK;
}

static void on_listed(void *cookie, cs_err err, const cs_store_out *found)
{
    asked a = *(asked *)cookie;
    cs_grpc_call *call = a.call;
    cs_buf out = cs_buf_heap(CS_GRPC_MESSAGE_MAX);
    free(cookie);
    cs_grpc_call_set_cookie(call, NULL);
    if (err == CS_OK) {
        page *p = calloc(1, sizeof *p);
        err = p != NULL ? make(p, &out, &a, found) : CS_E_NO_MEMORY;
        err = err == CS_E_RANGE ? CS_E_TOO_LARGE : err; /* fewer at once fit */
        free(p != NULL ? p->texts.p : NULL);
        free(p);
    }
    cs_slice part = cs_buf_slice(&out);
    if (err == CS_OK) {
        err = cs_grpc_send(call, &part, 1);
    }
    cs_grpc_finish(call, err, NULL);
    cs_buf_free(&out);
}

void cs_tee_records_gone(cs_grpc_call *c)
{
    asked *a = cs_grpc_call_cookie(c);
    if (a != NULL) {
        cs_store_forget(a->job);
        free(a);
    }
}

static cs_err admit(const cs_gate *g, const cs_grpc_call *c, const char **detail)
{
    const cs_public *p = g->public_side;
    CS_TRY(cs_tee_admit(g->tee, cs_grpc_call_header(c, "authorization"), detail));
    *detail = "tee.enabled is false at this gateway";
    if (g->tee->store == NULL) {
        return CS_E_TEE_DISABLED;
    }
    *detail = "records are listed to those who show a token or a certificate";
    return p->grpc != NULL && p->keys == NULL && g->config.tee.tls_ca[0] == '\0' ? CS_E_TOKEN : CS_OK;
}

static cs_err start(asked *a, const cs_gate *g, const char **detail, const Countersign__V1__TeeRecordsRequest *m)
{
    cs_store_in in = {.after = cs_slice_str(m->after),
                      .limit = m->limit == 0 ? CS_TEE_ROWS_MAX : m->limit,
                      .filter = {.kms_key = cs_slice_str(m->kms_key_id),
                                 .not_kms_key = cs_slice_str(m->not_kms_key_id),
                                 .data_key = {m->data_key_ciphertext.data, m->data_key_ciphertext.len},
                                 .not_data_key = {m->not_data_key_ciphertext.data, m->not_data_key_ciphertext.len},
                                 .older_than_ms = m->older_than_ms}};
    *detail = "limit";
    if (in.limit > CS_TEE_ROWS_MAX) {
        return CS_E_RANGE;
    }
    *detail = "";
    a->count = m->count;
    a->now_ms = cs_clock_wall_ms();
    return cs_store_start(g->tee->store, a->count ? CS_STORE_MATCH : CS_STORE_HEADS, &in, &a->job, on_listed, a);
}

void cs_tee_records(cs_grpc_call *c, cs_slice message)
{
    cs_gate *g = cs_grpc_call_server_cookie(c);
    const char *detail = "";
    Countersign__V1__TeeRecordsRequest *m = NULL;
    asked *a = calloc(1, sizeof *a);

    cs_grpc_call_set_cookie(c, NULL);
    cs_err err = a != NULL ? admit(g, c, &detail) : CS_E_NO_MEMORY;
    if (err == CS_OK && (m = countersign__v1__tee_records_request__unpack(NULL, message.len, message.p)) == NULL) {
        detail = "protobuf";
        err = CS_E_FORMAT;
    }
    if (err == CS_OK) {
        a->call = c;
        err = start(a, g, &detail, m);
    }
    if (m != NULL) {
        countersign__v1__tee_records_request__free_unpacked(m, NULL);
    }
    if (err != CS_OK) {
        free(a);
        cs_grpc_finish(c, err, detail);
        return;
    }
    cs_grpc_call_set_cookie(c, a);
}
