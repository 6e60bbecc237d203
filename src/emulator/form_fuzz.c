/* Target: cs_emu_form_get. A value that is found has no NUL and fits. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "emulator/reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char out[64];
    if (cs_emu_form_get(cs_slice_of(data, size), "Action", out, sizeof out) == CS_OK && strlen(out) >= sizeof out) {
        abort();
    }
    return 0;
}
