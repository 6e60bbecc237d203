/*
 * bench-bridge: load for a byte relay (sign-host bridge, socat) that runs already: it takes connections at --connect and passes
 * them on to --listen, where this program listens. One JSON line for each run:
 *   bulk   bytes per second of --streams streams at once, from --connect to --listen
 *   rate   connections per second: connect, one byte there, one back, close; --streams at once
 *   trip   a 64-byte request and answer on one connection, through the relay and straight to --listen in turn: p50 and p99 added
 *   idle   --streams silent connections after one byte each way; waits for a line on standard input, then closes them
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json_out.h"
#include "base/opts.h"
#include "net/endpoint.h"

#define BLOCK 65536
#define MESSAGE 64
#define TRIPS 200 /* in a row, then the other way */
#define WARM_NS 300000000u

/* The far end: one thread that takes what comes. */
struct far {
    int listener, epoll;
    bool echo, tcp;
    atomic_ullong bytes;
    atomic_bool stop;
};

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void watch(int epoll, int fd, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.fd = fd};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) != 0) {
        fail("epoll_ctl");
    }
}

static void take_connections(struct far *f)
{
    cs_ep_peer peer;
    for (int fd; cs_endpoint_accept(&fd, &peer, f->listener) == CS_OK;) {
        f->tcp = peer.scheme == CS_EP_TCP;
        watch(f->epoll, fd, EPOLLIN);
    }
}

/* bulk: the bytes are dropped where the kernel can, so that the relay and not this program is measured */
static void take_bytes(struct far *f, int fd)
{
    static uint8_t block[4 * BLOCK];
    ssize_t n = recv(fd, block, f->echo ? MESSAGE : sizeof block, f->tcp && !f->echo ? MSG_TRUNC : 0);
    if (n > 0) {
        atomic_fetch_add_explicit(&f->bytes, (unsigned long long)n, memory_order_relaxed);
    }
    if (n > 0 && (!f->echo || send(fd, block, (size_t)n, MSG_NOSIGNAL) == n)) {
        return;
    }
    if (n >= 0 || (errno != EAGAIN && errno != EINTR)) {
        (void)close(fd);
    }
}

static void *serve(void *arg)
{
    struct far *f = arg;
    struct epoll_event events[64];
    while (!atomic_load(&f->stop)) {
        int n = epoll_wait(f->epoll, events, 64, 100);
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == f->listener) {
                take_connections(f);
            } else {
                take_bytes(f, events[i].data.fd);
            }
        }
    }
    return NULL;
}

struct bench {
    cs_endpoint near, far_ep;
    struct far far;
    pthread_t thread;
    uint64_t streams, end_ns;
    double seconds;
};

static int dial(const cs_endpoint *ep)
{
    int fd = -1;
    for (int tries = 0; tries < 2000; tries++) { /* a full backlog of a unix socket is refused, not waited for */
        if (cs_endpoint_connect(&fd, ep, 10000) == CS_OK) {
            return fd;
        }
        (void)usleep(1000);
    }
    fail("connect");
    return -1;
}

static void print(const char *bench, const char *const *keys, const double *values)
{
    uint8_t mem[1024];
    cs_buf out = cs_buf_wrap(mem, sizeof mem);
    cs_jw w = cs_jw_begin(&out);
    cs_jw_object(&w, NULL);
    cs_jw_cstr(&w, "bench", bench);
    for (; *keys != NULL; keys++, values++) {
        cs_jw_double(&w, *keys, *values);
    }
    cs_jw_close_object(&w);
    if (cs_jw_end(&w) == CS_OK) {
        printf("%.*s\n", (int)out.len, (const char *)out.p);
    }
    (void)fflush(stdout);
}

/* ---------------------------------------------------------------- bulk */

