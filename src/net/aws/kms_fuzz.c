/*
 * Target: cs_kms_parse_answer, cs_json_read
 * The first byte chooses action and status. Also covers cs_json_read with every kind of field.
 */
#include <stdint.h>

#include "net/aws/json.h"
#include "net/aws/kms.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static cs_kms_answer a;
    uint8_t mem[256];
    cs_buf text = cs_buf_wrap(mem, sizeof mem);
    cs_json_field f[] = {{.key = "s", .kind = CS_JSON_STRING, .out = &text},
                         {.key = "n", .kind = CS_JSON_NUMBER},
                         {.key = "o", .kind = CS_JSON_OBJECT}};
    if (size == 0) {
        return 0;
    }
    cs_kms_reply r = {data[0] & 4 ? 400 : 200, CS_SLICE_NULL, cs_slice_of(data + 1, size - 1)};
    (void)cs_kms_parse_answer(&a, &r, (cs_kms_action)(1 + data[0] % 3), cs_slice_str("k"));
    (void)cs_json_read(r.body, f, 3);
    return 0;
}
