/* Inside of service.c, service_ports.c and control.c. */
#ifndef CS_HOST_SERVICE_INT_H
#define CS_HOST_SERVICE_INT_H

#include "host/service.h"

/* Of one replacement, from the command that asked for it. */
typedef struct cs_service_change {
    char eif[CS_HOST_PATH_MAX], age_uri[CS_HOST_PATH_MAX], shares_uri[CS_HOST_PATH_MAX], name[160];
    uint64_t memory_mib, cpu_count;
    bool debug;
} cs_service_change;

typedef struct cs_control cs_control;
typedef struct cs_service_ports cs_service_ports;
typedef struct cs_notify cs_notify;

struct cs_service {
    cs_service_opts o;
    cs_loop *loop;
    cs_tasks *tasks;
    cs_signal *signals[3];
    cs_service_ports *ports;
    cs_control *control;
    cs_notify *notify;
    cs_instance *active, *next, *old; /* serving or to serve; its replacement; the replaced one, draining */
    cs_instance_opts now;             /* what a restart starts */
    cs_service_change change[2];      /* texts of now and of a replacement */
    unsigned cid_tries;
    cs_pcr pcr0; /* of the file at the last start; zero: not known */
    cs_timer *again, *drain, *lease;
    uint32_t backoff_ms;
    uint64_t begun_ms, drain_until_ms, restarts, replacements;
    bool stopping, served;
    cs_err outcome, last;
    char why[CS_DRIVER_TEXT];
};

/* ---- service.c ---- */
/* cs_service_replace - begins; cs_control_done says how it ended. CS_E_REPLACE_BUSY | ... */
CS_MUST cs_err cs_service_replace(cs_service *s, const cs_service_change *c, char why[CS_DRIVER_TEXT]);
CS_MUST cs_err cs_service_reload(cs_service *s);
/* cs_service_admits - a connection of an enclave of ours. */
bool cs_service_admits(const cs_service *s, const cs_ep_peer *peer);

/* ---- service_ports.c ---- */
CS_MUST cs_err cs_service_ports_open(cs_service_ports **out, cs_service *s, char why[CS_DRIVER_TEXT]);
/* cs_service_ports_to - new connections of gRPC go to that enclave; those that are open stay where they are. */
CS_MUST cs_err cs_service_ports_to(cs_service_ports *p, const cs_endpoint *grpc);
/* cs_service_ports_draining - connections to the enclave before. cs_service_ports_cut - ends them. */
unsigned cs_service_ports_draining(const cs_service_ports *p);
void cs_service_ports_cut(cs_service_ports *p);
/* cs_service_ports_close - no new connections from outside. cs_service_ports_clients - open ones. */
void cs_service_ports_close(cs_service_ports *p);
unsigned cs_service_ports_clients(const cs_service_ports *p);
/* cs_service_ports_where - the listener of gRPC as bound. */
const cs_endpoint *cs_service_ports_where(const cs_service_ports *p);
typedef struct cs_service_bridge {
    const char *name;
    unsigned open;
    uint64_t total;
} cs_service_bridge;
size_t cs_service_ports_list(const cs_service_ports *p, cs_service_bridge out[8]);
/* cs_service_ports_kms - why nothing leads to KMS: of the last connection of an enclave, or KMS_PROXY_ENABLE is 0; why (written then
 * only) says where to. CS_OK: something does. */
cs_err cs_service_ports_kms(const cs_service_ports *p, char why[CS_DRIVER_TEXT]);
void cs_service_ports_free(cs_service_ports *p);

/* ---- control.c ---- */
CS_MUST cs_err cs_control_new(cs_control **out, cs_service *s);
/* cs_control_done - whoever waits for the replacement ('b'), the reload ('r') or either (0) hears how it ended. */
void cs_control_done(cs_control *c, char what, cs_err err, const char *detail);
void cs_control_free(cs_control *c);
/* cs_service_write_run - run.json, for scripts and for who cleans up after a kill. */
void cs_service_write_run(const cs_service *s);

/* ---- notify.c ---- */
/* cs_notify_new - nothing happens where NOTIFY_SOCKET is not set; with WATCHDOG_USEC it says that the loop turns. */
CS_MUST cs_err cs_notify_new(cs_notify **out, cs_loop *l);
/* cs_notify_say - e.g. "READY=1\nSTATUS=serving". */
void cs_notify_say(const cs_notify *n, const char *text);
void cs_notify_free(cs_notify *n);

#endif
