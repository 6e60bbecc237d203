/* Blocking input and output with deadlines. See io.h. */
#include "net/io.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

#define HEAD_MAX (64u * 1024u)

cs_err cs_io_wait(int fd, bool write, uint64_t deadline_ms)
{
    for (;;) {
        uint64_t now = cs_clock_mono_ms();
        if (now >= deadline_ms) {
            return CS_E_TIMEOUT;
        }
        uint64_t left = deadline_ms - now;
        struct pollfd p = {.fd = fd, .events = write ? POLLOUT : POLLIN};
        int rc = poll(&p, 1, left > 60000 ? 60000 : (int)left);
        if (rc > 0) {
            return CS_OK;
        }
        if (rc < 0 && errno != EINTR) {
            return CS_E_IO;
        }
    }
}

static cs_err plain_read(cs_io *io, void *out, size_t cap, size_t *out_len, uint64_t deadline_ms)
{
    for (;;) {
        ssize_t n = recv(io->fd, out, cap, 0);
        if (n >= 0) {
            *out_len = (size_t)n;
            return CS_OK;
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK) {
            CS_TRY(cs_io_wait(io->fd, false, deadline_ms));
        } else if (errno != EINTR) {
            return errno == ECONNRESET ? CS_E_CLOSED : CS_E_IO;
        }
    }
}

static cs_err plain_write(cs_io *io, cs_slice data, uint64_t deadline_ms)
{
    while (data.len > 0) {
        ssize_t n = send(io->fd, data.p, data.len, MSG_NOSIGNAL);
        if (n >= 0) {
            data = cs_slice_of(data.p + n, data.len - (size_t)n);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            CS_TRY(cs_io_wait(io->fd, true, deadline_ms));
        } else if (errno != EINTR) {
            return errno == EPIPE || errno == ECONNRESET ? CS_E_CLOSED : CS_E_IO;
        }
    }
    return CS_OK;
}

static void plain_close(cs_io *io)
{
    close(io->fd);
}

static const cs_io_ops plain = {plain_read, plain_write, plain_close};

void cs_io_init(cs_io *io, int fd_take)
{
    *io = (cs_io){.fd = fd_take, .ops = &plain};
}

cs_err cs_io_connect(cs_io *io, const cs_endpoint *ep, uint32_t timeout_ms)
{
    int fd = -1;
    CS_TRY(cs_endpoint_connect(&fd, ep, timeout_ms));
    cs_io_init(io, fd);
    return CS_OK;
}

cs_err cs_io_read(cs_io *io, void *out, size_t cap, size_t *out_len, uint64_t deadline_ms)
{
    return io->ops == NULL ? CS_E_CLOSED : io->ops->read(io, out, cap, out_len, deadline_ms);
}

cs_err cs_io_write(cs_io *io, cs_slice data, uint64_t deadline_ms)
{
    return io->ops == NULL ? CS_E_CLOSED : io->ops->write(io, data, deadline_ms);
}

void cs_io_close(cs_io *io)
{
    if (io != NULL && io->ops != NULL) {
        io->ops->close(io);
        *io = (cs_io){.fd = -1};
    }
}

static cs_err read_response(cs_io *io, cs_http1_parser *parser, uint64_t deadline)
{
    uint8_t buf[8192];
    bool done = false;
    while (!done) {
        size_t len = 0;
        size_t at = 0;
        CS_TRY(cs_io_read(io, buf, sizeof buf, &len, deadline));
        if (len == 0) {
            return cs_http1_eof(parser, &done);
        }
        while (at < len) {
            size_t used = 0;
            CS_TRY(cs_http1_feed(parser, &used, &done, cs_slice_of(buf + at, len - at)));
            at += used;
            if (!done) {
                continue;
            }
            if (cs_http1_message(parser)->status / 100 != 1) {
                /* bytes behind the answer to the only request are no answer to anything */
                return at == len ? CS_OK : CS_E_FORMAT;
            }
            cs_http1_reset(parser);
            done = false;
        }
    }
    return CS_OK;
}

cs_err cs_http1_exchange_bytes(cs_io *io, cs_http1_parser *parser, cs_slice request, uint32_t timeout_ms)
{
    uint64_t deadline = cs_clock_mono_ms() + timeout_ms;
    cs_http1_reset(parser);
    CS_TRY(cs_io_write(io, request, deadline));
    return read_response(io, parser, deadline);
}

cs_err cs_http1_exchange(cs_io *io, cs_http1_parser *parser, const cs_http1_request *request, uint32_t timeout_ms)
{
    uint64_t deadline = cs_clock_mono_ms() + timeout_ms;
    cs_buf out = cs_buf_heap(HEAD_MAX + request->body.len);
    cs_http1_reset(parser);
    if (cs_slice_eq_str(request->method, "HEAD")) {
        cs_http1_expects_no_body(parser);
    }
    cs_err err = cs_http1_put_request(&out, request->method, request->target, request->headers, request->num_headers,
                                      request->body.len);
    if (err == CS_OK && (err = cs_put_slice(&out, request->body)) == CS_OK &&
        (err = cs_io_write(io, cs_buf_slice(&out), deadline)) == CS_OK) {
        err = read_response(io, parser, deadline);
    }
    cs_buf_free(&out); /* wipes: the head holds a session token */
    return err;
}
