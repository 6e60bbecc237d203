/*
 * Target: cs_sharefile_header_parse, cs_sharefile_parse, cs_sharefile_stream_push, cs_sharefile_caller_parse
 * The first byte chooses: header line, or body. What a body holds is written again and accepted again; in pieces, whose size is
 * the last byte, it has the same outcome.
 */
#include <stdlib.h>
#include <string.h>

#include "codec/sharefile.h"

static cs_err on_parties(void *cookie, uint32_t position, const cs_sharefile_parties *p)
{
    if (p->n > CS_SHAREFILE_MAX_PARTIES || p->index < 1 || p->index > p->n) {
        abort();
    }
    return cs_sharefile_put_parties(cookie, p) == CS_E_NO_MEMORY ? CS_E_NO_MEMORY : CS_OK;
}

static cs_err on_account(void *cookie, const cs_sharefile_account *a)
{
    cs_sharefile_writer *w = cookie;
    if (a->parties >= w->num_sets || !cs_account_id_valid(cs_slice_of(a->id, a->id_len))) {
        abort();
    }
    return CS_OK;
}

static cs_err on_root(void *cookie, const uint8_t root32[32])
{
    cs_sharefile_writer *w = cookie;
    uint8_t all[1][32];
    for (size_t i = 0; i < 32; i++) {
        all[0][i] = root32[i];
    }
    /* the writer takes all at once: here the first is enough */
    return w->num_roots > 0 || cs_sharefile_put_sealing(w, (const uint8_t(*)[32])all, 1) == CS_OK ? CS_OK
                                                                                                  : CS_E_NO_MEMORY;
}

/* what is read of a caller is written, and read as the same */
static cs_err on_caller(void *cookie, const cs_sharefile_caller *c)
{
    static uint8_t mem[2][8192];
    cs_buf b[2] = {cs_buf_wrap(mem[0], sizeof mem[0]), cs_buf_wrap(mem[1], sizeof mem[1])};
    cs_sharefile_caller again;
    if (cs_sharefile_caller_put(&b[0], c) != CS_OK ||
        cs_sharefile_caller_parse(&again, cs_buf_slice(&b[0]), NULL) != CS_OK ||
        cs_sharefile_caller_put(&b[1], &again) != CS_OK || !cs_slice_eq(cs_buf_slice(&b[0]), cs_buf_slice(&b[1]))) {
        abort();
    }
    return cs_sharefile_put_caller(cookie, c) == CS_OK ? CS_OK : CS_E_NO_MEMORY;
}

static cs_err no_parties(void *cookie, uint32_t position, const cs_sharefile_parties *p)
{
    return CS_OK;
}

static cs_err no_account(void *cookie, const cs_sharefile_account *a)
{
    return CS_OK;
}

static void pieces(cs_slice all, cs_err want, const cs_sharefile_fault *want_fault)
{
    static const cs_sharefile_events nothing = {no_parties, no_account, NULL, NULL};
    static cs_sharefile_stream s;
    size_t size = all.len > 0 ? (size_t)all.p[all.len - 1] + 1 : 1;
    cs_err err = CS_OK;
    cs_sharefile_stream_begin(&s, &nothing, NULL);
    while (err == CS_OK && all.len > 0) {
        size_t n = all.len < size ? all.len : size;
        err = cs_sharefile_stream_push(&s, cs_slice_of(all.p, n));
        all = cs_slice_of(all.p + n, all.len - n);
    }
    err = err == CS_OK ? cs_sharefile_stream_end(&s) : err;
    if (err != want || (err != CS_OK && s.fault.offset != want_fault->offset)) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const cs_sharefile_events events = {on_parties, on_account, on_root, on_caller};
    static cs_sharefile_work work;
    cs_sharefile_header h;
    cs_sharefile_fault fault;
    cs_sharefile_caller alone;
    (void)!cs_sharefile_caller_parse(&alone, cs_slice_of(data, len), NULL);
    if (len > 0 && data[0] == 'c') {
        if (cs_sharefile_header_parse(&h, cs_slice_of(data, len)) == CS_OK && h.body.len > len) {
            abort();
        }
        return 0;
    }
    cs_buf out = cs_buf_heap(1 << 20);
    cs_sharefile_writer w = cs_sharefile_write(&out);
    cs_err err = cs_sharefile_parse(&events, &w, &work, cs_slice_of(data, len), &fault);
    if (err != CS_OK && (fault.what == NULL || fault.offset > len)) {
        abort();
    }
    if (err != CS_E_NO_MEMORY) {
        pieces(cs_slice_of(data, len), err, &fault);
    }
    cs_buf_free(&out);
    return 0;
}
