/* gRPC: our client against our server, and the server against raw HTTP/2 bytes where a client would not send them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/h2/grpc.h"
#include "net/h2/wire.h"

typedef struct fixture {
    cs_loop *loop;
    cs_grpc_server *server;
    cs_grpc_client *client;
    cs_endpoint ep;
    unsigned gone, half_closed;
    cs_grpc_call *held;
} fixture;

static fixture *fx;

static void echo(cs_grpc_call *c, cs_slice message)
{
    cs_err err = cs_grpc_send(c, &message, 1);
    if (err != CS_OK) {
        cs_grpc_finish(c, err, NULL);
    }
}
static void unary_echo(cs_grpc_call *c, cs_slice message)
{
    assert_int_equal(cs_grpc_send(c, &message, 1), CS_OK);
    cs_grpc_finish(c, CS_OK, NULL);
}
static void finish_ok(cs_grpc_call *c)
{
    fx->half_closed++;
    cs_grpc_finish(c, CS_OK, NULL);
}
static void refuse(cs_grpc_call *c, cs_slice message)
{
    cs_grpc_finish(c, CS_E_ACCOUNT_UNKNOWN, "d\xc3\xa9tail 100%");
}
static void hold(cs_grpc_call *c, cs_slice message)
{
    fx->held = c;
}
static void gone(cs_grpc_call *c)
{
    fx->gone++;
    fx->held = NULL;
}

/* Answers with the headers that the client's owner gave, one after the other. */
static void headers_back(cs_grpc_call *c, cs_slice message)
{
    uint8_t mem[256];
    cs_buf out = cs_buf_wrap(mem, sizeof mem);
    cs_slice name, value;
    size_t at = 0;
    while (cs_grpc_call_header_next(c, &at, &name, &value)) {
        if (name.p[0] == 'x') {
            assert_int_equal(cs_put_slice(&out, name), CS_OK);
            assert_int_equal(cs_put_u8(&out, '='), CS_OK);
            assert_int_equal(cs_put_slice(&out, value), CS_OK);
            assert_int_equal(cs_put_u8(&out, ';'), CS_OK);
        }
    }
    assert_false(cs_grpc_call_header_next(c, &at, &name, &value));
    unary_echo(c, cs_buf_slice(&out));
}

static const cs_grpc_method methods[] = {
    {.path = "/t/Headers", .on_message = headers_back},
    {.path = "/t/Echo",
     .client_streams = true,
     .server_streams = true,
     .on_message = echo,
     .on_half_close = finish_ok,
     .on_gone = gone},
    {.path = "/t/Unary", .on_message = unary_echo},
    {.path = "/t/Refuse", .on_message = refuse},
    {.path = "/t/Hold", .client_streams = true, .server_streams = true, .on_message = hold, .on_gone = gone},
    {.path = NULL},
};

static void start(fixture *f, const cs_grpc_opts *opts)
{
    int fd;
    *f = (fixture){0};
    fx = f;
    assert_int_equal(cs_loop_new(&f->loop), CS_OK);
    assert_int_equal(cs_endpoint_parse(&f->ep, cs_slice_str("tcp:127.0.0.1:0")), CS_OK);
    assert_int_equal(cs_endpoint_listen(&fd, &f->ep, 64), CS_OK);
    assert_int_equal(cs_endpoint_bound(&f->ep, fd), CS_OK);
    assert_int_equal(cs_grpc_server_new(&f->server, f->loop, fd, methods, opts, f), CS_OK);
    assert_int_equal(cs_grpc_client_new(&f->client, f->loop, &f->ep, NULL), CS_OK);
}

static void stop(fixture *f)
{
    cs_grpc_client_free(f->client);
    cs_grpc_server_free(f->server);
    cs_loop_free(f->loop);
}

typedef struct seen {
    unsigned messages;
    size_t bytes;
    unsigned want;
    uint8_t *expect;
    bool done;
    cs_grpc_status status;
    cs_err err;
    char text[512];
    size_t to_send, len; /* messages still to be sent */
} seen;

