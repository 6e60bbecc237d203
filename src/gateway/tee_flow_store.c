/* From core's reply to the store, and to those who wait. See tee_flow.h. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "gateway/tee_flow_int.h"

#define STORE_TRIES 8u
#define STORE_AGAIN_MS 250u
#define CODE_MAX 64u

cs_err cs_tee_code_of(cs_slice code)
{
    char text[CODE_MAX + 1];
    if (cs_slice_eq_str(code, "OK")) {
        return CS_OK;
    }
    (void)snprintf(text, sizeof text, "%.*s", (int)(code.len < CODE_MAX ? code.len : CODE_MAX), (const char *)code.p);
    return cs_err_from_code(text);
}

/* ---------------------------------------------------------------- what is given out */

/* The reply as it is kept and given out: its rows are record, code and version, as the ciphertext is in the store. */
static cs_err make_told(cs_tee_flight *fl, const cs_tee_reply *r)
{
    cs_tee_row rows[CS_TEE_ROWS_MAX];
    for (size_t i = 0; i < fl->num_rows; i++) {
        const cs_tee_row *row = &fl->rows[i];
        rows[i] = (cs_tee_row){.record = row->record,
                               .code = cs_slice_str(fl->verdict[i] == CS_OK ? "OK" : cs_err_code(fl->verdict[i])),
                               .version = row->version,
                               .alg = row->alg};
    }
    fl->told.len = 0;
    return cs_tee_reply_encode(&fl->told, r, rows, fl->num_rows);
}

/* Rows with an empty KMS key and data key have those of the row before, or of the attachments. */
static cs_err take_rows(cs_tee_flight *fl, const cs_tee_reply *r)
{
    cs_tee_iter it = cs_tee_iter_of(r->rows);
    cs_slice kms_key = cs_buf_slice(&fl->ask.kms_key), data_key = cs_buf_slice(&fl->ask.data_key);
    cs_tee_row row;

    fl->num_rows = 0;
    while (cs_tee_rows_next(&it, &row)) {
        if (row.kms_key.len == 0) {
            row.kms_key = kms_key;
            row.data_key = data_key;
        } else {
            kms_key = row.kms_key;
            data_key = row.data_key;
        }
        cs_err verdict = fl->err != CS_OK ? fl->err : cs_tee_code_of(row.code);
        if (verdict == CS_OK && (row.blob.len == 0 || row.data_key.len == 0 || row.version == 0)) {
            return CS_E_UPSTREAM;
        }
        fl->verdict[fl->num_rows] = verdict;
        fl->rows[fl->num_rows++] = row;
    }
    return CS_OK;
}

/* ---------------------------------------------------------------- the store */

static void store_step(cs_tee_flight *fl);

static void remember_key(cs_tee_flight *fl)
{
    for (size_t i = 0; fl->ask.op->op == CS_TEE_ROTATE && fl->ask.fresh && i < fl->num_rows; i++) {
        if (fl->verdict[i] == CS_OK) {
            cs_tee_new_key_put(fl->flow, cs_tee_rotate_kms_key(&fl->ask), fl->rows[i].data_key);
            return;
        }
    }
}

/* Rows that do not stand on the version before: somebody else was first. Once more without them; the entry is in already. */
static void take_verdict(cs_tee_flight *fl, const cs_store_out *out)
{
    size_t at = 0, num_bad = 0;
    for (size_t i = 0; out->row_err != NULL && i < fl->num_rows; i++) {
        if (fl->verdict[i] == CS_OK && out->row_err[at++] != CS_OK) {
            fl->verdict[i] = out->row_err[at - 1];
            num_bad++;
        }
    }
    fl->entered = true;
    if (num_bad == 0) { /* the store contradicts itself */
        cs_tee_flight_end(fl, CS_E_STORE, "");
        return;
    }
    store_step(fl);
}

