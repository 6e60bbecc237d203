/* The system call filter of sign-service: installed when all is open; it then works with the descriptors that it has. */
#ifndef CS_SERVICE_FILTER_H
#define CS_SERVICE_FILTER_H

#include "base/err.h"

#define CS_SERVICE_NO_DIAL (-1)
/*
 * cs_service_filter_install - no_new_privs and a seccomp filter: calls that are not on the list fail with EPERM (no
 * files, exec, fork, ptrace, executable memory). socket() is for `family` only, the one of the egress bridge; with
 * CS_SERVICE_NO_DIAL (rooms are off) neither socket() nor connect(). Does nothing in sanitizer builds, whose run-time needs more.
 * CS_E_INTERNAL.
 */
CS_MUST cs_err cs_service_filter_install(int family);

#endif
