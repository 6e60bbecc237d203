/*
 * sign-gateway: gRPC (50050) and HTTP (8080) in front of sign-service (docs/formats/rooms.md). One loop, one thread. Sees
 * requests, digests and opaque, end-to-end encrypted messages; holds no keys. Files: main.c (options, life), settings.c (file,
 * environment, flags), http.c (requests), subscribe.c (event streams), rooms.c (broker), message.c (JSON), proxy.c (gRPC passed
 * through), health.c, pool.c (connections to the service).
 */
#ifndef CS_GATEWAY_GATEWAY_H
#define CS_GATEWAY_GATEWAY_H

#include "base/log.h"
#include "gateway/pool.h"
#include "gateway/rooms.h"
#include "gateway/tee_settings.h"
#include "gateway/telemetry.h"
#include "net/http1.h"

#define CS_GATE_ORIGINS_MAX 64
#define CS_GATE_ORIGIN_LEN 256

typedef struct cs_gate_config {
    cs_endpoint http, grpc, service;
    bool service_set;                                      /* by somebody, not by default */
    char origins[CS_GATE_ORIGINS_MAX][CS_GATE_ORIGIN_LEN]; /* of CORS; "*": all */
    size_t num_origins;
    cs_log_level log_level;
    cs_rooms_limits rooms;
    uint64_t http_conns, grpc_conns; /* at once */
    uint64_t request_bytes;          /* memory of HTTP requests, of all connections */
    uint64_t calls;                  /* at once, above: RESOURCE_EXHAUSTED */
    uint64_t call_bytes;             /* held for all calls, above: RESOURCE_EXHAUSTED */
    uint64_t attests;                /* /v1/attest at once */
    uint64_t service_conns;
    uint64_t service_wait_ms;
    uint64_t drain_ms;
    cs_tee_config tee;
    cs_telemetry_config telemetry;
} cs_gate_config;

typedef struct cs_gate {
    cs_gate_config config;
    cs_loop *loop;
    cs_rooms *rooms;
    cs_pool *pool;
    cs_http1_server *http;
    cs_grpc_server *grpc;
    cs_telemetry *telemetry;
    struct cs_tee *tee;            /* tee.h */
    struct cs_public *public_side; /* public.h */
    struct cs_gate_sub *subs;      /* subscribe.c */
    struct cs_gate_watch *watches; /* health.c */
    size_t num_watches;
    bool draining;  /* no new calls; not serving */
    size_t attests; /* under way */
    uint64_t held;  /* bytes of messages on their way through proxy.c */
} cs_gate;

/* http.c */
void cs_gate_http(void *gate, cs_http1_conn *conn, const cs_http1_msg *request);
void cs_gate_http_refuse(cs_http1_conn *conn, unsigned status, cs_err err);

/* What every answer has. Slices point into the configuration and the request. */
typedef struct cs_gate_headers {
    cs_http1_header h[12];
    size_t num;
} cs_gate_headers;
void cs_gate_headers_init(cs_gate_headers *h, const cs_gate *g, const cs_http1_msg *request, const char *content_type);
void cs_gate_headers_add(cs_gate_headers *h, const char *name, const char *value);
/* cs_gate_refuse - the answer {"code","cause","fix"}; status 0: the one of the error. */
void cs_gate_refuse(const cs_gate *g, cs_http1_conn *conn, const cs_http1_msg *request, unsigned status, cs_err err);
/* cs_gate_http_status - 400..504 for an error. */
unsigned cs_gate_http_status(cs_err err);

/* attest.c - POST /v1/attest */
void cs_gate_attest(cs_gate *g, cs_http1_conn *conn, const cs_http1_msg *request);

/* subscribe.c - GET /rooms/{room}/subscribe; query is what stands behind "?" (p NULL: nothing). */
void cs_gate_subscribe(cs_gate *g, cs_http1_conn *conn, const cs_http1_msg *request, cs_slice room, cs_slice query);
/* cs_gate_sub_tick - once a second: pings, and an end to those who do not read. cs_gate_subs_end - all streams end. */
void cs_gate_sub_tick(cs_gate *g);
void cs_gate_subs_end(cs_gate *g);

/* proxy.c, health.c - the gRPC methods, as tables that end with path NULL. */
extern const cs_grpc_method cs_gate_proxy_methods[];
extern const cs_grpc_method cs_gate_health_methods[];
/* cs_gate_health_changed - tells all who watch. */
void cs_gate_health_changed(void *gate);
/* cs_gate_serving - health, over gRPC and HTTP. cs_gate_watches_end - all who watch hear the last state, and their calls end. */
bool cs_gate_serving(const cs_gate *g);
void cs_gate_watches_end(cs_gate *g);

#endif
