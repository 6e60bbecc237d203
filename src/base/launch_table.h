/*
 * The launch table: which programs an enclave runs and which descriptors each inherits (docs/formats/launch.md). Used by
 * sign-init inside an enclave and by sign-host for local runs, so that both start the same thing.
 */
#ifndef CS_BASE_LAUNCH_TABLE_H
#define CS_BASE_LAUNCH_TABLE_H

#include <stdbool.h>

/* program, name, variant of local runs, section of the measured configuration, restarted when it dies (else the enclave halts) */
#define CS_LAUNCH_PROGRAMS(X)                                                                                          \
    X(CORE, "sign-core", "sign-core-emulated", "core", 0)                                                              \
    X(KMS, "sign-kms", "sign-kms-local", "kms", 1)                                                                     \
    X(SERVICE, "sign-service", "sign-service-local", "service", 1)

/* program, option, what it is, number: the other end of a link (CORE side first), or the vsock port of a listener */
#define CS_LAUNCH_FDS(X)                                                                                               \
    X(CORE, "--link-service", LINK, CS_LAUNCH_SERVICE_CORE_END)                                                        \
    X(CORE, "--link-kms", LINK, CS_LAUNCH_KMS_CORE_END)                                                                \
    X(KMS, "--link-core", LINK, CS_LAUNCH_KMS_FAR_END)                                                                 \
    X(KMS, "--listen-credentials", LISTEN, 7100)                                                                       \
    X(SERVICE, "--link-core", LINK, CS_LAUNCH_SERVICE_FAR_END)                                                         \
    X(SERVICE, "--listen-grpc", LISTEN, 50051)                                                                         \
    X(SERVICE, "--listen-age", LISTEN, 7101)                                                                           \
    X(SERVICE, "--listen-shares", LISTEN, 7102)

/* Ports of the parent that enclave programs dial, as measured by default: sign-kms to KMS, sign-service to the gateway. */
#define CS_LAUNCH_PORT_KMS_PROXY 5000u
#define CS_LAUNCH_PORT_EGRESS 8080u

typedef enum cs_launch_program {
#define CS_LAUNCH_ROW(id, name, local, section, restart) CS_LAUNCH_##id,
    CS_LAUNCH_PROGRAMS(CS_LAUNCH_ROW)
#undef CS_LAUNCH_ROW
        CS_LAUNCH_NUM_PROGRAMS
} cs_launch_program;

/* The four ends of the two links. */
enum {
    CS_LAUNCH_SERVICE_CORE_END,
    CS_LAUNCH_SERVICE_FAR_END,
    CS_LAUNCH_KMS_CORE_END,
    CS_LAUNCH_KMS_FAR_END,
    CS_LAUNCH_NUM_ENDS
};

typedef enum cs_launch_fd_kind { CS_LAUNCH_FD_LINK, CS_LAUNCH_FD_LISTEN } cs_launch_fd_kind;

typedef struct cs_launch_program_row {
    const char *name, *path, *local, *section; /* path: in the image */
    bool restart;
} cs_launch_program_row;
extern const cs_launch_program_row cs_launch_programs[CS_LAUNCH_NUM_PROGRAMS];

typedef struct cs_launch_fd_row {
    cs_launch_program program;
    const char *option;
    cs_launch_fd_kind kind;
    unsigned number;
} cs_launch_fd_row;
#define CS_LAUNCH_ROW(program, option, kind, number) +1
enum { CS_LAUNCH_NUM_FDS = CS_LAUNCH_FDS(CS_LAUNCH_ROW) };
#undef CS_LAUNCH_ROW
extern const cs_launch_fd_row cs_launch_fds[CS_LAUNCH_NUM_FDS];

/* Restarts: at most this many in this time, then the enclave halts (architecture 2). */
#define CS_LAUNCH_RESTARTS 5
#define CS_LAUNCH_RESTART_WINDOW_MS 60000u

#endif
