/*
 * Target: cs_seal_head_parse
 * Target: cs_seal_open
 * Target: cs_seal_open_raw
 * Nothing that was not sealed opens; a head says what its bytes say. The first byte chooses: the input as it is, or behind a root id
 * that is known, so that it reaches the cipher.
 */
#include <stdlib.h>
#include <string.h>

#include "secret/seal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool yes)
{
    if (!yes) {
        abort();
    }
}

static void head(cs_slice in)
{
    cs_seal_head h;
    if (cs_seal_head_parse(&h, in) == CS_OK) {
        must(in.len >= CS_SEAL_OVERHEAD && in.p[0] == 1 && h.algorithm == in.p[5] &&
             h.version == cs_load_u32(in.p + 6));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t in[CS_SEAL_OVERHEAD + CS_SEAL_DATA_MAX + 64], mem[CS_SEAL_DATA_MAX + 64];
    static const uint8_t secret[32] = {1};
    cs_seal_root root;
    cs_secret32 data_key = {{2}};
    cs_buf out = cs_buf_wrap(mem, sizeof mem);
    if (size < 1 || size > sizeof in) {
        return 0;
    }
    cs_slice blob = cs_slice_of(in, size - 1);
    cs_seal_about about = {cs_slice_str("key"), cs_slice_str("record"),
                           (data[0] & 1) != 0 ? CS_SEAL_DATA : CS_SEAL_PRIVATE_KEY, 1, data[0] >> 2};
    memcpy(in, data + 1, size - 1);
    cs_seal_root_init(&root, secret);
    if ((data[0] & 2) != 0 && blob.len >= 5) {
        in[0] = 1;
        memcpy(in + 1, root.id, sizeof root.id);
    }
    head(blob);
    must(cs_seal_open(&out, NULL, &(cs_seal_roots){&root, 1}, &data_key, &about, blob) != CS_OK && out.len == 0);
    must(cs_seal_open_raw(&out, &data_key, blob, blob) != CS_OK && out.len == 0);
    return 0;
}