static void got(cs_grpc_call *c, void *cookie, cs_slice m)
{
    seen *s = cookie;
    s->messages++;
    s->bytes += m.len;
    if (s->expect != NULL) {
        assert_memory_equal(m.p, s->expect, m.len);
    }
    if (s->want != 0 && s->messages == s->want) {
        cs_grpc_end(c);
    }
}
static void feed_more(cs_grpc_call *c, void *cookie)
{
    seen *s = cookie;
    while (s->to_send > 0) {
        cs_slice m = cs_slice_of(s->expect, s->len);
        cs_err err = cs_grpc_send(c, &m, 1);
        if (err == CS_E_RANGE) {
            return;
        }
        assert_int_equal(err, CS_OK);
        s->to_send--;
    }
}
static void ended(cs_grpc_call *c, void *cookie, const cs_grpc_result *r)
{
    seen *s = cookie;
    assert_false(s->done);
    s->done = true;
    s->status = r->status;
    s->err = r->err;
    memcpy(s->text, r->message.p != NULL ? (const char *)r->message.p : "",
           r->message.len < 511 ? r->message.len : 511);
}
static const cs_grpc_call_events events = {got, feed_more, ended};

static void until(fixture *f, const bool *flag)
{
    for (int i = 0; i < 2000000 && !*flag; i++) {
        (void)cs_loop_run_once(f->loop, true);
    }
    assert_true(*flag);
}

static void unary(fixture *f, seen *s, const char *path, size_t len, uint32_t timeout)
{
    cs_grpc_call *c;
    uint8_t *mem = calloc(1, len + 1);
    cs_slice m = cs_slice_of(mem, len);
    assert_int_equal(cs_grpc_call_new(&c, f->client, path, timeout, &events, s), CS_OK);
    assert_int_equal(cs_grpc_send(c, &m, 1), CS_OK);
    cs_grpc_end(c);
    until(f, &s->done);
    free(mem);
}

static void unary_calls_answer_any_size(void **state)
{
    fixture f;
    start(&f, NULL);
    for (size_t len = 0; len <= 200000; len = len * 3 + 1) {
        seen s = {0};
        unary(&f, &s, "/t/Unary", len, 5000);
        assert_int_equal(s.status, CS_GRPC_OK);
        assert_int_equal(s.err, CS_OK);
        assert_int_equal(s.messages, 1);
        assert_int_equal(s.bytes, len);
    }
    stop(&f);
}

static void streams_echo_in_order_under_backpressure(void **state)
{
    enum { STREAMS = 40, EACH = 60, LEN = 43000 };
    fixture f;
    cs_grpc_opts opts = {.queue_max = 200000};
    static seen s[STREAMS];
    uint8_t *mem = malloc(LEN);
    for (size_t i = 0; i < LEN; i++) {
        mem[i] = (uint8_t)(i * 31 + i / 256);
    }
    memset(s, 0, sizeof s);
    start(&f, NULL);
    cs_grpc_client_free(f.client);
    assert_int_equal(cs_grpc_client_new(&f.client, f.loop, &f.ep, &opts), CS_OK);
    for (int i = 0; i < STREAMS; i++) {
        cs_grpc_call *c;
        s[i] = (seen){.want = EACH, .expect = mem, .to_send = EACH, .len = LEN};
        assert_int_equal(cs_grpc_call_new(&c, f.client, "/t/Echo", 0, &events, &s[i]), CS_OK);
        feed_more(c, &s[i]);
        assert_true(s[i].to_send > 0); /* the queue is bounded */
    }
    for (int i = 0; i < STREAMS; i++) {
        until(&f, &s[i].done);
        assert_int_equal(s[i].status, CS_GRPC_OK);
        assert_int_equal(s[i].messages, EACH);
        assert_int_equal(s[i].bytes, (size_t)EACH * LEN);
    }
    assert_int_equal(f.half_closed, STREAMS);
    cs_grpc_stats st;
    cs_grpc_server_stats(f.server, &st);
    assert_int_equal(st.messages_in, STREAMS * EACH);
    stop(&f);
    free(mem);
}

