/*
 * Endpoints of the *-local variants of enclave programs: linking this file instead of lib_ep_enclave makes
 * "vsock:parent:PORT" the unix socket DIR/parent-PORT.sock and lets them inherit unix and tcp listeners.
 * Never part of a shipped program.
 */
#ifndef CS_EMULATOR_LOCAL_ENDPOINT_H
#define CS_EMULATOR_LOCAL_ENDPOINT_H

#include "base/bytes.h"

/* cs_local_endpoint_set_dir - the --local-dir; kept by pointer. CS_E_RANGE (too long for a socket path). */
CS_MUST cs_err cs_local_endpoint_set_dir(const char *dir);

#endif
