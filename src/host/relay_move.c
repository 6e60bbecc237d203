/*
 * The relay: one direction. Bytes are read into one shared buffer and written at once; only what the other side does not take is
 * held, and nothing more is read meanwhile. A long stream goes through a pipe by splice(2) instead, which leaves the bytes where
 * they are (measured: up to twice as many bytes for the same CPU time). Sockets that cannot are left to the buffer.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/relay_int.h"

#define SMALL_CHUNK 4096u /* of one direction, when all of them together hold CS_RELAY_HELD_MAX */
#define LONG_READ 16384
#define SHORT_READ 4096
#define STREAK_PIPE 3 /* long reads in a row before a pipe is taken */

/* ---------------------------------------------------------------- what is held */

static void pipe_take(cs_relay_dir *d, cs_relay_memory *m)
{
    if (m->num_free_pipes > 0) {
        memcpy(d->pipe, m->pipes[--m->num_free_pipes], sizeof d->pipe);
    } else if (m->num_pipes < CS_RELAY_PIPES_MAX && pipe2(d->pipe, O_CLOEXEC | O_NONBLOCK) == 0) {
        m->num_pipes++;
        (void)fcntl(d->pipe[0], F_SETPIPE_SZ, CS_RELAY_CHUNK);
    } else {
        d->streak = 0; /* no more of them, or of descriptors: memory does it too */
    }
}

/* One that was left with bytes in it is never used again. */
static void pipe_leave(cs_relay_dir *d, cs_relay_memory *m)
{
    if (d->pipe[0] < 0) {
        return;
    }
    if (d->in_pipe == 0) {
        memcpy(m->pipes[m->num_free_pipes++], d->pipe, sizeof d->pipe);
    } else {
        (void)close(d->pipe[0]);
        (void)close(d->pipe[1]);
        m->num_pipes--;
    }
    d->pipe[0] = d->pipe[1] = -1;
    d->in_pipe = 0;
}

static void free_held(cs_relay_dir *d, cs_relay_memory *m)
{
    if (d->held != NULL) {
        m->held -= d->held_len;
        free(d->held);
        d->held = NULL;
    }
}

void cs_relay_dir_drop(cs_relay_dir *d, cs_relay_memory *m)
{
    pipe_leave(d, m);
    free_held(d, m);
}

void cs_relay_memory_cleanup(cs_relay_memory *m)
{
    while (m->num_free_pipes > 0) {
        m->num_free_pipes--;
        (void)close(m->pipes[m->num_free_pipes][0]);
        (void)close(m->pipes[m->num_free_pipes][1]);
    }
}

static bool holds(const cs_relay_dir *d)
{
    return d->in_pipe > 0 || d->held != NULL;
}

bool cs_relay_dir_over(const cs_relay_dir *d, const cs_relay_side *to)
{
    return to->deaf || (!holds(d) && (d->fin || d->source == CS_RELAY_RESET));
}

/* ---------------------------------------------------------------- errors of a call on a side */

static bool try_again(bool *ready)
{
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
        *ready = false;
        return true;
    }
    return errno == EINTR;
}

static bool cannot_splice(void)
{
    return errno == EINVAL || errno == EOPNOTSUPP || errno == ENOSYS || errno == ENOMEM;
}

/* EPIPE alone says only that it will not read any more. */
static void write_failed(cs_relay_side *to)
{
    if (!try_again(&to->writable)) {
        to->deaf = true;
        to->was_reset |= errno != EPIPE;
    }
}

static void read_failed(cs_relay_dir *d, cs_relay_side *from)
{
    if (!try_again(&from->readable)) {
        d->source = CS_RELAY_RESET;
        from->deaf = true;
        from->was_reset = true;
    }
}

/* n bytes were read; 0: the end of file. */
static void have_read(cs_relay_dir *d, const cs_relay_side *from, size_t n)
{
    if (n == 0) { /* a reset that a write has found is told once only: reading then looks like an end in order */
        d->source = from->was_reset ? CS_RELAY_RESET : CS_RELAY_EOF;
        return;
    }
    d->bytes += n;
    d->moved = true;
    if (n < SHORT_READ) {
        d->streak = 0;
    } else if (n >= LONG_READ && d->streak < STREAK_PIPE) {
        d->streak++;
    }
}

/* ---------------------------------------------------------------- through memory */

/* How many bytes the other side took. */
static size_t put(cs_relay_dir *d, cs_relay_side *to, const uint8_t *p, size_t len)
{
    ssize_t n = send(to->fd, p, len, MSG_DONTWAIT | MSG_NOSIGNAL);

    if (n < 0) {
        write_failed(to);
        return 0;
    }
    d->moved = true;
    return (size_t)n;
}

static void write_held(cs_relay_dir *d, cs_relay_side *to, cs_relay_memory *m)
{
    d->held_at += (uint32_t)put(d, to, d->held + d->held_at, d->held_len - d->held_at);
    if (d->held_at == d->held_len) {
        free_held(d, m);
    }
}