static void refusal_carries_code_cause_and_fix(void **state)
{
    fixture f;
    seen s = {0};
    start(&f, NULL);
    unary(&f, &s, "/t/Refuse", 3, 5000);
    assert_int_equal(s.status, CS_GRPC_NOT_FOUND);
    assert_int_equal(s.err, CS_E_ACCOUNT_UNKNOWN);
    assert_non_null(strstr(s.text, "ACCOUNT_UNKNOWN: "));
    assert_non_null(strstr(s.text, cs_err_fix(CS_E_ACCOUNT_UNKNOWN)));
    assert_non_null(strstr(s.text, "d\xc3\xa9tail 100%"));
    stop(&f);
}

static void unknown_method_is_unimplemented(void **state)
{
    fixture f;
    seen s = {0};
    start(&f, NULL);
    unary(&f, &s, "/t/Nothing", 3, 5000);
    assert_int_equal(s.status, CS_GRPC_UNIMPLEMENTED);
    assert_int_equal(s.err, CS_E_NOT_IMPLEMENTED);
    stop(&f);
}

static void message_over_the_cap_is_resource_exhausted(void **state)
{
    fixture f;
    seen s = {0};
    cs_grpc_opts small = {.message_max = 1000};
    start(&f, &small);
    unary(&f, &s, "/t/Unary", 1001, 5000);
    assert_int_equal(s.status, CS_GRPC_RESOURCE_EXHAUSTED);
    assert_int_equal(s.err, CS_E_TOO_LARGE);
    cs_grpc_call *c;
    seen t = {0};
    static uint8_t big[CS_GRPC_MESSAGE_MAX + 1];
    cs_slice m = cs_slice_of(big, sizeof big);
    assert_int_equal(cs_grpc_call_new(&c, f.client, "/t/Unary", 0, &events, &t), CS_OK);
    assert_int_equal(cs_grpc_send(c, &m, 1), CS_E_TOO_LARGE);
    cs_grpc_cancel(c);
    assert_false(t.done);
    stop(&f);
}

static void two_messages_to_a_unary_method_are_internal(void **state)
{
    fixture f;
    seen s = {0};
    cs_grpc_call *c;
    cs_slice m = cs_slice_str("x");
    start(&f, NULL);
    assert_int_equal(cs_grpc_call_new(&c, f.client, "/t/Unary", 5000, &events, &s), CS_OK);
    assert_int_equal(cs_grpc_send(c, &m, 1), CS_OK);
    assert_int_equal(cs_grpc_send(c, &m, 1), CS_OK);
    cs_grpc_end(c);
    until(&f, &s.done);
    assert_int_equal(s.status, CS_GRPC_INTERNAL);
    stop(&f);
}

static void deadline_ends_the_call_on_both_sides(void **state)
{
    fixture f;
    seen s = {0};
    start(&f, NULL);
    unary(&f, &s, "/t/Hold", 3, 30);
    assert_int_equal(s.status, CS_GRPC_DEADLINE_EXCEEDED);
    assert_int_equal(s.err, CS_E_TIMEOUT);
    for (int i = 0; i < 1000 && f.gone == 0; i++) {
        (void)cs_loop_run_once(f.loop, true);
    }
    assert_int_equal(f.gone, 1);
    stop(&f);
}

static void cancel_reaches_the_server(void **state)
{
    fixture f;
    seen s = {0};
    cs_grpc_call *c;
    cs_slice m = cs_slice_str("x");
    start(&f, NULL);
    assert_int_equal(cs_grpc_call_new(&c, f.client, "/t/Hold", 0, &events, &s), CS_OK);
    assert_int_equal(cs_grpc_send(c, &m, 1), CS_OK);
    for (int i = 0; i < 1000 && f.held == NULL; i++) {
        (void)cs_loop_run_once(f.loop, true);
    }
    assert_non_null(f.held);
    cs_grpc_cancel(c);
    for (int i = 0; i < 1000 && f.gone == 0; i++) {
        (void)cs_loop_run_once(f.loop, true);
    }
    assert_int_equal(f.gone, 1);
    assert_false(s.done);
    stop(&f);
}

