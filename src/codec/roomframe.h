/*
 * The body of a room's message (docs/formats/rooms.md): which request it belongs to, and a frame of the party session. Public
 * data; nothing in it is authenticated but what the frame itself seals.
 */
#ifndef CS_CODEC_ROOMFRAME_H
#define CS_CODEC_ROOMFRAME_H

#include "base/bytes.h"

#define CS_ROOM_MAX_ACCOUNT 128u
#define CS_ROOM_MAX_EXECUTION 64u
#define CS_ROOM_HEAD_MAX (3u + CS_ROOM_MAX_ACCOUNT + CS_ROOM_MAX_EXECUTION)
#define CS_ROOM_END_KIND 0x05u
#define CS_ROOM_END_CODE_MAX 32u
#define CS_ROOM_END_MAX (33u + CS_ROOM_END_CODE_MAX)

typedef struct cs_room_body {
    cs_slice account_id;   /* 1..128 bytes */
    cs_slice execution_id; /* 1..64 bytes */
    cs_slice frame;        /* not empty */
} cs_room_body;

/* cs_room_head_put - append what stands before the frame. CS_E_RANGE (a length, or out). */
CS_MUST cs_err cs_room_head_put(cs_buf *out, cs_slice account_id, cs_slice execution_id);
/* cs_room_body_parse - slices point into body; *out is written on CS_OK only. CS_E_FORMAT | CS_E_UNSUPPORTED (version). */
CS_MUST cs_err cs_room_body_parse(cs_room_body *out, cs_slice body);

typedef struct cs_room_end {
    const uint8_t *channel16, *session16;
    cs_slice code; /* 1..32 bytes of A-Z and _ */
} cs_room_end;

/* cs_room_end_put - append an END frame. CS_E_RANGE (code, or out). */
CS_MUST cs_err cs_room_end_put(cs_buf *out, const cs_room_end *e);
/* cs_room_end_parse - CS_E_FORMAT. *out is written on CS_OK only. */
CS_MUST cs_err cs_room_end_parse(cs_room_end *out, cs_slice frame);

#endif
