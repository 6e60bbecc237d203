/* Inside of http1_server.c and http1_stream.c; for them only. */
#ifndef CS_NET_HTTP1_SERVER_INT_H
#define CS_NET_HTTP1_SERVER_INT_H

#include "net/http1.h"

struct cs_http1_conn {
    cs_http1_server *server;
    cs_http1_conn *next, **prev;
    cs_http1_conn *newer, *older; /* among those that no answer is due to, by when that began */
    cs_stream *stream;
    cs_http1_parser *parser;
    cs_timer *timer;
    cs_buf pending; /* bytes behind the request that is being answered, from pending_at on */
    size_t pending_at;
    cs_defer again;
    bool busy, eof, close_after;
    bool continued; /* told to send the body of the request that is being read */
    bool stalled;   /* the client does not read its answers */
    bool streaming; /* a streamed answer is under way */
    size_t stalled_at;
    size_t held; /* counted in the server's */
    uint64_t body_deadline;
    cs_loop_fn *gone;
    void *gone_cookie;
    const cs_http1_stream_events *events;
    void *events_cookie;
};

struct cs_http1_server {
    cs_loop *loop;
    cs_listener *listener;
    cs_http1_server_opts opts;
    cs_http1_handler *handler;
    void *cookie;
    cs_http1_conn *conns;
    cs_http1_conn *oldest, *newest; /* not busy */
    size_t num_conns;
    size_t held; /* memory of requests, of all */
    bool draining;
};

#endif
