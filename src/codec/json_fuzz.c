/*
 * Target: cs_json_skip
 * An accepted value ends inside the input and is accepted again when read alone.
 */
#include <stdlib.h>

#include "codec/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    cs_json j = cs_json_of(cs_slice_of(data, len));
    if (cs_json_skip(&j) == CS_OK) {
        cs_json again = cs_json_of(cs_slice_of(data, len - j.r.left));
        if (j.r.left > len || cs_json_skip(&again) != CS_OK || cs_json_end(&again) != CS_OK) {
            abort();
        }
    } else if (j.r.left != len) {
        abort();
    }
    return 0;
}
