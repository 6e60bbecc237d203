/* What differs between sign-kms and sign-kms-local: one object file each, nothing else. */
#ifndef CS_KMS_PLATFORM_H
#define CS_KMS_PLATFORM_H

#include "base/sandbox.h"

typedef struct cs_kms_platform {
    const char *program;
    const char *about;
    bool require_lock;                      /* pages that cannot be locked: refuse, or warn */
    int family;                             /* of the sockets that it dials: AF_VSOCK, or AF_UNIX in local runs */
    cs_err (*prepare)(const cs_args *args); /* or NULL */
} cs_kms_platform;

extern const cs_kms_platform cs_kms_platform_linked;
extern const cs_opt cs_kms_platform_opts[];

/* Options of both programs: docs/formats/launch.md. */
#define CS_KMS_OPTS                                                                                                    \
    {"config-fd", 0,    CS_OPT_U64, "N",  "descriptor with the kms section of the measured configuration",             \
     NULL,        NULL, 0,          65535},                                                                            \
        {"link-core", 0, CS_OPT_U64, "N", "socket pair to sign-core", NULL, NULL, 0, 65535},                           \
        {"listen-credentials", 0, CS_OPT_U64, "N", "listener for credentials (port 7100)", NULL, NULL, 0, 65535},      \
        {"log-fd", 0, CS_OPT_U64, "N", "descriptor of the log", NULL, "2", 0, 65535}, CS_SANDBOX_OPTS

#endif
