/*
 * Target: cs_store_line_parse
 * Any bytes as a line of an export file: what is read is written as a line that reads as the same row.
 */
#include <stdlib.h>

#include "store/store_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cs_store_mem m = {.first = NULL};
    cs_store_row row, again;
    cs_buf out = cs_buf_heap((size_t)2 * CS_STORE_LINE_MAX);

    if (cs_store_line_parse(&m, &row, cs_slice_of(data, size)) == CS_OK) {
        if (cs_store_row_write(&out, &row) != CS_OK ||
            cs_store_line_parse(&m, &again, cs_slice_of(out.p, out.len - 1)) != CS_OK ||
            !cs_slice_eq(row.row.record, again.row.record) || !cs_slice_eq(row.row.blob, again.row.blob) ||
            !cs_slice_eq(row.row.data_key, again.row.data_key) || !cs_slice_eq(row.row.kms_key, again.row.kms_key) ||
            !cs_slice_eq(row.row.public_key, again.row.public_key) || row.row.version != again.row.version ||
            row.row.alg != again.row.alg || row.created_ms != again.created_ms) {
            abort();
        }
    }
    cs_buf_free(&out);
    cs_store_mem_free(&m);
    return 0;
}
