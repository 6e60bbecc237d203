/*
 * "Hybrid" vsock: what vhost-device-vsock gives a host without AF_VSOCK. A unix socket stands for the guest: a client writes
 * "CONNECT PORT\n" and reads "OK NUMBER\n" when the guest's port listens, or the end; what the guest dials arrives at sockets
 * named PATH_PORT. A connection that the guest refuses and one that it does not answer yet look the same. Tests only (driver qemu).
 * The daemon turns the end of file of our side into the end of both directions, and does not pass on the guest's.
 * Source: specs/real-boot.md, vhost-device-vsock 0.3.0.
 */
#ifndef CS_HOST_HYBRID_H
#define CS_HOST_HYBRID_H

#include "net/loop.h"

/* An outgoing connection to the guest: fn is called once, from the loop; the object has freed itself; fd is the callee's on CS_OK. */
typedef struct cs_hybrid cs_hybrid;
/* cs_hybrid_dial - later through fn: CS_E_CONNECT (refused, not up yet, another answer) | CS_E_TIMEOUT. CS_E_NO_MEMORY | CS_E_CONNECT. */
CS_MUST cs_err cs_hybrid_dial(cs_hybrid **out, cs_loop *l, const cs_endpoint *daemon, uint32_t port,
                              uint32_t timeout_ms, cs_dial_fn *fn, void *cookie);
void cs_hybrid_free(cs_hybrid *h); /* gives up: no call of fn */

/* A unix socket that leads to one port of the guest, so that others need not know of the handshake. */
typedef struct cs_hybrid_relay cs_hybrid_relay;
/* cs_hybrid_relay_new - listens at `at` (mode 0600), which relay_free removes. Errors of cs_endpoint_listen | CS_E_NO_MEMORY. */
CS_MUST cs_err cs_hybrid_relay_new(cs_hybrid_relay **out, cs_loop *l, const cs_endpoint *at, const cs_endpoint *daemon,
                                   uint32_t port);
void cs_hybrid_relay_free(cs_hybrid_relay *r);

#endif
