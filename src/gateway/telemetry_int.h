/* Inside of telemetry*.c. */
#ifndef CS_GATEWAY_TELEMETRY_INT_H
#define CS_GATEWAY_TELEMETRY_INT_H

#include "gateway/telemetry.h"
#include "net/otlp_export.h"
#include "net/prom.h"
#include "rpc/tee_rpc.h"

#define CS_TEL_OPS (CS_TEE_NUM_OPS + 1) /* 0: not known */
enum { CS_TEL_SERVER, CS_TEL_CLIENT, CS_TEL_KINDS };
enum { CS_TEL_DOORS = 2 };

struct cs_tel_call {
    cs_telemetry *t;
    unsigned kind, op;
    cs_tel_door door;
    uint64_t began_ns; /* monotonic */
    bool has_id;
    uint8_t id[CS_TEE_ID_LEN];
    cs_trace trace;
};

/* Of calls that ended, by kind. */
typedef struct cs_tel_figures {
    uint64_t begun[CS_TEL_OPS], open, gone;
    uint64_t errors[CS_TEL_OPS][CS_ERR_COUNT];
    cs_prom_histogram latency[CS_TEL_OPS];
} cs_tel_figures;

/* What core said last. Counters are of its boot: they begin anew with it. */
typedef struct cs_tel_core_figures {
    bool up, has_tee;
    uint64_t workers, queue, queue_limit, busy, repeated, unreadable;
    uint64_t calls[CS_TEL_OPS], codes[CS_ERR_COUNT];
    cs_prom_histogram latency, kms_latency;
    uint64_t kms_calls, kms_errors, kms_under_way, cache_hits, cached;
    uint64_t audit_counter, memory_used, memory_size;
    uint64_t credentials_expire_ms;
    char credentials[16], phase[16];
} cs_tel_core_figures;

struct cs_telemetry {
    cs_loop *loop;
    cs_pool *pool;
    cs_telemetry_config config;
    cs_prom_server *server;
    cs_tel_figures figures[CS_TEL_KINDS];
    uint64_t doors[CS_TEL_OPS][CS_TEL_DOORS];
    cs_tel_gate gate;
    uint64_t gate_checks[CS_ERR_COUNT];
    cs_tel_core_figures core;
    uint64_t polls_failed;
    cs_timer *poll;
    cs_pool_call *asked; /* for core's status */
    cs_buf status;
    uint64_t started_ms;    /* since 1970 */
    uint64_t epoch_ns;      /* wall clock minus monotonic clock */
    cs_otlp_exporter *otlp; /* NULL: no collector */
    cs_timer *otlp_timer;
};

/* telemetry_table.c - what /metrics says. cookie: the telemetry. */
CS_MUST cs_err cs_tel_put(cs_buf *out, void *cookie);
/* cs_tel_op_name - "Sign"; "unknown" for 0. */
const char *cs_tel_op_name(unsigned op);
/*
 * telemetry_core.c - asks for core's status now and then. cs_tel_core_read - the figures of one status document; what is not in it is 0.
 * CS_E_FORMAT.
 */
CS_MUST cs_err cs_tel_core_open(cs_telemetry *t);
void cs_tel_core_close(cs_telemetry *t);
CS_MUST cs_err cs_tel_core_read(cs_tel_core_figures *out, cs_slice json);

/* telemetry_otlp.c - spans and metrics for a collector; nothing when there is none. end_ns: monotonic. */
CS_MUST cs_err cs_tel_otlp_open(cs_telemetry *t);
void cs_tel_otlp_call(const cs_tel_call *c, cs_err err, uint64_t end_ns);
void cs_tel_otlp_close(cs_telemetry *t);

#endif
