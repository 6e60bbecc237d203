/*
 * The log stream: lines of the backlog to the parent, over a connection that is made again when it is lost. It never blocks and never
 * waits for the parent; what does not fit is counted and said (`log_dropped`).
 */
#ifndef CS_INIT_STREAM_H
#define CS_INIT_STREAM_H

#include <poll.h>

#include "init/backlog.h"

#define CS_STREAM_FIRST_MS 100u /* before the second try, doubled for each further one */
#define CS_STREAM_LONGEST_MS 5000u
#define CS_STREAM_DIAL_MS 3000u    /* a connection that is not there by then is given up */
#define CS_STREAM_STEADY_MS 10000u /* one that lasts that long starts the back-off anew */

/* Begins a connection: a non-blocking, close-on-exec socket, owned by the caller, or -1. */
typedef int cs_dial_fn(void *cookie);

typedef struct cs_log_stream {
    cs_backlog *backlog;
    cs_dial_fn *dial;
    void *cookie;
    enum { CS_STREAM_WAITING, CS_STREAM_DIALLING, CS_STREAM_OPEN } state;
    int fd;                   /* -1 while waiting */
    uint64_t since, deadline; /* ms: of the state; when a waiting or dialling one ends */
    uint32_t backoff_ms;
    size_t sent; /* of out */
    cs_buf out;  /* the line under way, and before it what was lost */
    uint8_t out_mem[CS_LINE_MAX + 512];
    cs_backlog_line line;
} cs_log_stream;

/* cs_log_stream_init - dials at the first tick. backlog and cookie are borrowed. */
void cs_log_stream_init(cs_log_stream *s, cs_backlog *backlog, cs_dial_fn *dial, void *cookie);
/* cs_log_stream_poll - fd and events to wait for (fd -1: none); returns the longest wait in ms, -1: any. */
int cs_log_stream_poll(const cs_log_stream *s, struct pollfd *out, uint64_t now_ms);
/* cs_log_stream_step - after a poll, with what it found (0: nothing). */
void cs_log_stream_step(cs_log_stream *s, short revents, uint64_t now_ms);
/* cs_log_stream_done - connected and all is with the kernel. */
bool cs_log_stream_done(const cs_log_stream *s);
/* cs_log_stream_close - no more; out of the connection goes what the kernel has. Blocks at most wait_ms, for the parent to read it. */
void cs_log_stream_close(cs_log_stream *s, int wait_ms);

#endif
