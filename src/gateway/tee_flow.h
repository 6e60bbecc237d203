/*
 * The way of one TEE call through the gateway (docs/formats/tee.md, "Between the programs", "Idempotency"): the request id is entered,
 * rows come from the store, both go to core, what core answers is stored in one transaction and only then given out. Requests with the same
 * id and bytes that come while one is under way wait for that one. Nothing here blocks: the store answers through callbacks.
 *
 * A caller that does not wait long enough gets TEE_TIMEOUT; the call goes on, and its result is stored for the retry.
 */
#ifndef CS_GATEWAY_TEE_FLOW_H
#define CS_GATEWAY_TEE_FLOW_H

#include "gateway/pool.h"
#include "gateway/tee_entries.h"
#include "gateway/tee_shape.h"
#include "gateway/telemetry.h"
#include "store/store.h"

typedef struct cs_tee_flow cs_tee_flow;
typedef struct cs_tee_waiter cs_tee_waiter;

typedef struct cs_tee_flow_config {
    cs_loop *loop;
    cs_pool *pool;
    cs_store *store;
    const char *
        adopt_column; /* "": none; else Import and Seal of a row that an application has in the clear there seal it in place */
    cs_telemetry *telemetry; /* or NULL */
    cs_tee_entries *entries; /* is told what was stored and what was not; or NULL */
    size_t calls;            /* under way at once, above: TEE_BUSY */
    size_t bytes;            /* of requests and replies under way, above: TEE_BUSY */
    uint32_t timeout_ms;     /* a caller waits so long */
    uint32_t core_ms;        /* core's answer is waited for so long */
    /* CS_OK, or why no operation may go on now; *detail more of it */
    cs_err (*may)(void *cookie, const cs_tee_op_row *op, const char **detail);
    void *may_cookie;
} cs_tee_flow_config;

/*
 * How a call ended. reply: core's, with rows reduced to record, code and version; empty when core gave none. When its code is not that of
 * err the gateway refuses what core did or said (the store has another version, the record is not there): nothing of the result holds then.
 */
typedef struct cs_tee_outcome {
    cs_err err;
    const char *detail;
    cs_slice reply;
} cs_tee_outcome;
typedef void cs_tee_done_fn(void *cookie, const cs_tee_outcome *o);

CS_MUST cs_err cs_tee_flow_new(cs_tee_flow **out, const cs_tee_flow_config *config);
/* cs_tee_flow_free - after the store: no callback any more, of either side. */
void cs_tee_flow_free(cs_tee_flow *f);

/*
 * cs_tee_flow_call - takes what ask holds (it is empty afterwards, on errors too). done is called once, later, unless cs_tee_flow_leave came
 * before. timeout_ms: of the caller, when shorter than ours. CS_E_TEE_BUSY | CS_E_NO_MEMORY | CS_E_REQUEST_REPLAY | what `may` says; *detail.
 */
CS_MUST cs_err cs_tee_flow_call(cs_tee_waiter **out, cs_tee_flow *f, const char **detail, cs_tee_ask *ask_take,
                                uint64_t timeout_ms, cs_tee_done_fn *done, void *cookie);
/* cs_tee_flow_leave - the caller has gone; the call goes on. */
void cs_tee_flow_leave(cs_tee_waiter *w);

typedef struct cs_tee_flow_stats {
    uint64_t calls, busy, timeouts, joined, kept; /* kept: answered from the store */
    size_t under_way, bytes;
} cs_tee_flow_stats;
void cs_tee_flow_stats_get(const cs_tee_flow *f, cs_tee_flow_stats *out);

#endif
