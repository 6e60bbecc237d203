/*
 * Target: cs_message_parse
 * Any bytes as a message: what is read goes out as an event, whose data is a message again, the same one.
 */
#include <stdlib.h>
#include <string.h>

#include "gateway/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t mem[CS_MESSAGE_JSON_MAX + CS_MESSAGE_EVENT_OVERHEAD];
    cs_buf out = cs_buf_wrap(mem, sizeof mem);
    cs_message m, again;
    size_t body_at = 0;
    if (size > CS_MESSAGE_JSON_MAX || cs_message_parse(&m, cs_slice_of(data, size)) != CS_OK) {
        return 0;
    }
    if (cs_message_event(&out, &body_at, &m, size) != CS_OK) {
        abort();
    }
    if (!cs_slice_eq(cs_slice_of(out.p + body_at, m.body.len), m.body)) {
        abort();
    }
    const uint8_t *json = memchr(out.p, '{', out.len);
    const uint8_t *end = json != NULL ? memchr(json, '\n', out.len - (size_t)(json - out.p)) : NULL;
    if (end == NULL || cs_message_parse(&again, cs_slice_of(json, (size_t)(end - json))) != CS_OK ||
        again.sender != m.sender || again.to_all != m.to_all || again.receiver != m.receiver ||
        !cs_slice_eq(again.body, m.body)) {
        abort();
    }
    return 0;
}
