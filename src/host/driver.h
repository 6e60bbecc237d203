/*
 * Drivers: how one enclave comes to run and to end. `run` (service.c) decides when; a driver knows with what (nitro-cli, QEMU).
 * Everything is on the loop's thread; nothing here blocks. The local driver (enclave.c) plays sign-init itself and is apart.
 */
#ifndef CS_HOST_DRIVER_H
#define CS_HOST_DRIVER_H

#include "host/task.h"
#include "net/endpoint.h"
#include "net/loop.h"

#define CS_DRIVER_TEXT 256

typedef struct cs_driver_opts {
    cs_loop *loop;
    cs_tasks *tasks;  /* child processes */
    const char *eif;  /* image file */
    const char *name; /* EnclaveName */
    uint32_t cid;     /* context id that the enclave is to have; the driver may choose another (cs_driver_ops.cid) */
    uint64_t memory_mib, cpu_count;
    bool debug;
    const char *tool;      /* program that starts it: path or name of nitro-cli, of QEMU */
    const char *dir;       /* run directory, mode 0700, for what the driver keeps */
    uint32_t peer_cid;     /* tests: where the enclave's vsock ports are dialled instead of its CID; 0: there */
    const char *vsock_dir; /* NULL: real AF_VSOCK. Else unix sockets of tests (docs/operations.md) */
    uint32_t start_ms;     /* deadline of the start */
} cs_driver_opts;

/* Called from the loop, never from within a call of the driver. */
typedef struct cs_driver_events {
    /* once after start: it runs (CS_OK), or why not; detail is one line for a person. After an error only free is allowed. */
    void (*started)(void *cookie, cs_err err, const char *detail);
    /* it has ended without having been asked to; once; only free is allowed then */
    void (*ended)(void *cookie, const char *why);
    /* once after stop: CS_OK: nothing of it is left; else what could not be done */
    void (*stopped)(void *cookie, cs_err err, const char *detail);
} cs_driver_events;

/* One enclave. Options and events are borrowed for its life. */
typedef struct cs_driver cs_driver;
typedef struct cs_driver_ops {
    const char *name; /* of --driver */
    /* the answer to an injection does not come through (hybrid.h): how it ended is asked of the enclave's status */
    bool answers_lost;
    /* start - begins; started follows on CS_OK. CS_E_NO_MEMORY | CS_E_LAUNCH | ... */
    cs_err (*start)(cs_driver **out, const cs_driver_opts *o, const cs_driver_events *ev, void *cookie);
    /* enclave_port - where the enclave's vsock port can be dialled from here; parent_port - where to listen for what it dials. */
    void (*enclave_port)(const cs_driver *d, cs_endpoint *out, uint32_t port);
    /* cid - which peer CID its connections have (CS_EP_CID_ANY: they come from unix sockets) */
    uint32_t (*cid)(const cs_driver *d);
    const char *(*id)(const cs_driver *d); /* EnclaveID, "" before it runs */
    /* look - there is a reason to think that it has ended: see now instead of at the next poll */
    void (*look)(cs_driver *d);
    /* stop - end it; stopped follows. In any state after start, once. */
    void (*stop)(cs_driver *d);
    /* free - forgets it; without stop before, an enclave goes on running. */
    void (*free)(cs_driver *d);
} cs_driver_ops;

/* cs_driver_parent_port - the listener for the parent's port: the same for all drivers. */
void cs_driver_parent_port(cs_endpoint *out, const char *vsock_dir, uint32_t port);

extern const cs_driver_ops cs_driver_nitro, cs_driver_qemu;

#endif
