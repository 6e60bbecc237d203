/*
 * Target: cs_nsm_read_pcr, cs_nsm_read_document
 * The name of an error is letters only; on an error the output is as before.
 */
#include <stdlib.h>
#include <string.h>

#include "core/nsm/nsm_codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void letters(const char *code)
{
    for (; *code != '\0'; code++) {
        if ((*code | 0x20) < 'a' || (*code | 0x20) > 'z') {
            abort();
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t mem[20000];
    char code[CS_NSM_CODE_MAX] = "";
    cs_nsm_pcr pcr;
    cs_buf out = cs_buf_wrap(mem, sizeof mem);
    if (cs_nsm_read_pcr(&pcr, code, cs_slice_of(data, size)) != CS_OK) {
        letters(code);
    }
    if (cs_nsm_read_document(&out, code, cs_slice_of(data, size)) != CS_OK) {
        letters(code);
        if (out.len != 0) {
            abort();
        }
    } else if (out.len > size) {
        abort();
    }
    return 0;
}
