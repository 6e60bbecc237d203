/*
 * One enclave from nothing to serving and to its end: fetch (IMDSv2, S3) - start (driver) - inject - serve - stop. The blocking parts
 * run in a child process, which alone ever holds credentials and ciphertext, in memory only.
 */
#ifndef CS_HOST_INSTANCE_H
#define CS_HOST_INSTANCE_H

#include "host/driver.h"
#include "host/host.h"

typedef enum cs_instance_state {
    CS_INST_FETCHING,
    CS_INST_STARTING,
    CS_INST_INJECTING,
    CS_INST_SERVING,
    CS_INST_STOPPING,
    CS_INST_ENDED,
} cs_instance_state;

typedef struct cs_instance_opts {
    const cs_driver_ops *ops;
    cs_driver_opts driver;
    cs_preload_opts preload; /* to and grpc are set here */
    bool no_preload;         /* up as soon as it answers, whatever its phase */
} cs_instance_opts;

typedef struct cs_instance cs_instance;
/* Called from the loop, never from within a call. */
typedef struct cs_instance_events {
    void (*started)(void *cookie, cs_instance *i); /* it runs and has its CID: connections may come from it */
    void (*up)(void *cookie, cs_instance *i);
    /* it is gone and nothing of it is left, or err says what could not be ended: free it. CS_OK: as asked. Once. */
    void (*down)(void *cookie, cs_instance *i, cs_err err, const char *detail);
    void (*reloaded)(void *cookie, cs_instance *i, cs_err err, const char *detail); /* the end of cs_instance_reload */
} cs_instance_events;

/* cs_instance_new - begins at once. Texts of the options are borrowed. */
CS_MUST cs_err cs_instance_new(cs_instance **out, const cs_instance_opts *o, const cs_instance_events *ev,
                               void *cookie);
/* cs_instance_stop - down follows, in any state. */
void cs_instance_stop(cs_instance *i);
/* cs_instance_reload - fetch and inject again; order as in cs_preload_opts ("k": credentials only). CS_E_REPLACE_BUSY. */
CS_MUST cs_err cs_instance_reload(cs_instance *i, const char *order);
/* cs_instance_look - something says that it may have ended. */
void cs_instance_look(cs_instance *i);
cs_instance_state cs_instance_state_of(const cs_instance *i);
const char *cs_instance_state_name(cs_instance_state s);
uint32_t cs_instance_cid(const cs_instance *i);
const char *cs_instance_id(const cs_instance *i);
const cs_instance_opts *cs_instance_options(const cs_instance *i);
/* cs_instance_grpc - where its gRPC is dialled. */
void cs_instance_grpc(const cs_instance *i, cs_endpoint *out);
/* cs_instance_expires_ms - of the credentials it was given last, since 1970; 0: none. */
uint64_t cs_instance_expires_ms(const cs_instance *i);
/* cs_instance_since_ms - monotonic time since which it serves; 0: it does not. */
uint64_t cs_instance_since_ms(const cs_instance *i);
/* cs_instance_fetched - the last preload or reload had everything and began to inject. */
bool cs_instance_fetched(const cs_instance *i);
/* cs_instance_free - an enclave that still runs goes on running. */
void cs_instance_free(cs_instance *i);

#endif
