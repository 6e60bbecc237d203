/*
 * Fresh credentials for a local run whose image keeps them (tee.enabled): a child of its own fetches and injects them before those
 * in use expire, as the services of the other drivers do. Credentials only; nothing of them is logged.
 */
#ifndef CS_HOST_LOCAL_LEASE_H
#define CS_HOST_LOCAL_LEASE_H

#include <sys/types.h>

#include "host/host.h"

/*
 * cs_local_lease_start - the child's id in *out; it ends with its parent, or by SIGKILL. o is copied; dir and grpc must be those of
 * the enclave. expires_ms: of what is being injected, since 1970; 0: nothing is, the first ones are fetched now. CS_E_LAUNCH.
 */
CS_MUST cs_err cs_local_lease_start(pid_t *out, const cs_preload_opts *o, uint64_t expires_ms);
/* cs_local_lease_wait_ms - how long credentials are used before others are fetched: at least a second. */
uint64_t cs_local_lease_wait_ms(uint64_t expires_ms, uint64_t now_ms);

#endif
