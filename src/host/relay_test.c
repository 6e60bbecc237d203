/* The relay between real sockets: what goes in comes out, ends and resets arrive in order, nothing is held for the silent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "host/relay.h"

#define WAIT_MS 20000

/* One pair in the relay and the two ends outside. */
typedef struct line {
    int near, far;
    cs_relay_pair *pair;
    bool done;
    cs_relay_end end;
} line;

typedef struct env {
    cs_loop *loop;
    cs_relay *relay;
} env;

static void on_done(void *cookie, const cs_relay_end *e)
{
    line *n = cookie;
    assert_false(n->done);
    n->done = true;
    n->end = *e;
}

static void unix_pair(int fds[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
}

static void tcp_pair(int fds[2])
{
    cs_endpoint ep = {.scheme = CS_EP_TCP, .host = "127.0.0.1"};
    cs_ep_peer peer;
    int listener = -1;

    assert_int_equal(cs_endpoint_listen(&listener, &ep, 1), CS_OK);
    assert_int_equal(cs_endpoint_bound(&ep, listener), CS_OK);
    assert_int_equal(cs_endpoint_connect(&fds[0], &ep, 5000), CS_OK);
    while (cs_endpoint_accept(&fds[1], &peer, listener) != CS_OK) {
    }
    (void)close(listener);
}

static void make_line(line *n, env *e, bool near_tcp, bool far_tcp)
{
    int left[2], right[2];

    (near_tcp ? tcp_pair : unix_pair)(left);
    (far_tcp ? tcp_pair : unix_pair)(right);
    *n = (line){.near = left[0], .far = right[0]};
    assert_int_equal(cs_relay_add(&n->pair, e->relay, (int[]){left[1], right[1]}, on_done, n), CS_OK);
}

static void start(env *e, uint32_t idle_ms)
{
    assert_int_equal(cs_loop_new(&e->loop), CS_OK);
    assert_int_equal(cs_relay_new(&e->relay, e->loop, idle_ms), CS_OK);
}

static void stop(env *e)
{
    cs_relay_free(e->relay);
    cs_loop_free(e->loop);
}

static void turn(env *e)
{
    (void)cs_loop_run_once(e->loop, false);
}

static bool until(env *e, const bool *flag)
{
    uint64_t end = cs_clock_mono_ms() + WAIT_MS;
    while (!*flag && cs_clock_mono_ms() < end) {
        turn(e);
    }
    return *flag;
}

static void spin(env *e, uint64_t ms)
{
    uint64_t end = cs_clock_mono_ms() + ms;
    while (cs_clock_mono_ms() < end) {
        turn(e);
    }
}

static void close_line(line *n)
{
    (void)close(n->near);
    (void)close(n->far);
}

/* ---------------------------------------------------------------- streams */

/* The byte at a place of a stream; no two neighbouring blocks are alike. */
static uint8_t byte_at(size_t i)
{
    return (uint8_t)((i * 2654435761u) >> 13 ^ i >> 7);
}

/* Writes as much as goes of a stream of `len` bytes. False: the peer is gone. */
static bool feed(int fd, size_t *at, size_t len)
{
    uint8_t block[7001];
    while (*at < len) {
        size_t n = len - *at < sizeof block ? len - *at : sizeof block;
        for (size_t i = 0; i < n; i++) {
            block[i] = byte_at(*at + i);
        }
        ssize_t w = send(fd, block, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (w < 0) {
            return errno == EAGAIN;
        }
        *at += (size_t)w;
    }
    return true;
}

/* Reads what is there and compares it. 1: more may come; 0: end of file; -1: reset. */
static int drink(int fd, size_t *at, size_t most)
{
    static uint8_t block[65536];
    ssize_t n = 0;
    size_t before = *at;
    while (*at - before < most && (n = recv(fd, block, sizeof block, MSG_DONTWAIT)) > 0) {
        for (ssize_t i = 0; i < n; i++) {
            if (block[i] != byte_at(*at + (size_t)i)) {
                fail_msg("byte %zu is wrong", *at + (size_t)i);
            }
        }
        *at += (size_t)n;
    }
    if (*at - before >= most) {
        return 1;
    }
    return n == 0 ? 0 : (errno == EAGAIN ? 1 : -1);
}

static const bool kinds[][2] = {{false, false}, {false, true}, {true, false}, {true, true}};
#define NUM_KINDS (sizeof kinds / sizeof *kinds)

static void both_ways_and_half_close(env *e, bool near_tcp, bool far_tcp)
{
    const size_t up = (5u << 20) + 17, down = (3u << 20) + 5;
    size_t sent_up = 0, sent_down = 0, got_up = 0, got_down = 0;
    bool shut = false, far_eof = false, near_eof = false;
    line n;

    make_line(&n, e, near_tcp, far_tcp);
    for (uint64_t end = cs_clock_mono_ms() + WAIT_MS; !near_eof && cs_clock_mono_ms() < end;) {
        assert_true(feed(n.near, &sent_up, up));
        if (sent_up == up && !shut) {
            shut = true;
            assert_int_equal(shutdown(n.near, SHUT_WR), 0);
        }
        turn(e);
        far_eof = far_eof || drink(n.far, &got_up, SIZE_MAX) == 0;
        if (far_eof) { /* the other direction begins only now: half-close must have left it open */
            assert_true(feed(n.far, &sent_down, down));
            if (sent_down == down && !n.done) {
                (void)shutdown(n.far, SHUT_WR);
            }
        }
        near_eof = drink(n.near, &got_down, SIZE_MAX) == 0;
    }
    assert_true(near_eof);
    assert_int_equal(got_up, up);
    assert_int_equal(got_down, down);
    assert_true(until(e, &n.done));
    assert_int_equal(n.end.why, CS_OK);
    assert_int_equal(n.end.side, -1);
    assert_int_equal(n.end.bytes[0], up);
    assert_int_equal(n.end.bytes[1], down);
    close_line(&n);
}

static void streams_pass_whole_and_half_close_leaves_the_way_back(void **state)
{
    env e;
    uint64_t bytes[2];

    start(&e, 60000);
    for (size_t k = 0; k < NUM_KINDS; k++) {
        both_ways_and_half_close(&e, kinds[k][0], kinds[k][1]);
    }
    cs_relay_bytes(e.relay, bytes);
    assert_int_equal(bytes[0], NUM_KINDS * ((5u << 20) + 17));
    assert_int_equal(cs_relay_pairs(e.relay), 0);
    stop(&e);
}

/* ---------------------------------------------------------------- a side that does not read */

/* What a stream can put into the kernel's buffers and the relay until it stops. */
static size_t fill(env *e, line *n)
{
    size_t at = 0, before = SIZE_MAX;
    for (int quiet = 0; quiet < 40; quiet = at == before ? quiet + 1 : 0) {
        before = at;
        assert_true(feed(n->near, &at, SIZE_MAX / 2));
        spin(e, 2);
    }
    return at;
}

static void a_side_that_does_not_read_stops_the_other_and_nobody_else(void **state)
{
    for (size_t k = 0; k < NUM_KINDS; k++) {
        env e;
        line slow, quick;
        size_t got = 0, at = 0;
        start(&e, 60000);
        make_line(&slow, &e, kinds[k][0], kinds[k][1]);
        make_line(&quick, &e, false, false);
        size_t sent = fill(&e, &slow);
        assert_true(sent < 32u << 20); /* TCP's own buffers grow to several MiB */
        assert_true(feed(quick.near, &at, 100000));
        while (got < 100000) {
            turn(&e);
            assert_int_equal(drink(quick.far, &got, SIZE_MAX), 1);
        }
        assert_int_equal(shutdown(slow.near, SHUT_WR), 0);
        int more = 1;
        for (got = 0; more == 1;) {
            turn(&e);
            more = drink(slow.far, &got, 50000);
        }
        assert_int_equal(more, 0);
        assert_int_equal(got, sent);
        close_line(&slow);
        close_line(&quick);
        stop(&e);
    }
}

static void more_blocked_streams_than_pipes_all_arrive(void **state)
{
    enum { LINES = CS_RELAY_PIPES_MAX + 40, EACH = 900000 };
    static line lines[LINES];
    static size_t sent[LINES], got[LINES];
    env e;

    memset(sent, 0, sizeof sent);
    memset(got, 0, sizeof got);
    start(&e, 60000);
    for (int i = 0; i < LINES; i++) {
        make_line(&lines[i], &e, false, false);
    }
    for (int round = 0; round < 100; round++) { /* nobody reads: every direction comes to hold something */
        for (int i = 0; i < LINES; i++) {
            assert_true(feed(lines[i].near, &sent[i], EACH));
        }
        turn(&e);
    }
    size_t all = 0;
    for (uint64_t end = cs_clock_mono_ms() + WAIT_MS; all < (size_t)LINES * EACH && cs_clock_mono_ms() < end;) {
        all = 0;
        for (int i = 0; i < LINES; i++) {
            assert_true(feed(lines[i].near, &sent[i], EACH));
            assert_int_equal(drink(lines[i].far, &got[i], SIZE_MAX), 1);
            all += got[i];
        }
        turn(&e);
    }
    assert_int_equal(all, (size_t)LINES * EACH);
    for (int i = 0; i < LINES; i++) {
        close_line(&lines[i]);
    }
    stop(&e);
}

/* ---------------------------------------------------------------- resets */

static void what_came_before_a_reset_arrives_before_it(void **state)
{
    env e;
    line n;
    size_t at = 0, got = 0;
    int more = 1;

    start(&e, 60000);
    make_line(&n, &e, true, true);
    assert_true(feed(n.near, &at, 100000));
    /* taken by the relay and not read by the far side; what is still in the sender's kernel a reset loses with or without relay */
    for (uint64_t bytes[2] = {0, 0}; bytes[0] < at; cs_relay_bytes(e.relay, bytes)) {
        turn(&e);
    }
    cs_relay_reset_close(n.near);
    for (uint64_t end = cs_clock_mono_ms() + WAIT_MS; more == 1 && cs_clock_mono_ms() < end;) {
        turn(&e);
        more = drink(n.far, &got, SIZE_MAX);
    }
    assert_int_equal(more, -1); /* a reset, not an end in order */
    assert_int_equal(errno, ECONNRESET);
    assert_int_equal(got, at);
    assert_true(until(&e, &n.done));
    assert_int_equal(n.end.why, CS_E_CLOSED);
    assert_int_equal(n.end.side, 0);
    (void)close(n.far);
    stop(&e);
}

/* The near side ends in order and goes; the far one has all of it, and learns that nobody listens when it answers. */
static void who_goes_is_heard_to_the_end(void **state)
{
    for (size_t k = 0; k < NUM_KINDS; k++) {
        env e;
        line n;
        size_t at = 0, got = 0;
        int more = 1;
        start(&e, 60000);
        make_line(&n, &e, kinds[k][0], kinds[k][1]);
        assert_true(feed(n.near, &at, 150000));
        (void)close(n.near);
        while (more == 1) {
            turn(&e);
            more = drink(n.far, &got, SIZE_MAX);
        }
        assert_int_equal(more, 0);
        assert_int_equal(got, at);
        for (uint64_t end = cs_clock_mono_ms() + WAIT_MS; !n.done && cs_clock_mono_ms() < end;) {
            (void)send(n.far, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
            turn(&e);
        }
        assert_true(n.done);
        assert_int_equal(n.end.why, CS_E_CLOSED);
        assert_int_equal(n.end.side, 0);
        (void)close(n.far);
        stop(&e);
    }
}

static void a_reset_of_one_pair_leaves_the_others(void **state)
{
    env e;
    line lines[50];
    size_t got = 0, at = 0;

    start(&e, 60000);
    for (int i = 0; i < 50; i++) {
        make_line(&lines[i], &e, true, false);
    }
    for (int i = 0; i < 49; i++) {
        cs_relay_reset_close(i % 2 == 0 ? lines[i].near : lines[i].far);
    }
    assert_true(feed(lines[49].near, &at, 300000));
    while (got < at) {
        turn(&e);
        assert_int_equal(drink(lines[49].far, &got, SIZE_MAX), 1);
    }
    for (int i = 0; i < 49; i += 2) {
        assert_true(until(&e, &lines[i].done));
        assert_int_equal(lines[i].end.side, 0);
    }
    assert_false(lines[49].done);
    for (int i = 0; i < 50; i++) {
        (void)close(i < 49 && i % 2 == 0 ? lines[i].far : lines[i].near);
    }
    (void)close(lines[49].far);
    stop(&e);
}

/* ---------------------------------------------------------------- silence, limits, the end */

static void silence_in_both_directions_ends_a_pair_and_a_byte_in_one_keeps_it(void **state)
{
    env e;
    line quiet, lively;
    char c;

    start(&e, 300);
    make_line(&quiet, &e, true, true);
    make_line(&lively, &e, false, true);
    for (int i = 0; i < 40; i++) {
        assert_int_equal(send(lively.far, "x", 1, 0), 1);
        spin(&e, 20);
    }
    assert_true(quiet.done);
    assert_int_equal(quiet.end.why, CS_E_TIMEOUT);
    assert_false(lively.done);
    assert_int_equal(recv(quiet.far, &c, 1, MSG_DONTWAIT), -1); /* cut, not ended in order */
    assert_int_equal(errno, ECONNRESET);
    close_line(&quiet);
    close_line(&lively);
    stop(&e);
}

static unsigned open_descriptors(void)
{
    unsigned n = 0;
    DIR *d = opendir("/proc/self/fd");
    assert_non_null(d);
    while (readdir(d) != NULL) {
        n++;
    }
    (void)closedir(d);
    return n;
}

static void without_descriptors_for_pipes_streams_go_through_memory(void **state)
{
    struct rlimit was, none;
    env e;
    line n;
    size_t at = 0, got = 0;

    start(&e, 60000);
    make_line(&n, &e, false, true);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
    none = was;
    none.rlim_cur = 3; /* none above: every new one fails */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    while (got < 4u << 20) {
        assert_true(feed(n.near, &at, 4u << 20));
        turn(&e);
        assert_int_equal(drink(n.far, &got, SIZE_MAX), 1);
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
    close_line(&n);
    stop(&e);
}

static void cut_on_done(void *cookie, const cs_relay_end *e)
{
    line *other = cookie;
    uint64_t bytes[2];
    cs_relay_cut(other->pair, bytes);
    other->done = true;
}

static void a_callback_may_cut_another_pair_and_nothing_stays_open(void **state)
{
    unsigned before = open_descriptors();
    env e;
    line a, b;
    int left[2], right[2];

    start(&e, 60000);
    make_line(&b, &e, true, true);
    unix_pair(left);
    unix_pair(right);
    assert_int_equal(cs_relay_add(&a.pair, e.relay, (int[]){left[1], right[1]}, cut_on_done, &b), CS_OK);
    (void)close(left[0]);
    (void)close(right[0]);
    (void)send(b.near, "x", 1, 0); /* both pairs have events in the same turn */
    assert_true(until(&e, &b.done));
    assert_int_equal(cs_relay_pairs(e.relay), 0);
    close_line(&b);
    make_line(&a, &e, true, false);
    close_line(&a); /* and one that is cut by the end */
    stop(&e);
    assert_int_equal(open_descriptors(), before);
}

static void silent_pairs_hold_nothing(void **state)
{
    enum { LINES = 200 };
    static line lines[LINES];
    env e;
    size_t got = 0, at = 0;

    start(&e, 60000);
    for (int i = 0; i < LINES; i++) {
        make_line(&lines[i], &e, false, false);
    }
    turn(&e);
    size_t before = mallinfo2().uordblks;
    unsigned fds = open_descriptors();
    for (int i = 0; i < LINES; i++) {
        for (got = at = 0; got < 600000;) {
            assert_true(feed(lines[i].near, &at, 600000));
            turn(&e);
            assert_int_equal(drink(lines[i].far, &got, SIZE_MAX), 1);
        }
    }
    assert_true(mallinfo2().uordblks <= before + 4096);
    assert_true(open_descriptors() <= fds + 2); /* one pipe for all of them */
    for (int i = 0; i < LINES; i++) {
        close_line(&lines[i]);
    }
    stop(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_pass_whole_and_half_close_leaves_the_way_back),
        cmocka_unit_test(a_side_that_does_not_read_stops_the_other_and_nobody_else),
        cmocka_unit_test(more_blocked_streams_than_pipes_all_arrive),
        cmocka_unit_test(what_came_before_a_reset_arrives_before_it),
        cmocka_unit_test(who_goes_is_heard_to_the_end),
        cmocka_unit_test(a_reset_of_one_pair_leaves_the_others),
        cmocka_unit_test(silence_in_both_directions_ends_a_pair_and_a_byte_in_one_keeps_it),
        cmocka_unit_test(without_descriptors_for_pipes_streams_go_through_memory),
        cmocka_unit_test(a_callback_may_cut_another_pair_and_nothing_stays_open),
        cmocka_unit_test(silent_pairs_hold_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
