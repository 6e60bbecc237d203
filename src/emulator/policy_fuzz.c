/* Target: cs_emu_policy_parse. What parses is evaluated. */
#include <stdint.h>

#include "emulator/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static cs_emu_context c;
    static const cs_emu_principal who = {"arn:aws:iam::123456789012:role/r", NULL, "123456789012", "kms:*"};
    cs_emu_query q = {&who, "kms:Decrypt", "arn:aws:kms:us-east-1:123456789012:key/k", &c};
    json_t *p = NULL;
    if (c.num == 0 && cs_emu_context_add(&c, "kms:RecipientAttestation:ImageSha384", cs_slice_str("aa")) != CS_OK) {
        return 0;
    }
    if (cs_emu_policy_parse(&p, cs_slice_of(data, size)) == CS_OK) {
        (void)cs_emu_policy_eval(p, &q);
        json_decref(p);
    }
    return 0;
}
