/* Packet links of the loop. See link.h. */
#include "net/link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/loop_int.h"

typedef struct packet {
    struct packet *next;
    size_t len;
    uint8_t bytes[];
} packet;

struct cs_link {
    cs_loop *loop;
    cs_watch *watch;
    int fd;
    int busy;
    bool dead, reading, drain_due, blocked;
    cs_err err;
    size_t queued, out_max;
    packet *head, **tail;
    packet *begun;
    cs_defer flush;
    const cs_link_events *events;
    void *cookie;
};

static void fail(cs_link *k, cs_err err)
{
    if (k->err == CS_OK) {
        k->err = err;
        cs_watch_set(k->watch, 0);
        cs_defer_arm(k->loop, &k->flush);
    }
}

static void leave(cs_link *k)
{
    if (--k->busy == 0 && k->dead) {
        free(k);
    }
}

static void set_watch(cs_link *k)
{
    if (!k->dead && k->err == CS_OK) {
        cs_watch_set(k->watch, (k->reading ? CS_WATCH_READ : 0u) | (k->blocked ? CS_WATCH_WRITE : 0u));
    }
}

static void pop(cs_link *k)
{
    packet *p = k->head;
    k->head = p->next;
    if (k->head == NULL) {
        k->tail = &k->head;
    }
    k->queued -= p->len;
    free(p);
}

static void write_some(cs_link *k)
{
    k->blocked = false;
    while (k->head != NULL && k->err == CS_OK) {
        struct mmsghdr msgs[CS_LINK_BATCH] = {0};
        struct iovec iov[CS_LINK_BATCH];
        unsigned num = 0;
        for (packet *p = k->head; p != NULL && num < CS_LINK_BATCH; p = p->next, num++) {
            iov[num] = (struct iovec){p->bytes, p->len};
            msgs[num].msg_hdr.msg_iov = &iov[num];
            msgs[num].msg_hdr.msg_iovlen = 1;
        }
        int sent = sendmmsg(k->fd, msgs, num, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR) {
            continue;
        }
        if (sent < 0) {
            if (errno != EAGAIN && errno != EWOULDBLOCK && errno != ENOBUFS) {
                fail(k, errno == EPIPE || errno == ECONNRESET ? CS_E_CLOSED : CS_E_IO);
            }
            k->blocked = true;
            break;
        }
        for (int i = 0; i < sent; i++) {
            pop(k);
        }
    }
}

static void on_turn_end(void *cookie)
{
    cs_link *k = cookie;
    k->busy++;
    if (k->err == CS_OK) {
        write_some(k);
        set_watch(k);
    }
    if (k->err != CS_OK) {
        k->events->on_close(k->cookie, k->err);
    } else if (k->drain_due && k->queued <= k->out_max / 4) {
        k->drain_due = false;
        if (k->events->on_drain != NULL) {
            k->events->on_drain(k->cookie);
        }
    }
    leave(k);
}

/* One recvmmsg per wake-up: up to CS_LINK_BATCH packets for one system call. */
static void read_some(cs_link *k)
{
    struct mmsghdr msgs[CS_LINK_BATCH] = {0};
    struct iovec iov[CS_LINK_BATCH];
    for (unsigned i = 0; i < CS_LINK_BATCH; i++) {
        iov[i] = (struct iovec){k->loop->packet_buf + (size_t)i * CS_LINK_PACKET, CS_LINK_PACKET};
        msgs[i].msg_hdr.msg_iov = &iov[i];
        msgs[i].msg_hdr.msg_iovlen = 1;
    }
    int num = recvmmsg(k->fd, msgs, CS_LINK_BATCH, MSG_DONTWAIT, NULL);
    if (num < 0) {
        if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
            fail(k, errno == ECONNRESET ? CS_E_CLOSED : CS_E_IO);
        }
        return;
    }
    for (int i = 0; i < num && !k->dead && k->err == CS_OK; i++) {
        if (msgs[i].msg_len == 0) { /* end of file; empty packets are no frames */
            fail(k, CS_E_CLOSED);
        } else if ((msgs[i].msg_hdr.msg_flags & MSG_TRUNC) != 0) {
            fail(k, CS_E_TOO_LARGE);
        } else {
            k->events->on_packet(k->cookie, cs_slice_of(iov[i].iov_base, msgs[i].msg_len));
        }
    }
}

