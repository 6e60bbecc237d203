#include "core/links.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

#define BATCH 32                     /* frames of one link in one wake-up */
#define QUEUE_HIGH ((size_t)4 << 20) /* bytes waiting: stop reading until the reader catches up */
#define SOCKET_BUFFER (4 << 20)

typedef struct packet {
    struct packet *next;
    size_t len;
    uint8_t bytes[];
} packet;

typedef struct link_end {
    int fd; /* -1: ended */
    packet *first, *last;
    size_t queued;
    bool failed; /* while sending; noticed by the loop */
} link_end;

struct cs_links {
    link_end end[CS_NUM_LINKS];
    uint8_t in[CS_RPC_MAX];
};

static void drop_queue(link_end *e)
{
    while (e->first != NULL) {
        packet *p = e->first;

        e->first = p->next;
        free(p);
    }
    e->last = NULL;
    e->queued = 0;
}

static void end_link(link_end *e)
{
    if (e->fd >= 0) {
        (void)close(e->fd);
    }
    e->fd = -1;
    drop_queue(e);
}

/* 1 sent, 0 the socket is full, -1 the link is broken */
static int send_now(const link_end *e, cs_slice frame)
{
    ssize_t n;

    do {
        n = send(e->fd, frame.p, frame.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n == (ssize_t)frame.len) {
        return 1;
    }
    return n < 0 && (errno == EAGAIN || errno == ENOBUFS) ? 0 : -1;
}

static void enqueue(link_end *e, cs_slice frame)
{
    packet *p = malloc(sizeof *p + frame.len);

    if (p == NULL) {
        e->failed = true; /* a frame that is lost would leave the other end waiting for ever */
        return;
    }
    p->next = NULL;
    p->len = frame.len;
    memcpy(p->bytes, frame.p, frame.len);
    *(e->last == NULL ? &e->first : &e->last->next) = p;
    e->last = p;
    e->queued += frame.len;
}

static void send_frame(void *ctx, cs_core_link link, cs_slice frame)
{
    link_end *e = &((cs_links *)ctx)->end[link];
    int sent = 0;

    if (e->fd < 0 || e->failed) {
        return;
    }
    if (e->first == NULL) {
        sent = send_now(e, frame);
    }
    if (sent < 0) {
        e->failed = true;
    } else if (sent == 0) {
        enqueue(e, frame);
    }
}

static void drain(link_end *e)
{
    while (e->first != NULL && !e->failed) {
        packet *p = e->first;
        int sent = send_now(e, cs_slice_of(p->bytes, p->len));

        if (sent <= 0) {
            e->failed = sent < 0;
            return;
        }
        e->first = p->next;
        e->last = e->first == NULL ? NULL : e->last;
        e->queued -= p->len;
        free(p);
    }
}

cs_err cs_links_new(cs_links **out, int service_fd, int kms_fd)
{
    const int fds[CS_NUM_LINKS] = {service_fd, kms_fd};
    const int size = SOCKET_BUFFER;
    cs_links *l = NULL;

    for (unsigned i = 0; i < CS_NUM_LINKS; i++) {
        int type = 0;
        socklen_t len = sizeof type;

        if (getsockopt(fds[i], SOL_SOCKET, SO_TYPE, &type, &len) != 0 || type != SOCK_SEQPACKET) {
            return CS_E_IO;
        }
        /* a packet must fit the send buffer whole; the kernel cuts the request to its own maximum */
        (void)setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    }
    l = calloc(1, sizeof *l);
    if (l == NULL) {
        return CS_E_NO_MEMORY;
    }
    for (unsigned i = 0; i < CS_NUM_LINKS; i++) {
        l->end[i].fd = fds[i]; /* transferred */
    }
    *out = l;
    return CS_OK;
}

cs_core_io cs_links_io(cs_links *l)
{
    return (cs_core_io){.ctx = l, .send = send_frame};
}

/* CS_OK: read what was there; CS_E_CLOSED: end of file; others: the link is broken. */
static cs_err read_batch(cs_links *l, cs_core *c, cs_core_link link)
{
    link_end *e = &l->end[link];

    for (unsigned i = 0; i < BATCH; i++) {
        ssize_t n = recv(e->fd, l->in, sizeof l->in, MSG_DONTWAIT | MSG_TRUNC);

        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            return CS_OK;
        }
        if (n < 0) {
            return CS_E_IO;
        }
        if (n == 0) {
            return CS_E_CLOSED;
        }
        if ((size_t)n > sizeof l->in) {
            return CS_E_TOO_LARGE;
        }
        CS_TRY(cs_core_frame(c, link, cs_slice_of(l->in, (size_t)n)));
        if (e->queued > QUEUE_HIGH) {
            return CS_OK;
        }
    }
    return CS_OK;
}

static cs_err serve(cs_links *l, cs_core *c, cs_core_link link, short events)
{
    link_end *e = &l->end[link];
    cs_err err = CS_OK;

    if (e->fd < 0) {
        return CS_OK;
    }
    if ((events & POLLOUT) != 0) {
        drain(e);
    }
    if ((events & (POLLIN | POLLHUP | POLLERR)) != 0) {
        err = read_batch(l, c, link);
    }
    if (err == CS_OK && e->failed) {
        err = CS_E_IO;
    }
    if (err != CS_OK) {
        end_link(e);
        cs_core_link_down(c, link);
    }
    return err;
}

static short interest(const link_end *e)
{
    return (short)((e->queued > QUEUE_HIGH ? 0 : POLLIN) | (e->first != NULL ? POLLOUT : 0));
}

cs_err cs_links_run(cs_links *l, cs_core *c, const volatile int *stop)
{
    sigset_t none;
    cs_err err = CS_OK;

    (void)sigemptyset(&none);
    while (!*stop && err == CS_OK) {
        struct pollfd fds[CS_NUM_LINKS + 1];
        const uint64_t wait = cs_core_wait_ms(c);
        const struct timespec limit = {(time_t)(wait / 1000), (long)(wait % 1000) * 1000000};

        for (unsigned i = 0; i < CS_NUM_LINKS; i++) {
            fds[i] = (struct pollfd){.fd = l->end[i].fd, .events = interest(&l->end[i])};
        }
        fds[CS_NUM_LINKS] = (struct pollfd){.fd = cs_core_fd(c), .events = POLLIN}; /* read by the tick; -1: left out */
        if (ppoll(fds, CS_NUM_LINKS + 1, &limit, &none) < 0) {
            err = errno == EINTR ? CS_OK : CS_E_IO;
            continue;
        }
        /* the end of sign-kms is no reason to stop signing */
        (void)serve(l, c, CS_LINK_KMS, fds[CS_LINK_KMS].revents);
        err = serve(l, c, CS_LINK_SERVICE, fds[CS_LINK_SERVICE].revents);
        cs_core_tick(c);
    }
    return err == CS_E_CLOSED ? CS_OK : err;
}

void cs_links_flush(cs_links *l)
{
    const uint64_t until = cs_clock_mono_ms() + 1000;
    link_end *e = &l->end[CS_LINK_SERVICE];

    while (e->fd >= 0 && e->first != NULL && !e->failed && cs_clock_mono_ms() < until) {
        struct pollfd f = {.fd = e->fd, .events = POLLOUT};
        const struct timespec limit = {0, 100000000};

        (void)ppoll(&f, 1, &limit, NULL);
        drain(e);
    }
}

void cs_links_free(cs_links *l)
{
    if (l == NULL) {
        return;
    }
    for (unsigned i = 0; i < CS_NUM_LINKS; i++) {
        end_link(&l->end[i]);
    }
    free(l);
}
