/* Target: nitro_parse - JSON and E-codes of nitro-cli: cs_nitro_parse_run, cs_nitro_parse_list, cs_nitro_error. */
#include <stdlib.h>
#include <string.h>

#include "host/nitro_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cs_nitro_enclave list[CS_NITRO_LIST_MAX];
    size_t num = 0;
    char text[200];
    int code = 0;
    cs_slice in = cs_slice_of(data, size);

    if (cs_nitro_parse_run(&list[0], in) == CS_OK && (list[0].id[0] == '\0' || list[0].id[0] == '-')) {
        abort();
    }
    if (cs_nitro_parse_list(list, &num, CS_NITRO_LIST_MAX, in) == CS_OK && num > CS_NITRO_LIST_MAX) {
        abort();
    }
    cs_err err = cs_nitro_error(&code, text, in);
    if (code < -1 || code > 99 || (code < 0 && err != CS_E_NITRO) || strlen(text) > 199) {
        abort();
    }
    return 0;
}
