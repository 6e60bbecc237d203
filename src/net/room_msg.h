/* Messages of rooms as JSON (docs/formats/rooms.md), URLs of a gateway, and what a refusal says. Pure. */
#ifndef CS_NET_ROOM_MSG_H
#define CS_NET_ROOM_MSG_H

#include "base/bytes.h"

#define CS_ROOM_MESSAGE_MAX (192u * 1024u) /* as JSON: the largest body and room for spaces */

typedef struct cs_room_msg {
    uint16_t sender;
    bool to_one; /* receiver is a number */
    uint16_t receiver;
    cs_slice body; /* base64url, without padding; its digits are not checked yet */
} cs_room_msg;

/*
 * cs_room_msg_parse - exactly the three members, each once, integers 0..65535, body a string without escapes whose padding, if
 * any, is right. Slices point into json; *out is written on CS_OK only. CS_E_FORMAT | CS_E_RANGE (integers) | CS_E_TOO_LARGE.
 */
CS_MUST cs_err cs_room_msg_parse(cs_room_msg *out, cs_slice json);
/* cs_room_msg_put - append {"sender":S,"receiver":null,"body":"..."} of a body as bytes. CS_E_RANGE | CS_E_NO_MEMORY: as before. */
CS_MUST cs_err cs_room_msg_put(cs_buf *out, uint16_t sender, cs_slice body);
/* cs_room_msg_len - the bytes that cs_room_msg_put appends for a body of body_len bytes. */
size_t cs_room_msg_len(uint16_t sender, size_t body_len);
/* cs_room_refusal - the error that an answer with this status and body means: its "code", else by the status. Never CS_OK. */
cs_err cs_room_refusal(unsigned status, cs_slice body);
/* cs_room_name_check - 1..128 of A-Za-z0-9_.- . CS_E_RANGE. */
CS_MUST cs_err cs_room_name_check(cs_slice name);

#endif
