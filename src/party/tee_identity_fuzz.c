/*
 * Target: cs_tee_identity_parse
 * What is accepted has a name; what is refused leaves nothing behind.
 */
#include <stdlib.h>
#include <string.h>

#include "party/tee_identity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const cs_tee_identity none;
    static cs_tee_identity id;

    memset(&id, 0xa5, sizeof id);
    if (cs_tee_identity_parse(&id, cs_slice_of(data, size)) == CS_OK) {
        if (strnlen(id.id, sizeof id.id) < 1 || strnlen(id.id, sizeof id.id) > CS_TEE_CALLER_MAX) {
            abort();
        }
    } else if (memcmp(&id, &none, sizeof id) != 0) {
        abort();
    }
    return 0;
}
