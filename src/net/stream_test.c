/* Loop, streams and links, over socket pairs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/link.h"
#include "net/stream.h"

typedef struct end {
    cs_loop *loop;
    cs_stream *s;
    uint8_t *got;
    size_t got_len, cap;
    bool eof, drained;
    cs_err closed;
} end;

static void got(void *cookie, cs_slice d)
{
    end *e = cookie;
    assert_true(e->got_len + d.len <= e->cap);
    memcpy(e->got + e->got_len, d.p, d.len);
    e->got_len += d.len;
}
static void got_eof(void *cookie)
{
    ((end *)cookie)->eof = true;
}
static void drained(void *cookie)
{
    ((end *)cookie)->drained = true;
}
static void closed(void *cookie, cs_err err)
{
    end *e = cookie;
    e->closed = err;
    cs_stream_free(e->s);
    e->s = NULL;
}
static const cs_stream_events events = {got, got_eof, drained, closed};

static void nonblocking_pair(int fds[2], int type)
{
    assert_int_equal(socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
}

static void make_end(end *e, cs_loop *l, int fd, size_t cap, const cs_stream_opts *opts)
{
    *e = (end){.loop = l, .cap = cap, .got = malloc(cap)};
    assert_int_equal(cs_stream_new(&e->s, l, fd, opts, &events, e), CS_OK);
}

static void free_end(end *e)
{
    cs_stream_free(e->s);
    free(e->got);
}

static bool until(cs_loop *l, const bool *flag)
{
    for (int i = 0; i < 100000 && !*flag; i++) {
        (void)cs_loop_run_once(l, true);
    }
    return *flag;
}

static void stream_carries_bytes_in_order_and_half_close(void **state)
{
    cs_loop *l;
    int fds[2];
    end a;
    end b;
    const size_t n = 3u << 20;
    uint8_t *big = malloc(n);
    for (size_t i = 0; i < n; i++) {
        big[i] = (uint8_t)(i * 7 + i / 251);
    }
    assert_int_equal(cs_loop_new(&l), CS_OK);
    nonblocking_pair(fds, SOCK_STREAM);
    make_end(&a, l, fds[0], 16, NULL);
    make_end(&b, l, fds[1], n + 16, NULL);
    cs_stream_read(b.s, true);
    assert_int_equal(cs_stream_write(a.s, cs_slice_of("head", 4)), CS_OK);
    assert_int_equal(cs_stream_write(a.s, cs_slice_of(big, n)), CS_OK);
    assert_true(cs_stream_full(a.s));
    cs_stream_shutdown(a.s);
    assert_int_equal(cs_stream_write(a.s, cs_slice_of("x", 1)), CS_E_CLOSED);
    assert_true(until(l, &b.eof));
    assert_int_equal(b.got_len, n + 4);
    assert_memory_equal(b.got, "head", 4);
    assert_memory_equal(b.got + 4, big, n);
    assert_true(a.drained);
    cs_stream_read(a.s, true); /* the other direction is still open */
    assert_int_equal(cs_stream_write(b.s, cs_slice_of("back", 4)), CS_OK);
    cs_stream_shutdown(b.s);
    assert_true(until(l, &a.eof));
    assert_int_equal(a.got_len, 4);
    free_end(&a);
    free_end(&b);
    free(big);
    cs_loop_free(l);
}

static int released;
static void release(void *cookie)
{
    released += *(int *)cookie;
}

static void stream_refuses_above_its_maximum_and_releases_references(void **state)
{
    cs_loop *l;
    int fds[2];
    int one = 1;
    end a;
    uint8_t mem[4096] = {0};
    cs_stream_opts opts = {.out_max = 6000, .out_high = 5000};
    released = 0;
    assert_int_equal(cs_loop_new(&l), CS_OK);
    nonblocking_pair(fds, SOCK_STREAM);
    make_end(&a, l, fds[0], 16, &opts);
    assert_int_equal(cs_stream_write_ref(a.s, cs_slice_of(mem, 4096), release, &one), CS_OK);
    assert_int_equal(cs_stream_write_ref(a.s, cs_slice_of(mem, 4096), release, &one), CS_E_TOO_LARGE);
    assert_int_equal(cs_stream_queued(a.s), 4096);
    assert_int_equal(released, 0);
    cs_stream_free(a.s);
    assert_int_equal(released, 1);
    a.s = NULL;
    free_end(&a);
    close(fds[1]);
    cs_loop_free(l);
}

static void stream_tells_of_a_dead_peer(void **state)
{
    cs_loop *l;
    int fds[2];
    end a;
    assert_int_equal(cs_loop_new(&l), CS_OK);
    nonblocking_pair(fds, SOCK_STREAM);
    make_end(&a, l, fds[0], 16, NULL);
    close(fds[1]);
    assert_int_equal(cs_stream_write(a.s, cs_slice_of("x", 1)), CS_OK);
    (void)cs_loop_run_once(l, false);
    (void)cs_loop_run_once(l, false);
    assert_int_equal(a.closed, CS_E_CLOSED);
    free_end(&a);
    cs_loop_free(l);
}

