/* A party at a gateway that the test plays: what is sent and asked, and what a gateway that breaks or lies can do. */
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

#include "base/clock.h"
#include "base/text.h"
#include "net/room.h"

#define PATIENCE_MS 10000u
#define SUBSCRIBED "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
#define ANSWER_ID "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 8\r\n\r\n{\"id\":0}"

struct world {
    cs_loop *loop;
    cs_timer *beat; /* so that a turn ends though the test's own sockets are not in the loop */
    cs_gateway *g;
    char dir[64], path[90];
    int listen;
    cs_err dialled; /* what a post came to */
    unsigned answers, status;
    char answer[256];
    /* the room */
    char bodies[512];
    unsigned num_bodies, lost;
    cs_err why;
    cs_room *leave_on_body;
};

static void beat(void *cookie)
{
    (void)cookie;
}

static void listen_again(struct world *w)
{
    cs_endpoint ep = {.scheme = CS_EP_UNIX};

    (void)snprintf(ep.host, sizeof ep.host, "%s", w->path);
    assert_int_equal(cs_endpoint_listen(&w->listen, &ep, 64), CS_OK);
}

static void set_up_with(struct world *w, cs_gateway_config c)
{
    cs_endpoint ep = {.scheme = CS_EP_UNIX};
    cs_url url;

    *w = (struct world){.dir = "/tmp/room.XXXXXX", .listen = -1};
    assert_non_null(mkdtemp(w->dir));
    (void)snprintf(w->path, sizeof w->path, "%s/gw", w->dir);
    (void)snprintf(ep.host, sizeof ep.host, "%s", w->path);
    listen_again(w);
    assert_int_equal(cs_loop_new(&w->loop), CS_OK);
    assert_int_equal(cs_timer_new(&w->beat, w->loop, beat, NULL), CS_OK);
    cs_timer_start(w->beat, 2, 2);
    assert_int_equal(cs_url_parse(&url, cs_slice_str("http://gateway:8080/x")), CS_OK);
    c.loop = w->loop;
    c.endpoint = &ep;
    c.url = &url;
    c.sender = 1;
    assert_int_equal(cs_gateway_new(&w->g, &c), CS_OK);
}

static void set_up(struct world *w)
{
    set_up_with(w, (cs_gateway_config){0});
}

static void stop_listening(struct world *w)
{
    close(w->listen);
    w->listen = -1;
    (void)unlink(w->path);
}

static void tear_down(struct world *w)
{
    cs_gateway_free(w->g);
    cs_timer_free(w->beat);
    cs_loop_free(w->loop);
    if (w->listen >= 0) {
        stop_listening(w);
    }
    (void)rmdir(w->dir);
}

static void turn(struct world *w)
{
    (void)cs_loop_run_once(w->loop, true);
}

#define TURN_UNTIL(w, cond)                                                                                            \
    do {                                                                                                               \
        uint64_t end_ = cs_clock_mono_ms() + PATIENCE_MS;                                                              \
        bool met_ = false;                                                                                             \
        while (!(met_ = (cond)) && cs_clock_mono_ms() < end_) {                                                        \
            turn(w);                                                                                                   \
        }                                                                                                              \
        assert_true(met_);                                                                                             \
    } while (0)

/* ---- the gateway ---- */

static int take_conn(struct world *w)
{
    int fd = -1;
    cs_ep_peer peer;

    TURN_UNTIL(w, cs_endpoint_accept(&fd, &peer, w->listen) == CS_OK);
    return fd;
}

static bool nobody_comes(struct world *w, uint64_t ms)
{
    uint64_t end = cs_clock_mono_ms() + ms;
    int fd = -1;
    cs_ep_peer peer;

    while (cs_clock_mono_ms() < end) {
        turn(w);
        if (cs_endpoint_accept(&fd, &peer, w->listen) == CS_OK) {
            close(fd);
            return false;
        }
    }
    return true;
}

