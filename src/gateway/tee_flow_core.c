/* From the store's rows to core's reply. See tee_flow.h. */
#include <string.h>

#include "gateway/tee_flow_int.h"
#include "gateway/tee_pb.h"

static const char core_call[] = "/countersign.v1.TeeCore/Call";

/* ---------------------------------------------------------------- the data key of a rotation */

cs_slice cs_tee_rotate_kms_key(const cs_tee_ask *ask)
{
    cs_tee_request r;
    cs_tee_call c;
    if (ask->sealed || cs_tee_call_decode(&c, cs_buf_slice(&ask->call)) != CS_OK ||
        cs_tee_request_decode(&r, c.body) != CS_OK || r.row->op != CS_TEE_ROTATE) {
        return CS_SLICE_NULL;
    }
    return r.f[1].s;
}

cs_slice cs_tee_new_key_find(const cs_tee_flow *f, cs_slice asked)
{
    for (size_t i = 0; i < CS_TEE_NEW_KEYS; i++) {
        const cs_tee_new_key *k = &f->new_keys[i];
        if (k->data_key.len > 0 && cs_slice_eq(cs_buf_slice(&k->asked), asked)) {
            return cs_buf_slice(&k->data_key);
        }
    }
    return CS_SLICE_NULL;
}

void cs_tee_new_key_put(cs_tee_flow *f, cs_slice asked, cs_slice data_key)
{
    cs_tee_new_key *k = NULL;
    for (size_t i = 0; i < CS_TEE_NEW_KEYS && k == NULL; i++) {
        if (f->new_keys[i].data_key.len > 0 && cs_slice_eq(cs_buf_slice(&f->new_keys[i].asked), asked)) {
            k = &f->new_keys[i];
        }
    }
    k = k != NULL ? k : &f->new_keys[f->new_turn++ % CS_TEE_NEW_KEYS];
    cs_buf_free(&k->asked);
    cs_buf_free(&k->data_key);
    k->asked = cs_buf_heap(CS_TEE_KMS_KEY_MAX);
    k->data_key = cs_buf_heap(CS_TEE_DATA_KEY_MAX);
    if (cs_put_slice(&k->asked, asked) != CS_OK || cs_put_slice(&k->data_key, data_key) != CS_OK) {
        cs_buf_free(&k->data_key); /* the next one asks for a fresh one */
    }
}

/* ---------------------------------------------------------------- core */

static void on_message(void *cookie, cs_slice message)
{
    cs_tee_flight *fl = cookie;
    fl->reply.len = 0;
    if (cs_tee_pb_core_reply(&fl->reply, message) != CS_OK) {
        fl->reply.len = 0; /* seen at the end */
    }
}

static void on_drain(void *cookie)
{
    (void)cookie;
}

static void seen_end(cs_tee_flight *fl, cs_err err)
{
    cs_tel_end(fl->seen, err);
    fl->seen = NULL;
}

static void on_end(void *cookie, const cs_pool_result *r)
{
    cs_tee_flight *fl = cookie;
    cs_tee_reply reply;
    fl->call = NULL;
    if (r->status == CS_GRPC_OK && !r->ours) {
        cs_err told =
            cs_tee_reply_decode(&reply, cs_buf_slice(&fl->reply)) == CS_OK ? cs_tee_code_of(reply.code) : CS_E_UPSTREAM;
        seen_end(fl, told);
        cs_tee_flight_reply(fl);
        return;
    }
    cs_err err = r->code != CS_OK ? r->code : r->status == CS_GRPC_DEADLINE_EXCEEDED ? CS_E_TEE_TIMEOUT : CS_E_UPSTREAM;
    err = err == CS_E_TIMEOUT ? CS_E_TEE_TIMEOUT : err;
    seen_end(fl, err);
    cs_tee_entries_lost(fl->flow->config.entries); /* it may have been done */
    cs_tee_flight_end(fl, err, "");
}

static cs_err send_call(cs_tee_flight *fl, const cs_buf *message)
{
    static const cs_pool_events events = {on_message, on_drain, on_end};
    const cs_tee_flow_config *c = &fl->flow->config;
    cs_slice part = cs_buf_slice(message);
    cs_grpc_header headers[CS_TEL_HEADERS];
    uint8_t mem[CS_TRACE_PARENT_LEN];
    cs_grpc_begin begin = {.path = core_call, .timeout_ms = c->core_ms, .headers = headers};
    /* what waits for a connection would go to whoever is there then, attested or not */
    if (fl->ask.op->op != CS_TEE_ATTEST && cs_pool_up(c->pool) == 0) {
        return CS_E_UPSTREAM;
    }
    fl->seen = cs_tel_core(c->telemetry, fl->ask.traced ? &fl->ask.trace : NULL);
    cs_tel_ask(fl->seen, fl->ask.op->op, fl->ask.id);
    begin.num_headers = cs_tel_headers(headers, mem, fl->seen);
    cs_err err = cs_pool_call_with(&fl->call, c->pool, &begin, &events, fl);
    if (err == CS_OK && (err = cs_grpc_send(cs_pool_call_grpc(fl->call), &part, 1)) != CS_OK) {
        cs_pool_cancel(fl->call);
        fl->call = NULL;
    }
    if (err != CS_OK) {
        seen_end(fl, err);
        return err;
    }
    cs_grpc_end(cs_pool_call_grpc(fl->call));
    return CS_OK;
}

