/* The enclave's log: complete lines of all programs, in one file. A line longer than the buffer is cut into pieces. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/host.h"

#define LINE_BYTES 8192
#define SOURCES_MAX 64

struct source {
    cs_logs *owner;
    cs_watch *watch;
    int fd;
    size_t len;
    uint8_t line[LINE_BYTES];
};

struct cs_logs {
    cs_loop *loop;
    int file;
    bool verbose;
    struct source *sources[SOURCES_MAX];
};

static void emit(cs_logs *g, const uint8_t *p, size_t len)
{
    (void)!write(g->file, p, len);
    if (g->verbose) {
        (void)!write(STDERR_FILENO, p, len);
    }
}

static void source_end(struct source *s)
{
    cs_logs *g = s->owner;

    if (s->len > 0) {
        emit(g, s->line, s->len);
    }
    cs_watch_free(s->watch);
    (void)close(s->fd);
    for (size_t i = 0; i < SOURCES_MAX; i++) {
        if (g->sources[i] == s) {
            g->sources[i] = NULL;
        }
    }
    free(s);
}

static void on_readable(void *cookie, unsigned ready)
{
    struct source *s = cookie;
    ssize_t n = read(s->fd, s->line + s->len, sizeof s->line - s->len);

    (void)ready;
    if (n <= 0) {
        source_end(s);
        return;
    }
    s->len += (size_t)n;
    const uint8_t *last = memrchr(s->line, '\n', s->len);
    size_t whole = last != NULL ? (size_t)(last - s->line) + 1 : (s->len == sizeof s->line ? s->len : 0);
    if (whole > 0) {
        emit(s->owner, s->line, whole);
        memmove(s->line, s->line + whole, s->len - whole);
        s->len -= whole;
    }
}

cs_err cs_logs_new(cs_logs **out, cs_loop *l, const char *file, bool verbose)
{
    cs_logs *g = calloc(1, sizeof *g);

    if (g == NULL) {
        return CS_E_NO_MEMORY;
    }
    g->loop = l;
    g->verbose = verbose;
    g->file = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (g->file < 0) {
        free(g);
        return CS_E_IO;
    }
    *out = g;
    return CS_OK;
}

cs_err cs_logs_pipe(cs_logs *g, int *out_write_fd)
{
    int p[2];
    size_t slot = 0;

    while (slot < SOURCES_MAX && g->sources[slot] != NULL) {
        slot++;
    }
    if (slot == SOURCES_MAX || pipe2(p, O_CLOEXEC) != 0) {
        return CS_E_IO;
    }
    (void)fcntl(p[0], F_SETFL, O_NONBLOCK);
    struct source *s = calloc(1, sizeof *s);
    if (s == NULL || cs_watch_new(&s->watch, g->loop, p[0], on_readable, s) != CS_OK) {
        free(s);
        (void)close(p[0]);
        (void)close(p[1]);
        return CS_E_NO_MEMORY;
    }
    s->owner = g;
    s->fd = p[0];
    g->sources[slot] = s;
    cs_watch_set(s->watch, CS_WATCH_READ);
    *out_write_fd = p[1];
    return CS_OK;
}

void cs_logs_free(cs_logs *g)
{
    if (g == NULL) {
        return;
    }
    for (size_t i = 0; i < SOURCES_MAX; i++) {
        if (g->sources[i] != NULL) {
            on_readable(g->sources[i], CS_WATCH_READ); /* what is still in the pipe */
        }
        if (g->sources[i] != NULL) {
            source_end(g->sources[i]);
        }
    }
    (void)close(g->file);
    free(g);
}
