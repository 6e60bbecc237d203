/* Byte streams of the loop. See stream.h. */
#include "net/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "net/loop_int.h"

#define IOV_BATCH 64
#define CHUNK_SIZE (16u * 1024u)

/* A piece of the output queue: copied bytes (in mem) or a reference with its release. */
typedef struct chunk {
    struct chunk *next;
    const uint8_t *p;
    size_t len;
    cs_loop_fn *release;
    void *cookie;
    size_t cap; /* of mem; 0 for a reference */
    uint8_t mem[];
} chunk;

struct cs_stream {
    cs_loop *loop;
    cs_watch *watch;
    int fd;
    int busy; /* callbacks on the stack: memory is freed when the last returns */
    bool dead, reading, eof, drain_due, shut_due, shut, lingering;
    cs_err err;
    size_t read_size, out_high, out_max, queued;
    chunk *head, **tail;
    chunk *last; /* the tail chunk when it holds copies, else NULL */
    chunk *spare;
    cs_defer flush;
    cs_timer *linger;
    const cs_stream_events *events;
    void *cookie;
    const cs_stream_filter *filter;
    void *filter_state;
};

static void free_chunk(cs_stream *s, chunk *c)
{
    if (c->release != NULL) {
        c->release(c->cookie);
    }
    if (c->cap == CHUNK_SIZE && s->spare == NULL) {
        s->spare = c;
        return;
    }
    free(c);
}

static void enter(cs_stream *s)
{
    s->busy++;
}

static void leave(cs_stream *s)
{
    if (--s->busy == 0 && s->dead) {
        free(s);
    }
}

static void set_watch(cs_stream *s, bool write)
{
    if (!s->dead) {
        cs_watch_set(s->watch, (s->reading && !s->eof ? CS_WATCH_READ : 0u) | (write ? CS_WATCH_WRITE : 0u));
    }
}

/* The receiver hears of a failure from the deferred call, never from within its own call of a stream function. */
static void fail(cs_stream *s, cs_err err)
{
    if (s->err == CS_OK) {
        s->err = err;
        cs_watch_set(s->watch, 0);
        cs_defer_arm(s->loop, &s->flush);
    }
}

static void pop_written(cs_stream *s, size_t n)
{
    s->queued -= n;
    while (s->head != NULL && n >= s->head->len) {
        chunk *c = s->head;
        n -= c->len;
        s->head = c->next;
        if (s->head == NULL) {
            s->tail = &s->head;
        }
        if (c == s->last) {
            s->last = NULL;
        }
        free_chunk(s, c);
    }
    if (n > 0 && s->head != NULL) { /* n is at most what is queued */
        s->head->p += n;
        s->head->len -= n;
    }
}

/* True when the socket takes no more now. */
static bool write_some(cs_stream *s)
{
    while (s->head != NULL) {
        struct iovec iov[IOV_BATCH];
        size_t num = 0;
        size_t want = 0;
        for (chunk *c = s->head; c != NULL && num < IOV_BATCH; c = c->next) {
            iov[num++] = (struct iovec){(void *)(uintptr_t)c->p, c->len};
            want += c->len;
        }
        struct msghdr msg = {.msg_iov = iov, .msg_iovlen = num};
        ssize_t n = sendmsg(s->fd, &msg, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            if (errno != EAGAIN && errno != EWOULDBLOCK) {
                fail(s, errno == EPIPE || errno == ECONNRESET ? CS_E_CLOSED : CS_E_IO);
                return false;
            }
            return true;
        }
        pop_written(s, (size_t)n);
        if ((size_t)n < want) {
            return true;
        }
    }
    return false;
}

static void linger_end(cs_stream *s)
{
    if (s->head == NULL && s->eof) {
        cs_stream_free(s);
    }
}

static void flush(cs_stream *s)
{
    if (s->err != CS_OK || s->dead) {
        return;
    }
    bool full = write_some(s);
    if (s->err != CS_OK) {
        return;
    }
    if (s->head == NULL && s->shut_due && !s->shut) {
        s->shut = true;
        (void)shutdown(s->fd, SHUT_WR);
    }
    set_watch(s, full);
}

/* Runs at the end of the turn: what the turn has written goes out, then failures and room are told. */
static void on_turn_end(void *cookie)
{
    cs_stream *s = cookie;
    enter(s);
    flush(s);
    if (s->err != CS_OK && !s->dead) {
        if (s->lingering) {
            cs_stream_free(s);
        } else {
            s->events->on_close(s->cookie, s->err);
        }
    } else if (s->drain_due && s->queued <= s->out_high / 2 && !s->dead) {
        s->drain_due = false;
        if (s->events->on_drain != NULL && !s->lingering) {
            s->events->on_drain(s->cookie);
        }
    }
    if (s->lingering && !s->dead) {
        linger_end(s);
    }
    leave(s);
}

