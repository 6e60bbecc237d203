/*
 * Target: cs_policy_lint
 * Any bytes: a policy has a kind and consistent counts, everything else is refused without a finding.
 */
#include <stdlib.h>

#include "tools/policy_lint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static cs_plint l;
    cs_err err = cs_policy_lint(&l, cs_slice_of(data, size));

    if (err == CS_OK ? l.kind == NULL || l.num > CS_PLINT_MAX : l.num != 0 || l.holes != 0) {
        abort();
    }
    return 0;
}
