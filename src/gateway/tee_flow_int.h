/* Inside of tee_flow*.c. */
#ifndef CS_GATEWAY_TEE_FLOW_INT_H
#define CS_GATEWAY_TEE_FLOW_INT_H

#include "gateway/tee_flow.h"

#define CS_TEE_BUCKETS 1024u
#define CS_TEE_NEW_KEYS 8u
#define CS_TEE_MESSAGE_MAX (256u * 1024u)

typedef struct cs_tee_flight cs_tee_flight;

struct cs_tee_waiter {
    cs_tee_flight *flight;
    cs_tee_waiter *next, **prev;
    cs_timer *timer;
    cs_tee_done_fn *done;
    void *cookie;
};

/* One call under way. */
struct cs_tee_flight {
    cs_tee_flow *flow;
    cs_tee_flight *next, **prev; /* of its bucket */
    cs_tee_waiter *waiters;
    cs_tee_ask ask;
    uint8_t hash32[32];
    size_t held; /* bytes counted in flow->bytes */
    cs_pool_call *call;
    cs_tel_call *seen; /* of the call to core */
    cs_timer *again;
    void (*step)(cs_tee_flight *fl); /* what `again` does */
    unsigned tries;
    bool entered;                     /* the audit entry is in the store */
    bool adopted;                     /* the row was one of an application, and is sealed now */
    bool unadopted;                   /* it is none */
    bool missing;                     /* a row that the operation is about is not in the store */
    cs_buf sent;                      /* attachments */
    cs_buf reply;                     /* core's */
    cs_buf told;                      /* what is given out */
    cs_err err;                       /* of core's reply */
    cs_tee_row rows[CS_TEE_ROWS_MAX]; /* into reply and sent */
    cs_err verdict[CS_TEE_ROWS_MAX];  /* of each row of the reply: CS_OK is to be stored */
    size_t num_rows;
};

/* The data key of the last rotation, for those that go on with it. */
typedef struct cs_tee_new_key {
    cs_buf asked; /* the KMS key as the request named it */
    cs_buf data_key;
} cs_tee_new_key;

struct cs_tee_flow {
    cs_tee_flow_config config;
    cs_tee_flight *buckets[CS_TEE_BUCKETS];
    cs_tee_new_key new_keys[CS_TEE_NEW_KEYS];
    unsigned new_turn;
    cs_tee_flow_stats stats;
};

/* tee_flow.c - the flight ends: all who wait get it. err CS_OK: what told says. */
void cs_tee_flight_end(cs_tee_flight *fl, cs_err err, const char *detail);
/* tee_flow.c - the flight ends with a reply that the store had. */
void cs_tee_flight_kept(cs_tee_flight *fl, cs_slice reply);
/* tee_flow.c - step(fl) after a while. */
void cs_tee_flight_later(cs_tee_flight *fl, void (*step)(cs_tee_flight *fl), uint64_t after_ms);
/* tee_flow_core.c - the rows that the operation is about, or none; to core with them, and on. */
void cs_tee_flight_fetch(cs_tee_flight *fl);
/* tee_flow_store.c - the error of a reply's code; core's reply is there. */
cs_err cs_tee_code_of(cs_slice code);
void cs_tee_flight_reply(cs_tee_flight *fl);
/* the data key of an earlier rotation to this KMS key; p NULL: none. */
cs_slice cs_tee_new_key_find(const cs_tee_flow *f, cs_slice asked);
void cs_tee_new_key_put(cs_tee_flow *f, cs_slice asked, cs_slice data_key);
/* the KMS key that a Rotate names */
cs_slice cs_tee_rotate_kms_key(const cs_tee_ask *ask);

#endif