void cs_stream_filter_eof(cs_stream *s)
{
    if (s->eof || s->dead) {
        return;
    }
    s->eof = true;
    set_watch(s, s->head != NULL);
    if (s->lingering) {
        cs_defer_arm(s->loop, &s->flush);
    } else if (s->events->on_eof != NULL) {
        s->events->on_eof(s->cookie);
    } else {
        fail(s, CS_E_CLOSED);
    }
}

static void at_eof(cs_stream *s)
{
    cs_err err =
        s->filter != NULL && s->filter->at_eof != NULL && !s->lingering ? s->filter->at_eof(s->filter_state) : CS_OK;
    if (err != CS_OK && !s->dead) {
        fail(s, err);
        return;
    }
    cs_stream_filter_eof(s);
}

static void read_some(cs_stream *s)
{
    uint8_t *buf = s->loop->read_buf;
    ssize_t n;
    do {
        n = recv(s->fd, buf, s->read_size, 0);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        if (errno != EAGAIN && errno != EWOULDBLOCK) {
            fail(s, errno == ECONNRESET ? CS_E_CLOSED : CS_E_IO);
        }
        return;
    }
    if (n == 0) {
        at_eof(s);
    } else if (s->lingering) {
        return;
    } else if (s->filter != NULL) {
        cs_err err = s->filter->from_socket(s->filter_state, cs_slice_of(buf, (size_t)n));
        if (err != CS_OK && !s->dead) {
            fail(s, err);
        }
    } else if (s->events->on_data != NULL) {
        s->events->on_data(s->cookie, cs_slice_of(buf, (size_t)n));
    }
}

static void on_ready(void *cookie, unsigned ready)
{
    cs_stream *s = cookie;
    enter(s);
    if ((ready & CS_WATCH_WRITE) != 0) {
        cs_watch_set(s->watch, s->reading && !s->eof ? CS_WATCH_READ : 0);
        cs_defer_arm(s->loop, &s->flush);
    }
    if ((ready & CS_WATCH_READ) != 0 && s->reading && !s->eof && s->err == CS_OK) {
        read_some(s);
    }
    leave(s);
}

cs_err cs_stream_new(cs_stream **out, cs_loop *l, int fd_take, const cs_stream_opts *opts,
                     const cs_stream_events *events, void *cookie)
{
    static const cs_stream_opts none = {0};
    const cs_stream_opts *o = opts != NULL ? opts : &none;
    cs_stream *s = calloc(1, sizeof *s);
    if (l->read_buf == NULL) {
        l->read_buf = malloc(CS_LOOP_READ_BUF);
    }
    if (s == NULL || l->read_buf == NULL) {
        free(s);
        return CS_E_NO_MEMORY;
    }
    size_t size = o->read_size != 0 ? o->read_size : 64u * 1024u;
    *s = (cs_stream){.loop = l,
                     .fd = fd_take,
                     .events = events,
                     .cookie = cookie,
                     .tail = &s->head,
                     .read_size = size < CS_LOOP_READ_BUF ? size : CS_LOOP_READ_BUF,
                     .out_high = o->out_high != 0 ? o->out_high : 256u * 1024u,
                     .out_max = o->out_max != 0 ? o->out_max : 4u * 1024u * 1024u,
                     .flush = {.fn = on_turn_end, .cookie = s}};
    cs_err err = cs_watch_new(&s->watch, l, fd_take, on_ready, s);
    if (err != CS_OK) {
        free(s);
        return err;
    }
    *out = s;
    return CS_OK;
}

void cs_stream_set_events(cs_stream *s, const cs_stream_events *events, void *cookie)
{
    s->events = events;
    s->cookie = cookie;
}

void cs_stream_read(cs_stream *s, bool on)
{
    if (s->dead || s->reading == on) {
        return;
    }
    s->reading = on;
    set_watch(s, false);
    if (s->head != NULL) {
        cs_defer_arm(s->loop, &s->flush);
    }
    if (on && s->filter != NULL && s->err == CS_OK) {
        enter(s);
        cs_err err = s->filter->from_socket(s->filter_state, CS_SLICE_NULL);
        if (err != CS_OK && !s->dead) {
            fail(s, err);
        }
        leave(s);
    }
}

static cs_err check_room(cs_stream *s, size_t len)
{
    if (s->dead || s->err != CS_OK || s->shut_due) {
        return CS_E_CLOSED;
    }
    return len > s->out_max || s->queued > s->out_max - len ? CS_E_TOO_LARGE : CS_OK;
}

static void enqueue(cs_stream *s, chunk *c)
{
    c->next = NULL;
    *s->tail = c;
    s->tail = &c->next;
    s->last = c->cap != 0 ? c : NULL;
}

