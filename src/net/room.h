/*
 * A party at the gateway's rooms (docs/formats/rooms.md): one cs_gateway for each gateway, one cs_room for each membership.
 * HTTP/1.1 over any endpoint: subscriptions are connections of their own, requests share a pool of kept connections.
 * One loop, one thread. Bodies are opaque here; what the gateway answers is parsed as hostile.
 */
#ifndef CS_NET_ROOM_H
#define CS_NET_ROOM_H

#include "net/loop.h"

#define CS_ROOM_BODY_MAX (128u * 1024u)
#define CS_ROOM_NAME_MAX 128u
#define CS_ROOM_HEAD_WANTED 198u

typedef struct cs_url {
    char host[256];   /* as the Host header wants it: name or address, [v6], with ":port" unless it is 80 */
    char name[256];   /* to dial: without brackets and port */
    uint16_t port;    /* 80 when none is written */
    char prefix[256]; /* "" or "/a/b", without a slash at the end */
} cs_url;
/* cs_url_parse - http://HOST[:PORT][/PREFIX]. CS_E_FORMAT | CS_E_RANGE (port, length) | CS_E_UNSUPPORTED (scheme, user, query). */
CS_MUST cs_err cs_url_parse(cs_url *out, cs_slice text);

typedef struct cs_gateway cs_gateway;
typedef struct cs_gateway_config {
    cs_loop *loop;               /* borrowed */
    const cs_endpoint *endpoint; /* copied; where url is reached: tcp, unix or vsock */
    const cs_url *url;           /* copied */
    uint16_t sender;             /* own index in rooms */
    unsigned conns_max;          /* kept connections for requests; 0: 16 */
    unsigned rooms_max;          /* memberships at once; 0: 1024 */
    uint32_t timeout_ms;         /* connect, and one request; 0: 5 s */
} cs_gateway_config;
CS_MUST cs_err cs_gateway_new(cs_gateway **out, const cs_gateway_config *config);
/* cs_gateway_free - memberships and requests are gone, without callbacks. NULL is fine. Not from within a callback of it. */
void cs_gateway_free(cs_gateway *g);

/*
 * cs_gateway_post - POST prefix || path with a JSON body (copied). fn is called once, not from within this call: CS_OK and the
 * answer's body (status 200), or CS_E_CONNECT | CS_E_TIMEOUT | CS_E_CLOSED | CS_E_FORMAT | the code of the table that a refusal
 * {"code",..} names, else by status. *out (may be NULL) is for giving up.
 */
typedef struct cs_gateway_req cs_gateway_req;
typedef void cs_gateway_fn(void *cookie, cs_err err, unsigned status, cs_slice body);
CS_MUST cs_err cs_gateway_post(cs_gateway_req **out, cs_gateway *g, const char *path, cs_slice json, cs_gateway_fn *fn,
                               void *cookie);
/* cs_gateway_cancel - fn is not called any more. */
void cs_gateway_cancel(cs_gateway_req *r);

/* A membership: subscribed, and able to send. */
typedef struct cs_room cs_room;
typedef struct cs_room_events {
    /* a message of another sender whose receiver is null or we, base64 decoded; valid during the call. May leave the room. */
    void (*on_body)(void *cookie, cs_slice body);
    /* the gateway refuses (ROOM_*, NOT_FOUND...) or cannot be reached for lost_ms; no further callback: leave the room */
    void (*on_lost)(void *cookie, cs_err err);
    /* the first subscription is up: from here on the gateway keeps the room. Once; may leave the room; NULL: not wanted */
    void (*on_joined)(void *cookie);
} cs_room_events;
/*
 * cs_room_join - subscribes (?not_from=sender), resumes by Last-Event-ID after a broken connection (first again at once, then
 * with 50 ms..1 s and jitter). Events whose id was seen already are dropped; a resumed stream that begins at or below the last
 * id is of a new room, whose ids count anew. What a gateway sends beyond the limits, or that is not a message, is dropped or
 * breaks the connection. on_lost also when a body could not be sent. lost_ms 0: 10 s. name is copied, events borrowed. head is a hint: the gateway compares
 * whole groups of three bytes, so others may come too. CS_E_RANGE (name, head) | CS_E_SESSION_LIMIT (rooms_max) | CS_E_NO_MEMORY.
 */
typedef struct cs_room_args {
    const char *name;
    cs_slice
        head; /* only bodies that begin so are wanted (?prefix=; copied, at most CS_ROOM_HEAD_WANTED); len 0: all */
    uint32_t lost_ms;
    const cs_room_events *events;
    void *cookie;
} cs_room_args;
CS_MUST cs_err cs_room_join(cs_room **out, cs_gateway *g, const cs_room_args *args);
/*
 * cs_room_send - broadcast parts (joined, base64url, copied), in order: one request of a room is under way at a time. One that
 * failed on the way is sent again on new connections until timeout_ms is over: a receiver must bear a body that comes twice.
 * CS_E_TOO_LARGE | CS_E_RANGE (16 wait already) | CS_E_CLOSED (lost) | CS_E_NO_MEMORY.
 */
CS_MUST cs_err cs_room_send(cs_room *r, const cs_slice *parts, size_t num_parts);
/* cs_room_leave - at once for receiving; what was queued by cs_room_send is still sent. r is gone for the caller. */
void cs_room_leave(cs_room *r);
/* cs_gateway_stats - for status and tests. */
typedef struct cs_gateway_stats {
    uint64_t rooms_open, joined, resumed;
    uint64_t received, dropped; /* messages handed on; not: seen before, malformed, own, for others */
    uint64_t sent, failed;      /* broadcasts */
} cs_gateway_stats;
void cs_gateway_stats_get(const cs_gateway *g, cs_gateway_stats *out);

#endif
