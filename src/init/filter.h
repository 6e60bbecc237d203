/* The system calls of sign-init once it has set up, and of its programs until they have their own filter. */
#ifndef CS_INIT_FILTER_H
#define CS_INIT_FILTER_H

#include "base/sandbox.h"

/* cs_init_filter_make - the filter, not yet installed. trap: a forbidden call is printed first (enclave.systemCallFilter). */
void cs_init_filter_make(cs_sandbox *out, bool trap);

#endif
