/*
 * The parent's side of one enclave that is to serve for ever: bridges, log port, supervision, replacement. One object, one loop.
 * Files: service.c (life), service_ports.c (listeners and bridges), control.c (what other commands ask), notify.c (systemd).
 */
#ifndef CS_HOST_SERVICE_H
#define CS_HOST_SERVICE_H

#include "host/instance.h"

#define CS_SERVICE_BACKOFF_MAX_MS 60000u
#define CS_SERVICE_STABLE_MS 60000u /* after so long of service the back-off begins anew */

typedef struct cs_service_opts {
    cs_instance_opts instance;     /* of the first start */
    const char *base_name;         /* of the first enclave; its replacement is NAME-2, the next NAME again */
    cs_endpoint grpc, kms, egress; /* listener; destinations (scheme 0: none) */
    cs_host_ports ports;           /* of the parent */
    const char *console_log;       /* file of port 7110 */
    const char *dir;               /* run directory, locked */
    uint32_t peer_cid;             /* of all connections of enclaves, for tests; 0: each its own */
    uint32_t drain_ms;             /* how long open connections may go on at a stop or replacement */
    uint32_t restart_ms;           /* first wait before a restart; doubles to CS_SERVICE_BACKOFF_MAX_MS */
    uint64_t lease_ms;             /* renew credentials so long before they expire; 0: injected at loads only */
    bool keep;                     /* go on trying when the first start fails */
    bool verbose;
} cs_service_opts;

typedef struct cs_service cs_service;

/* cs_service_run - until SIGTERM (CS_OK), or until the first start failed without keep. why gets one line for a person. */
CS_MUST cs_err cs_service_run(const cs_service_opts *o, char why[CS_DRIVER_TEXT]);

#endif
