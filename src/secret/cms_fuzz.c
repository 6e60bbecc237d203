/*
 * Target: cs_cms_parse
 * Also cs_cms_open. What parses has the sizes that the decryption relies on, and its slices lie inside the input.
 */
#include <openssl/rsa.h>
#include <stdlib.h>

#include "secret/cms.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static cs_cms_fields f;
    static EVP_PKEY *key;
    uint8_t mem[CS_CMS_MAX];
    cs_buf out = cs_buf_wrap(mem, sizeof mem);

    if (key == NULL && ((key = EVP_RSA_gen(2048)) == NULL || cs_arena_init(1 << 20, false) != CS_OK)) {
        abort();
    }
    if (cs_cms_open(&out, cs_slice_of(data, size), key) != CS_OK && out.len != 0) {
        abort();
    }

    if (cs_cms_parse(&f, cs_slice_of(data, size)) == CS_OK &&
        (f.iv.len != 16 || f.content_len == 0 || f.content_len % 16 != 0 || f.content_len > size ||
         f.encrypted_key.p < data || f.encrypted_key.p + f.encrypted_key.len > data + size)) {
        abort();
    }
    return 0;
}
