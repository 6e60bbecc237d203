/*
 * sign-kms as a process: the link to sign-core and the port for credentials, with one poll loop; calls to KMS run in the threads of a
 * pool (pool.h), several side by side.
 */
#ifndef CS_KMS_SERVER_H
#define CS_KMS_SERVER_H

#include "kms/pool.h"

#define CS_KMS_INJECT_IDLE_MS 10000u
#define CS_KMS_INJECT_TOTAL_MS 30000u
#define CS_KMS_ANSWER_MS 200u /* to write the answer and to see the other end close */

typedef struct cs_kms_server_opts {
    const cs_kms_config *config;
    cs_kms_hold *hold;
    cs_tls_ctx *tls;
    int link_fd;   /* SOCK_SEQPACKET to sign-core */
    int listen_fd; /* adopted listener for credentials */
    int stop_fd;   /* readable: end in order */
} cs_kms_server_opts;

typedef struct cs_kms_server cs_kms_server;

/* cs_kms_server_new - o is copied, what it names must outlive it; starts the threads: before the system call filter. CS_E_NO_MEMORY. */
CS_MUST cs_err cs_kms_server_new(cs_kms_server **out, const cs_kms_server_opts *o);
/* cs_kms_server_run - until stop (CS_OK) or until the link ends (CS_E_CLOSED) or says something that is no frame (CS_E_FORMAT). */
CS_MUST cs_err cs_kms_server_run(cs_kms_server *s);
/* cs_kms_server_free - ends the threads and wipes the credentials; calls under way are not answered. */
void cs_kms_server_free(cs_kms_server *s);

#endif
