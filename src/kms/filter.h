/* The system calls that a running sign-kms needs, and no others. Source: architecture 2, "Start". */
#ifndef CS_KMS_FILTER_H
#define CS_KMS_FILTER_H

#include "base/sandbox.h"

/*
 * cs_kms_filter_make - the filter, to be installed when everything is open: any other call ends the process. family: the only address
 * family that socket() may name (AF_VSOCK; AF_UNIX in local runs).
 */
void cs_kms_filter_make(cs_sandbox *out, const char *program, cs_sandbox_action action, int log_fd, int family);

#endif
