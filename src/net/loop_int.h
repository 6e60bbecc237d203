/* Inside of the loop; for net/ only. */
#ifndef CS_NET_LOOP_INT_H
#define CS_NET_LOOP_INT_H

#include <uv.h>

#include "net/loop.h"

#define CS_LOOP_READ_BUF (256u * 1024u)

struct cs_loop {
    uv_loop_t uv;
    uv_prepare_t prepare;
    cs_defer *deferred, **deferred_tail;
    bool stopped;
    uint8_t *read_buf;   /* shared by the streams: valid during one callback */
    uint8_t *packet_buf; /* of the packet links */
};

/* cs_uv_free_handle - a close callback: frees handle->data. */
void cs_uv_free_handle(uv_handle_t *h);

#endif