/* ---------------------------------------------------------------- attachments */

/* The rows that there are, each without the keys that are those of the row before. */
static size_t choose_rows(cs_tee_row *out, bool *missing, const cs_store_row *rows, size_t num)
{
    size_t n = 0;
    cs_slice kms_key = CS_SLICE_NULL, data_key = CS_SLICE_NULL;
    for (size_t i = 0; i < num; i++) {
        const cs_tee_row *row = &rows[i].row;
        if (!cs_slice_eq_str(row->code, "OK")) {
            *missing = true;
            continue;
        }
        out[n] = *row;
        if (n > 0 && cs_slice_eq(row->kms_key, kms_key) && cs_slice_eq(row->data_key, data_key)) {
            out[n].kms_key = CS_SLICE_NULL;
            out[n].data_key = CS_SLICE_NULL;
        }
        kms_key = row->kms_key;
        data_key = row->data_key;
        n++;
    }
    return n;
}

/* Rotate takes exactly the rows of its records: core could not say which one is not there. */
static cs_err attach(cs_tee_flight *fl, const char **detail, const cs_store_row *rows, size_t num)
{
    cs_tee_attached a = {.data_key = cs_buf_slice(&fl->ask.data_key), .kms_key = cs_buf_slice(&fl->ask.kms_key)};
    size_t n = choose_rows(fl->rows, &fl->missing, rows, num);
    if (fl->ask.op->op == CS_TEE_ROTATE) {
        *detail = "not every record is in the store";
        if (fl->missing) {
            return CS_E_NOT_FOUND;
        }
        if (!fl->ask.fresh && !fl->ask.sealed) {
            a.fresh = a.data_key.len > 0 ? a.data_key : cs_tee_new_key_find(fl->flow, cs_tee_rotate_kms_key(&fl->ask));
            *detail = "no data key of an earlier rotation to this KMS key is at hand: begin with fresh";
            if (a.fresh.len == 0) {
                return CS_E_NOT_FOUND;
            }
        } else if (fl->ask.sealed) { /* which of the two only core can read */
            a.fresh = a.data_key;
        }
        a.data_key = CS_SLICE_NULL;
        a.kms_key = CS_SLICE_NULL;
    }
    *detail = "attachments";
    return cs_tee_attached_encode(&fl->sent, &a, fl->rows, n);
}

static void go_on(cs_tee_flight *fl, const cs_store_row *rows, size_t num)
{
    const char *detail = "";
    cs_buf message = cs_buf_heap(2u * CS_TEE_MESSAGE_MAX);
    cs_err err = attach(fl, &detail, rows, num);
    err = err == CS_E_RANGE ? CS_E_TOO_LARGE : err;
    if (err == CS_OK) {
        detail = "";
        err = cs_tee_pb_core_call(&message, cs_buf_slice(&fl->ask.call), fl->ask.sealed, cs_buf_slice(&fl->sent));
    }
    if (err == CS_OK) {
        err = send_call(fl, &message);
    }
    cs_buf_free(&message);
    if (err != CS_OK) {
        cs_tee_flight_end(fl, err, detail);
    }
}

static void on_rows(void *cookie, cs_err err, const cs_store_out *out)
{
    cs_tee_flight *fl = cookie;
    if (err != CS_OK) {
        cs_tee_flight_end(fl, err, "");
    } else {
        go_on(fl, out->rows, out->num_rows);
    }
}

void cs_tee_flight_fetch(cs_tee_flight *fl)
{
    cs_slice records[CS_TEE_ROWS_MAX];
    cs_store_in in = {.records = records};
    cs_tee_iter it = cs_tee_iter_of(cs_buf_slice(&fl->ask.records));
    cs_tee_op op = fl->ask.op->op;

    if (op != CS_TEE_SIGN && op != CS_TEE_UNSEAL && op != CS_TEE_PUBLIC_KEY && op != CS_TEE_ROTATE) {
        go_on(fl, NULL, 0);
        return;
    }
    while (in.num < CS_TEE_ROWS_MAX && cs_tee_records_next(&it, &records[in.num])) {
        in.num++;
    }
    cs_err err = cs_store_start(fl->flow->config.store, CS_STORE_GET, &in, NULL, on_rows, fl);
    if (err != CS_OK) {
        cs_tee_flight_end(fl, err, "");
    }
}
