/* Target: cs_service_config_read */
#include <stdlib.h>

#include "service/service.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cs_service_config c;
    cs_err err = cs_service_config_read(&c, cs_slice_of(data, size));
    if (err != CS_OK && err != CS_E_CONFIG && err != CS_E_CONFIG_KEY) {
        abort();
    }
    return 0;
}
