/*
 * A party at a gateway with the nth request for memory refused, once or from there on: nothing is used that was freed, nothing is
 * left behind, and who was lost is told. libuv keeps its own allocator: it ends the process when it gets no memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "net/room.h"

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif

#ifdef SANITIZED
int main(void)
{
    (void)puts("skipped: the sanitizer has the allocator");
    return 0;
}
#else

void *__libc_malloc(size_t len);
void *__libc_calloc(size_t num, size_t len);
void *__libc_realloc(void *p, size_t len);
void __libc_free(void *p);

static struct {
    bool on, forever;
    size_t seen, at; /* the request that is refused */
    long live;
} mem;

static bool refused(void)
{
    if (!mem.on) {
        return false;
    }
    mem.seen++;
    return mem.seen == mem.at || (mem.forever && mem.seen > mem.at);
}

void *malloc(size_t len)
{
    void *p = refused() ? NULL : __libc_malloc(len);
    mem.live += p != NULL;
    return p;
}

void *calloc(size_t num, size_t len)
{
    void *p = refused() ? NULL : __libc_calloc(num, len);
    mem.live += p != NULL;
    return p;
}

void *realloc(void *old, size_t len)
{
    void *p = refused() ? NULL : __libc_realloc(old, len);
    mem.live += old == NULL && p != NULL;
    return p;
}

void free(void *p)
{
    mem.live -= p != NULL;
    __libc_free(p);
}

#define SUBSCRIBED                                                                                                     \
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"                         \
    "50\r\nid: 0\nevent: new-message\ndata: {\"sender\":0,\"receiver\":null,\"body\":\"YWJj\"}\n\n: \xff\n\n\r\n"
#define ANSWER_ID "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 8\r\n\r\n{\"id\":0}"

struct party {
    cs_room *room;
    unsigned bodies, unsent, lost, answers;
};

static void on_body(void *cookie, cs_slice body)
{
    struct party *p = cookie;

    p->bodies++;
    if (p->room != NULL) {
        cs_err err = cs_room_send(p->room, &body, 1); /* refused: the session goes on without */
        p->unsent += err != CS_OK;
    }
}

static void on_lost(void *cookie, cs_err err)
{
    struct party *p = cookie;

    (void)err;
    p->lost++;
    cs_room_leave(p->room);
    p->room = NULL;
}

static void on_answer(void *cookie, cs_err err, unsigned status, cs_slice body)
{
    (void)err;
    (void)status;
    (void)body;
    ((struct party *)cookie)->answers++;
}

static void beat(void *cookie)
{
    (void)cookie;
}

/* What the gateway does in a turn: every connection gets its answer. */
static void serve(int listen, int *conns, size_t *num)
{
    cs_ep_peer peer;
    char req[4096];
    int fd = -1;

    while (*num < 32 && cs_endpoint_accept(&fd, &peer, listen) == CS_OK) {
        conns[(*num)++] = fd;
    }
    for (size_t i = 0; i < *num; i++) {
        ssize_t n = recv(conns[i], req, sizeof req, MSG_DONTWAIT);
        if (n > 0) {
            const char *answer = req[0] == 'G' ? SUBSCRIBED : ANSWER_ID;
            (void)send(conns[i], answer, strlen(answer), MSG_NOSIGNAL | MSG_DONTWAIT);
        } else if (n == 0) {
            close(conns[i]);
            conns[i--] = conns[--*num];
        }
    }
}

/* False: no request was refused, there are no more points. */
static bool round_at(const cs_endpoint *ep, int listen, size_t at, bool forever, unsigned *out_bodies)
{
    static const cs_room_events events = {.on_body = on_body, .on_lost = on_lost};
    struct party p = {0};
    cs_loop *loop = NULL;
    cs_timer *timer = NULL;
    cs_gateway *g = NULL;
    cs_url url;
    int conns[32];
    size_t num = 0;

    assert_int_equal(cs_url_parse(&url, cs_slice_str("http://gw:1")), CS_OK);
    assert_int_equal(cs_loop_new(&loop), CS_OK);
    assert_int_equal(cs_timer_new(&timer, loop, beat, NULL), CS_OK);
    cs_timer_start(timer, 1, 1);
    const cs_gateway_config config = {.loop = loop, .endpoint = ep, .url = &url, .sender = 1, .timeout_ms = 40};
    mem.seen = 0;
    mem.at = at;
    mem.forever = forever;
    mem.on = true;
    if (cs_gateway_new(&g, &config) == CS_OK) {
        bool posted = cs_gateway_post(NULL, g, "/x", cs_slice_str("{}"), on_answer, &p) == CS_OK;
        if (cs_room_join(&p.room, g, &(cs_room_args){"r", cs_slice_str("head"), 30, &events, &p}) != CS_OK) {
            p.room = NULL;
        }
        for (int i = 0; i < 12; i++) {
            (void)cs_loop_run_once(loop, true);
            mem.on = false;
            serve(listen, conns, &num);
            mem.on = true;
        }
        mem.on = false;
        for (int i = 0; i < 200 && posted && p.answers == 0; i++) { /* a request is always answered */
            (void)cs_loop_run_once(loop, true);
            serve(listen, conns, &num);
        }
        assert_int_equal(p.answers, posted ? 1 : 0);
    }
    mem.on = false;
    cs_room_leave(p.room);
    cs_gateway_free(g);
    cs_timer_free(timer);
    cs_loop_free(loop); /* aborts when something of the loop is still open */
    serve(listen, conns, &num);
    while (num > 0) {
        close(conns[--num]);
    }
    *out_bodies = p.bodies;
    return mem.seen >= at;
}

static void refused_memory_harms_nobody(void **state)
{
    cs_endpoint ep = {.scheme = CS_EP_UNIX};
    char dir[64] = "/tmp/roomfault.XXXXXX";
    int listen = -1;
    unsigned bodies = 0;

    (void)state;
    assert_non_null(mkdtemp(dir));
    (void)snprintf(ep.host, sizeof ep.host, "%s/gw", dir);
    assert_int_equal(cs_endpoint_listen(&listen, &ep, 64), CS_OK);
    (void)round_at(&ep, listen, SIZE_MAX, false, &bodies);
    assert_true(bodies > 0);
    for (int forever = 0; forever < 2; forever++) {
        size_t at = 1;
        bool more = true;
        for (; more && at < 300; at++) {
            long before = mem.live;
            more = round_at(&ep, listen, at, forever == 1, &bodies);
            if (mem.live != before) {
                fail_msg("point %zu: %ld allocations left behind", at, mem.live - before);
            }
        }
        print_message("%zu points\n", at);
        assert_true(at > 20);
    }
    close(listen);
    (void)unlink(ep.host);
    (void)rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(refused_memory_harms_nobody)};

    (void)uv_replace_allocator(__libc_malloc, __libc_realloc, __libc_calloc, __libc_free);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
