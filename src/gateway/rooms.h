/*
 * Rooms in memory (docs/formats/rooms.md): names, messages with their history, subscribers with a position of their own, unique
 * indices, all of it bounded. No I/O and no clock: the caller tells the time. One thread.
 *
 * This is the seam for other brokers: the gateway's HTTP side knows rooms by these functions only. A message is handed over
 * once, as the bytes that every subscriber gets, and is shared by reference. Publishing and counting answer through a callback,
 * which this broker calls before it returns and one over a network may call later.
 */
#ifndef CS_GATEWAY_ROOMS_H
#define CS_GATEWAY_ROOMS_H

#include "base/bytes.h"

#define CS_ROOMS_NAME_MAX 128u
#define CS_ROOMS_FROM_START UINT64_MAX /* cs_rooms_subscribe: no id has been seen */
#define CS_ROOMS_ALL_SENDERS (-1)
#define CS_ROOMS_PREFIX_MAX 264u

typedef struct cs_rooms cs_rooms;
typedef struct cs_room_sub cs_room_sub;

typedef struct cs_rooms_limits {
    size_t rooms;            /* names at once */
    size_t messages;         /* of one room */
    size_t bytes;            /* of the messages of one room, as stored */
    size_t bytes_all;        /* of all messages, as stored */
    size_t subscribers;      /* of one room */
    size_t subscribers_all;  /* in all */
    uint64_t idle_ms;        /* without subscriber and message: forgotten */
    uint64_t max_ms;         /* of a room's life */
    size_t subscriber_queue; /* bytes that may be sent to a room while a subscriber takes nothing */
} cs_rooms_limits;

/* The bytes of one message, shared. */
typedef struct cs_room_text {
    unsigned refs;
    uint16_t sender;
    uint16_t body_at; /* where the message's body (base64url) begins in bytes */
    size_t len;
    uint8_t bytes[];
} cs_room_text;
/* cs_room_text_new - one reference, len bytes to be filled in, or NULL. _release takes one away; cookie is the text. */
cs_room_text *cs_room_text_new(size_t len, uint16_t sender);
void cs_room_text_release(void *text);

/* Makes the bytes of message `id`; called once per message, when it has been admitted. NULL: no memory. */
typedef cs_room_text *cs_room_render(void *cookie, uint64_t id);
/* The answer: n is an id (publish), or a unique index. */
typedef void cs_rooms_fn(void *cookie, cs_err err, uint64_t n);

typedef struct cs_room_sub_events {
    void (*more)(void *cookie); /* cs_room_sub_next has something again; must call nothing of this file but that */
    void (*end)(void *cookie);  /* the room has ended, or the subscriber is too slow; the subscription is gone */
} cs_room_sub_events;

CS_MUST cs_err cs_rooms_new(cs_rooms **out, const cs_rooms_limits *limits);
/* cs_rooms_free - subscriptions are gone without a callback. */
void cs_rooms_free(cs_rooms *r);

/* cs_rooms_name_ok - 1..128 of A-Za-z0-9_.- */
bool cs_rooms_name_ok(cs_slice name);

/*
 * cs_rooms_publish - len: bytes that render will make, at most. done: CS_OK and the id | CS_E_ROOM_FULL (messages or bytes of
 * this room) | CS_E_ROOM_LIMIT (of all rooms) | CS_E_NO_MEMORY. Names were checked by the caller, here and below.
 */
typedef struct cs_room_post {
    size_t len;
    cs_room_render *render;
    void *cookie; /* of render */
} cs_room_post;
void cs_rooms_publish(cs_rooms *r, cs_slice name, uint64_t now, const cs_room_post *post, cs_rooms_fn *done,
                      void *cookie);
/* cs_rooms_unique - the next index of the room, from 0. done: CS_OK | CS_E_ROOM_LIMIT | CS_E_NO_MEMORY. */
void cs_rooms_unique(cs_rooms *r, cs_slice name, uint64_t now, cs_rooms_fn *done, void *cookie);

/*
 * cs_rooms_subscribe - messages behind after_id (CS_ROOMS_FROM_START: all; beyond the last id: all, as that was another life of
 * the room) but for those of sender not_from (CS_ROOMS_ALL_SENDERS: none left out) and those whose body does not begin with
 * prefix (base64url text of at most CS_ROOMS_PREFIX_MAX bytes, copied; len 0: all). events are not called from within this.
 * CS_E_ROOM_FULL (subscribers of this room) | CS_E_ROOM_LIMIT (in all) | CS_E_NO_MEMORY.
 */
typedef struct cs_room_want {
    uint64_t after_id;
    int not_from;
    cs_slice prefix;
    const cs_room_sub_events *events; /* borrowed */
    void *cookie;
} cs_room_want;
CS_MUST cs_err cs_rooms_subscribe(cs_rooms *r, cs_room_sub **out, cs_slice name, uint64_t now,
                                  const cs_room_want *want);
/* cs_room_sub_next - the next message (a reference, to be released by the caller), or NULL: wait for `more`. */
cs_room_text *cs_room_sub_next(cs_room_sub *s);
/* cs_rooms_unsubscribe - no more callbacks. */
void cs_rooms_unsubscribe(cs_rooms *r, cs_room_sub *s, uint64_t now);

/*
 * cs_rooms_call_begin - a call is served by this room: returns a ticket for cs_rooms_call_end (0: the room could not be made).
 * When the last call of a room ends well and nobody is subscribed (or as soon as nobody is), the room is forgotten.
 */
uint64_t cs_rooms_call_begin(cs_rooms *r, cs_slice name, uint64_t now);
void cs_rooms_call_end(cs_rooms *r, cs_slice name, uint64_t now, uint64_t ticket, bool well);

/* cs_rooms_tick - forget what is over. To be called a few times a second. */
void cs_rooms_tick(cs_rooms *r, uint64_t now);

typedef struct cs_rooms_stats {
    size_t rooms, subscribers, bytes;
    uint64_t messages, forgotten, evicted, slow;
} cs_rooms_stats;
void cs_rooms_stats_get(const cs_rooms *r, cs_rooms_stats *out);

#endif
