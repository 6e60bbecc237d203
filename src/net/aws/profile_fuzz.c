/*
 * Target: cs_aws_profile_parse
 * First byte: which kind of file. Values are printable and end inside their arrays; a refusal leaves nothing behind.
 */
#include <stdlib.h>
#include <string.h>

#include "net/aws/profile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static cs_aws_profile p;
    static const cs_aws_profile zero;

    if (size == 0) {
        return 0;
    }
    cs_err err = cs_aws_profile_parse(&p, cs_slice_of(data + 1, size - 1), (data[0] & 2) != 0 ? "default" : "a",
                                      (data[0] & 1) != 0);
    if (strlen(p.access_key_id) >= sizeof p.access_key_id || strlen(p.token) >= sizeof p.token) {
        abort();
    }
    if (err != CS_OK && memcmp(&p, &zero, sizeof p) != 0) {
        abort();
    }
    return 0;
}
