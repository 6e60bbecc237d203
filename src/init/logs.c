#include "init/logs.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

/* A console that is slow or that nobody reads must not stop anything: what it does not take now is lost there. */
static void to_console(cs_init_logs *g, cs_slice line)
{
    struct pollfd p = {.fd = g->console, .events = POLLOUT};

    if (g->console < 0 || poll(&p, 1, 0) != 1 || (p.revents & POLLOUT) == 0) {
        return;
    }
    if (g->torn && write(g->console, "\n", 1) != 1) {
        return;
    }
    ssize_t n = write(g->console, line.p, line.len);
    g->torn = n > 0 && (size_t)n < line.len;
}

static void put(cs_init_logs *g, unsigned source, cs_slice line)
{
    to_console(g, line);
    cs_backlog_put(&g->backlog, source, line);
}

static void on_own_line(void *cookie, cs_slice line)
{
    put(cookie, CS_BACKLOG_INIT, line);
}

static void on_line(void *cookie, cs_slice line)
{
    struct cs_init_source *s = cookie;

    put(s->owner, s->number, line);
}

void cs_init_logs_console(cs_init_logs *g)
{
    struct stat st;

    /* a file never blocks, and has one offset for all who share it */
    if (g->console == STDERR_FILENO && fstat(STDERR_FILENO, &st) == 0 &&
        (S_ISCHR(st.st_mode) || S_ISFIFO(st.st_mode))) {
        g->console = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        g->console = g->console >= 0 ? g->console : STDERR_FILENO;
    }
}

void cs_init_logs_open(cs_init_logs *g)
{
    g->console = STDERR_FILENO;
    cs_init_logs_console(g);
    for (unsigned i = 0; i < CS_LAUNCH_NUM_PROGRAMS; i++) {
        g->source[i].fd = -1;
        g->source[i].number = i;
        g->source[i].owner = g;
    }
    cs_log_set_sink(on_own_line, g);
}

cs_err cs_init_logs_pipe(cs_init_logs *g, cs_launch_program p, int *out_write_fd)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) != 0) {
        return CS_E_LAUNCH;
    }
    cs_init_logs_ended(g, p);
    (void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
    g->source[p].fd = ends[0];
    g->source[p].lines.len = 0;
    *out_write_fd = ends[1];
    return CS_OK;
}

bool cs_init_logs_read(cs_init_logs *g, cs_launch_program p)
{
    struct cs_init_source *s = &g->source[p];
    uint8_t chunk[CS_LINE_MAX];
    ssize_t n = s->fd >= 0 ? read(s->fd, chunk, sizeof chunk) : 0;

    if (n < 0) {
        return errno == EINTR;
    }
    if (n == 0) {
        cs_lines_end(&s->lines, on_line, s);
        if (s->fd >= 0) {
            (void)close(s->fd);
        }
        s->fd = -1;
        return false;
    }
    cs_lines_feed(&s->lines, cs_slice_of(chunk, (size_t)n), on_line, s);
    return true;
}

void cs_init_logs_ended(cs_init_logs *g, cs_launch_program p)
{
    struct cs_init_source *s = &g->source[p];

    /* a pipe's worth: if somebody else holds the other end and writes on, that is not our program */
    for (int i = 0; i < 16 && cs_init_logs_read(g, p); i++) {
    }
    cs_lines_end(&s->lines, on_line, s);
    if (s->fd >= 0) {
        (void)close(s->fd);
        s->fd = -1;
    }
}
