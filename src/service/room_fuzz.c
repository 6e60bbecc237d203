/* Fuzz target.
 * Target: cs_room_head_parse
 * Bodies of a room as sign-service takes them: what is handed to core has a whole head, inside the body. */
#include <stdlib.h>

#include "codec/roomframe.h"
#include "service/room.h"

static bool inside(cs_slice all, const uint8_t *p, size_t len)
{
    return p >= all.p && (size_t)(p - all.p) <= all.len && len <= all.len - (size_t)(p - all.p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    cs_slice all = cs_slice_of(data, len);
    cs_room_body body;
    cs_room_head head;

    if (cs_room_body_parse(&body, all) != CS_OK || cs_room_head_parse(&head, body.frame) != CS_OK) {
        return 0;
    }
    if (!inside(body.frame, head.channel16, 16) || head.hs1 != (head.session16 == NULL) ||
        (!head.hs1 && !inside(body.frame, head.session16, 16))) {
        abort();
    }
    return 0;
}
