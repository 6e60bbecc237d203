#include "init/stream.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json_out.h"
#include "base/text.h"

static const char *const names[CS_BACKLOG_SOURCES] = {
#define CS_LAUNCH_ROW(id, name, local, section, restart) [CS_LAUNCH_##id] = name,
    CS_LAUNCH_PROGRAMS(CS_LAUNCH_ROW)
#undef CS_LAUNCH_ROW
        [CS_BACKLOG_INIT] = "sign-init",
};

void cs_log_stream_init(cs_log_stream *s, cs_backlog *backlog, cs_dial_fn *dial, void *cookie)
{
    s->backlog = backlog;
    s->dial = dial;
    s->cookie = cookie;
    s->state = CS_STREAM_WAITING;
    s->fd = -1;
    s->since = s->deadline = 0;
    s->backoff_ms = CS_STREAM_FIRST_MS;
    s->sent = 0;
    s->out = cs_buf_wrap(s->out_mem, sizeof s->out_mem);
}

static bool has_lines(const cs_log_stream *s)
{
    if (s->sent < s->out.len) {
        return true;
    }
    for (unsigned i = 0; i < CS_BACKLOG_SOURCES; i++) {
        if (s->backlog->ring[i].used > 0) {
            return true;
        }
    }
    return false;
}

static void lose(cs_log_stream *s, uint64_t now)
{
    if (s->fd >= 0) {
        (void)close(s->fd);
    }
    if (s->state == CS_STREAM_OPEN && now - s->since >= CS_STREAM_STEADY_MS) {
        s->backoff_ms = CS_STREAM_FIRST_MS;
    }
    s->fd = -1;
    s->state = CS_STREAM_WAITING;
    s->sent = 0; /* the line under way is sent again, whole */
    s->deadline = now + s->backoff_ms;
    s->backoff_ms = s->backoff_ms * 2 < CS_STREAM_LONGEST_MS ? s->backoff_ms * 2 : CS_STREAM_LONGEST_MS;
}

static void put_dropped(cs_buf *out, unsigned source, uint64_t lines)
{
    uint8_t mem[40];
    cs_buf ts = cs_buf_wrap(mem, sizeof mem);
    size_t before = out->len;
    cs_jw w = cs_jw_begin(out);

    cs_jw_object(&w, NULL);
    if (cs_put_rfc3339(&ts, cs_clock_wall_ms()) == CS_OK) {
        cs_jw_str(&w, "ts", cs_buf_slice(&ts));
    }
    cs_jw_cstr(&w, "level", "warn");
    cs_jw_cstr(&w, "program", "sign-init");
    cs_jw_cstr(&w, "event", "log_dropped");
    cs_jw_cstr(&w, "what", names[source]);
    cs_jw_u64(&w, "lines", lines);
    cs_jw_close_object(&w);
    if (cs_jw_end(&w) != CS_OK || cs_put_u8(out, '\n') != CS_OK) {
        out->len = before;
    }
}

/* The next line into out, when the last one has gone. */
static bool refill(cs_log_stream *s)
{
    if (s->sent < s->out.len) {
        return true;
    }
    s->sent = s->out.len = 0;
    if (!cs_backlog_take(s->backlog, &s->line)) {
        return false;
    }
    if (s->line.dropped > 0) {
        put_dropped(&s->out, s->line.source, s->line.dropped);
    }
    return cs_put(&s->out, s->line.bytes, s->line.len) == CS_OK;
}

/* At most a few rings' worth at a time: the programs' pipes and deaths wait meanwhile. */
static void send_some(cs_log_stream *s, uint64_t now)
{
    size_t budget = (size_t)CS_BACKLOG_SOURCES * CS_BACKLOG_BYTES;

    while (budget > 0 && refill(s)) {
        ssize_t n = send(s->fd, s->out.p + s->sent, s->out.len - s->sent, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && (errno == EAGAIN || errno == ENOBUFS)) {
            return;
        }
        if (n <= 0) {
            lose(s, now);
            return;
        }
        s->sent += (size_t)n;
        budget -= (size_t)n < budget ? (size_t)n : budget;
    }
}

/* The parent has nothing to say: what it sends is thrown away, its end of file is the connection's end. */
static void take_input(cs_log_stream *s, uint64_t now)
{
    uint8_t ignored[4096];
    ssize_t n = recv(s->fd, ignored, sizeof ignored, MSG_DONTWAIT);

    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        lose(s, now);
    }
}

static void begin(cs_log_stream *s, uint64_t now)
{
    s->fd = s->dial(s->cookie);
    if (s->fd < 0) {
        lose(s, now);
        return;
    }
    s->state = CS_STREAM_DIALLING;
    s->since = now;
    s->deadline = now + CS_STREAM_DIAL_MS;
}

static void finish_dial(cs_log_stream *s, uint64_t now)
{
    int why = 0;
    socklen_t len = sizeof why;

    if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &why, &len) != 0 || why != 0) {
        lose(s, now);
        return;
    }
    s->state = CS_STREAM_OPEN;
    s->since = now;
}

int cs_log_stream_poll(const cs_log_stream *s, struct pollfd *out, uint64_t now_ms)
{
    *out = (struct pollfd){.fd = s->fd, .events = POLLIN};
    if (s->state == CS_STREAM_DIALLING || (s->state == CS_STREAM_OPEN && has_lines(s))) {
        out->events |= POLLOUT;
    }
    if (s->state == CS_STREAM_OPEN) {
        return -1;
    }
    return s->deadline > now_ms ? (int)(s->deadline - now_ms) : 0;
}

void cs_log_stream_step(cs_log_stream *s, short revents, uint64_t now_ms)
{
    if (s->state == CS_STREAM_WAITING && now_ms >= s->deadline) {
        begin(s, now_ms);
    } else if (s->state == CS_STREAM_DIALLING) {
        if ((revents & (POLLOUT | POLLERR | POLLHUP)) != 0) {
            finish_dial(s, now_ms);
        } else if (now_ms >= s->deadline) {
            lose(s, now_ms);
        }
    } else if (s->state == CS_STREAM_OPEN && (revents & (POLLIN | POLLERR | POLLHUP)) != 0) {
        take_input(s, now_ms);
    }
    if (s->state == CS_STREAM_OPEN && (revents & POLLOUT) != 0) {
        send_some(s, now_ms);
    }
}

bool cs_log_stream_done(const cs_log_stream *s)
{
    return s->state == CS_STREAM_OPEN && !has_lines(s);
}

void cs_log_stream_close(cs_log_stream *s, int wait_ms)
{
    uint64_t end = cs_clock_mono_ms() + (uint64_t)wait_ms;

    if (s->state == CS_STREAM_OPEN && shutdown(s->fd, SHUT_WR) == 0) {
        for (uint64_t now = cs_clock_mono_ms(); now < end; now = cs_clock_mono_ms()) {
            struct pollfd p = {.fd = s->fd, .events = POLLIN};
            uint8_t ignored[512];

            if (poll(&p, 1, (int)(end - now)) > 0 && recv(s->fd, ignored, sizeof ignored, MSG_DONTWAIT) <= 0) {
                break;
            }
        }
    }
    if (s->fd >= 0) {
        (void)close(s->fd);
    }
    s->fd = -1;
    s->state = CS_STREAM_WAITING;
}
