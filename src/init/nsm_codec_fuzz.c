/*
 * Target: cs_init_read_random, cs_init_read_pcr
 * On an error the output is as before.
 */
#include <stdlib.h>

#include "init/nsm_codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t mem[CS_INIT_NSM_RANDOM_MAX + 100];
    uint8_t pcr[CS_INIT_PCR_BYTES] = {0};
    cs_buf out = cs_buf_wrap(mem, sizeof mem);

    cs_err err = cs_init_read_random(&out, cs_slice_of(data, size));
    if (err == CS_OK ? out.len == 0 || out.len > CS_INIT_NSM_RANDOM_MAX || out.len > size : out.len != 0) {
        abort();
    }
    err = cs_init_read_pcr(pcr, cs_slice_of(data, size));
    for (size_t i = 0; err != CS_OK && i < sizeof pcr; i++) {
        if (pcr[i] != 0) {
            abort();
        }
    }
    return 0;
}
