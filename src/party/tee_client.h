/*
 * One caller of the TEE service: makes requests, sends them, and believes answers only when the audit entry says that the attested enclave gave
 * them to this request. All functions but new and free may be called from several threads at once; they block.
 */
#ifndef CS_PARTY_TEE_CLIENT_H
#define CS_PARTY_TEE_CLIENT_H

#include "party/tee_body.h"
#include "tee/rows.h"
#include "tee/trust.h"

typedef struct cs_tee_client cs_tee_client;

typedef struct cs_tee_client_config {
    cs_tee_link *link;               /* borrowed */
    const cs_tee_identity *identity; /* borrowed; NULL: no caller */
    const cs_att_options *att;       /* borrowed; its nonce is set here */
    cs_tee_patience patience;
    uint64_t attest_every_ms;
    bool seal_all;
} cs_tee_client_config;

/* cs_tee_client_new - sends nothing. CS_E_NO_MEMORY. cs_tee_client_free - no call may be under way; NULL is fine. */
CS_MUST cs_err cs_tee_client_new(cs_tee_client **out, const cs_tee_client_config *config);
void cs_tee_client_free(cs_tee_client *c);

/* A request. `request` has row, fields and records; id, time and caller are put in here. Slices borrow. */
typedef struct cs_tee_ask {
    cs_tee_request request;
    const cs_slice *records; /* that the gateway attaches rows of */
    size_t num_records;
    cs_slice data_key, kms_key;
    const uint8_t *id16; /* NULL: fresh */
    uint64_t time_ms;    /* 0: now */
    uint32_t timeout_ms; /* 0: of the configuration */
    const cs_tee_approval *approvals;
    size_t num_approvals;
    const cs_trace *trace; /* the span that asks; NULL: a new trace begins */
} cs_tee_ask;

/* What came. The zero state is empty; cs_tee_answer_free wipes and frees. */
typedef struct cs_tee_answer {
    uint8_t id16[CS_TEE_ID_LEN];
    uint64_t time_ms;
    unsigned attempts;
    cs_buf bytes, plain; /* the reply (public); the opened result (arena) */
    cs_tee_reply reply;
    bool audited;         /* entry and head are set */
    cs_tee_entry entry;   /* within reply */
    uint8_t head32[32];   /* its hash */
    cs_trace trace;       /* of the request */
    cs_tee_result result; /* valid on CS_OK; secret where the operation's is */
} cs_tee_answer;
void cs_tee_answer_free(cs_tee_answer *a);

/* cs_tee_client_body - the body only; nothing is sent. id16 and time_ms must be given: CS_E_USAGE. Errors of cs_tee_body_make. */
CS_MUST cs_err cs_tee_client_body(cs_tee_body *out, const cs_tee_client *c, const cs_tee_ask *ask);
/*
 * cs_tee_client_call - one request to its end. out is valid on errors too, as far as it came. CS_OK | CS_E_USAGE (the operation needs a caller) | what
 * the reply's code says | errors of cs_tee_exchange, cs_tee_boot_verify, cs_tee_body_make | CS_E_AUDIT_CHAIN | CS_E_AUTH (a sealed
 * result does not open) | CS_E_CHANNEL_UNKNOWN (the enclave was restarted and id16 is given: nothing was done) | CS_E_NO_MEMORY.
 */
CS_MUST cs_err cs_tee_client_call(cs_tee_client *c, cs_tee_answer *out, const cs_tee_ask *ask);
/* cs_tee_client_attest - over the caller's nonce (16..512 bytes); the verified document is out->result.f[0].s. */
CS_MUST cs_err cs_tee_client_attest(cs_tee_client *c, cs_tee_answer *out, const cs_tee_ask *ask);
/* cs_tee_client_rows - a page of the gateway's records, with this client's patience: cs_tee_page_get. */
CS_MUST cs_err cs_tee_client_rows(cs_tee_client *c, cs_tee_page *out, const cs_tee_page_ask *ask);

#endif