static void lost_server_is_unavailable_and_is_dialled_again(void **state)
{
    fixture f;
    seen s = {0};
    seen t = {0};
    cs_grpc_call *c;
    cs_slice m = cs_slice_str("x");
    int fd;
    start(&f, NULL);
    assert_int_equal(cs_grpc_call_new(&c, f.client, "/t/Hold", 0, &events, &s), CS_OK);
    assert_int_equal(cs_grpc_send(c, &m, 1), CS_OK);
    for (int i = 0; i < 1000 && f.held == NULL; i++) {
        (void)cs_loop_run_once(f.loop, true);
    }
    cs_grpc_server_free(f.server);
    assert_int_equal(f.gone, 1);
    until(&f, &s.done);
    assert_int_equal(s.status, CS_GRPC_UNAVAILABLE);
    assert_int_equal(cs_endpoint_listen(&fd, &f.ep, 64), CS_OK);
    assert_int_equal(cs_grpc_server_new(&f.server, f.loop, fd, methods, NULL, &f), CS_OK);
    unary(&f, &t, "/t/Unary", 10, 5000);
    assert_int_equal(t.status, CS_GRPC_OK);
    stop(&f);
}

static void calls_wait_for_the_servers_stream_limit(void **state)
{
    enum { CALLS = 500 };
    static seen s[CALLS];
    fixture f;
    cs_grpc_opts few = {.streams_max = 7};
    start(&f, &few);
    memset(s, 0, sizeof s);
    for (int i = 0; i < CALLS; i++) {
        cs_grpc_call *c;
        cs_slice m = cs_slice_str("x");
        assert_int_equal(cs_grpc_call_new(&c, f.client, "/t/Unary", 20000, &events, &s[i]), CS_OK);
        assert_int_equal(cs_grpc_send(c, &m, 1), CS_OK);
        cs_grpc_end(c);
    }
    for (int i = 0; i < CALLS; i++) {
        until(&f, &s[i].done);
        assert_int_equal(s[i].status, CS_GRPC_OK);
    }
    stop(&f);
}

static void set_flag(void *cookie)
{
    *(bool *)cookie = true;
}

static void drain_lets_open_calls_end(void **state)
{
    fixture f;
    seen s = {.want = 1};
    cs_grpc_call *c;
    bool drained = false;
    cs_slice m = cs_slice_str("x");
    start(&f, NULL);
    assert_int_equal(cs_grpc_call_new(&c, f.client, "/t/Hold", 0, &events, &s), CS_OK);
    assert_int_equal(cs_grpc_send(c, &m, 1), CS_OK);
    for (int i = 0; i < 1000 && f.held == NULL; i++) {
        (void)cs_loop_run_once(f.loop, true);
    }
    cs_grpc_server_drain(f.server, set_flag, &drained);
    for (int i = 0; i < 20; i++) {
        (void)cs_loop_run_once(f.loop, false);
    }
    assert_false(drained);
    assert_int_equal(cs_grpc_send(f.held, &m, 1), CS_OK);
    cs_grpc_finish(f.held, CS_OK, NULL);
    until(&f, &s.done);
    assert_int_equal(s.status, CS_GRPC_OK);
    until(&f, &drained);
    stop(&f);
}

static int raw(const fixture *f, const void *bytes, size_t len)
{
    int fd = -1;
    assert_int_equal(cs_endpoint_connect(&fd, &f->ep, 1000), CS_OK);
    assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
    return fd;
}

/* True when the server has closed fd; what it says before is dropped. */
static bool closed_by_server(fixture *f, int fd)
{
    uint8_t block[4096];
    for (int i = 0; i < 50; i++) {
        (void)cs_loop_run_once(f->loop, false);
        ssize_t n = recv(fd, block, sizeof block, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN)) {
            return true;
        }
    }
    return false;
}

