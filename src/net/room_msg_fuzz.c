/* Fuzz target.
 * Target: cs_room_msg_parse, cs_url_parse
 * A message that is accepted is written and read again; every text is also a refusal and a URL. */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "net/room.h"
#include "net/room_msg.h"

static void message(cs_slice json)
{
    cs_room_msg m, again;
    cs_buf body = cs_buf_heap(CS_ROOM_BODY_MAX), text = cs_buf_heap(CS_ROOM_MESSAGE_MAX);

    if (cs_room_msg_parse(&m, json) == CS_OK && cs_b64_get(&body, m.body, CS_B64_URL) == CS_OK) {
        if (cs_room_msg_put(&text, m.sender, cs_buf_slice(&body)) != CS_OK ||
            text.len != cs_room_msg_len(m.sender, body.len) ||
            cs_room_msg_parse(&again, cs_buf_slice(&text)) != CS_OK || again.sender != m.sender || again.to_one ||
            !cs_slice_eq(again.body, m.body)) {
            abort();
        }
    }
    cs_buf_free(&body);
    cs_buf_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    cs_slice text = cs_slice_of(data, len);
    cs_url u;

    message(text);
    if (cs_room_refusal(404, text) == CS_OK) {
        abort();
    }
    if (cs_url_parse(&u, text) == CS_OK && (u.port == 0 || u.name[0] == '\0' || strpbrk(u.host, "\r\n /") != NULL)) {
        abort();
    }
    return 0;
}
