/* Last stage of a call, on the main thread: audit entry, reply, the end of the job. */
#include "base/clock.h"
#include "base/log.h"
#include "core/pipeline/respond.h"
#include "core/tee/tee_int.h"
#include "secret/th.h"

/* The record of an entry: for Rotate the first of them, the request's hash says which others. */
static cs_slice record_of(const cs_tee_request *r)
{
    cs_tee_iter it = cs_tee_iter_of(r->records);
    cs_slice record = CS_SLICE_NULL;

    if (r->row->in[0] == 't') {
        return r->f[0].s;
    }
    (void)cs_tee_records_next(&it, &record);
    return record;
}

/* A call of a known caller, and one of nobody that is done. A stranger's refusal is in no log. */
static bool has_entry(const cs_tee_job *j, cs_err code)
{
    return j->known && (j->caller != NULL || code == CS_OK);
}

static cs_err append_entry(cs_tee_job *j, cs_audit_entry *out, cs_err code)
{
    uint8_t nothing32[32];
    cs_tee_entry e = {.time_ms = cs_clock_wall_ms(),
                      .request_id16 = j->r.id16,
                      .request_hash32 = j->hash32,
                      .result_hash32 = j->result_hash32,
                      .caller = j->r.caller,
                      .record = record_of(&j->r),
                      .code = cs_slice_str(cs_err_code(code)),
                      .op = (uint64_t)j->r.row->op};
    cs_sha256 h;

    if (code != CS_OK) {
        cs_sha256_init(&h);
        cs_sha256_end(&h, nothing32);
        e.result_hash32 = nothing32;
    }
    return cs_audit_append(j->tee->audit, out, &e);
}

static void send_reply(cs_tee *t, uint64_t id, const cs_tee_reply *reply, const cs_tee_row *rows, size_t num_rows)
{
    cs_buf body = cs_buf_wrap(t->reply, CS_TEE_REPLY_MAX);
    cs_rpc_frame f = {.type = CS_RPC_TEE_REPLY, .id = id};

    if (cs_tee_reply_encode(&body, reply, rows, num_rows) != CS_OK) {
        cs_log_err(CS_LOG_ERROR, "tee_reply", CS_E_INTERNAL); /* execute keeps to CS_TEE_RESULT_MAX */
        return;
    }
    f.f[0].s = cs_buf_slice(&body);
    cs_respond_frame(t->core, CS_LINK_SERVICE, &f);
}

void cs_tee_respond_code(cs_core *c, uint64_t id, cs_err code)
{
    uint8_t mem[128];
    cs_buf body = cs_buf_wrap(mem, sizeof mem);
    cs_rpc_frame f = {.type = CS_RPC_TEE_REPLY, .id = id};
    const cs_tee_reply reply = {.code = cs_slice_str(cs_err_code(code))};

    if (c->tee != NULL) {
        c->tee->counters.codes[code]++;
        c->tee->counters.busy += code == CS_E_TEE_BUSY;
    }
    if (cs_tee_reply_encode(&body, &reply, NULL, 0) == CS_OK) {
        f.f[0].s = cs_buf_slice(&body);
        cs_respond_frame(c, CS_LINK_SERVICE, &f);
    }
}

void cs_op_tee_entries(cs_core *c, const cs_permit *p)
{
    const cs_rpc_frame *f = cs_permit_frame(p);
    cs_rpc_frame reply = {.type = CS_RPC_TEE_ENTRIES_REPLY, .id = f->id};
    cs_buf b = cs_buf_wrap(c->tee->reply, CS_TEE_REPLY_MAX);
    cs_err err = c->tee->stopping ? CS_E_CLOSED : cs_audit_again(&b, c->tee->audit, f->f[0].u, CS_TEE_RESULT_MAX);

    reply.f[0].s = cs_slice_str(cs_err_code(err));
    reply.f[1].s = err == CS_OK ? cs_buf_slice(&b) : CS_SLICE_NULL;
    cs_respond_frame(c, CS_LINK_SERVICE, &reply);
}

static void count(cs_tee_job *j, cs_err code)
{
    cs_tee_counters *n = &j->tee->counters;
    const uint64_t us = (cs_clock_mono_ns() - j->started_ns) / 1000;
    unsigned i = 0;

    while (i < CS_TEE_LATENCIES - 1 && us > 125ull << i) {
        i++;
    }
    n->latency[i]++;
    n->latency_sum_us += us;
    n->codes[code]++;
    n->calls[j->r.row == NULL ? 0 : (size_t)j->r.row->op]++;
    n->sealed += j->sealed;
}

void cs_tee_finish(cs_tee_job *j, cs_err code)
{
    cs_audit_entry entry = {.len = 0};
    cs_tee_reply reply = {.sealed = j->reply_sealed, .result = j->result};
    size_t rows = j->num_rows;

    if (has_entry(j, code) && append_entry(j, &entry, code) != CS_OK) {
        cs_log_err(CS_LOG_ERROR, "audit", CS_E_INTERNAL); /* what is not in the log is not given out */
        code = CS_E_INTERNAL;
    }
    if (code != CS_OK) {
        reply = (cs_tee_reply){0};
        rows = 0;
    }
    reply.code = cs_slice_str(cs_err_code(code));
    reply.entry = cs_slice_of(entry.bytes, entry.len);
    reply.entry_sig = cs_slice_of(entry.sig64, entry.len > 0 ? sizeof entry.sig64 : 0);
    count(j, code);
    send_reply(j->tee, j->id, &reply, j->row, rows);
    cs_tee_job_free(j);
}