/* One request: head and as much body as Content-Length says. */
static void take_request(struct world *w, int fd, char *out, size_t cap)
{
    size_t len = 0, want = SIZE_MAX;
    uint64_t end = cs_clock_mono_ms() + PATIENCE_MS;

    while (len < want && cs_clock_mono_ms() < end) {
        ssize_t n = recv(fd, out + len, want == SIZE_MAX ? 1 : want - len, MSG_DONTWAIT);
        if (n < 0) {
            turn(w);
            continue;
        }
        assert_true(n > 0);
        len += (size_t)n;
        assert_true(len < cap);
        out[len] = '\0';
        if (want == SIZE_MAX && len >= 4 && strcmp(out + len - 4, "\r\n\r\n") == 0) {
            const char *l = strstr(out, "Content-Length: ");
            want = len + (l != NULL ? strtoul(l + 16, NULL, 10) : 0);
        }
    }
    assert_int_equal(len, want);
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static void say_chunk(int fd, const char *text)
{
    char head[32];

    (void)snprintf(head, sizeof head, "%zx\r\n", strlen(text));
    say(fd, head);
    say(fd, text);
    say(fd, "\r\n");
}

static void say_message(int fd, unsigned id, const char *json)
{
    char event[512];

    (void)snprintf(event, sizeof event, "id: %u\nevent: new-message\ndata: %s\n\n", id, json);
    say_chunk(fd, event);
}

static bool is_closed(int fd)
{
    char c;
    ssize_t n = recv(fd, &c, 1, MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN);
}

/* ---- the party ---- */

static void on_body(void *cookie, cs_slice body)
{
    struct world *w = cookie;
    size_t at = strlen(w->bodies);

    assert_true(at + body.len + 2 < sizeof w->bodies);
    memcpy(w->bodies + at, body.p, body.len);
    w->bodies[at + body.len] = ';';
    w->num_bodies++;
    if (w->leave_on_body != NULL) {
        cs_room *r = w->leave_on_body;
        w->leave_on_body = NULL;
        cs_room_leave(r);
    }
}

static void on_lost(void *cookie, cs_err err)
{
    struct world *w = cookie;
    w->lost++;
    w->why = err;
}

static const cs_room_events room_events = {.on_body = on_body, .on_lost = on_lost};

static void on_answer(void *cookie, cs_err err, unsigned status, cs_slice body)
{
    struct world *w = cookie;

    w->answers++;
    w->dialled = err;
    w->status = status;
    (void)snprintf(w->answer, sizeof w->answer, "%.*s", (int)body.len, body.len > 0 ? (const char *)body.p : "");
}

static int joined(struct world *w, cs_room **r, uint32_t lost_ms)
{
    char req[2048];

    assert_int_equal(
        cs_room_join(r, w->g, &(cs_room_args){"signing_1", cs_slice_str("abcdefg"), lost_ms, &room_events, w}), CS_OK);
    int fd = take_conn(w);
    take_request(w, fd, req, sizeof req);
    assert_string_equal(req,
                        "GET /x/rooms/signing_1/subscribe?not_from=1&prefix=YWJjZGVm HTTP/1.1\r\nHost: gateway:8080\r\n"
                        "Accept: text/event-stream\r\nCache-Control: no-store\r\n\r\n");
    return fd;
}

static void send_text(cs_room *r, const char *text)
{
    cs_slice part = cs_slice_str(text);
    assert_int_equal(cs_room_send(r, &part, 1), CS_OK);
}

/* ---- requests ---- */

static void a_post_is_answered_and_its_connection_used_again(void **state)
{
    struct world w;
    char req[2048];

    (void)state;
    set_up(&w);
    assert_int_equal(cs_gateway_post(NULL, w.g, "/v1/attest", cs_slice_str("{\"a\":1}"), on_answer, &w), CS_OK);
    int fd = take_conn(&w);
    take_request(&w, fd, req, sizeof req);
    assert_string_equal(req, "POST /x/v1/attest HTTP/1.1\r\nHost: gateway:8080\r\nContent-Type: application/json\r\n"
                             "Accept: application/json\r\nContent-Length: 7\r\n\r\n{\"a\":1}");
    assert_int_equal(w.answers, 0);
    say(fd, "HTTP/1.1 200 OK\r\ncontent-type: application/json; charset=utf-8\r\nContent-Length: 2\r\n\r\n{}");
    TURN_UNTIL(&w, w.answers == 1);
    assert_int_equal(w.dialled, CS_OK);
    assert_int_equal(w.status, 200);
    assert_string_equal(w.answer, "{}");
    assert_int_equal(cs_gateway_post(NULL, w.g, "/b", cs_slice_str("{}"), on_answer, &w), CS_OK);
    take_request(&w, fd, req, sizeof req); /* the same connection */
    say(fd,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n[1]\r\n0\r\n\r\n");
    TURN_UNTIL(&w, w.answers == 2);
    assert_string_equal(w.answer, "[1]");
    close(fd);
    tear_down(&w);
}

static void answers_that_are_none(void **state)
{
    static const struct {
        const char *answer;
        cs_err err;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\n{}", CS_E_FORMAT},
        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", CS_E_FORMAT},
        {"HTTP/1.1 302 Found\r\nLocation: http://other/\r\nContent-Length: 0\r\n\r\n", CS_E_FORMAT},
        {"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", CS_E_NOT_FOUND},
        {"HTTP/1.1 429 X\r\nContent-Length: 0\r\n\r\n", CS_E_ROOM_LIMIT},
        {"HTTP/1.1 503 X\r\nContent-Type: application/json\r\nContent-Length: 22\r\n\r\n{\"code\":\"NOT_SERVING\"}",
         CS_E_NOT_SERVING},
        {"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
         CS_E_FORMAT},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", CS_E_FORMAT},
        {"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n", CS_E_TOO_LARGE},
        {"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}", CS_E_FORMAT},
        {"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", CS_E_UNSUPPORTED},
        {"HTTP/2.0 200 OK\r\n\r\n", CS_E_UNSUPPORTED},
        {"nonsense\r\n\r\n", CS_E_FORMAT},
        {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" ANSWER_ID, CS_OK},
        {"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 100 C\r\n\r\nHTTP/1.1 100 C\r\n\r\nHTTP/1.1 100 C\r\n\r\nHTTP/1.1 100 "
         "C\r\n\r\n"
         "HTTP/1.1 100 C\r\n\r\nHTTP/1.1 100 C\r\n\r\nHTTP/1.1 100 C\r\n\r\nHTTP/1.1 100 C\r\n\r\n",
         CS_E_FORMAT},
    };
    char req[2048];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t whole = 0; whole < 2; whole++) { /* at once, and byte by byte */
            struct world w;

            set_up(&w);
            assert_int_equal(cs_gateway_post(NULL, w.g, "/a", cs_slice_str("{}"), on_answer, &w), CS_OK);
            int fd = take_conn(&w);
            take_request(&w, fd, req, sizeof req);
            if (whole == 1) {
                say(fd, cases[i].answer);
            }
            for (const char *c = cases[i].answer; whole == 0 && *c != '\0' && w.answers == 0; c++) {
                if (send(fd, c, 1, MSG_NOSIGNAL) != 1) {
                    break;
                }
                (void)cs_loop_run_once(w.loop, false);
            }
            TURN_UNTIL(&w, w.answers == 1);
            assert_int_equal(w.dialled, cases[i].err);
            close(fd);
            tear_down(&w);
        }
    }
}

static void an_endless_head_is_refused(void **state)
{
    struct world w;
    char req[2048];

    (void)state;
    set_up(&w);
    assert_int_equal(cs_gateway_post(NULL, w.g, "/a", cs_slice_str("{}"), on_answer, &w), CS_OK);
    int fd = take_conn(&w);
    take_request(&w, fd, req, sizeof req);
    say(fd, "HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 2000 && w.answers == 0; i++) {
        (void)send(fd, "X-Filler: yyyyyyyyyyyyyyyyyyyyyy\r\n", 34, MSG_NOSIGNAL | MSG_DONTWAIT);
        (void)cs_loop_run_once(w.loop, false);
    }
    assert_int_equal(w.answers, 1);
    assert_int_equal(w.dialled, CS_E_TOO_LARGE);
    close(fd);
    tear_down(&w);
}

static void a_slow_answer_ends_at_the_deadline(void **state)
{
    struct world w;
    char req[2048];

    (void)state;
    set_up_with(&w, (cs_gateway_config){.timeout_ms = 60});
    assert_int_equal(cs_gateway_post(NULL, w.g, "/a", cs_slice_str("{}"), on_answer, &w), CS_OK);
    int fd = take_conn(&w);
    take_request(&w, fd, req, sizeof req);
    say(fd, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n");
    for (uint64_t end = cs_clock_mono_ms() + PATIENCE_MS; w.answers == 0 && cs_clock_mono_ms() < end;) {
        (void)send(fd, " ", 1, MSG_NOSIGNAL); /* drips */
        turn(&w);
    }
    assert_int_equal(w.answers, 1);
    assert_int_equal(w.dialled, CS_E_TIMEOUT);
    TURN_UNTIL(&w, is_closed(fd));
    close(fd);
    tear_down(&w);
}

static void nobody_listens(void **state)
{
    struct world w;

    (void)state;
    set_up(&w);
    stop_listening(&w);
    assert_int_equal(cs_gateway_post(NULL, w.g, "/a", cs_slice_str("{}"), on_answer, &w), CS_OK);
    assert_int_equal(w.answers, 0); /* never from within the call */
    TURN_UNTIL(&w, w.answers == 1);
    assert_int_equal(w.dialled, CS_E_CONNECT);
    tear_down(&w);
}

/* A kept connection that is closed at any byte of its next answer: the request goes out once more, on a new connection. */
static void a_kept_connection_that_was_closed_costs_no_request(void **state)
{
    size_t len = strlen(ANSWER_ID);

    (void)state;
    for (size_t cut = 0; cut < len; cut++) {
        struct world w;
        char req[2048], part[256];

        set_up(&w);
        assert_int_equal(cs_gateway_post(NULL, w.g, "/a", cs_slice_str("{}"), on_answer, &w), CS_OK);
        int fd = take_conn(&w);
        take_request(&w, fd, req, sizeof req);
        say(fd, ANSWER_ID);
        TURN_UNTIL(&w, w.answers == 1);
        assert_int_equal(cs_gateway_post(NULL, w.g, "/b", cs_slice_str("{}"), on_answer, &w), CS_OK);
        take_request(&w, fd, req, sizeof req);
        (void)snprintf(part, sizeof part, "%.*s", (int)cut, ANSWER_ID);
        say(fd, part);
        close(fd);
        fd = take_conn(&w);
        take_request(&w, fd, req, sizeof req);
        assert_memory_equal(req, "POST /x/b ", 10);
        say(fd, ANSWER_ID);
        TURN_UNTIL(&w, w.answers == 2);
        assert_int_equal(w.dialled, CS_OK);
        close(fd);
        tear_down(&w);
    }
}

static void a_request_is_not_sent_a_third_time(void **state)
{
    struct world w;
    char req[2048];

    (void)state;
    set_up(&w);
    assert_int_equal(cs_gateway_post(NULL, w.g, "/a", cs_slice_str("{}"), on_answer, &w), CS_OK);
    for (int i = 0; i < 2; i++) {
        int fd = take_conn(&w);
        take_request(&w, fd, req, sizeof req);
        close(fd);
    }
    TURN_UNTIL(&w, w.answers == 1);
    assert_int_equal(w.dialled, CS_E_CLOSED);
    assert_true(nobody_comes(&w, 20));
    tear_down(&w);
}

static void requests_beyond_the_connections_wait(void **state)
{
    struct world w;
    char req[2048];
    int fd[2];

    (void)state;
    set_up_with(&w, (cs_gateway_config){.conns_max = 2});
    for (int i = 0; i < 5; i++) {
        assert_int_equal(cs_gateway_post(NULL, w.g, "/a", cs_slice_str("{}"), on_answer, &w), CS_OK);
    }
    fd[0] = take_conn(&w);
    fd[1] = take_conn(&w);
    assert_true(nobody_comes(&w, 10));
    for (unsigned i = 0; i < 5; i++) {
        take_request(&w, fd[i % 2], req, sizeof req);
        say(fd[i % 2], ANSWER_ID);
        TURN_UNTIL(&w, w.answers == i + 1);
    }
    /* given up: no callback, and the next one is served */
    cs_gateway_req *r = NULL;
    assert_int_equal(cs_gateway_post(&r, w.g, "/c", cs_slice_str("{}"), on_answer, &w), CS_OK);
    cs_gateway_cancel(r);
    for (int i = 0; i < 5; i++) {
        turn(&w);
    }
    close(fd[0]);
    close(fd[1]);
    tear_down(&w);
}

static void what_nobody_asked_for_closes_the_connection(void **state)
{
    struct world w;
    char req[2048];

    (void)state;
    set_up(&w);
    assert_int_equal(cs_gateway_post(NULL, w.g, "/a", cs_slice_str("{}"), on_answer, &w), CS_OK);
    int fd = take_conn(&w);
    take_request(&w, fd, req, sizeof req);
    say(fd, ANSWER_ID "HTTP/1.1 200 OK\r\n");
    TURN_UNTIL(&w, w.answers == 1);
    TURN_UNTIL(&w, is_closed(fd));
    close(fd);
    tear_down(&w);
}

/* ---- rooms ---- */

static void bodies_come_once_and_only_what_is_for_us(void **state)
{
    struct world w;
    cs_room *r = NULL;
    cs_gateway_stats st;

    (void)state;
    set_up(&w);
    int fd = joined(&w, &r, 0);
    say(fd, SUBSCRIBED);
    say_chunk(fd, "retry: 5000\n\n");
    say_message(fd, 0, "{\"sender\":0,\"receiver\":null,\"body\":\"YQ\"}"); /* a */
    say_message(fd, 1, "{\"sender\":0,\"receiver\":1,\"body\":\"Yg==\"}");  /* b */
    say_message(fd, 1, "{\"sender\":0,\"receiver\":1,\"body\":\"Yg==\"}");  /* seen */
    say_message(fd, 0, "{\"sender\":0,\"receiver\":null,\"body\":\"YQ\"}"); /* goes back */
    say_message(fd, 2, "{\"sender\":0,\"receiver\":2,\"body\":\"YQ\"}");    /* for another */
    say_message(fd, 3, "{\"sender\":1,\"receiver\":null,\"body\":\"YQ\"}"); /* our own */
    say_message(fd, 4, "{\"sender\":0,\"receiver\":null,\"body\":\"Y!\"}");
    say_message(fd, 5, "{\"sender\":0,\"receiver\":null,\"body\":\"YR\"}"); /* unused bits */
    say_message(fd, 6, "nonsense");
    say_chunk(fd, "id: x\nevent: new-message\ndata: {\"sender\":0,\"receiver\":null,\"body\":\"YQ\"}\n\n");
    say_chunk(
        fd, "id: 18446744073709551615\nevent: new-message\ndata: {\"sender\":0,\"receiver\":null,\"body\":\"YQ\"}\n\n");
    say_chunk(fd, "id: 7\ndata: {\"sender\":0,\"receiver\":null,\"body\":\"YQ\"}\n\n: ping\n\n");
    say_message(fd, 9, "{\"sender\":0,\"receiver\":null,\"body\":\"Yw\"}"); /* c */
    TURN_UNTIL(&w, w.num_bodies == 3);
    assert_string_equal(w.bodies, "a;b;c;");
    cs_gateway_stats_get(w.g, &st);
    assert_int_equal(st.received, 3);
    assert_int_equal(st.dropped, 9);
    assert_int_equal(st.rooms_open, 1);
    cs_room_leave(r);
    TURN_UNTIL(&w, is_closed(fd));
    cs_gateway_stats_get(w.g, &st);
    assert_int_equal(st.rooms_open, 0);
    close(fd);
    tear_down(&w);
}

static void a_broken_subscription_goes_on_behind_the_last_event(void **state)
{
    static const char *const ends[] = {"", "0\r\n\r\n", "zz\r\n", "7\r\nid: 9\n\n", "40000\r\nid: 9\ndata: "};

    (void)state;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        struct world w;
        cs_room *r = NULL;
        char req[2048];

        set_up(&w);
        int fd = joined(&w, &r, 0);
        say(fd, SUBSCRIBED);
        say_message(fd, 4, "{\"sender\":0,\"receiver\":null,\"body\":\"YQ\"}");
        say(fd, ends[i]);
        TURN_UNTIL(&w, w.num_bodies == 1);
        close(fd);
        fd = take_conn(&w);
        take_request(&w, fd, req, sizeof req);
        assert_non_null(strstr(req, "\r\nLast-Event-ID: 4\r\n"));
        say(fd, SUBSCRIBED);
        say_message(fd, 5, "{\"sender\":0,\"receiver\":null,\"body\":\"Yg\"}");
        TURN_UNTIL(&w, w.num_bodies == 2);
        assert_string_equal(w.bodies, "a;b;");
        cs_gateway_stats st;
        cs_gateway_stats_get(w.g, &st);
        assert_int_equal(st.resumed, 1);
        cs_room_leave(r);
        close(fd);
        tear_down(&w);
    }
}

static void a_room_that_was_forgotten_counts_anew(void **state)
{
    struct world w;
    cs_room *r = NULL;
    char req[2048];

    (void)state;
    set_up(&w);
    int fd = joined(&w, &r, 0);
    say(fd, SUBSCRIBED);
    say_message(fd, 17, "{\"sender\":0,\"receiver\":null,\"body\":\"YQ\"}");
    TURN_UNTIL(&w, w.num_bodies == 1);
    close(fd);
    stop_listening(&w); /* the gateway starts anew, without a history */
    for (int i = 0; i < 20; i++) {
        turn(&w);
    }
    listen_again(&w);
    fd = take_conn(&w);
    take_request(&w, fd, req, sizeof req);
    assert_non_null(strstr(req, "\r\nLast-Event-ID: 17\r\n"));
    say(fd, SUBSCRIBED);
    say_message(fd, 0, "{\"sender\":0,\"receiver\":null,\"body\":\"Yg\"}");
    say_message(fd, 1, "{\"sender\":0,\"receiver\":null,\"body\":\"Yw\"}");
    say_message(fd, 1, "{\"sender\":0,\"receiver\":null,\"body\":\"Yw\"}");
    say_message(fd, 2, "{\"sender\":0,\"receiver\":null,\"body\":\"ZA\"}");
    TURN_UNTIL(&w, w.num_bodies == 4);
    assert_string_equal(w.bodies, "a;b;c;d;");
    cs_room_leave(r);
    close(fd);
    tear_down(&w);
}

static void a_gateway_that_only_breaks_is_asked_less_and_less(void **state)
{
    struct world w;
    cs_room *r = NULL;
    unsigned came = 0;

    (void)state;
    set_up(&w);
    assert_int_equal(cs_room_join(&r, w.g, &(cs_room_args){"signing_1", CS_SLICE_NULL, 400, &room_events, &w}), CS_OK);
    while (w.lost == 0) {
        cs_ep_peer peer;
        int fd = -1;
        if (cs_endpoint_accept(&fd, &peer, w.listen) == CS_OK) {
            came++;
            close(fd);
        }
        turn(&w);
        assert_true(came < 20);
    }
    assert_true(came >= 2 && came <= 8);
    assert_int_equal(w.why, CS_E_CLOSED);
    cs_slice part = cs_slice_str("x");
    assert_int_equal(cs_room_send(r, &part, 1), CS_E_CLOSED);
    cs_room_leave(r);
    tear_down(&w);
}

/* One event on each connection, then its end: no reason to come again at once for ever. */
static void a_gateway_that_breaks_after_each_event_is_asked_less_and_less(void **state)
{
    struct world w;
    cs_room *r = NULL;
    unsigned came = 0;
    char req[2048];

    (void)state;
    set_up(&w);
    assert_int_equal(cs_room_join(&r, w.g, &(cs_room_args){"signing_1", CS_SLICE_NULL, 0, &room_events, &w}), CS_OK);
    uint64_t end = cs_clock_mono_ms() + 500;
    while (cs_clock_mono_ms() < end) {
        cs_ep_peer peer;
        int fd = -1;
        if (cs_endpoint_accept(&fd, &peer, w.listen) == CS_OK) {
            take_request(&w, fd, req, sizeof req);
            say(fd, SUBSCRIBED);
            say_message(fd, came++, "{\"sender\":0,\"receiver\":null,\"body\":\"YQ\"}");
            close(fd);
        }
        turn(&w);
    }
    assert_true(came >= 2 && came <= 10);
    assert_true(w.num_bodies + 1 >= came);
    assert_int_equal(w.lost, 0);
    cs_room_leave(r);
    tear_down(&w);
}

static void refusals_end_a_membership(void **state)
{
    static const struct {
        const char *answer;
        cs_err err;
    } cases[] = {
        {"HTTP/1.1 404 N\r\nContent-Length: 0\r\n\r\n", CS_E_NOT_FOUND},
        {"HTTP/1.1 429 N\r\nContent-Type: application/json\r\nContent-Length: 21\r\n\r\n{\"code\":\"ROOM_LIMIT\"}",
         CS_E_ROOM_LIMIT},
        {"HTTP/1.1 307 N\r\nLocation: /y\r\nContent-Length: 0\r\n\r\n", CS_E_FORMAT},
        {"HTTP/1.1 400 N\r\nTransfer-Encoding: chunked\r\n\r\n17\r\n{\"code\":\"ROOM_MESSAGE\"}\r\n0\r\n\r\n",
         CS_E_ROOM_MESSAGE},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct world w;
        cs_room *r = NULL;

        set_up(&w);
        int fd = joined(&w, &r, 0);
        say(fd, cases[i].answer);
        TURN_UNTIL(&w, w.lost == 1);
        assert_int_equal(w.why, cases[i].err);
        assert_true(nobody_comes(&w, 10));
        cs_room_leave(r);
        close(fd);
        tear_down(&w);
    }
}

/* What is no event stream, or too large, is tried again with a growing pause, and lost in the end. */
static void a_stream_that_is_none_is_lost(void **state)
{
    static const char *const answers[] = {
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.0 200\r\nbroken\r\n\r\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        struct world w;
        cs_room *r = NULL;
        unsigned came = 0;

        set_up(&w);
        assert_int_equal(cs_room_join(&r, w.g, &(cs_room_args){"signing_1", CS_SLICE_NULL, 150, &room_events, &w}),
                         CS_OK);
        while (w.lost == 0) {
            cs_ep_peer peer;
            int fd = -1;
            char req[2048];
            if (cs_endpoint_accept(&fd, &peer, w.listen) == CS_OK) {
                take_request(&w, fd, req, sizeof req);
                came++;
                say(fd, answers[i]);
                TURN_UNTIL(&w, is_closed(fd));
                close(fd);
            }
            turn(&w);
            assert_true(came < 20);
        }
        assert_int_equal(w.num_bodies, 0);
        cs_room_leave(r);
        tear_down(&w);
    }
}

static void an_event_without_end_breaks_the_connection(void **state)
{
    static char block[8192];
    struct world w;
    cs_room *r = NULL;
    size_t sent = 0;

    (void)state;
    memset(block, 'A', sizeof block);
    set_up(&w);
    int fd = joined(&w, &r, 0);
    say(fd, SUBSCRIBED "1000000\r\nid: 0\nevent: new-message\ndata: ");
    while (!is_closed(fd)) {
        ssize_t n = send(fd, block, sizeof block, MSG_NOSIGNAL | MSG_DONTWAIT);
        sent += n > 0 ? (size_t)n : 0;
        (void)cs_loop_run_once(w.loop, false);
        assert_true(sent < 1u << 20);
    }
    assert_int_equal(w.num_bodies, 0);
    cs_room_leave(r);
    close(fd);
    tear_down(&w);
}

static void bodies_are_sent_in_order_one_at_a_time(void **state)
{
    static const char *const want[] = {"eA", "eXo", ""};
    struct world w;
    cs_room *r = NULL;
    char req[4096], tail[128];

    (void)state;
    set_up(&w);
    int sub = joined(&w, &r, 0);
    send_text(r, "x");
    const cs_slice parts[] = {cs_slice_str("y"), cs_slice_str("z")};
    assert_int_equal(cs_room_send(r, parts, 2), CS_OK);
    assert_int_equal(cs_room_send(r, NULL, 0), CS_OK);
    int fd = take_conn(&w);
    for (size_t i = 0; i < 3; i++) {
        take_request(&w, fd, req, sizeof req);
        assert_memory_equal(req, "POST /x/rooms/signing_1/broadcast HTTP/1.1\r\n", 44);
        (void)snprintf(tail, sizeof tail, "\r\n\r\n{\"sender\":1,\"receiver\":null,\"body\":\"%s\"}", want[i]);
        assert_non_null(strstr(req, tail));
        assert_true(nobody_comes(&w, 6)); /* the next one waits for the answer */
        say(fd, ANSWER_ID);
    }
    cs_gateway_stats st;
    TURN_UNTIL(&w, (cs_gateway_stats_get(w.g, &st), st.sent == 3));
    cs_room_leave(r);
    close(fd);
    close(sub);
    tear_down(&w);
}

static void what_was_queued_is_sent_after_leaving(void **state)
{
    struct world w;
    cs_room *r = NULL;
    char req[4096];
    cs_gateway_stats st;

    (void)state;
    set_up(&w);
    int sub = joined(&w, &r, 0);
    send_text(r, "x");
    send_text(r, "y");
    cs_room_leave(r);
    int fd = take_conn(&w);
    for (int i = 0; i < 2; i++) {
        take_request(&w, fd, req, sizeof req);
        say(fd, ANSWER_ID);
    }
    TURN_UNTIL(&w, (cs_gateway_stats_get(w.g, &st), st.rooms_open == 0));
    assert_int_equal(st.sent, 2);
    close(fd);
    close(sub);
    tear_down(&w);
}

static void leaving_from_within_a_message_is_safe(void **state)
{
    struct world w;
    cs_room *r = NULL;
    cs_gateway_stats st;

    (void)state;
    set_up(&w);
    int fd = joined(&w, &r, 0);
    w.leave_on_body = r;
    say(fd, SUBSCRIBED);
    say_chunk(fd, "id: 0\nevent: new-message\ndata: {\"sender\":0,\"receiver\":null,\"body\":\"YQ\"}\n\n"
                  "id: 1\nevent: new-message\ndata: {\"sender\":0,\"receiver\":null,\"body\":\"Yg\"}\n\n");
    TURN_UNTIL(&w, is_closed(fd));
    assert_string_equal(w.bodies, "a;");
    cs_gateway_stats_get(w.g, &st);
    assert_int_equal(st.rooms_open, 0);
    close(fd);
    tear_down(&w);
}

static void a_send_waits_for_a_gateway_that_restarts(void **state)
{
    struct world w;
    cs_room *r = NULL;
    char req[4096];
    cs_gateway_stats st;

    (void)state;
    set_up(&w);
    int sub = joined(&w, &r, 0);
    say(sub, SUBSCRIBED);
    for (int i = 0; i < 5; i++) {
        turn(&w);
    }
    close(sub);
    stop_listening(&w);
    send_text(r, "x");
    for (int i = 0; i < 50; i++) {
        turn(&w);
    }
    listen_again(&w);
    bool posted = false;
    while (!posted) {
        int fd = take_conn(&w);
        take_request(&w, fd, req, sizeof req);
        posted = strncmp(req, "POST", 4) == 0;
        say(fd, posted ? ANSWER_ID : SUBSCRIBED);
        for (int i = 0; i < 3; i++) {
            turn(&w);
        }
        close(fd);
    }
    TURN_UNTIL(&w, (cs_gateway_stats_get(w.g, &st), st.sent == 1));
    assert_int_equal(w.lost, 0);
    cs_room_leave(r);
    tear_down(&w);
}

/* The bridge of an enclave takes connections while the gateway is away, and closes them. */
static void a_send_survives_connections_that_are_taken_and_closed(void **state)
{
    struct world w;
    cs_room *r = NULL;
    char req[4096];
    cs_gateway_stats st;
    unsigned closed = 0;

    (void)state;
    set_up(&w);
    int sub = joined(&w, &r, 0);
    say(sub, SUBSCRIBED);
    send_text(r, "x");
    while (closed < 4) { /* one is closed at once, the next when it has the request */
        int fd = take_conn(&w);
        if (closed % 2 == 1) {
            take_request(&w, fd, req, sizeof req);
        }
        closed++;
        close(fd);
    }
    int fd = take_conn(&w);
    take_request(&w, fd, req, sizeof req);
    say(fd, ANSWER_ID);
    TURN_UNTIL(&w, (cs_gateway_stats_get(w.g, &st), st.sent == 1));
    assert_int_equal(w.lost, 0);
    cs_room_leave(r);
    close(fd);
    close(sub);
    tear_down(&w);
}

static void a_send_that_is_refused_loses_the_room(void **state)
{
    struct world w;
    cs_room *r = NULL;
    char req[4096];

    (void)state;
    set_up(&w);
    int sub = joined(&w, &r, 0);
    send_text(r, "x");
    send_text(r, "y");
    int fd = take_conn(&w);
    take_request(&w, fd, req, sizeof req);
    say(fd, "HTTP/1.1 429 X\r\nContent-Length: 0\r\n\r\n");
    TURN_UNTIL(&w, w.lost == 1);
    assert_int_equal(w.why, CS_E_ROOM_LIMIT);
    cs_room_leave(r);
    close(fd);
    close(sub);
    tear_down(&w);
}

static void limits_of_a_room(void **state)
{
    static uint8_t large[CS_ROOM_BODY_MAX + 1], too_long[CS_ROOM_HEAD_WANTED + 1];
    struct world w;
    cs_room *r = NULL, *other = NULL;
    cs_slice whole = cs_slice_of(large, sizeof large), two[2] = {{large, 100}, {large, CS_ROOM_BODY_MAX}};

    (void)state;
    set_up_with(&w, (cs_gateway_config){.rooms_max = 1});
    assert_int_equal(cs_room_join(&r, w.g, &(cs_room_args){"a/b", CS_SLICE_NULL, 0, &room_events, &w}), CS_E_RANGE);
    assert_int_equal(
        cs_room_join(&r, w.g, &(cs_room_args){"a", cs_slice_of(too_long, sizeof too_long), 0, &room_events, &w}),
        CS_E_RANGE);
    assert_int_equal(cs_room_join(&r, w.g, &(cs_room_args){"", CS_SLICE_NULL, 0, &room_events, &w}), CS_E_RANGE);
    int fd = joined(&w, &r, 0);
    assert_int_equal(cs_room_join(&other, w.g, &(cs_room_args){"b", CS_SLICE_NULL, 0, &room_events, &w}),
                     CS_E_SESSION_LIMIT);
    assert_int_equal(cs_room_send(r, &whole, 1), CS_E_TOO_LARGE);
    assert_int_equal(cs_room_send(r, two, 2), CS_E_TOO_LARGE);
    for (int i = 0; i < 17; i++) { /* one under way, 16 wait */
        send_text(r, "x");
    }
    cs_slice one = cs_slice_str("x");
    assert_int_equal(cs_room_send(r, &one, 1), CS_E_RANGE);
    close(fd);
    tear_down(&w); /* with all of it open */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_post_is_answered_and_its_connection_used_again),
        cmocka_unit_test(answers_that_are_none),
        cmocka_unit_test(an_endless_head_is_refused),
        cmocka_unit_test(a_slow_answer_ends_at_the_deadline),
        cmocka_unit_test(nobody_listens),
        cmocka_unit_test(a_kept_connection_that_was_closed_costs_no_request),
        cmocka_unit_test(a_request_is_not_sent_a_third_time),
        cmocka_unit_test(requests_beyond_the_connections_wait),
        cmocka_unit_test(what_nobody_asked_for_closes_the_connection),
        cmocka_unit_test(bodies_come_once_and_only_what_is_for_us),
        cmocka_unit_test(a_broken_subscription_goes_on_behind_the_last_event),
        cmocka_unit_test(a_room_that_was_forgotten_counts_anew),
        cmocka_unit_test(a_gateway_that_only_breaks_is_asked_less_and_less),
        cmocka_unit_test(a_gateway_that_breaks_after_each_event_is_asked_less_and_less),
        cmocka_unit_test(refusals_end_a_membership),
        cmocka_unit_test(a_stream_that_is_none_is_lost),
        cmocka_unit_test(an_event_without_end_breaks_the_connection),
        cmocka_unit_test(bodies_are_sent_in_order_one_at_a_time),
        cmocka_unit_test(what_was_queued_is_sent_after_leaving),
        cmocka_unit_test(leaving_from_within_a_message_is_safe),
        cmocka_unit_test(a_send_waits_for_a_gateway_that_restarts),
        cmocka_unit_test(a_send_survives_connections_that_are_taken_and_closed),
        cmocka_unit_test(a_send_that_is_refused_loses_the_room),
        cmocka_unit_test(limits_of_a_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
