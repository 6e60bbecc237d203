/*
 * A room's message on the wire (docs/formats/rooms.md): JSON {"sender":int,"receiver":int|null,"body":"base64url"} in, one event
 * of the stream out. Exactly these three members, each once; the body is checked, not decoded. Pure.
 */
#ifndef CS_GATEWAY_MESSAGE_H
#define CS_GATEWAY_MESSAGE_H

#include "base/bytes.h"

#define CS_MESSAGE_BODY_MAX (128u * 1024u)                       /* decoded */
#define CS_MESSAGE_TEXT_MAX (CS_MESSAGE_BODY_MAX / 3u * 4u + 8u) /* base64url with padding */
#define CS_MESSAGE_JSON_MAX (CS_MESSAGE_TEXT_MAX + 4096u)        /* what a request's body may have */
#define CS_MESSAGE_EVENT_OVERHEAD 160u                           /* bytes of an event beside the body's text, at most */

typedef struct cs_message {
    uint16_t sender, receiver;
    bool to_all;   /* receiver is null */
    cs_slice body; /* base64url without padding; points into the JSON */
} cs_message;

/* cs_message_parse - *out is written on CS_OK only. CS_E_ROOM_MESSAGE | CS_E_TOO_LARGE (body over CS_MESSAGE_BODY_MAX). */
CS_MUST cs_err cs_message_parse(cs_message *out, cs_slice json);
/*
 * cs_message_event - append message `id` as a chunk of a chunked body (net/http1.h) that holds one event; *out_body_at: where in
 * out its body begins. CS_E_RANGE.
 */
CS_MUST cs_err cs_message_event(cs_buf *out, size_t *out_body_at, const cs_message *m, uint64_t id);

#endif
