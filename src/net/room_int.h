/* Inside of room*.c: the pool of kept connections for requests, and the subscription of one room. */
#ifndef CS_NET_ROOM_INT_H
#define CS_NET_ROOM_INT_H

#include "net/http1.h"
#include "net/room.h"
#include "net/sse.h"

#define CS_GW_ANSWER_MAX (64u * 1024u)
#define CS_GW_HEAD_MAX 2048u /* of our own requests */
#define CS_GW_INTERIM_MAX 8u /* 1xx answers before the real one */
#define CS_GW_BACKOFF_MIN 50u
#define CS_GW_BACKOFF_MAX 1000u

typedef struct cs_gw_conn cs_gw_conn;

/* What is sent, shared by a request and the streams that still write it. */
typedef struct cs_gw_wire {
    unsigned refs;
    cs_buf bytes;
} cs_gw_wire;

struct cs_gateway_req {
    cs_gateway *g;
    cs_gateway_req *next, **prev;   /* all, in the order of their deadlines */
    cs_gateway_req *qnext, **qprev; /* those that wait for a connection; qprev NULL: not waiting */
    cs_gw_wire *wire;
    cs_gw_conn *conn;
    uint64_t deadline;
    unsigned tries;    /* ways on which it was sent or could not be */
    bool patient;      /* is sent again until the deadline, not once more only */
    cs_gateway_fn *fn; /* NULL: nobody waits */
    void *cookie;
};

/* The requests of a gateway and their connections. */
typedef struct cs_gw_pool {
    cs_gw_conn *conns, *idle; /* idle: a stack, the warmest first */
    size_t num_conns, conns_max;
    cs_gateway_req *all, **all_tail;
    cs_gateway_req *wait, **wait_tail;
    size_t num_reqs, reqs_max;
    cs_timer *tick; /* the first deadline, or the end of the hold */
    uint64_t hold;  /* no dial before this time: the last one failed */
    unsigned failures;
    cs_defer pump;
} cs_gw_pool;

struct cs_gateway {
    cs_loop *loop;
    cs_endpoint endpoint;
    cs_url url;
    uint16_t sender;
    uint32_t timeout_ms;
    cs_gw_pool pool;
    cs_room *rooms;
    size_t num_rooms, rooms_max;
    size_t held; /* bytes of events that are not complete, of all rooms */
    uint64_t random;
    cs_buf joined, body; /* scratch: a body that is sent, one that came */
    cs_gateway_stats stats;
};

/* ---- room_http.c ---- */
CS_MUST cs_err cs_gw_pool_init(cs_gateway *g, unsigned conns_max, size_t reqs_max);
void cs_gw_pool_cleanup(cs_gateway *g);
/* cs_gw_wire_new - head of a POST with room for body_len bytes of JSON, which the caller appends to (*out)->bytes. */
CS_MUST cs_err cs_gw_wire_new(cs_gw_wire **out, const cs_gateway *g, const char *path, size_t body_len);
void cs_gw_wire_unref(void *wire);
/* cs_gw_submit - takes wire on CS_OK. fn is called from the loop. CS_E_SESSION_LIMIT | CS_E_NO_MEMORY. */
CS_MUST cs_err cs_gw_submit(cs_gateway_req **out, cs_gateway *g, cs_gw_wire *wire_take, bool patient, cs_gateway_fn *fn,
                            void *cookie);
/* cs_gw_jitter - ms/2 .. ms. */
uint64_t cs_gw_jitter(cs_gateway *g, uint64_t ms);
/* cs_gw_backoff - of the nth failure in a row, from 1. */
uint64_t cs_gw_backoff(cs_gateway *g, unsigned failures);
/* cs_gw_json - the message's Content-Type is the given one, parameters aside. */
bool cs_gw_type_is(const cs_http1_msg *m, const char *type);

/* ---- room_sub.c: one subscription, made again when it breaks ---- */
typedef struct cs_gw_sub cs_gw_sub;
typedef struct cs_gw_sub_events {
    /* data of a new-message event; CS_E_CLOSED when the subscription was freed in it */
    cs_err (*on_message)(void *cookie, cs_slice json);
    void (*on_lost)(void *cookie, cs_err err); /* nothing comes any more; free it */
    void (*on_joined)(void *cookie);           /* once; may free it */
} cs_gw_sub_events;
typedef struct cs_gw_sub_args {
    const char *room; /* checked */
    cs_slice head;    /* at most CS_ROOM_HEAD_WANTED */
    uint32_t lost_ms;
    const cs_gw_sub_events *events;
    void *cookie;
} cs_gw_sub_args;
CS_MUST cs_err cs_gw_sub_new(cs_gw_sub **out, cs_gateway *g, const cs_gw_sub_args *args);
/* cs_gw_sub_free - also from within its events. */
void cs_gw_sub_free(cs_gw_sub *s);

#endif
