/* Target: cs_emu_blob_open, cs_emu_blob_key. A blob of random bytes must never open. */
#include <stdint.h>
#include <stdlib.h>

#include "emulator/kms_call.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const cs_emu_key key;
    cs_buf out = cs_buf_heap(65536);
    if (cs_emu_blob_open(&out, &key, cs_slice_of(data, size), CS_SLICE_NULL) == CS_OK) {
        abort();
    }
    cs_buf_free(&out);
    return 0;
}
