/* The enclave's log: complete lines of all programs, in one file. See host.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/host.h"

#define SOURCES_MAX 64

struct source {
    cs_logs *owner;
    cs_watch *watch;
    int fd;
    bool enclave; /* comes from an enclave: nothing in it is to be obeyed */
    size_t len;
    uint8_t line[CS_LOGS_LINE];
};

struct cs_logs {
    cs_loop *loop;
    char path[CS_HOST_PATH_MAX];
    int file;
    uint64_t written; /* bytes in the file */
    bool verbose;
    void (*seen)(void *cookie);
    void *cookie;
    struct source *sources[SOURCES_MAX];
};

/* Never waits: a pipe that nobody reads is refused. */
static int open_log(const char *path)
{
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0600);
}

/* On any fault the old file goes on: a log that is too long is better than none. */
static void start_new_file(cs_logs *g)
{
    char old[CS_HOST_PATH_MAX + 2];

    struct stat st;

    g->written = 0;
    if (fstat(g->file, &st) != 0 || !S_ISREG(st.st_mode)) {
        return; /* a device or a pipe is written to: to rename /dev/null would take it from everybody */
    }
    (void)snprintf(old, sizeof old, "%s.1", g->path);
    int fd = rename(g->path, old) == 0 ? open_log(g->path) : -1;
    if (fd >= 0) {
        (void)close(g->file);
        g->file = fd;
    }
}

static void emit(cs_logs *g, const uint8_t *p, size_t len)
{
    if (g->written + len > CS_LOGS_FILE) {
        start_new_file(g);
    }
    g->written += len;
    (void)!write(g->file, p, len);
    if (g->verbose) {
        (void)!write(STDERR_FILENO, p, len);
    }
}

/* Control characters of an enclave's log would be orders to the terminal of whoever reads the file. */
static void defuse(uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if ((p[i] < ' ' && p[i] != '\n' && p[i] != '\t') || p[i] >= 0x7f) {
            p[i] = '?';
        }
    }
}

/* What is not a whole line becomes one, so that the next program's line starts at a line's start. */
static void emit_cut(struct source *s)
{
    emit(s->owner, s->line, s->len);
    emit(s->owner, (const uint8_t *)"\n", 1);
    s->len = 0;
}

static void source_end(struct source *s)
{
    cs_logs *g = s->owner;

    bool tell = s->enclave && g->seen != NULL;
    if (s->len > 0) {
        emit_cut(s);
    }
    cs_watch_free(s->watch);
    (void)close(s->fd);
    for (size_t i = 0; i < SOURCES_MAX; i++) {
        if (g->sources[i] == s) {
            g->sources[i] = NULL;
        }
    }
    free(s);
    if (tell) {
        g->seen(g->cookie);
    }
}

/* One read. False: nothing is there now; the source may be gone. */
static bool source_read(struct source *s)
{
    ssize_t n = read(s->fd, s->line + s->len, sizeof s->line - s->len);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return false;
    }
    if (n <= 0) {
        source_end(s);
        return false;
    }
    if (s->enclave) {
        defuse(s->line + s->len, (size_t)n);
    }
    s->len += (size_t)n;
    const uint8_t *last = memrchr(s->line, '\n', s->len);
    size_t whole = last != NULL ? (size_t)(last - s->line) + 1 : 0;
    if (whole > 0) {
        emit(s->owner, s->line, whole);
        if (s->enclave && s->owner->seen != NULL && memmem(s->line, whole, "\"halt\"", 6) != NULL) {
            s->owner->seen(s->owner->cookie);
        }
        memmove(s->line, s->line + whole, s->len - whole);
        s->len -= whole;
    } else if (s->len == sizeof s->line) {
        emit_cut(s);
    }
    return true;
}

static void on_readable(void *cookie, unsigned ready)
{
    (void)ready;
    (void)source_read(cookie);
}

void cs_logs_read(cs_logs *g)
{
    for (size_t i = 0; g != NULL && i < SOURCES_MAX; i++) {
        /* at most a pipe's worth each: a program that writes without end must not hold us */
        for (int n = 0; n < 16 && g->sources[i] != NULL && source_read(g->sources[i]); n++) {
        }
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
    int n = snprintf(g->path, sizeof g->path, "%s", file);
    g->file = n > 0 && (size_t)n < sizeof g->path ? open_log(g->path) : -1;
    off_t end = g->file >= 0 ? lseek(g->file, 0, SEEK_END) : -1;
    if (end < 0) {
        if (g->file >= 0) {
            (void)close(g->file);
        }
        free(g);
        return CS_E_IO;
    }
    g->written = (uint64_t)end;
    *out = g;
    return CS_OK;
}

/* Takes the descriptor on CS_OK. */
static cs_err add_source(cs_logs *g, int fd_take, bool enclave)
{
    size_t slot = 0;

    while (slot < SOURCES_MAX && g->sources[slot] != NULL) {
        slot++;
    }
    if (slot == SOURCES_MAX) {
        return CS_E_RANGE;
    }
    struct source *s = calloc(1, sizeof *s);
    if (s == NULL || cs_watch_new(&s->watch, g->loop, fd_take, on_readable, s) != CS_OK) {
        free(s);
        return CS_E_NO_MEMORY;
    }
    s->owner = g;
    s->fd = fd_take;
    s->enclave = enclave;
    g->sources[slot] = s;
    cs_watch_set(s->watch, CS_WATCH_READ);
    return CS_OK;
}

cs_err cs_logs_pipe(cs_logs *g, int *out_write_fd)
{
    int p[2];

    if (pipe2(p, O_CLOEXEC) != 0) {
        return CS_E_IO;
    }
    (void)fcntl(p[0], F_SETFL, O_NONBLOCK);
    cs_err err = add_source(g, p[0], false);
    if (err != CS_OK) {
        (void)close(p[0]);
        (void)close(p[1]);
        return err == CS_E_RANGE ? CS_E_IO : err;
    }
    *out_write_fd = p[1];
    return CS_OK;
}

cs_err cs_logs_socket(cs_logs *g, int fd_take)
{
    return add_source(g, fd_take, true);
}

void cs_logs_watch(cs_logs *g, void (*seen)(void *cookie), void *cookie)
{
    g->seen = seen;
    g->cookie = cookie;
}

void cs_logs_free(cs_logs *g)
{
    if (g == NULL) {
        return;
    }
    g->seen = NULL;
    cs_logs_read(g); /* what is still in the pipes */
    for (size_t i = 0; i < SOURCES_MAX; i++) {
        if (g->sources[i] != NULL) {
            source_end(g->sources[i]);
        }
    }
    (void)close(g->file);
    free(g);
}
