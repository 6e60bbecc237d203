/* What differs between sign-service and sign-service-local: one object file each, nothing else. */
#ifndef CS_SERVICE_PLATFORM_H
#define CS_SERVICE_PLATFORM_H

#include "base/sandbox.h"

typedef struct cs_service_platform {
    int family;                             /* of the sockets that it dials: AF_VSOCK, or AF_UNIX in local runs */
    cs_err (*prepare)(const cs_args *args); /* or NULL */
    bool shipped;                           /* the program of an enclave: it has --key-share-file, to refuse it */
} cs_service_platform;

extern const cs_service_platform cs_service_platform_linked;
extern const cs_opt cs_service_platform_opts[];

#define CS_SERVICE_FD_OPT(name_, help_)                                                                                \
    {                                                                                                                  \
        .name = (name_), .kind = CS_OPT_U64, .arg = "FD", .help = (help_), .min = 3, .max = 1023                       \
    }

/* Options of both programs: docs/formats/launch.md. */
#define CS_SERVICE_OPTS                                                                                                \
    CS_SERVICE_FD_OPT("config-fd", "memfd with this program's measured configuration"),                                \
        CS_SERVICE_FD_OPT("link-core", "packet link to sign-core"),                                                    \
        CS_SERVICE_FD_OPT("listen-grpc", "listener for gRPC (50051)"),                                                 \
        CS_SERVICE_FD_OPT("listen-age", "listener for the age identity (7101)"),                                       \
        CS_SERVICE_FD_OPT("listen-shares", "listener for the shares (7102)"), CS_SANDBOX_OPTS

#endif
