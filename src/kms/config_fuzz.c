/* Target: cs_kms_config_read, cs_kms_parse_date */
#include <stdint.h>

#include "kms/call.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static cs_kms_config c;
    const char *bad;
    uint64_t ms;
    (void)cs_kms_config_read(&c, &bad, cs_slice_of(data, size));
    (void)cs_kms_parse_date(cs_slice_of(data, size), &ms);
    return 0;
}
