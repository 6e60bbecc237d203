/* Target: cs_aws_creds_parse */
#include <stdint.h>

#include "net/aws/creds.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static cs_aws_creds c;
    (void)cs_aws_creds_parse(&c, cs_slice_of(data, size));
    cs_aws_creds_wipe(&c);
    return 0;
}
