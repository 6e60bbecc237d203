/* The system calls that a running sign-kms needs, and no others (EPERM for the rest). Source: architecture 2, "Start". */
#ifndef CS_KMS_FILTER_H
#define CS_KMS_FILTER_H

#include "base/err.h"

/*
 * cs_kms_filter_install - for the whole process, for good; everything must be open. family: the only address family that
 * socket() may name (AF_VSOCK; AF_UNIX in local runs). CS_E_INTERNAL. Builds with a sanitizer install nothing.
 */
CS_MUST cs_err cs_kms_filter_install(int family);

#endif
