/*
 * Target: cs_tee_audit_line
 * Lines of the input, with a key that every boot has no part in: nothing is ever proven.
 */
#include <stdlib.h>
#include <string.h>

#include "tee/audit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const cs_att_options att = {.any_pcrs = true};
    const cs_tee_audit_options options = {.att = &att};
    cs_reader r = cs_reader_of(cs_slice_of(data, size));
    cs_tee_audit_fault fault = {0};
    cs_tee_audit_sum sum;
    cs_tee_audit *log = NULL;
    cs_err err = cs_tee_audit_new(&log, &options);
    cs_slice line;

    while (err == CS_OK && cs_read_line(&r, &line, size) == CS_OK) {
        err = cs_tee_audit_line(log, line, &fault);
    }
    if (err == CS_OK && cs_tee_audit_end(log, &sum, &fault) == CS_OK && sum.entries > 0) {
        abort(); /* nobody can sign below the root of AWS */
    }
    cs_tee_audit_free(log);
    return 0;
}
