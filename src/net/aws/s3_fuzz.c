/* Target: cs_s3_parse_error, cs_imds_parse_identity. Whatever is taken may stand in a log line. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "net/aws/imds.h"
#include "net/aws/s3.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cs_s3_info i;
    cs_imds_identity id;
    memset(&i, 0, sizeof i);
    cs_s3_parse_error(&i, cs_slice_of(data, size));
    if (strpbrk(i.code, "<>\n\"") != NULL || strpbrk(i.region, "<>\n\"./") != NULL) {
        abort();
    }
    (void)cs_imds_parse_identity(&id, cs_slice_of(data, size));
    return 0;
}