static void bulk(struct bench *b)
{
    static uint8_t block[BLOCK];
    int epoll = epoll_create1(0);
    struct epoll_event events[64];
    uint64_t now = cs_clock_mono_ns(), from_ns = now + WARM_NS, from_bytes = 0;
    bool warm = false;
    for (uint64_t i = 0; i < b->streams; i++) {
        watch(epoll, dial(&b->near), EPOLLOUT);
    }
    while (!warm || now < from_ns + (uint64_t)(b->seconds * 1e9)) {
        int n = epoll_wait(epoll, events, 64, 100);
        for (int i = 0; i < n; i++) {
            if (send(events[i].data.fd, block, sizeof block, MSG_NOSIGNAL) < 0 && errno != EAGAIN) {
                fail("send");
            }
        }
        now = cs_clock_mono_ns();
        if (!warm && now >= from_ns) {
            warm = true;
            from_ns = now;
            from_bytes = atomic_load(&b->far.bytes);
        }
    }
    double rate = (double)(atomic_load(&b->far.bytes) - from_bytes) * 1e9 / (double)(now - from_ns);
    print("bulk", (const char *const[]){"streams", "bytes_per_second", NULL}, (double[]){(double)b->streams, rate});
}

/* ---------------------------------------------------------------- rate */

/* One connection: 0 connecting, 1 byte sent. */
static uint8_t phase[65536];

static void start_one(const struct bench *b, int epoll)
{
    int fd = -1;
    bool pending = false;
    while (cs_endpoint_connect_begin(&fd, &pending, &b->near) != CS_OK) {
        (void)usleep(50);
    }
    phase[fd] = 0;
    watch(epoll, fd, EPOLLOUT | EPOLLIN);
}

static bool step_one(int epoll, int fd)
{
    struct epoll_event in = {.events = EPOLLIN, .data.fd = fd};
    uint8_t byte = 1;
    if (phase[fd] == 0) {
        phase[fd] = 1;
        if (send(fd, &byte, 1, MSG_NOSIGNAL) != 1 || epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &in) != 0) {
            fail("rate: send");
        }
        return false;
    }
    if (recv(fd, &byte, 1, 0) != 1) {
        fail("rate: recv");
    }
    (void)close(fd);
    return true;
}

static void rate(struct bench *b)
{
    int epoll = epoll_create1(0);
    struct epoll_event events[64];
    uint64_t from = cs_clock_mono_ns(), now = from, done = 0;
    for (uint64_t i = 0; i < b->streams; i++) {
        start_one(b, epoll);
    }
    while (now < from + (uint64_t)(b->seconds * 1e9)) {
        int n = epoll_wait(epoll, events, 64, 1000);
        for (int i = 0; i < n; i++) {
            if (step_one(epoll, events[i].data.fd)) {
                done++;
                start_one(b, epoll);
            }
        }
        now = cs_clock_mono_ns();
    }
    print("rate", (const char *const[]){"connections_per_second", NULL},
          (double[]){(double)done * 1e9 / (double)(now - from)});
}

/* ---------------------------------------------------------------- trip */

static double trip_us(int fd)
{
    uint8_t message[MESSAGE] = {1};
    size_t got = 0;
    uint64_t from = cs_clock_mono_ns();
    if (send(fd, message, sizeof message, MSG_NOSIGNAL) != (ssize_t)sizeof message) {
        fail("trip: send");
    }
    while (got < sizeof message) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        (void)poll(&p, 1, 1000);
        ssize_t n = recv(fd, message, sizeof message, 0);
        if (n == 0 || (n < 0 && errno != EAGAIN)) {
            fail("trip: recv");
        }
        got += n > 0 ? (size_t)n : 0;
    }
    return (double)(cs_clock_mono_ns() - from) / 1e3;
}

static int by_value(const void *x, const void *y)
{
    double a = *(const double *)x, b = *(const double *)y;
    return a < b ? -1 : a > b;
}

