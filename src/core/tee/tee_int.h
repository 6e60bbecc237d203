/* The state of the TEE service and of one call. For the files of core/tee/ only. */
#ifndef CS_CORE_TEE_INT_H
#define CS_CORE_TEE_INT_H

#include "core/core_int.h"
#include "core/tee/admit.h"
#include "core/tee/audit.h"
#include "core/tee/keys.h"
#include "core/tee/pool.h"
#include "core/tee/rates.h"
#include "core/tee/tee.h"
#include "core/tee/window.h"
#include "rpc/tee_rpc.h"
#include "secret/sign/scheme.h"

#define CS_TEE_REPLY_MAX (CS_RPC_MAX - 64u)          /* what a frame has room for */
#define CS_TEE_RESULT_MAX (CS_TEE_REPLY_MAX - 4096u) /* result and rows: leaves room for the entry */
#define CS_TEE_LATENCIES 14 /* histogram of calls: up to 2^i * 125 us, the last one all others */
#define CS_TEE_DOC_MAX CS_NSM_RESPONSE_MAX
#define CS_TEE_STATS_MAX 16384u

/* What one operation and one code have been counted. */
typedef struct cs_tee_counters {
    uint64_t calls[CS_TEE_NUM_OPS + 1]; /* by operation; 0: not known (it did not open) */
    uint64_t codes[CS_ERR_COUNT];
    uint64_t busy, repeated, sealed;
    uint64_t latency[CS_TEE_LATENCIES], latency_sum_us;
} cs_tee_counters;

/* One call. In the arena with all that belongs to it. */
typedef struct cs_tee_job {
    cs_task task;
    struct cs_tee_job *next, *prev; /* of all */
    cs_tee *tee;
    uint64_t id; /* of the frame */
    uint64_t started_ns;
    cs_share_set *set; /* held */
    bool sealed;
    uint8_t *mem; /* call, then attachments, as they came */
    cs_slice call_bytes, attached_bytes;
    cs_buf opened; /* of a sealed call */
    /* what open found; err: refused before the caller was known */
    cs_err err, attached_err;
    bool known; /* the caller is authentic, or nobody where nobody is wanted */
    cs_tee_call call;
    cs_tee_request r;
    cs_tee_attached attached;
    uint8_t hash32[32];      /* of the body */
    const cs_caller *caller; /* NULL: nobody */
    unsigned approvals;      /* that are good, by different approvers */
    /* what admit made */
    cs_tee_permit *permit;
    cs_key_want *want; /* num_wants of them, in the arena */
    size_t num_wants, pending;
    cs_buf given; /* what the main thread made for execute: a document, the statistics */
    /* what execute made */
    cs_buf plain, out; /* the result in clear; what leaves: blobs and a sealed result */
    cs_slice result;
    uint8_t result_hash32[32];
    bool reply_sealed;
    cs_tee_row *row; /* num_rows of them, in the arena */
    size_t num_rows;
    cs_scheme_public pub, *pubs; /* that row points to: of one row; of each row of Rotate, in the arena */
} cs_tee_job;

struct cs_tee {
    cs_core *core;
    cs_pool *pool;
    cs_keys *keys;
    cs_window *window;
    cs_rates *rates;
    cs_audit *audit;          /* arena */
    cs_secret32 *request_key; /* X25519, arena; read by workers */
    uint8_t request_pub[32];
    uint8_t vouch[CS_TEE_VOUCH_MAX];
    size_t vouch_len;
    cs_tee_job *first;
    size_t jobs;
    bool stopping;
    uint8_t *reply; /* arena: CS_RPC_MAX bytes, the reply being written */
    cs_tee_counters counters;
};

/* cs_tee_job_new - the frame's bytes and room for nothing else yet. CS_E_NO_MEMORY. cs_tee_job_free - wipes; leaves t's list. */
CS_MUST cs_err cs_tee_job_new(cs_tee_job **out, cs_tee *t, const cs_rpc_frame *f);
void cs_tee_job_free(cs_tee_job *j);
/* cs_tee_open - on a worker: opens, decodes, finds the caller, verifies signatures. Writes the job only. */
void cs_tee_open(cs_tee_job *j);
/* cs_tee_execute - on a worker: what the permit is for. Errors are codes of the reply. */
CS_MUST cs_err cs_tee_execute(const cs_tee_permit *p);
/* cs_tee_rotate - of execute.c, the operation with many rows. */
struct cs_tee_work;
CS_MUST cs_err cs_tee_rotate(struct cs_tee_work *w);
/* cs_tee_finish - on the main thread: audit entry, reply, the end of the job. */
void cs_tee_finish(cs_tee_job *j, cs_err code);
/* cs_tee_stats - the JSON of Stats, public. */
CS_MUST cs_err cs_tee_stats(cs_buf *out, const cs_tee *t);
/* cs_tee_key_allowed - the ARN is on the measured list. cs_tee_key_first - the one that seals. */
bool cs_tee_key_allowed(const cs_core_config *c, cs_slice arn);
cs_slice cs_tee_key_first(const cs_core_config *c);

#endif
