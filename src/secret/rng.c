#include "secret/rng.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "secret/mem.h"

static unsigned fail_in;

unsigned cs_random_fail_for_tests(unsigned nth)
{
    unsigned left = fail_in;
    fail_in = nth;
    return left;
}

cs_err cs_random(void *out, size_t len)
{
    uint8_t *p = out;
    if (fail_in > 0 && --fail_in == 0) {
        cs_wipe(out, len);
        return CS_E_ENTROPY;
    }
    for (size_t at = 0; at < len;) {
        ssize_t n = getrandom(p + at, len - at, 0);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            cs_wipe(out, len);
            return CS_E_ENTROPY;
        }
        at += (size_t)n;
    }
    return CS_OK;
}