static void entry_stored(const cs_tee_flight *fl)
{
    cs_tee_reply r = {0};
    cs_tee_entry e = {0};
    if (cs_tee_reply_decode(&r, cs_buf_slice(&fl->reply)) == CS_OK && cs_tee_entry_decode(&e, r.entry) == CS_OK) {
        cs_tee_entries_stored(fl->flow->config.entries, e.boot16, e.counter);
    }
}

static void give_up(cs_tee_flight *fl, cs_err err)
{
    cs_tee_entries_lost(fl->flow->config.entries);
    cs_log_err(CS_LOG_ERROR, "tee_not_stored", err, CS_LC("operation", fl->ask.op->name),
               CS_LC("caller", fl->ask.caller));
    cs_tee_flight_end(fl, err, "");
}

static void try_again(cs_tee_flight *fl, cs_err err, void (*step)(cs_tee_flight *fl))
{
    if (cs_err_retry(err) && ++fl->tries < STORE_TRIES) { /* the entry must not be lost */
        cs_tee_flight_later(fl, step, (uint64_t)STORE_AGAIN_MS << fl->tries);
    } else {
        give_up(fl, err);
    }
}

/* ---------------------------------------------------------------- a row of an application, in the clear until now */

static void adopt_step(cs_tee_flight *fl);

static void on_adopted(void *cookie, cs_err err, const cs_store_out *out)
{
    cs_tee_flight *fl = cookie;
    (void)out;
    if (err != CS_OK && err != CS_E_EXISTS && err != CS_E_NOT_FOUND && err != CS_E_SEAL_VERSION) {
        try_again(fl, err, adopt_step);
        return;
    }
    fl->adopted = err == CS_OK;
    fl->unadopted = err != CS_OK;
    store_step(fl); /* the reply; or the row as a new one, which is refused */
}

/* The row, and its plaintext out of the table, in one transaction. Its audit entry is in already. */
static void adopt_step(cs_tee_flight *fl)
{
    cs_store_in in = {.rows = fl->rows, .num = 1, .column = fl->flow->config.adopt_column};
    cs_err err = cs_store_start(fl->flow->config.store, CS_STORE_ADOPT, &in, NULL, on_adopted, fl);
    if (err != CS_OK) {
        try_again(fl, err, adopt_step);
    }
}

static bool may_adopt(const cs_tee_flight *fl)
{
    cs_tee_op op = fl->ask.op->op;
    const char *column = fl->flow->config.adopt_column;
    return column != NULL && column[0] != '\0' && !fl->adopted && !fl->unadopted && fl->num_rows == 1 &&
           fl->verdict[0] == CS_OK && fl->rows[0].version == 1 && (op == CS_TEE_IMPORT || op == CS_TEE_SEAL);
}

static void on_stored(void *cookie, cs_err err, const cs_store_out *out)
{
    cs_tee_flight *fl = cookie;
    if (err == CS_OK) {
        entry_stored(fl);
    }
    if (err == CS_E_EXISTS && may_adopt(fl)) {
        fl->entered = true;
        adopt_step(fl);
    } else if (err == CS_E_SEAL_VERSION || err == CS_E_EXISTS) {
        take_verdict(fl, out);
    } else if (err != CS_OK) {
        try_again(fl, err, store_step);
    } else if (out->state == CS_STORE_DONE) { /* another attempt was faster */
        cs_tee_flight_kept(fl, out->reply);
    } else {
        remember_key(fl);
        cs_tee_flight_end(fl, CS_OK, "");
    }
}

/* One row was to be stored and was not: the operation has not been done. Of Rotate each row has its code. */
static cs_err overall(const cs_tee_flight *fl)
{
    bool one = fl->ask.op->op != CS_TEE_ROTATE && (fl->ask.op->flags & CS_TEE_STORES) != 0;
    return one && fl->num_rows > 0 && fl->verdict[0] != CS_OK ? fl->verdict[0] : fl->err;
}

static size_t rows_to_store(const cs_tee_flight *fl, cs_tee_row *out)
{
    size_t n = 0;
    for (size_t i = 0; i < fl->num_rows && !fl->adopted; i++) {
        if (fl->verdict[i] == CS_OK) {
            out[n++] = fl->rows[i];
        }
    }
    return n;
}

