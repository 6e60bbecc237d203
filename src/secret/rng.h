/* Random bytes of the operating system. In an enclave the kernel generator is seeded from NSM by sign-init. */
#ifndef CS_SECRET_RNG_H
#define CS_SECRET_RNG_H

#include "base/bytes.h"

/* cs_random - fill with len bytes of getrandom(2); CS_E_ENTROPY (out wiped) when that fails. */
CS_MUST cs_err cs_random(void *out, size_t len);
/*
 * cs_random_fail_for_tests - make the nth call from now fail (1 = next; 0 = never). Returns what was left of the order before:
 * 0 when it has been carried out, or there was none.
 */
unsigned cs_random_fail_for_tests(unsigned nth);

#endif