static void on_ready(void *cookie, unsigned ready)
{
    cs_link *k = cookie;
    k->busy++;
    if ((ready & CS_WATCH_WRITE) != 0) {
        k->blocked = false;
        set_watch(k);
        cs_defer_arm(k->loop, &k->flush);
    }
    if ((ready & CS_WATCH_READ) != 0 && k->reading && k->err == CS_OK) {
        read_some(k);
    }
    leave(k);
}

cs_err cs_link_new(cs_link **out, cs_loop *l, int fd_take, size_t out_max, const cs_link_events *events, void *cookie)
{
    int size = 1 << 20; /* the kernel takes what its limit allows; a packet of 256 KiB needs more than its default */
    cs_link *k = calloc(1, sizeof *k);
    if (l->packet_buf == NULL) {
        l->packet_buf = malloc((size_t)CS_LINK_BATCH * CS_LINK_PACKET);
    }
    if (k == NULL || l->packet_buf == NULL) {
        free(k);
        return CS_E_NO_MEMORY;
    }
    *k = (cs_link){.loop = l,
                   .fd = fd_take,
                   .reading = true,
                   .out_max = out_max != 0 ? out_max : 4u << 20,
                   .tail = &k->head,
                   .flush = {.fn = on_turn_end, .cookie = k},
                   .events = events,
                   .cookie = cookie};
    (void)setsockopt(fd_take, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    cs_err err = cs_watch_new(&k->watch, l, fd_take, on_ready, k);
    if (err != CS_OK) {
        free(k);
        return err;
    }
    set_watch(k);
    *out = k;
    return CS_OK;
}

cs_err cs_link_begin(cs_link *k, cs_buf *out, size_t size)
{
    if (size == 0 || size > CS_LINK_PACKET) {
        return CS_E_TOO_LARGE;
    }
    if (k->err != CS_OK) {
        return CS_E_CLOSED;
    }
    if (k->queued > k->out_max || size > k->out_max - k->queued) {
        k->drain_due = true;
        return CS_E_RANGE;
    }
    free(k->begun);
    k->begun = malloc(sizeof *k->begun + size);
    if (k->begun == NULL) {
        return CS_E_NO_MEMORY;
    }
    *out = cs_buf_wrap(k->begun->bytes, size);
    return CS_OK;
}

void cs_link_commit(cs_link *k, const cs_buf *written)
{
    packet *p = k->begun;
    k->begun = NULL;
    if (p == NULL || written->len == 0 || written->p != p->bytes) {
        free(p);
        return;
    }
    p->len = written->len;
    p->next = NULL;
    *k->tail = p;
    k->tail = &p->next;
    k->queued += p->len;
    k->drain_due = k->drain_due || cs_link_full(k);
    cs_defer_arm(k->loop, &k->flush);
}

cs_err cs_link_send(cs_link *k, cs_slice bytes)
{
    cs_buf b;
    CS_TRY(cs_link_begin(k, &b, bytes.len));
    CS_TRY(cs_put_slice(&b, bytes));
    cs_link_commit(k, &b);
    return CS_OK;
}

cs_err cs_link_send_always(cs_link *k, cs_slice bytes)
{
    size_t out_max = k->out_max;
    k->out_max = SIZE_MAX;
    cs_err err = cs_link_send(k, bytes);
    k->out_max = out_max;
    k->drain_due = k->drain_due || cs_link_full(k);
    return err;
}

size_t cs_link_queued(const cs_link *k)
{
    return k->queued;
}

bool cs_link_full(const cs_link *k)
{
    return k->queued >= k->out_max / 2;
}

void cs_link_read(cs_link *k, bool on)
{
    k->reading = on;
    set_watch(k);
}

void cs_link_free(cs_link *k)
{
    if (k == NULL || k->dead) {
        return;
    }
    k->dead = true;
    cs_defer_cancel(&k->flush);
    cs_watch_free(k->watch);
    close(k->fd);
    free(k->begun);
    while (k->head != NULL) {
        pop(k);
    }
    if (k->busy == 0) {
        free(k);
    }
}