static void idle_connections_make_room_for_new_ones(void **state)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";
    cs_grpc_opts opts = {.conns_max = 3};
    cs_grpc_stats st;
    cs_grpc_call *c = NULL;
    cs_slice m = cs_slice_str("x");
    fixture f;
    seen s = {.want = 1};
    start(&f, &opts);
    assert_int_equal(cs_grpc_call_new(&c, f.client, "/t/Hold", 0, &events, &s), CS_OK);
    assert_int_equal(cs_grpc_send(c, &m, 1), CS_OK);
    for (int i = 0; i < 1000 && f.held == NULL; i++) {
        (void)cs_loop_run_once(f.loop, true);
    }
    int silent = raw(&f, "P", 1); /* never says what it wants */
    assert_false(closed_by_server(&f, silent));
    int idle = raw(&f, preface, sizeof preface);
    assert_false(closed_by_server(&f, idle));
    int third = raw(&f, preface, sizeof preface);
    assert_false(closed_by_server(&f, third));
    assert_true(closed_by_server(&f, silent)); /* the idlest, not the one with a call and not the new one */
    assert_false(closed_by_server(&f, idle));
    assert_non_null(f.held);
    cs_grpc_server_stats(f.server, &st);
    assert_int_equal(st.conns_evicted, 1);
    assert_int_equal(st.conns_refused, 0);
    assert_int_equal(cs_grpc_send(f.held, &m, 1), CS_OK);
    cs_grpc_finish(f.held, CS_OK, NULL);
    until(&f, &s.done);
    assert_int_equal(s.status, CS_GRPC_OK);
    close(silent);
    close(idle);
    close(third);
    stop(&f);
}