typedef struct lend {
    cs_link *k;
    unsigned packets;
    size_t bytes;
    uint8_t next;
    bool done, drained;
    cs_err closed;
    unsigned want;
} lend;
static void on_packet(void *cookie, cs_slice p)
{
    lend *e = cookie;
    assert_int_equal(p.p[0], e->next++);
    e->bytes += p.len;
    e->done = ++e->packets == e->want;
}
static void link_drained(void *cookie)
{
    ((lend *)cookie)->drained = true;
}
static void link_closed(void *cookie, cs_err err)
{
    lend *e = cookie;
    e->closed = err;
    e->done = true;
    cs_link_free(e->k);
    e->k = NULL;
}

static void stream_that_has_ended_both_ways_does_not_linger(void **state)
{
    cs_loop *l;
    int fds[2];
    end a;
    assert_int_equal(cs_loop_new(&l), CS_OK);
    nonblocking_pair(fds, SOCK_STREAM);
    make_end(&a, l, fds[0], 16, NULL);
    cs_stream_read(a.s, true);
    cs_stream_shutdown(a.s);
    assert_int_equal(shutdown(fds[1], SHUT_WR), 0);
    assert_true(until(l, &a.eof));
    cs_stream_free_when_sent(a.s, 600000);
    a.s = NULL;
    (void)alarm(60); /* cs_loop_free waits for what lingers */
    free_end(&a);
    cs_loop_free(l);
    (void)alarm(0);
    close(fds[1]);
}

static void link_carries_packets_up_to_256_kib_with_backpressure(void **state)
{
    static const cs_link_events le = {on_packet, link_drained, link_closed};
    cs_loop *l;
    int fds[2];
    lend a = {0};
    lend b = {.want = 60};
    uint8_t *big = calloc(1, CS_LINK_PACKET + 1);
    assert_int_equal(cs_loop_new(&l), CS_OK);
    nonblocking_pair(fds, SOCK_SEQPACKET);
    assert_int_equal(cs_link_new(&a.k, l, fds[0], 1u << 20, &le, &a), CS_OK);
    assert_int_equal(cs_link_new(&b.k, l, fds[1], 0, &le, &b), CS_OK);
    assert_int_equal(cs_link_send(a.k, cs_slice_of(big, CS_LINK_PACKET + 1)), CS_E_TOO_LARGE);
    unsigned sent = 0;
    size_t total = 0;
    while (sent < b.want) {
        size_t len = sent % 3 == 0 ? CS_LINK_PACKET : 43000;
        big[0] = (uint8_t)sent;
        cs_err err = cs_link_send(a.k, cs_slice_of(big, len));
        if (err == CS_E_RANGE) { /* full: goes on when drained */
            assert_true(cs_link_full(a.k));
            a.drained = false;
            assert_true(until(l, &a.drained));
            continue;
        }
        assert_int_equal(err, CS_OK);
        total += len;
        sent++;
    }
    assert_true(until(l, &b.done));
    assert_int_equal(b.bytes, total);
    b.done = false;
    cs_link_free(a.k);
    assert_true(until(l, &b.done));
    assert_int_equal(b.closed, CS_E_CLOSED);
    free(big);
    cs_loop_free(l);
}

typedef struct dialled {
    bool done, accepted;
    cs_err err;
    int fd, peer;
} dialled;
static void on_dial(void *cookie, cs_err err, int fd)
{
    dialled *d = cookie;
    d->done = true;
    d->err = err;
    d->fd = fd;
}
static void on_accept(void *cookie, int fd, const cs_ep_peer *peer)
{
    dialled *d = cookie;
    d->accepted = true;
    d->peer = fd;
}

static void dial_and_listener_meet(void **state)
{
    cs_loop *l;
    cs_endpoint ep;
    dialled d = {.fd = -1, .peer = -1};
    cs_listener *n;
    cs_dial *dial;
    int fd = -1;
    assert_int_equal(cs_loop_new(&l), CS_OK);
    assert_int_equal(cs_endpoint_parse(&ep, cs_slice_str("tcp:127.0.0.1:0")), CS_OK);
    assert_int_equal(cs_endpoint_listen(&fd, &ep, 4), CS_OK);
    assert_int_equal(cs_endpoint_bound(&ep, fd), CS_OK);
    assert_int_equal(cs_listener_new(&n, l, fd, CS_EP_CID_ANY, on_accept, &d), CS_OK);
    assert_int_equal(cs_dial_new(&dial, l, &ep, 5000, on_dial, &d), CS_OK);
    assert_false(d.done);
    assert_true(until(l, &d.done));
    assert_int_equal(d.err, CS_OK);
    assert_true(until(l, &d.accepted));
    close(d.fd);
    close(d.peer);
    cs_listener_free(n);
    d.done = false;
    cs_err err = cs_dial_new(&dial, l, &ep, 5000, on_dial, &d); /* nobody listens now */
    if (err == CS_OK) {
        assert_true(until(l, &d.done));
        err = d.err;
    }
    assert_int_equal(err, CS_E_CONNECT);
    cs_loop_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stream_carries_bytes_in_order_and_half_close),
        cmocka_unit_test(stream_refuses_above_its_maximum_and_releases_references),
        cmocka_unit_test(stream_tells_of_a_dead_peer),
        cmocka_unit_test(stream_that_has_ended_both_ways_does_not_linger),
        cmocka_unit_test(link_carries_packets_up_to_256_kib_with_backpressure),
        cmocka_unit_test(dial_and_listener_meet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