static cs_err hold(cs_relay_dir *d, cs_relay_memory *m, const uint8_t *p, size_t len)
{
    d->held = malloc(len);
    if (d->held == NULL) {
        return CS_E_NO_MEMORY;
    }
    memcpy(d->held, p, len);
    d->held_at = 0;
    d->held_len = (uint32_t)len;
    m->held += len;
    return CS_OK;
}

static cs_err read_and_write(cs_relay_dir *d, cs_relay_side *from, cs_relay_side *to, cs_relay_memory *m)
{
    size_t room = m->held < CS_RELAY_HELD_MAX ? CS_RELAY_CHUNK : SMALL_CHUNK;
    ssize_t n = recv(from->fd, m->scratch, room, MSG_DONTWAIT);

    if (n < 0) {
        read_failed(d, from);
        return CS_OK;
    }
    have_read(d, from, (size_t)n);
    if (n == 0) {
        return CS_OK;
    }
    size_t sent = put(d, to, m->scratch, (size_t)n);
    return sent < (size_t)n && !to->deaf ? hold(d, m, m->scratch + sent, (size_t)n - sent) : CS_OK;
}

/* ---------------------------------------------------------------- through a pipe */

/* The other side cannot take bytes from a pipe: these go on through memory. The shared buffer is large enough for a pipe. */
static cs_err pipe_to_memory(cs_relay_dir *d, cs_relay_memory *m)
{
    size_t got = 0;

    while (got < d->in_pipe) {
        ssize_t n = read(d->pipe[0], m->scratch + got, d->in_pipe - got);
        if (n <= 0) {
            return CS_E_IO;
        }
        got += (size_t)n;
    }
    d->in_pipe = 0;
    pipe_leave(d, m);
    return hold(d, m, m->scratch, got);
}

static cs_err write_pipe(cs_relay_dir *d, cs_relay_side *to, cs_relay_memory *m)
{
    ssize_t n = splice(d->pipe[0], NULL, to->fd, NULL, d->in_pipe, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

    if (n > 0) {
        d->moved = true;
        d->in_pipe -= (uint32_t)n;
    } else if (n == 0 || cannot_splice()) {
        to->no_splice = true;
        return pipe_to_memory(d, m);
    } else {
        write_failed(to);
    }
    return CS_OK;
}

/* Only into an empty pipe: EAGAIN then says that the socket is empty. */
static void read_to_pipe(cs_relay_dir *d, cs_relay_side *from)
{
    ssize_t n = splice(from->fd, NULL, d->pipe[1], NULL, CS_RELAY_CHUNK, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

    if (n >= 0) {
        d->in_pipe = (uint32_t)n;
        have_read(d, from, (size_t)n);
    } else if (cannot_splice()) {
        from->no_splice = true;
    } else {
        read_failed(d, from);
    }
}

static bool wants_pipe(cs_relay_dir *d, const cs_relay_side *from, const cs_relay_side *to, cs_relay_memory *m)
{
    if (d->streak < STREAK_PIPE || from->no_splice || to->no_splice) {
        return false;
    }
    if (d->pipe[0] < 0) {
        pipe_take(d, m);
    }
    return d->pipe[0] >= 0;
}

/* ---------------------------------------------------------------- one direction */

static void pass_eof(cs_relay_dir *d, cs_relay_side *to)
{
    d->fin = true;
    if (shutdown(to->fd, SHUT_WR) != 0) {
        to->deaf = true;
    }
}

static cs_err step(cs_relay_dir *d, cs_relay_side *from, cs_relay_side *to, cs_relay_memory *m)
{
    if (d->in_pipe > 0) {
        return write_pipe(d, to, m);
    }
    if (d->held != NULL) {
        write_held(d, to, m);
    } else if (d->source == CS_RELAY_EOF) {
        pass_eof(d, to);
    } else if (wants_pipe(d, from, to, m)) {
        read_to_pipe(d, from);
    } else {
        return read_and_write(d, from, to, m);
    }
    return CS_OK;
}

cs_err cs_relay_move(bool *out_more, cs_relay_dir *d, cs_relay_side *from, cs_relay_side *to, cs_relay_memory *m,
                     unsigned turns)
{
    cs_err err = CS_OK;

    *out_more = false;
    while (err == CS_OK && !cs_relay_dir_over(d, to)) {
        if (holds(d) ? !to->writable : d->source == CS_RELAY_OPEN && !from->readable) {
            break;
        }
        if (turns-- == 0) {
            *out_more = true;
            break;
        }
        err = step(d, from, to, m);
    }
    if (to->deaf) {
        cs_relay_dir_drop(d, m);
    } else if (d->in_pipe == 0) {
        pipe_leave(d, m);
    }
    return err;
}
