/* Inside of room.c and room_flow.c. */
#ifndef CS_SERVICE_ROOM_INT_H
#define CS_SERVICE_ROOM_INT_H

#include "codec/hello.h"
#include "net/room.h"
#include "service/room.h"

#define CS_BRIDGE_BUCKETS 1024u
#define CS_FLOW_NAME 16u

/* How far core has answered on a stream: it gives way to new ones in this order. */
typedef enum cs_flow_proven { CS_SAID_NOTHING, CS_SAID_HS2, CS_SAID_DATA } cs_flow_proven;

/* A stream to core. session is set by what core answers, as anybody can name one. */
typedef struct cs_flow {
    cs_bridge *bridge; /* NULL: the slot is free */
    uint64_t id;
    uint64_t opened; /* counts the flows of a bridge */
    bool set_up;     /* began with HS1 */
    bool bound;      /* session is known */
    cs_flow_proven proven;
    uint8_t channel[CS_FLOW_NAME], session[CS_FLOW_NAME];
} cs_flow;

struct cs_bridge {
    cs_service *service;
    cs_bridge *next, **prev;   /* of the bucket */
    cs_bridge *lnext, **lprev; /* of those that linger, oldest first; lprev NULL: it does not */
    cs_sign_waiter *waiters;
    cs_room *room;
    cs_timer *timer;
    uint64_t wait_id; /* of SIGN_WAIT; 0: answered */
    uint64_t heard;   /* when core last said something in a session */
    uint64_t num_flows;
    unsigned ends;
    cs_err why; /* what a session came to; told when silence follows */
    bool signed_;
    bool in_room;    /* the subscription is up */
    bool answer_due; /* a remembered answer waits for that */
    uint8_t signature[CS_SIGNATURE_LEN];
    int32_t tx_id;
    uint8_t digest[32];
    uint8_t account_len, execution_len;
    uint8_t account[CS_HELLO_MAX_ACCOUNT], execution[CS_HELLO_MAX_EXECUTION];
    cs_flow flows[CS_BRIDGE_STREAMS];
};

struct cs_service_rooms {
    cs_gateway *gateway;
    cs_idmap waits, flows; /* ids of core's frames -> cs_bridge, cs_flow */
    cs_bridge *buckets[CS_BRIDGE_BUCKETS];
    cs_bridge *lingering, **lingering_tail;
    size_t num, num_lingering, num_max;
};

/* ---- room.c ---- */
cs_slice cs_bridge_account(const cs_bridge *b);
cs_slice cs_bridge_execution(const cs_bridge *b);
/* cs_bridge_frame - SIGN_WAIT or PARTY_ROOM of the request; points into b. */
cs_rpc_frame cs_bridge_frame(const cs_bridge *b, cs_rpc_type type, uint64_t id);

/* ---- room_flow.c ---- */
/* cs_flow_body - a body of the room: to core, or dropped. */
void cs_flow_body(cs_bridge *b, cs_slice bytes);
/* cs_flow_send, cs_flow_end - what core says of a flow; after the end it is free. */
void cs_flow_send(cs_flow *f, cs_slice frame);
void cs_flow_end(cs_flow *f, cs_err err);
/* cs_flow_free - tell_core: PARTY_CLOSE. */
void cs_flow_free(cs_flow *f, bool tell_core);

#endif
