#include "store/store_plain.h"

#include <string.h>

#include "store/store_sql.h"

#define PAGE 64u

static cs_err take_page(cs_store_job *job, cs_store_plain_fn *fn, void *cookie, uint64_t *io_num)
{
    for (size_t i = 0; i < job->out.num_rows; i++) {
        const cs_tee_row *r = &job->out.rows[i].row;
        *io_num += 1;
        CS_TRY(fn != NULL ? fn(cookie, r->record, r->blob) : CS_OK);
    }
    return CS_OK;
}

cs_err cs_store_plain_each(cs_sql *db, const char *column, cs_store_plain_fn *fn, void *cookie, uint64_t *out_num)
{
    char after[CS_TEE_RECORD_MAX + 1024];
    cs_slice next = cs_slice_of("", 0);
    cs_err err = cs_store_is_column(column) ? CS_OK : CS_E_RANGE;

    *out_num = 0;
    do {
        cs_store_job job = {.op = CS_STORE_PLAIN, .in = {.after = next, .limit = PAGE, .column = column}};
        if (err == CS_OK && (err = cs_store_ops[CS_STORE_PLAIN].fn(db, &job)) == CS_OK) {
            err = take_page(&job, fn, cookie, out_num);
        }
        next = CS_SLICE_NULL;
        if (err == CS_OK && job.out.next.len >= sizeof after) {
            err = CS_E_TOO_LARGE;
        } else if (err == CS_OK && job.out.next.len > 0) {
            memcpy(after, job.out.next.p, job.out.next.len);
            next = cs_slice_of(after, job.out.next.len);
        }
        cs_store_mem_free(&job.found);
    } while (err == CS_OK && next.len > 0);
    return err;
}