static void queued_more(cs_stream *s, size_t len)
{
    s->queued += len;
    s->drain_due = s->drain_due || s->queued >= s->out_high;
    cs_defer_arm(s->loop, &s->flush);
}

static cs_err write_copy(cs_stream *s, cs_slice data)
{
    CS_TRY(check_room(s, data.len));
    size_t used = s->last != NULL ? (size_t)(s->last->p - s->last->mem) + s->last->len : 0;
    if (s->last == NULL || s->last->cap - used < data.len) {
        size_t cap = data.len > CHUNK_SIZE ? data.len : CHUNK_SIZE;
        chunk *c = cap == CHUNK_SIZE ? s->spare : NULL;
        if (c != NULL) {
            s->spare = NULL;
        } else if ((c = malloc(sizeof *c + cap)) == NULL) {
            return CS_E_NO_MEMORY;
        }
        *c = (chunk){.p = c->mem, .cap = cap};
        enqueue(s, c);
        used = 0;
    }
    memcpy(s->last->mem + used, data.p, data.len); /* NOLINT: a chunk with room is never NULL in last */
    s->last->len += data.len;
    queued_more(s, data.len);
    return CS_OK;
}

cs_err cs_stream_filter_send(cs_stream *s, cs_slice cipher)
{
    return cipher.len == 0 ? CS_OK : write_copy(s, cipher);
}

cs_err cs_stream_write(cs_stream *s, cs_slice data)
{
    if (data.len == 0) {
        return CS_OK;
    }
    if (s->filter != NULL) {
        CS_TRY(check_room(s, data.len));
        return s->filter->from_app(s->filter_state, data);
    }
    return write_copy(s, data);
}

cs_err cs_stream_write_ref(cs_stream *s, cs_slice data, cs_loop_fn *release, void *cookie)
{
    if (s->filter != NULL || data.len == 0) {
        CS_TRY(cs_stream_write(s, data));
        release(cookie);
        return CS_OK;
    }
    CS_TRY(check_room(s, data.len));
    chunk *c = malloc(sizeof *c);
    if (c == NULL) {
        return CS_E_NO_MEMORY;
    }
    *c = (chunk){.p = data.p, .len = data.len, .release = release, .cookie = cookie};
    enqueue(s, c);
    queued_more(s, data.len);
    return CS_OK;
}

size_t cs_stream_queued(const cs_stream *s)
{
    return s->queued;
}

bool cs_stream_full(const cs_stream *s)
{
    return s->queued >= s->out_high;
}

void cs_stream_flush(cs_stream *s)
{
    flush(s);
}

void cs_stream_shutdown(cs_stream *s)
{
    if (s->dead || s->shut_due) {
        return;
    }
    if (s->filter != NULL && s->filter->at_shutdown != NULL) {
        s->filter->at_shutdown(s->filter_state);
    }
    s->shut_due = true;
    cs_defer_arm(s->loop, &s->flush);
}

static void linger_over(void *cookie)
{
    cs_stream_free(cookie);
}

void cs_stream_free_when_sent(cs_stream *s, uint32_t timeout_ms)
{
    if (s == NULL || s->dead || s->lingering) {
        return;
    }
    if (s->err != CS_OK || cs_timer_new(&s->linger, s->loop, linger_over, s) != CS_OK) {
        cs_stream_free(s);
        return;
    }
    cs_stream_shutdown(s);
    s->lingering = true; /* what still arrives is read and dropped, so that closing does not reset the connection */
    s->reading = true;
    set_watch(s, false);
    cs_timer_start(s->linger, timeout_ms, 0);
    cs_defer_arm(s->loop, &s->flush); /* both directions may have ended before: then nothing else would tell */
}

void cs_stream_free(cs_stream *s)
{
    if (s == NULL || s->dead) {
        return;
    }
    s->dead = true;
    cs_defer_cancel(&s->flush);
    cs_timer_free(s->linger);
    cs_watch_free(s->watch);
    close(s->fd);
    free(s->spare);
    s->spare = NULL;
    while (s->head != NULL) {
        chunk *c = s->head;
        s->head = c->next;
        if (c->release != NULL) {
            c->release(c->cookie);
        }
        free(c);
    }
    if (s->filter != NULL) {
        s->filter->free(s->filter_state);
    }
    if (s->busy == 0) {
        free(s);
    }
}

int cs_stream_fd(const cs_stream *s)
{
    return s->fd;
}

void cs_stream_set_filter(cs_stream *s, const cs_stream_filter *ops, void *filter_take)
{
    s->filter = ops;
    s->filter_state = filter_take;
}

bool cs_stream_filter_deliver(cs_stream *s, cs_slice plain)
{
    if (s->events->on_data != NULL && !s->lingering) {
        s->events->on_data(s->cookie, plain);
    }
    return !s->dead && s->reading;
}
