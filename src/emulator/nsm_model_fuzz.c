/* Target: cs_nsm_model_handle. Every request gets an answer; locked PCRs never change. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "emulator/nsm_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static cs_emu_cert root;
    static cs_nsm_model m;
    static uint8_t mem[CS_NSM_MAX_RESPONSE];
    static const uint8_t zero[CS_NSM_PCR_LEN];
    cs_buf out = cs_buf_wrap(mem, sizeof mem);
    if (root.cert == NULL) {
        if (cs_emu_root_issue(&root, 1767323045) != CS_OK) {
            abort();
        }
        cs_nsm_model_init(&m, "i-1234567890abcdef0-enc0123456789abcdef", &root);
    }
    if (cs_nsm_model_handle(&m, cs_slice_of(data, size), &out) != CS_OK || out.len == 0 ||
        memcmp(m.pcr[0], zero, sizeof zero) != 0) {
        abort();
    }
    return 0;
}
