/* The HTTP/1.1 server: streamed answers, who gives way, clients that do not read, late requests, drain. */
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

#include "net/http1.h"

#define TEXT(s) cs_slice_of((s), sizeof(s) - 1)

typedef struct world {
    cs_loop *loop;
    cs_http1_server *server;
    cs_endpoint ep;
    cs_http1_conn *conn; /* of the streamed answer, or of the held request */
    cs_err begun;
    int requests, gone, drained, released, refused;
    cs_buf big;
} world;

static world w;

static void on_drain(void *cookie)
{
    w.drained++;
}

static void on_gone(void *cookie)
{
    w.gone++;
    w.conn = NULL;
}

static void on_release(void *cookie)
{
    w.released++;
}

static void handler(void *cookie, cs_http1_conn *conn, const cs_http1_msg *m)
{
    static const cs_http1_stream_events events = {on_drain, on_gone};
    cs_http1_header type = {cs_slice_str("Content-Type"), cs_slice_str("text/plain")};
    w.requests++;
    if (cs_slice_eq_str(m->target, "/stream")) {
        w.conn = conn;
        w.begun = cs_http1_stream_begin(conn, 200, &type, 1, &events, &w);
        if (w.begun == CS_E_UNSUPPORTED) {
            cs_http1_respond(conn, 505, NULL, 0, CS_SLICE_NULL);
        }
    } else if (cs_slice_eq_str(m->target, "/hold")) {
        w.conn = conn;
        cs_http1_conn_on_gone(conn, on_gone, &w);
    } else if (cs_slice_eq_str(m->target, "/big")) {
        cs_http1_respond(conn, 200, &type, 1, cs_buf_slice(&w.big));
    } else {
        cs_http1_respond(conn, 200, &type, 1, m->target);
    }
}

static void on_refuse(cs_http1_conn *conn, unsigned status, cs_err err)
{
    w.refused++;
    cs_http1_respond(conn, status, NULL, 0, cs_slice_str(cs_err_code(err)));
}

static void open_world(unsigned conns_max, uint32_t head_ms)
{
    cs_http1_server_opts o = {.limits = {.body_max = 200000,
                                         .conns_max = conns_max,
                                         .head_timeout_ms = head_ms,
                                         .body_timeout_ms = 2 * head_ms},
                              .cid = CS_EP_CID_ANY,
                              .refuse = on_refuse,
                              .held_max = 300000,
                              .send_buffer = 131072};
    int fd = -1;
    w = (world){.big = cs_buf_heap(1u << 20)};
    uint8_t *space = NULL;
    assert_int_equal(cs_put_space(&w.big, &space, 100000), CS_OK);
    memset(space, 'b', 100000);
    assert_int_equal(cs_loop_new(&w.loop), CS_OK);
    assert_int_equal(cs_endpoint_parse(&w.ep, cs_slice_str("tcp:127.0.0.1:0")), CS_OK);
    assert_int_equal(cs_endpoint_listen(&fd, &w.ep, 64), CS_OK);
    assert_int_equal(cs_endpoint_bound(&w.ep, fd), CS_OK);
    assert_int_equal(cs_http1_server_new(&w.server, w.loop, fd, &o, handler, &w), CS_OK);
}

static void spin(int turns)
{
    for (int i = 0; i < turns; i++) {
        (void)cs_loop_run_once(w.loop, false);
        usleep(200);
    }
}

static void close_world(void)
{
    spin(5); /* those that linger see that the client has closed */
    cs_http1_server_free(w.server);
    cs_loop_free(w.loop);
    cs_buf_free(&w.big);
}

