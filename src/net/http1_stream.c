/* What is written into a streamed answer of the HTTP/1.1 server. Its beginning and its end are in http1_server.c. */
#include "net/http1_server_int.h"

cs_err cs_http1_stream_write(cs_http1_conn *c, const cs_slice *parts, size_t num_parts)
{
    cs_buf chunk = cs_buf_heap(SIZE_MAX / 2);
    cs_err err = cs_http1_put_chunk(&chunk, parts, num_parts);
    if (err == CS_OK) {
        err = cs_stream_write(c->stream, cs_buf_slice(&chunk));
    }
    cs_buf_free(&chunk);
    return err;
}

cs_err cs_http1_stream_write_ref(cs_http1_conn *c, cs_slice chunk, cs_loop_fn *release, void *cookie)
{
    return cs_stream_write_ref(c->stream, chunk, release, cookie);
}

size_t cs_http1_stream_queued(const cs_http1_conn *c)
{
    return cs_stream_queued(c->stream);
}

bool cs_http1_stream_full(const cs_http1_conn *c)
{
    return cs_stream_full(c->stream);
}

void cs_http1_stream_flush(cs_http1_conn *c)
{
    cs_stream_flush(c->stream);
}