static void store_step(cs_tee_flight *fl)
{
    cs_tee_row rows[CS_TEE_ROWS_MAX];
    cs_tee_reply r = {0};
    cs_tee_entry e = {0};
    if (cs_tee_reply_decode(&r, cs_buf_slice(&fl->reply)) != CS_OK || cs_tee_entry_decode(&e, r.entry) != CS_OK) {
        cs_tee_entries_lost(fl->flow->config.entries);
        cs_tee_flight_end(fl, CS_E_UPSTREAM, "core's reply");
        return;
    }
    fl->err = overall(fl);
    cs_err err = make_told(fl, &r);
    /* what core did and the store has not, or what core could not know the reason of, is no answer that is kept */
    bool keep =
        fl->ask.caller[0] != '\0' && fl->err == cs_tee_code_of(r.code) && (fl->err == CS_OK || !cs_err_retry(fl->err));
    cs_store_in in = {.rows = rows,
                      .num = rows_to_store(fl, rows),
                      .caller = cs_slice_str(fl->ask.caller),
                      .id16 = fl->ask.id,
                      .hash32 = fl->hash32,
                      .reply = keep ? cs_buf_slice(&fl->told) : CS_SLICE_NULL,
                      .entry = fl->entered ? CS_SLICE_NULL : r.entry,
                      .entry_sig = fl->entered ? CS_SLICE_NULL : r.entry_sig,
                      .boot16 = e.boot16,
                      .counter = e.counter};
    if (err == CS_OK) {
        err = cs_store_start(fl->flow->config.store, CS_STORE_APPLY, &in, NULL, on_stored, fl);
    }
    if (err != CS_OK) {
        try_again(fl, err, store_step);
    }
}

/* What core says of attachments that are not there is not what the caller wants to know. */
static void name_missing(cs_tee_flight *fl)
{
    bool about = fl->err == CS_E_FORMAT || fl->err == CS_E_RANGE || fl->err == CS_E_SEAL_OPEN || fl->err == CS_E_USAGE;
    if (fl->missing && about) {
        fl->err = CS_E_NOT_FOUND;
    }
}

static void on_dropped(void *cookie, cs_err err, const cs_store_out *out)
{
    (void)cookie;
    (void)err; /* then it is forgotten when its time has come */
    (void)out;
}

/* Whoever asked was not the caller: the id is free for its owner, and strangers do not fill the table. */
static void drop(cs_tee_flight *fl)
{
    cs_store_in in = {.caller = cs_slice_str(fl->ask.caller), .id16 = fl->ask.id, .hash32 = fl->hash32};
    if (in.caller.len > 0 &&
        cs_store_start(fl->flow->config.store, CS_STORE_DROP, &in, NULL, on_dropped, NULL) != CS_OK) {
        on_dropped(NULL, CS_OK, NULL);
    }
}

void cs_tee_flight_reply(cs_tee_flight *fl)
{
    cs_tee_reply r = {0};
    cs_err err = cs_tee_reply_decode(&r, cs_buf_slice(&fl->reply)) == CS_OK ? CS_OK : CS_E_UPSTREAM;
    if (err == CS_OK) {
        fl->err = cs_tee_code_of(r.code);
        err = take_rows(fl, &r);
    }
    if (err != CS_OK) {
        cs_tee_entries_lost(fl->flow->config.entries);
        cs_tee_flight_end(fl, err, "core's reply");
        return;
    }
    name_missing(fl);
    if (r.entry.len > 0) {
        store_step(fl);
        return;
    }
    /* A stranger: nothing is kept. What was done without an entry was not done. */
    if (fl->err == CS_OK) {
        cs_tee_entries_lost(fl->flow->config.entries);
        cs_tee_flight_end(fl, CS_E_UPSTREAM, "core's reply has no audit entry");
        return;
    }
    drop(fl);
    err = make_told(fl, &r);
    cs_tee_flight_end(fl, err, "");
}
