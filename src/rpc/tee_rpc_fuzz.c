/*
 * Target: cs_tee_request_decode
 * Target: cs_tee_call_decode
 * Target: cs_tee_attached_decode
 * Target: cs_tee_reply_decode
 * Target: cs_tee_result_decode
 * Target: cs_tee_entry_decode
 * Target: cs_tee_vouch_decode
 * The first byte chooses the decoder (for results the second one the operation). Whatever decodes encodes to the same bytes.
 */
#include <stdlib.h>

#include "rpc/tee_rpc.h"

#define MAX (512u * 1024u)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must_be(cs_err err, const cs_buf *out, cs_slice in)
{
    if (err != CS_OK || !cs_slice_eq(cs_buf_slice(out), in)) {
        abort();
    }
}

static size_t read_rows(cs_tee_row rows[CS_TEE_ROWS_MAX], cs_slice array)
{
    cs_tee_iter it = cs_tee_iter_of(array);
    size_t n = 0;

    while (n < CS_TEE_ROWS_MAX && cs_tee_rows_next(&it, &rows[n])) {
        n++;
    }
    return n;
}

static void request(cs_buf *out, cs_slice in)
{
    cs_tee_request r;
    cs_slice record;

    if (cs_tee_request_decode(&r, in) == CS_OK) {
        cs_tee_iter it = cs_tee_iter_of(r.records);
        while (cs_tee_records_next(&it, &record)) {
            if (!cs_tee_record_valid(record)) {
                abort();
            }
        }
        must_be(cs_tee_request_encode(out, &r), out, in);
    }
}

static void call(cs_buf *out, cs_slice in)
{
    static cs_tee_call c;

    if (cs_tee_call_decode(&c, in) == CS_OK) {
        must_be(cs_tee_call_encode(out, &c), out, in);
    }
}

static void attached(cs_buf *out, cs_slice in)
{
    static cs_tee_row rows[CS_TEE_ROWS_MAX];
    cs_tee_attached a;

    if (cs_tee_attached_decode(&a, in) == CS_OK) {
        size_t n = read_rows(rows, a.rows);
        if (n != a.num_rows) {
            abort();
        }
        must_be(cs_tee_attached_encode(out, &a, rows, n), out, in);
    }
}

static void reply(cs_buf *out, cs_slice in)
{
    static cs_tee_row rows[CS_TEE_ROWS_MAX];
    cs_tee_reply r;

    if (cs_tee_reply_decode(&r, in) == CS_OK) {
        size_t n = read_rows(rows, r.rows);
        if (n != r.num_rows) {
            abort();
        }
        must_be(cs_tee_reply_encode(out, &r, rows, n), out, in);
    }
}

static void result(cs_buf *out, cs_slice in)
{
    const cs_tee_op_row *row = in.len > 0 ? cs_tee_op_of(in.p[0]) : NULL;
    cs_tee_result r;

    if (row != NULL) {
        in = cs_slice_of(in.p + 1, in.len - 1);
        if (cs_tee_result_decode(&r, row, in) == CS_OK) {
            must_be(cs_tee_result_encode(out, row, &r), out, in);
        }
    }
}

static void entry(cs_buf *out, cs_slice in)
{
    cs_tee_entry e;

    if (cs_tee_entry_decode(&e, in) == CS_OK) {
        must_be(cs_tee_entry_encode(out, &e), out, in);
    }
}

static void vouch(cs_buf *out, cs_slice in)
{
    cs_tee_vouch v;

    if (cs_tee_vouch_decode(&v, in) == CS_OK) {
        must_be(cs_tee_vouch_encode(out, &v), out, in);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const decoders[])(cs_buf *, cs_slice) = {request, call, attached, reply, result, entry, vouch};
    static uint8_t mem[MAX];
    cs_buf out = cs_buf_wrap(mem, sizeof mem);

    if (size > 0 && data[0] < sizeof decoders / sizeof *decoders) {
        decoders[data[0]](&out, cs_slice_of(data + 1, size - 1));
    }
    return 0;
}
