/* grpc.health.v1.Health of the gateway: it serves while the service behind it says that it does. */
#include <stdlib.h>
#include <string.h>

#include "gateway/gateway.h"
#include "net/health.pb-c.h"

#define WATCHES_MAX 256 /* they last as long as their clients like, and count as calls */

typedef Grpc__Health__V1__HealthCheckResponse__ServingStatus serving_status;
#define SERVING GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING
#define NOT_SERVING GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING
#define SERVICE_UNKNOWN GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN

bool cs_gate_serving(const cs_gate *g)
{
    return !g->draining && cs_pool_serving(g->pool);
}

/* One Watch; the service of that name is known. */
typedef struct cs_gate_watch {
    struct cs_gate_watch *next, **prev;
    cs_grpc_call *call;
    bool known; /* else the stream stays open, as the protocol has it, and hears nothing more */
    int told;   /* -1: nothing yet */
} cs_gate_watch;

static bool known_service(const char *name)
{
    static const char *const known[] = {"", "mpc.SignGateway", "mpc.Participant", "countersign.v1.Party",
                                        "countersign.v1.Enclave"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcmp(name, known[i]) == 0) {
            return true;
        }
    }
    return false;
}

static cs_err send_status(cs_grpc_call *call, serving_status status)
{
    Grpc__Health__V1__HealthCheckResponse out = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    uint8_t bytes[16];
    out.status = status;
    cs_slice part = cs_slice_of(bytes, protobuf_c_message_pack(&out.base, bytes));
    return cs_grpc_send(call, &part, 1);
}

static serving_status now(const cs_gate *g)
{
    return cs_gate_serving(g) ? SERVING : NOT_SERVING;
}

/* The request's service is known? CS_E_FORMAT: not a request. */
static cs_err asked(bool *out_known, cs_slice message)
{
    Grpc__Health__V1__HealthCheckRequest *in =
        grpc__health__v1__health_check_request__unpack(NULL, message.len, message.p);
    if (in == NULL) {
        return CS_E_FORMAT;
    }
    *out_known = known_service(in->service);
    grpc__health__v1__health_check_request__free_unpacked(in, NULL);
    return CS_OK;
}

static void on_check(cs_grpc_call *call, cs_slice message)
{
    bool known = false;
    if (asked(&known, message) != CS_OK) {
        cs_grpc_finish_as(call, CS_GRPC_INTERNAL, CS_E_FORMAT, "protobuf");
    } else if (!known) {
        cs_grpc_finish(call, CS_E_NOT_FOUND, NULL);
    } else {
        cs_grpc_finish(call, send_status(call, now(cs_grpc_call_server_cookie(call))), NULL);
    }
}

static void tell(cs_gate_watch *w)
{
    serving_status status = w->known ? now(cs_grpc_call_server_cookie(w->call)) : SERVICE_UNKNOWN;
    if ((int)status != w->told && send_status(w->call, status) == CS_OK) {
        w->told = (int)status;
    } /* else: the client does not read; on_drain tries again */
}

void cs_gate_health_changed(void *gate)
{
    cs_gate *g = gate;
    for (cs_gate_watch *w = g->watches; w != NULL; w = w->next) {
        tell(w);
    }
}

static void on_watch_open(cs_grpc_call *call, void *server_cookie)
{
    (void)server_cookie;
    cs_grpc_call_set_cookie(call, NULL);
}

static void on_watch_gone(cs_grpc_call *call)
{
    cs_gate_watch *w = cs_grpc_call_cookie(call);
    if (w != NULL) {
        *w->prev = w->next;
        if (w->next != NULL) {
            w->next->prev = w->prev;
        }
        ((cs_gate *)cs_grpc_call_server_cookie(call))->num_watches--;
        cs_grpc_call_set_cookie(call, NULL);
        free(w);
    }
}

void cs_gate_watches_end(cs_gate *g)
{
    cs_gate_health_changed(g);
    while (g->watches != NULL) {
        cs_grpc_call *call = g->watches->call;
        on_watch_gone(call);
        cs_grpc_finish(call, CS_E_CLOSED, NULL);
    }
}

static void on_watch(cs_grpc_call *call, cs_slice message)
{
    cs_gate *g = cs_grpc_call_server_cookie(call);
    bool known = false;
    if (asked(&known, message) != CS_OK) {
        cs_grpc_finish_as(call, CS_GRPC_INTERNAL, CS_E_FORMAT, "protobuf");
        return;
    }
    cs_gate_watch *w = g->num_watches < WATCHES_MAX ? calloc(1, sizeof *w) : NULL;
    if (w == NULL) {
        cs_grpc_finish(call, g->num_watches < WATCHES_MAX ? CS_E_NO_MEMORY : CS_E_SESSION_LIMIT, NULL);
        return;
    }
    g->num_watches++;
    *w = (cs_gate_watch){.call = call, .known = known, .told = -1, .next = g->watches, .prev = &g->watches};
    if (g->watches != NULL) {
        g->watches->prev = &w->next;
    }
    g->watches = w;
    cs_grpc_call_set_cookie(call, w);
    tell(w);
}

static void on_watch_drain(cs_grpc_call *call)
{
    cs_gate_watch *w = cs_grpc_call_cookie(call);
    if (w != NULL) {
        tell(w);
    }
}

const cs_grpc_method cs_gate_health_methods[] = {
    {.path = "/grpc.health.v1.Health/Check", .on_message = on_check},
    {.path = "/grpc.health.v1.Health/Watch",
     .server_streams = true,
     .on_open = on_watch_open,
     .on_message = on_watch,
     .on_drain = on_watch_drain,
     .on_gone = on_watch_gone},
    {0},
};