static int dial(void)
{
    int fd = -1;
    assert_int_equal(cs_endpoint_connect(&fd, &w.ep, 1000), CS_OK);
    spin(5);
    return fd;
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* Turns the loop until the text has come, or the peer has closed, or a long time has passed. */
typedef struct heard {
    char text[4096];
    size_t len, total;
    bool closed;
} heard;

static void hear(heard *h, int fd, const char *until)
{
    for (int i = 0; i < 20000 && !h->closed && (until == NULL || strstr(h->text, until) == NULL); i++) {
        char piece[2048];
        ssize_t n = recv(fd, piece, sizeof piece, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN)) {
            h->closed = true;
        } else if (n > 0) {
            h->total += (size_t)n;
            size_t keep = (size_t)n < sizeof h->text - 1 - h->len ? (size_t)n : sizeof h->text - 1 - h->len;
            memcpy(h->text + h->len, piece, keep);
            h->len += keep;
            continue;
        }
        (void)cs_loop_run_once(w.loop, false);
        usleep(100);
    }
}

static void stream_is_chunked_and_ends_the_connection(void **state)
{
    heard h = {0};
    open_world(8, 1000);
    int fd = dial();
    say(fd, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\nGET /behind HTTP/1.1\r\nHost: x\r\n\r\n");
    hear(&h, fd, "\r\n\r\n");
    assert_int_equal(w.begun, CS_OK);
    assert_non_null(strstr(h.text, "Transfer-Encoding: chunked\r\n"));
    assert_non_null(strstr(h.text, "Connection: close\r\n"));
    assert_null(strstr(h.text, "Content-Length"));
    cs_slice parts[] = {TEXT("he"), TEXT("llo")};
    assert_int_equal(cs_http1_stream_write(w.conn, parts, 2), CS_OK);
    assert_int_equal(cs_http1_stream_write(w.conn, NULL, 0), CS_E_RANGE);
    assert_int_equal(cs_http1_stream_write_ref(w.conn, TEXT("3\r\nref\r\n"), on_release, &w), CS_OK);
    hear(&h, fd, "5\r\nhello\r\n3\r\nref\r\n");
    say(fd, "GET /behind HTTP/1.1\r\nHost: x\r\n\r\n");
    spin(20);
    assert_int_equal(w.released, 1);
    cs_http1_stream_end(w.conn);
    hear(&h, fd, NULL);
    assert_true(h.closed);
    assert_non_null(strstr(h.text, "3\r\nref\r\n0\r\n\r\n"));
    assert_int_equal(w.requests, 1);
    assert_int_equal(w.gone, 0);
    close(fd);
    close_world();
}

static void stream_ends_when_the_client_leaves(void **state)
{
    heard h = {0};
    open_world(8, 1000);
    int fd = dial();
    say(fd, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
    hear(&h, fd, "\r\n\r\n");
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    hear(&h, fd, NULL);
    assert_true(h.closed);
    assert_int_equal(w.gone, 1);
    assert_int_equal(cs_http1_server_conns(w.server), 0);
    close(fd);
    fd = dial();
    say(fd, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
    memset(&h, 0, sizeof h);
    hear(&h, fd, "\r\n\r\n");
    cs_http1_conn_close(w.conn); /* ours to end: nobody is told */
    hear(&h, fd, NULL);
    assert_true(h.closed);
    assert_int_equal(w.gone, 1);
    close(fd);
    fd = dial();
    say(fd, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
    memset(&h, 0, sizeof h);
    hear(&h, fd, "\r\n\r\n");
    close_world(); /* the server's end is */
    assert_int_equal(w.gone, 2);
    close(fd);
}

static void stream_needs_http_1_1_and_a_body(void **state)
{
    heard h = {0};
    open_world(8, 1000);
    int fd = dial();
    say(fd, "GET /stream HTTP/1.0\r\n\r\n");
    hear(&h, fd, NULL);
    assert_int_equal(w.begun, CS_E_UNSUPPORTED);
    assert_true(h.closed && strncmp(h.text, "HTTP/1.1 505 ", 13) == 0);
    close(fd);
    fd = dial();
    memset(&h, 0, sizeof h);
    say(fd, "HEAD /stream HTTP/1.1\r\nHost: x\r\n\r\n");
    hear(&h, fd, NULL);
    assert_int_equal(w.begun, CS_E_CLOSED);
    assert_true(h.closed && strncmp(h.text, "HTTP/1.1 200 ", 13) == 0);
    assert_string_equal(h.text + h.len - 4, "\r\n\r\n");
    assert_int_equal(w.gone, 0);
    close(fd);
    close_world();
}

static void full_stream_tells_when_it_drains(void **state)
{
    static uint8_t piece[16384];
    heard h = {0};
    size_t written = 0;
    open_world(8, 1000);
    int fd = dial();
    say(fd, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
    hear(&h, fd, "\r\n\r\n");
    cs_slice part = cs_slice_of(piece, sizeof piece);
    while (!cs_http1_stream_full(w.conn)) {
        assert_int_equal(cs_http1_stream_write(w.conn, &part, 1), CS_OK);
        written += sizeof piece;
        spin(1);
    }
    assert_true(written >= 256u * 1024u && written < 8u * 1024u * 1024u);
    spin(50);
    assert_int_equal(w.drained, 0);
    h.len = 0;
    for (int i = 0; i < 1000 && w.drained == 0; i++) {
        char sink[65536];
        (void)!recv(fd, sink, sizeof sink, MSG_DONTWAIT);
        spin(1);
    }
    assert_int_equal(w.drained, 1);
    assert_true(cs_http1_stream_queued(w.conn) < 256u * 1024u);
    close(fd);
    close_world();
}

static void what_is_no_request_is_refused(void **state)
{
    static const struct {
        const char *request, *answer;
    } bad[] = {
        {"GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 400 "},
        {"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 400 "},
        {"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 400 "},
        {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n", "HTTP/1.1 400 "},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 200001\r\n\r\n", "HTTP/1.1 413 "},
        {"\r\n\r\n\x16\x03\x01", "HTTP/1.1 400 "},
    };
    open_world(8, 1000);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        heard h = {0};
        int fd = dial();
        say(fd, bad[i].request);
        hear(&h, fd, NULL);
        assert_true(h.closed);
        assert_memory_equal(h.text, bad[i].answer, strlen(bad[i].answer));
        assert_non_null(strstr(h.text, "Connection: close\r\n"));
        close(fd);
    }
    assert_int_equal(w.refused, sizeof bad / sizeof *bad);
    assert_int_equal(w.requests, 0);
    close_world();
}

static void the_longest_idle_gives_way(void **state)
{
    heard h = {0};
    open_world(3, 1000);
    int a = dial(), b = dial(), c = dial();
    say(b, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n"); /* an answer is due: it stays */
    say(c, "GET /ha");
    spin(20);
    say(a, "GET /1 HTTP/1.1\r\nHost: x\r\n\r\n"); /* was the longest, now it is not */
    hear(&h, a, "/1");
    int d = dial();
    memset(&h, 0, sizeof h);
    hear(&h, c, NULL);
    assert_true(h.closed);
    memset(&h, 0, sizeof h);
    say(d, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
    say(a, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
    spin(20);
    int e = dial(); /* all are busy */
    hear(&h, e, NULL);
    assert_true(h.closed && h.len == 0);
    assert_int_equal(cs_http1_server_conns(w.server), 3);
    for (int i = 0; i < 5; i++) {
        close((int[]){a, b, c, d, e}[i]);
    }
    close_world();
}

/* Half of a body of 150 kB. */
static int half_a_body(void)
{
    static char piece[75000];
    int fd = dial();
    say(fd, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 150000\r\n\r\n");
    memset(piece, 'x', sizeof piece);
    for (size_t sent = 0; sent < sizeof piece;) {
        ssize_t n = send(fd, piece + sent, sizeof piece - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        sent += n > 0 ? (size_t)n : 0;
        spin(2);
    }
    spin(10);
    return fd;
}

static void memory_of_requests_is_bounded(void **state)
{
    heard h = {0};
    int fds[6];
    open_world(64, 10000);
    int idle = dial();
    for (size_t i = 0; i < 6; i++) {
        fds[i] = half_a_body();
    }
    hear(&h, fds[0], NULL);
    assert_true(h.closed && h.len == 0); /* the one that waited longest */
    memset(&h, 0, sizeof h);
    say(idle, "GET /1 HTTP/1.1\r\nHost: x\r\n\r\n");
    hear(&h, idle, "/1");
    assert_non_null(strstr(h.text, "/1"));
    assert_true(cs_http1_server_conns(w.server) >= 2 && cs_http1_server_conns(w.server) < 7);
    for (size_t i = 0; i < 6; i++) {
        close(fds[i]);
    }
    close(idle);
    close_world();
}

static void who_does_not_read_is_not_read(void **state)
{
    heard h = {0};
    open_world(8, 1000);
    int fd = dial();
    int sent = 0;
    for (; sent < 200; sent++) {
        say(fd, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    spin(200);
    assert_true(w.requests < 60); /* 100 kB each: what two sockets hold, and 256 KiB */
    int before = w.requests;
    spin(50);
    assert_int_equal(w.requests, before);
    for (int i = 0; i < 200000 && h.total < 200u * 100000u; i++) {
        size_t had = h.total;
        char sink[65536];
        ssize_t n = recv(fd, sink, sizeof sink, MSG_DONTWAIT);
        h.total += n > 0 ? (size_t)n : 0;
        if (h.total == had) {
            spin(1);
        }
    }
    assert_int_equal(w.requests, 200);
    close(fd);
    close_world();
}

static void late_requests_end(void **state)
{
    heard h = {0}, g = {0};
    open_world(8, 30);
    int head = dial(), body = dial();
    say(head, "GET / HTTP/1.1\r\nHo");
    say(body, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12");
    hear(&h, head, NULL);
    assert_true(h.closed && strncmp(h.text, "HTTP/1.1 408 ", 13) == 0);
    hear(&g, body, NULL);
    assert_true(g.closed && strncmp(g.text, "HTTP/1.1 408 ", 13) == 0);
    close(head);
    close(body);
    close_world();
}

static void drain_answers_what_is_under_way(void **state)
{
    heard h = {0}, g = {0};
    open_world(8, 1000);
    int idle = dial(), busy = dial();
    say(busy, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
    spin(20);
    cs_http1_server_drain(w.server);
    hear(&h, idle, NULL);
    assert_true(h.closed);
    cs_http1_respond(w.conn, 200, NULL, 0, TEXT("last"));
    hear(&g, busy, NULL);
    assert_true(g.closed);
    assert_non_null(strstr(g.text, "Connection: close\r\n"));
    assert_non_null(strstr(g.text, "last"));
    assert_int_equal(w.gone, 0);
    assert_int_equal(cs_http1_server_conns(w.server), 0);
    int fd = -1;
    assert_int_not_equal(cs_endpoint_connect(&fd, &w.ep, 100), CS_OK);
    close(idle);
    close(busy);
    close_world();
}

/* A head that came in one piece has its body's time, not its own. */
static void the_time_of_a_body_is_not_that_of_its_head(void **state)
{
    heard h = {0};
    open_world(8, 60);
    int body = dial(), head = dial();
    say(body, "POST /late HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n12");
    spin(5);
    say(head, "GET / HTTP/1.1\r\nHo");
    hear(&h, head, NULL); /* over: so is the time of the first one's head */
    assert_true(h.closed && w.refused == 1);
    say(body, "34");
    memset(&h, 0, sizeof h);
    hear(&h, body, "/late");
    assert_true(strncmp(h.text, "HTTP/1.1 200 ", 13) == 0);
    close(body);
    close(head);
    close_world();
}

/* What a client sends behind the request of its stream is thrown away, and is counted no more. */
static void dropped_bytes_of_streams_do_not_count(void **state)
{
    static const char first[] = "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n";
    static char junk[65536];
    heard h = {0};
    int streams[4];
    open_world(64, 10000);
    int half = half_a_body();
    memset(junk, 'j', sizeof junk);
    memcpy(junk, first, sizeof first - 1);
    for (size_t i = 0; i < 4; i++) {
        streams[i] = dial();
        assert_int_equal(send(streams[i], junk, sizeof junk, MSG_NOSIGNAL), (ssize_t)sizeof junk);
        memset(&h, 0, sizeof h);
        hear(&h, streams[i], "\r\n\r\n");
        assert_non_null(strstr(h.text, "chunked"));
    }
    for (size_t i = 0; i < 2; i++) { /* the server counts what it holds */
        int fd = dial();
        say(fd, "GET /1 HTTP/1.1\r\nHost: x\r\n\r\n");
        memset(&h, 0, sizeof h);
        hear(&h, fd, "/1");
        close(fd);
    }
    char c;
    assert_true(recv(half, &c, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN); /* it did not have to give way */
    for (size_t i = 0; i < 4; i++) {
        close(streams[i]);
    }
    close(half);
    close_world();
}

/* Many small requests in one go, in pieces that end anywhere, are answered in order and each once. */
static void pipelined_requests_are_all_answered(void **state)
{
    enum { COUNT = 8000 };
    static char text[COUNT * 40];
    static char answers[COUNT * 120];
    size_t len = 0, sent = 0, got = 0;
    unsigned next = 0;
    open_world(8, 10000);
    int fd = dial();
    for (unsigned i = 0; i < COUNT; i++) {
        len += (size_t)sprintf(text + len, "GET /%u HTTP/1.1\r\nHost:\r\n\r\n", i);
    }
    for (int i = 0; i < 400000 && next < COUNT; i++) {
        size_t piece = len - sent < 7777 ? len - sent : 7777;
        ssize_t n = piece > 0 ? send(fd, text + sent, piece, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;
        sent += n > 0 ? (size_t)n : 0;
        n = recv(fd, answers + got, sizeof answers - 1 - got, MSG_DONTWAIT);
        got += n > 0 ? (size_t)n : 0;
        (void)cs_loop_run_once(w.loop, false);
        if (w.requests == COUNT && sent == len) {
            next = COUNT;
        }
    }
    assert_int_equal(w.requests, COUNT);
    for (int i = 0; i < 200; i++) {
        ssize_t n = recv(fd, answers + got, sizeof answers - 1 - got, MSG_DONTWAIT);
        got += n > 0 ? (size_t)n : 0;
        spin(1);
    }
    const char *at = answers;
    for (unsigned i = 0; i < COUNT; i++) {
        char want[24];
        (void)sprintf(want, "\r\n\r\n/%u", i);
        at = strstr(at, want);
        assert_non_null(at);
        at += 4;
    }
    close(fd);
    close_world();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stream_is_chunked_and_ends_the_connection),
        cmocka_unit_test(stream_ends_when_the_client_leaves),
        cmocka_unit_test(stream_needs_http_1_1_and_a_body),
        cmocka_unit_test(full_stream_tells_when_it_drains),
        cmocka_unit_test(what_is_no_request_is_refused),
        cmocka_unit_test(the_longest_idle_gives_way),
        cmocka_unit_test(memory_of_requests_is_bounded),
        cmocka_unit_test(who_does_not_read_is_not_read),
        cmocka_unit_test(late_requests_end),
        cmocka_unit_test(the_time_of_a_body_is_not_that_of_its_head),
        cmocka_unit_test(dropped_bytes_of_streams_do_not_count),
        cmocka_unit_test(pipelined_requests_are_all_answered),
        cmocka_unit_test(drain_answers_what_is_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
