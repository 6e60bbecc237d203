/* The system call filter of sign-service: installed when all is open; it then works with the descriptors that it has. */
#ifndef CS_SERVICE_FILTER_H
#define CS_SERVICE_FILTER_H

#include "base/sandbox.h"

#define CS_SERVICE_NO_DIAL (-1)
/*
 * cs_service_filter_make - the filter, not yet installed: any other call ends the process (no files, exec, fork, ptrace, executable
 * memory). socket() is for `family` only, the one of the egress bridge; with CS_SERVICE_NO_DIAL (rooms are off) neither socket() nor
 * connect().
 */
void cs_service_filter_make(cs_sandbox *out, const char *program, cs_sandbox_action action, int family);

#endif
