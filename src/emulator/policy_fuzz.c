/* Target: cs_emu_policy_read. What parses, as either kind, is evaluated. */
#include <stdint.h>

#include "emulator/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static cs_emu_context c;
    cs_emu_principal who = {
        .arn = "arn:aws:iam::123456789012:role/r", .account = "123456789012", .iam_actions = "kms:*"};
    cs_emu_query q = {&who, "kms:Decrypt", "arn:aws:kms:us-east-1:123456789012:key/k", &c};
    json_t *p = NULL;
    if (c.num == 0 && (cs_emu_context_add(&c, "kms:RecipientAttestation:ImageSha384", cs_slice_str("aa")) != CS_OK ||
                       cs_emu_context_add(&c, "aws:x", cs_slice_str("a*")) != CS_OK ||
                       cs_emu_context_add(&c, "i", cs_slice_str("::2")) != CS_OK ||
                       cs_emu_context_add(&c, "n", cs_slice_str("6.5")) != CS_OK ||
                       cs_emu_context_add(&c, "d", cs_slice_str("2026-01-02T03:04:05Z")) != CS_OK)) {
        return 0;
    }
    if (cs_emu_policy_read(&p, cs_slice_of(data, size), CS_EMU_KEY_POLICY, NULL) == CS_OK) {
        (void)cs_emu_policy_eval(p, &q);
        json_decref(p);
    }
    if (cs_emu_policy_read(&p, cs_slice_of(data, size), CS_EMU_IDENTITY_POLICY, NULL) == CS_OK) {
        who.iam_policy = p;
        (void)cs_emu_identity_eval(&q);
        json_decref(p);
    }
    return 0;
}
