/* The child process that fetches credentials and ciphertext and injects them. Its lines: host/provision.c. */
#ifndef CS_HOST_PROVISION_H
#define CS_HOST_PROVISION_H

#include "host/host.h"

/* What the child is told when the enclave runs: where to go on. */
typedef struct cs_provision_go {
    cs_endpoint to[3]; /* credentials, age key, shares */
    cs_endpoint grpc;
} cs_provision_go;

/*
 * cs_provision_child - for cs_task_fork; arg is a cs_preload_opts, whose order "" means: only wait until the enclave answers.
 * Writes "X MS" (when the credentials expire), "F" (fetched; then waits for a cs_provision_go), "E CODE DETAIL" (why it failed).
 */
int cs_provision_child(void *arg, int in_fd, int out_fd);
/* cs_provision_parse - the line "E CODE DETAIL". */
cs_err cs_provision_parse(char detail[200], const char *line);

#endif
