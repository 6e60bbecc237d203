/* Target: cs_emu_nsm_create_parse */
#include <stdint.h>

#include "emulator/nsm_server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static cs_nsm_model m;
    (void)!cs_emu_nsm_create_parse(&m, cs_slice_of(data, size), NULL);
    return 0;
}
