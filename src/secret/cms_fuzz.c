/*
 * Target: cs_cms_parse
 * What parses has the sizes that the decryption relies on, and its slices lie inside the input.
 */
#include <stdlib.h>

#include "secret/cms.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static cs_cms_fields f;

    if (cs_cms_parse(&f, cs_slice_of(data, size)) == CS_OK &&
        (f.iv.len != 16 || f.content_len == 0 || f.content_len % 16 != 0 || f.content_len > size ||
         f.encrypted_key.p < data || f.encrypted_key.p + f.encrypted_key.len > data + size)) {
        abort();
    }
    return 0;
}
