/*
 * Target: cs_config_compile
 * Any bytes as YAML: what compiles is one strict CBOR item, and nothing is written otherwise.
 */
#include <stdlib.h>

#include "codec/cbor.h"
#include "tools/config_compile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static cs_err give_ca(void *cookie, cs_buf *out, const char *path)
{
    return path != NULL && path[0] == '!' ? CS_E_IO : cs_put_str(out, "-----BEGIN CERTIFICATE-----\n");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t mem[CS_CONFIG_CBOR_MAX];
    const cs_config_files files = {.read_ca = give_ca};
    cs_buf out = cs_buf_wrap(mem, sizeof mem);
    cs_yaml_fault fault;

    cs_err err = cs_config_compile(&out, &fault, cs_slice_of(data, size), &files);
    if (err == CS_OK ? cs_cbor_check(cs_buf_slice(&out), CS_CBOR_STRICT) != CS_OK : out.len != 0) {
        abort();
    }
    return 0;
}
