/* Fuzz target.
 * Target: cs_service_config_read
 * A refused section leaves the output as it was; an accepted one is within its ranges. */
#include <stdlib.h>
#include <string.h>

#include "service/service.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    cs_service_config before;
    memset(&before, 0x5a, sizeof before);
    cs_service_config got = before;
    if (cs_service_config_read(&got, cs_slice_of(data, len)) != CS_OK) {
        if (memcmp(&got, &before, sizeof got) != 0) {
            abort();
        }
    } else if (got.parent_cid == 0 || got.parent_cid > UINT32_MAX || got.shares_max == 0 || got.sessions_max == 0) {
        abort();
    }
    return 0;
}
