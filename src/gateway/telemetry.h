/*
 * Telemetry of the gateway (docs/formats/telemetry.md): figures of the TEE service at GET /metrics, of its own listener, and spans and
 * metrics to an OTLP collector. Calls are counted here and nowhere else; figures of core come from its status, asked every few seconds.
 * Never: callers, records, contents, keys. One loop, one thread; what a collector does cannot hold it up.
 */
#ifndef CS_GATEWAY_TELEMETRY_H
#define CS_GATEWAY_TELEMETRY_H

#include "gateway/pool.h"
#include "net/http1.h"
#include "net/trace.h"
#include "net/yaml.h"

#define CS_TEL_URL_MAX 512
#define CS_TEL_OFF "off"
#define CS_TEL_LISTEN "127.0.0.1:9464" /* the default; when it is in use the gateway goes on without */

typedef struct cs_telemetry_config {
    char listen[CS_EP_TEXT_MAX];  /* endpoint or HOST:PORT; "off": none */
    bool listen_set;              /* by somebody: then it must be free */
    char otlp[CS_TEL_URL_MAX];    /* http(s)://HOST:PORT of a collector; "": none */
    char otlp_ca[CS_TEL_URL_MAX]; /* PEM of its certificate authority; "": the system's */
    uint64_t otlp_ms;             /* between two exports */
    uint64_t poll_ms;             /* between two questions for core's status */
} cs_telemetry_config;

/* Settings `telemetry:` of the file: names by position (NULL at the end), defaults, reading. CS_E_CONFIG with *fault. */
extern const char *const cs_telemetry_keys[];
#define CS_TEL_NUM_KEYS 5
void cs_telemetry_config_default(cs_telemetry_config *out);
CS_MUST cs_err cs_telemetry_config_file(cs_telemetry_config *io, cs_yaml_fault *fault, const cs_yaml *y);
/* cs_telemetry_endpoint - HOST:PORT, or what cs_endpoint_parse reads; errors of that. */
CS_MUST cs_err cs_telemetry_endpoint(cs_endpoint *out, const char *text);
/* cs_telemetry_config_check - what flags and environment may have set. CS_E_CONFIG with *fault. */
CS_MUST cs_err cs_telemetry_config_check(const cs_telemetry_config *c, cs_yaml_fault *fault);
/* cs_telemetry_config_print - append the group as YAML. CS_E_RANGE | CS_E_NO_MEMORY. */
CS_MUST cs_err cs_telemetry_config_print(cs_buf *out, const cs_telemetry_config *c);

typedef struct cs_telemetry cs_telemetry;
/* cs_telemetry_new - config is copied; pool borrowed. Errors of cs_endpoint_parse and cs_endpoint_listen; why256 says more. */
CS_MUST cs_err cs_telemetry_new(cs_telemetry **out, cs_loop *l, cs_pool *pool, const cs_telemetry_config *config,
                                char why256[256]);
/* cs_telemetry_at - where /metrics is served; NULL: nowhere. */
const cs_endpoint *cs_telemetry_at(const cs_telemetry *t);
/* cs_telemetry_close - what is queued for a collector is sent, see cs_otlp_export_free; /metrics ends. */
void cs_telemetry_close(cs_telemetry *t);
/* cs_telemetry_free - no call may be under way. */
void cs_telemetry_free(cs_telemetry *t);

/*
 * One request on its way: at the gateway's door (span tee.server.call) or from the gateway to core (tee.client.request). NULL is a call that
 * is not counted (no telemetry, no memory): all functions take it.
 */
typedef struct cs_tel_call cs_tel_call;
typedef enum cs_tel_door { CS_TEL_GRPC, CS_TEL_HTTP } cs_tel_door;
/* cs_tel_begin - a request at the door; headers as they came, see cs_trace_header. */
cs_tel_call *cs_tel_begin(cs_telemetry *t, cs_tel_door door, const cs_trace_headers *h);
/* cs_tel_begin_grpc, cs_tel_begin_http - the same from a call's metadata, from the headers of a request. */
cs_tel_call *cs_tel_begin_grpc(cs_telemetry *t, const cs_grpc_call *call);
cs_tel_call *cs_tel_begin_http(cs_telemetry *t, const cs_http1_msg *request);
/* cs_tel_core - what goes to core; of: the trace that it belongs to (NULL: a new one). */
cs_tel_call *cs_tel_core(cs_telemetry *t, const cs_trace *of);
/* cs_tel_ask - what it is about: number of the operation (0: not known), request id (16 bytes, or NULL). */
void cs_tel_ask(cs_tel_call *c, uint64_t op, const uint8_t *id16);
/* cs_tel_trace - for what comes behind; NULL for NULL. */
const cs_trace *cs_tel_trace(const cs_tel_call *c);
/* cs_tel_headers - traceparent and tracestate for cs_grpc_begin; they point into *mem and the call. Returns how many, 0..2. */
#define CS_TEL_HEADERS 2
size_t cs_tel_headers(cs_grpc_header out[CS_TEL_HEADERS], uint8_t mem[CS_TRACE_PARENT_LEN], const cs_tel_call *c);
/* cs_tel_end - counted, and freed. cs_tel_gone - the same; nobody waited for the end any more. */
void cs_tel_end(cs_tel_call *c, cs_err err);
void cs_tel_gone(cs_tel_call *c);

/* cs_telemetry_gate - the start-up gate. cs_telemetry_gate_checked - one check of it, with its result. t may be NULL. */
typedef enum cs_tel_gate { CS_TEL_GATE_OFF, CS_TEL_GATE_CLOSED, CS_TEL_GATE_OPEN } cs_tel_gate;
void cs_telemetry_gate(cs_telemetry *t, cs_tel_gate state);
void cs_telemetry_gate_checked(cs_telemetry *t, cs_err result);

#endif
