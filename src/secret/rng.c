#include "secret/rng.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "secret/mem.h"

static unsigned fail_in;

unsigned cs_random_fail_for_tests(unsigned nth)
{
    return __atomic_exchange_n(&fail_in, nth, __ATOMIC_RELAXED);
}

/* Workers draw side by side: one of them gets the failure. */
static bool must_fail(void)
{
    unsigned left = __atomic_load_n(&fail_in, __ATOMIC_RELAXED);
    while (left > 0 &&
           !__atomic_compare_exchange_n(&fail_in, &left, left - 1, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
    return left == 1;
}

cs_err cs_random(void *out, size_t len)
{
    uint8_t *p = out;
    if (must_fail()) {
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