static void trip(struct bench *b)
{
    enum { MAX = 400000 };
    static double us[2][MAX]; /* straight, through */
    size_t num = 0;
    int fds[2] = {dial(&b->far_ep), dial(&b->near)};
    uint64_t end = cs_clock_mono_ns() + (uint64_t)(b->seconds * 1e9);
    while (cs_clock_mono_ns() < end && num + TRIPS <= MAX) {
        for (int way = 0; way < 2; way++) {
            for (size_t i = 0; i < TRIPS; i++) {
                us[way][num + i] = trip_us(fds[way]);
            }
        }
        num += TRIPS;
    }
    for (int way = 0; way < 2; way++) {
        qsort(us[way], num, sizeof(double), by_value);
    }
    size_t p50 = num / 2, p99 = num * 99 / 100;
    print("trip", (const char *const[]){"p50_us", "p99_us", "straight_p50_us", "straight_p99_us", "trips", NULL},
          (double[]){us[1][p50] - us[0][p50], us[1][p99] - us[0][p99], us[0][p50], us[0][p99], (double)num});
}

/* ---------------------------------------------------------------- idle */

static void idle(struct bench *b)
{
    char line[16];
    int fd = -1;
    for (uint64_t i = 0; i < b->streams; i++) {
        fd = dial(&b->near);
        (void)trip_us(fd); /* one message each way, then silence */
    }
    print("idle", (const char *const[]){"connections", NULL}, (double[]){(double)b->streams});
    if (fgets(line, sizeof line, stdin) == NULL) {
        return;
    }
    (void)trip_us(fd);
}

static int run(const cs_args *a)
{
    static const struct {
        const char *name;
        void (*run)(struct bench *b);
    } kinds[] = {{"bulk", bulk}, {"rate", rate}, {"trip", trip}, {"idle", idle}};
    struct bench b = {.streams = cs_args_u64(a, "streams"), .seconds = (double)cs_args_u64(a, "ms") / 1e3};
    b.far.echo = strcmp(a->pos[0], "bulk") != 0;
    b.far.epoll = epoll_create1(0);
    cs_err err = cs_endpoint_parse(&b.near, cs_slice_str(cs_args_str(a, "connect")));
    if (err == CS_OK) {
        err = cs_endpoint_parse(&b.far_ep, cs_slice_str(cs_args_str(a, "listen")));
    }
    if (err == CS_OK) {
        err = cs_endpoint_listen(&b.far.listener, &b.far_ep, 4096);
    }
    if (err != CS_OK) {
        return cs_refuse(a, err, false, NULL);
    }
    watch(b.far.epoll, b.far.listener, EPOLLIN);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(kinds[i].name, a->pos[0]) == 0) {
            if (pthread_create(&b.thread, NULL, serve, &b.far) != 0) {
                fail("thread");
            }
            kinds[i].run(&b);
            atomic_store(&b.far.stop, true);
            (void)pthread_join(b.thread, NULL);
            return 0;
        }
    }
    return cs_usage_error(a, "bulk, rate, trip or idle");
}

static const cs_opt options[] = {
    {.name = "connect", .kind = CS_OPT_STR, .arg = "ENDPOINT", .help = "where the relay listens", .def = ""},
    {.name = "listen", .kind = CS_OPT_STR, .arg = "ENDPOINT", .help = "where the relay connects to", .def = ""},
    {.name = "ms", .kind = CS_OPT_U64, .arg = "MS", .help = "length", .def = "3000", .min = 100, .max = 600000},
    {.name = "streams", .kind = CS_OPT_U64, .arg = "N", .help = "at once", .def = "1", .min = 1, .max = 16000},
    {0},
};

int main(int argc, char **argv)
{
    static const cs_cmd commands[] = {{.name = "",
                                       .synopsis = "--connect ENDPOINT --listen ENDPOINT bulk|rate|trip|idle",
                                       .summary = "load for a byte relay",
                                       .opts = options,
                                       .min_args = 1,
                                       .max_args = 1,
                                       .run = run},
                                      {0}};
    return cs_cmd_main("bench-bridge", "load for a byte relay", commands, argc, argv);
}
