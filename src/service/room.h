/*
 * A request of mpc.Participant/SignTx as a bridge between its room at the gateway and sign-core (docs/formats/rooms.md). All calls of
 * the same request share one bridge. For signtx.c, room.c and their tests.
 */
#ifndef CS_SERVICE_ROOM_H
#define CS_SERVICE_ROOM_H

#include "service/service.h"

#define CS_BRIDGE_STREAMS 16u /* streams to core of one request */
#define CS_BRIDGE_LINGER_MS 10000u
#define CS_BRIDGE_ENDS_MAX 32u /* END frames of one request */
#define CS_SIGNATURE_LEN 65u   /* r || s || recovery id */

typedef struct cs_sign_request {
    int32_t tx_id;
    cs_slice account_id;   /* cs_account_id_valid */
    cs_slice execution_id; /* 1..64 bytes */
    const uint8_t *digest32;
} cs_sign_request;

typedef struct cs_bridge cs_bridge;
/* One who waits for the signature; memory is the caller's, from join until fn is called or quit returns. */
typedef struct cs_sign_waiter cs_sign_waiter;
struct cs_sign_waiter {
    /* the answer, once, perhaps from within join: CS_OK and CS_SIGNATURE_LEN bytes, else NULL */
    void (*fn)(cs_sign_waiter *w, cs_err err, const uint8_t *signature);
    cs_bridge *bridge; /* internal */
    cs_sign_waiter *next, **prev;
};

/*
 * cs_bridge_join - wait for the signature of a request. On another result than CS_OK fn is not called: CS_E_ROOMS_OFF |
 * CS_E_SESSION_LIMIT | CS_E_EXECUTION_CONFLICT (the same request with another digest is under way) | CS_E_NO_MEMORY.
 */
CS_MUST cs_err cs_bridge_join(cs_service *s, const cs_sign_request *request, cs_sign_waiter *w);
/* cs_bridge_quit - waits no longer. */
void cs_bridge_quit(cs_sign_waiter *w);

/* The clear head of a frame that a client may send: where it belongs. */
typedef struct cs_room_head {
    bool hs1;                             /* else DATA */
    const uint8_t *channel16, *session16; /* session: DATA only */
} cs_room_head;
/* cs_room_head_parse - HS1 of its exact length, or DATA with at least one byte and a tag. CS_E_FORMAT: not for core. */
CS_MUST cs_err cs_room_head_parse(cs_room_head *out, cs_slice frame);

#endif