static void headers_that_never_end_do_not_hold_a_call(void **state)
{
    /* HEADERS of stream 1 without END_HEADERS: ":method: POST" and nothing more */
    static const char bytes[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"
                                "\0\0\1\1\0\0\0\0\1\x83";
    cs_grpc_opts opts = {.request_ms = 20};
    cs_grpc_stats st = {0};
    fixture f;
    start(&f, &opts);
    int fd = raw(&f, bytes, sizeof bytes - 1);
    for (int i = 0; i < 1000 && st.calls == 0; i++) {
        (void)cs_loop_run_once(f.loop, true);
        cs_grpc_server_stats(f.server, &st);
    }
    assert_int_equal(st.calls_open, 1);
    for (int i = 0; i < 1000 && st.calls_open == 1; i++) {
        (void)cs_loop_run_once(f.loop, true); /* its limit is what wakes the loop */
        cs_grpc_server_stats(f.server, &st);
    }
    assert_int_equal(st.calls_open, 0);
    close(fd);
    stop(&f);
}

typedef struct frames {
    uint8_t p[65536];
    size_t len;
} frames;

/* The payload of the first frame of this type that the server sends, with its END_STREAM; the frames behind it are kept. */
static cs_slice frame_from(fixture *f, int fd, frames *in, uint8_t type, bool *out_end)
{
    size_t at = 0;
    for (int i = 0; i < 5000;) {
        size_t left = in->len - at;
        size_t n = left < 9 ? 0 : (size_t)in->p[at] << 16 | (size_t)in->p[at + 1] << 8 | in->p[at + 2];
        if (left >= 9 && left >= 9 + n) {
            if (in->p[at + 3] == type) {
                *out_end = (in->p[at + 4] & 1) != 0;
                return cs_slice_of(in->p + at + 9, n);
            }
            at += 9 + n;
            continue;
        }
        (void)cs_loop_run_once(f->loop, false);
        ssize_t more = recv(fd, in->p + in->len, sizeof in->p - in->len, MSG_DONTWAIT);
        in->len += more > 0 ? (size_t)more : 0;
        i += more > 0 ? 0 : 1;
        if (more < 0) {
            usleep(1000);
        }
    }
    fail_msg("no frame of type %u", type);
    return CS_SLICE_NULL;
}

/* preface, SETTINGS, and HEADERS of stream 1 with these flags: GET, http, "/", authority "x" */
#define GET_HEAD "\x82\x86\x84\x41\1x"
#define GET_REQUEST(flags) "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0\0\0\6\1" flags "\0\0\0\1" GET_HEAD

static void who_speaks_no_grpc_is_answered_in_http(void **state)
{
    static const char bytes[] = GET_REQUEST("\4");
    static frames in;
    cs_grpc_stats st = {0};
    fixture f;
    bool end = false;
    in.len = 0;
    start(&f, NULL);
    int fd = raw(&f, bytes, sizeof bytes - 1);
    cs_slice body = frame_from(&f, fd, &in, 0, &end);
    assert_true(end);
    assert_true(body.len > 10 && memcmp(body.p, "This port ", 10) == 0);
    cs_grpc_server_stats(f.server, &st);
    assert_int_equal(st.calls_open, 1); /* the request has not ended */
    cs_slice reset = frame_from(&f, fd, &in, 3, &end);
    assert_int_equal(reset.len, 4);
    assert_int_equal(cs_load_u32(reset.p), 0); /* NO_ERROR: the answer stands */
    cs_grpc_server_stats(f.server, &st);
    assert_int_equal(st.calls_open, 0);
    assert_int_equal(st.protocol_errors, 0);
    close(fd);
    stop(&f);
}

static void frames_after_the_end_close_the_connection(void **state)
{
    /* ... and DATA of stream 1, and a second request that must not be looked at */
    static const char bytes[] = GET_REQUEST("\5") "\0\0\1\0\0\0\0\0\1x\0\0\6\1\5\0\0\0\3" GET_HEAD;
    static frames in;
    cs_grpc_stats st = {0};
    fixture f;
    seen s = {.want = 1};
    bool end = false;
    in.len = 0;
    start(&f, NULL);
    int fd = raw(&f, bytes, sizeof bytes - 1);
    cs_slice goaway = frame_from(&f, fd, &in, 7, &end);
    assert_true(goaway.len >= 8);
    assert_int_equal(cs_load_u32(goaway.p + 4), 5); /* STREAM_CLOSED */
    assert_true(closed_by_server(&f, fd));
    cs_grpc_server_stats(f.server, &st);
    assert_int_equal(st.calls, 1);
    assert_int_equal(st.protocol_errors, 1);
    unary(&f, &s, "/t/Unary", 10, 0);
    assert_int_equal(s.status, CS_GRPC_OK);
    close(fd);
    stop(&f);
}

/* Each DATA ends one message and begins the next: no part of one is older than request_ms, however long that goes on. */
static void a_stream_that_is_never_between_messages_is_not_late(void **state)
{
    static const char begin[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0\0\0\x20\1\4\0\0\0\1"
                                "\x83\x86\x44\7/t/Hold\x41\1x\x5f\x10"
                                "application/grpc"
                                "\0\0\6\0\0\0\0\0\1\0\0\0\0\2a";
    static const char more[] = "\0\0\7\0\0\0\0\0\1b\0\0\0\0\2a";
    cs_grpc_opts opts = {.request_ms = 300};
    cs_grpc_stats st = {0};
    fixture f;
    start(&f, &opts);
    int fd = raw(&f, begin, sizeof begin - 1);
    uint64_t end = cs_loop_now(f.loop) + 900;
    while (cs_loop_now(f.loop) < end) {
        assert_int_equal(send(fd, more, sizeof more - 1, MSG_NOSIGNAL), (ssize_t)(sizeof more - 1));
        (void)cs_loop_run_once(f.loop, false);
        usleep(5000);
    }
    cs_grpc_server_stats(f.server, &st);
    assert_int_equal(st.calls_open, 1);
    assert_non_null(f.held);
    assert_true(st.messages_in > 3);
    for (int i = 0; i < 2000 && st.calls_open == 1; i++) { /* one that does not go on is */
        (void)cs_loop_run_once(f.loop, false);
        usleep(1000);
        cs_grpc_server_stats(f.server, &st);
    }
    assert_int_equal(f.gone, 1);
    close(fd);
    stop(&f);
}

static unsigned released;
static void on_release(void *cookie)
{
    released++;
}

static void reference_is_released_once(void **state)
{
    fixture f;
    seen s = {.want = 1};
    cs_grpc_call *c;
    static uint8_t body[100000];
    uint8_t head[CS_FRAME_HEAD_MAX];
    size_t head_len = cs_frame_head(head, sizeof body);
    released = 0;
    start(&f, NULL);
    assert_int_equal(cs_grpc_call_new(&c, f.client, "/t/Echo", 0, &events, &s), CS_OK);
    assert_int_equal(cs_grpc_send_ref(c, cs_slice_of(head, head_len), cs_slice_of(body, sizeof body), on_release, NULL),
                     CS_OK);
    until(&f, &s.done);
    assert_int_equal(s.bytes, head_len + sizeof body);
    assert_int_equal(released, 1);
    assert_int_equal(cs_grpc_call_new(&c, f.client, "/t/Echo", 0, &events, &s), CS_OK);
    assert_int_equal(cs_grpc_send_ref(c, CS_SLICE_NULL, cs_slice_of(body, sizeof body), on_release, NULL), CS_OK);
    cs_grpc_cancel(c); /* nothing had been sent */
    assert_int_equal(released, 2);
    stop(&f);
}

static void a_calls_own_headers_arrive_in_order(void **state)
{
    static const cs_grpc_header headers[] = {{"x-one", {(const uint8_t *)"1", 1}},
                                             {"x-two", {(const uint8_t *)"b c", 3}},
                                             {"x-one", {(const uint8_t *)"3", 1}},
                                             {"x", {(const uint8_t *)"", 0}},
                                             {"x", {(const uint8_t *)"", 0}}};
    static const char expect[] = "x-one=1;x-two=b c;x-one=3;x=;";
    cs_grpc_begin begin = {.path = "/t/Headers", .timeout_ms = 5000, .headers = headers, .num_headers = 4};
    fixture f;
    start(&f, NULL);
    for (int i = 0; i < 2; i++) { /* the first one waits for the connection */
        seen s = {.expect = (uint8_t *)(uintptr_t)expect};
        cs_grpc_call *c = NULL;
        assert_int_equal(cs_grpc_call_with(&c, f.client, &begin, &events, &s), CS_OK);
        assert_int_equal(cs_grpc_call_sent(c), i != 0);
        cs_slice nothing = CS_SLICE_NULL;
        assert_int_equal(cs_grpc_send(c, &nothing, 1), CS_OK);
        cs_grpc_end(c);
        until(&f, &s.done);
        assert_int_equal(s.status, CS_GRPC_OK);
        assert_int_equal(s.bytes, sizeof expect - 1);
    }
    cs_grpc_call *none = NULL;
    begin.num_headers = 5;
    assert_int_equal(cs_grpc_call_with(&none, f.client, &begin, &events, NULL), CS_E_RANGE);
    stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unary_calls_answer_any_size),
        cmocka_unit_test(streams_echo_in_order_under_backpressure),
        cmocka_unit_test(refusal_carries_code_cause_and_fix),
        cmocka_unit_test(unknown_method_is_unimplemented),
        cmocka_unit_test(message_over_the_cap_is_resource_exhausted),
        cmocka_unit_test(two_messages_to_a_unary_method_are_internal),
        cmocka_unit_test(deadline_ends_the_call_on_both_sides),
        cmocka_unit_test(cancel_reaches_the_server),
        cmocka_unit_test(lost_server_is_unavailable_and_is_dialled_again),
        cmocka_unit_test(calls_wait_for_the_servers_stream_limit),
        cmocka_unit_test(drain_lets_open_calls_end),
        cmocka_unit_test(idle_connections_make_room_for_new_ones),
        cmocka_unit_test(a_calls_own_headers_arrive_in_order),
        cmocka_unit_test(headers_that_never_end_do_not_hold_a_call),
        cmocka_unit_test(who_speaks_no_grpc_is_answered_in_http),
        cmocka_unit_test(frames_after_the_end_close_the_connection),
        cmocka_unit_test(a_stream_that_is_never_between_messages_is_not_late),
        cmocka_unit_test(reference_is_released_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
