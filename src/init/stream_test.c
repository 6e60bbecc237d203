/* Tests of init/stream: a parent that is away, slow, silent, or closes each time. The clock is the test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "init/stream.h"

static cs_backlog b;
static cs_log_stream s;
static int parent = -1; /* the other end of the last connection */
static unsigned dials;
static bool away;
static uint64_t now;

static int dial(void *cookie)
{
    int pair[2];

    dials++;
    if (away || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0) {
        return -1;
    }
    if (parent >= 0) {
        (void)close(parent);
    }
    parent = pair[1];
    return pair[0];
}

static int setup(void **state)
{
    memset(&b, 0, sizeof b);
    away = false;
    dials = 0;
    now = 1000;
    cs_log_stream_init(&s, &b, dial, NULL);
    return 0;
}

static int teardown(void **state)
{
    cs_log_stream_close(&s, 0);
    if (parent >= 0) {
        (void)close(parent);
        parent = -1;
    }
    return 0;
}

static void put(const char *text)
{
    cs_backlog_put(&b, CS_LAUNCH_KMS, cs_slice_str(text));
}

/* Steps until nothing is ready and no wait is due; gives the wait that it would take. */
static int settle(void)
{
    for (int i = 0; i < 1000; i++) {
        struct pollfd p;
        int wait = cs_log_stream_poll(&s, &p, now);
        int ready = poll(&p, 1, 0);

        if (ready == 0 && wait != 0) {
            return wait;
        }
        cs_log_stream_step(&s, p.fd >= 0 ? p.revents : 0, now);
    }
    fail_msg("it never settles");
    return 0;
}

static const char *received(void)
{
    static char text[1 << 20];
    size_t len = 0;
    ssize_t n;

    while (len < sizeof text - 1 && (n = recv(parent, text + len, sizeof text - 1 - len, MSG_DONTWAIT)) > 0) {
        len += (size_t)n;
    }
    text[len] = '\0';
    return text;
}

static void test_what_was_written_before_and_after_arrives_in_order(void **state)
{
    put("one\n");
    put("two\n");
    (void)settle();
    put("three\n");
    assert_false(cs_log_stream_done(&s));
    (void)settle();
    assert_string_equal(received(), "one\ntwo\nthree\n");
    assert_true(cs_log_stream_done(&s) && dials == 1);
}

static void test_a_parent_that_is_away_is_tried_less_and_less_often(void **state)
{
    static const int waits[] = {100, 200, 400, 800, 1600, 3200, 5000, 5000};

    away = true;
    put("kept\n");
    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++) {
        int wait = settle();
        assert_int_equal(wait, waits[i]);
        assert_int_equal(dials, i + 1);
        now += (uint64_t)wait;
    }
    away = false;
    assert_int_equal(settle(), -1);
    assert_string_equal(received(), "kept\n");
}

static void test_a_parent_that_closes_each_time_does_not_make_it_spin(void **state)
{
    uint64_t began = now;

    for (int i = 0; i < 20; i++) {
        (void)settle();
        if (parent >= 0) {
            (void)close(parent);
            parent = -1;
        }
        int wait = settle();
        assert_true(wait > 0 && s.fd < 0);
        now += (uint64_t)wait;
    }
    assert_true(now - began > 15 * (uint64_t)CS_STREAM_FIRST_MS * 10);
    (void)settle();
    now += CS_STREAM_STEADY_MS; /* one that lasts: the back-off begins anew */
    (void)close(parent);
    parent = -1;
    assert_int_equal(settle(), CS_STREAM_FIRST_MS);
}

static void test_the_line_under_way_is_sent_again_whole(void **state)
{
    static char big[CS_LINE_MAX + 1];
    int small = 4096;

    (void)settle();
    (void)setsockopt(s.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    memset(big, 'x', sizeof big - 1);
    for (int i = 0; i < 6; i++) {
        (void)snprintf(big, 8, "line %d", i);
        big[6] = ' ';
        big[CS_LINE_MAX - 1] = '\n';
        put(big);
    }
    (void)settle();
    assert_true(s.sent > 0 || s.out.len > 0); /* full: something is under way */
    (void)close(parent);
    parent = -1;
    now += (uint64_t)settle();
    (void)settle();
    const char *text = received();
    assert_memory_equal(text, "line ", 5); /* at a line's start */
    size_t len = strlen(text);
    assert_true(len > 0 && len % CS_LINE_MAX == 0 && text[len - 1] == '\n');
    assert_memory_equal(text + len - CS_LINE_MAX, "line 5", 6);
}

static void test_a_parent_that_never_reads_costs_lines_that_are_counted_and_nothing_else(void **state)
{
    unsigned written = 0, seen = 0, lost = 0;
    const char *at;

    (void)settle();
    for (; written < 200000; written++) {
        char text[64];
        (void)snprintf(text, sizeof text, "{\"n\":%u}\n", written);
        put(text);
        if (written % 1000 == 0) {
            (void)settle();
        }
    }
    cs_backlog_put(&b, CS_BACKLOG_INIT, cs_slice_str("own\n"));
    for (int i = 0; i < 100; i++) {
        (void)settle();
        for (at = received(); *at != '\0'; at = strchr(at, '\n') + 1) {
            unsigned n;
            const char *what = strstr(at, "\"event\":\"log_dropped\",\"what\":\"sign-kms\",\"lines\":");

            assert_non_null(strchr(at, '\n'));
            if (sscanf(at, "{\"n\":%u}", &n) == 1) {
                assert_int_equal(n, seen + lost);
                seen++;
            } else if (what != NULL && what < strchr(at, '\n')) {
                assert_int_equal(sscanf(strstr(what, "lines\":") + 7, "%u", &n), 1);
                lost += n;
            } else {
                assert_memory_equal(at, "own\n", 4);
            }
        }
    }
    assert_true(lost > 0 && seen > 0);
    assert_int_equal(seen + lost, written);
    assert_true(cs_log_stream_done(&s));
}

static void test_what_the_parent_says_is_thrown_away(void **state)
{
    char noise[10000] = {1};

    (void)settle();
    assert_int_equal(send(parent, noise, sizeof noise, 0), sizeof noise);
    put("still\n");
    (void)settle();
    assert_string_equal(received(), "still\n");
}

static void test_a_connection_that_is_never_made_is_given_up(void **state)
{
    /* a listener whose queue is full does not exist for stream pairs: the state is set by hand */
    (void)settle();
    s.state = CS_STREAM_DIALLING;
    s.deadline = now + CS_STREAM_DIAL_MS;
    cs_log_stream_step(&s, 0, now + CS_STREAM_DIAL_MS - 1);
    assert_true(s.fd >= 0);
    cs_log_stream_step(&s, 0, now + CS_STREAM_DIAL_MS);
    assert_true(s.fd < 0);
}

static void test_the_end_waits_for_the_parent_but_not_for_ever(void **state)
{
    put("last\n");
    (void)settle();
    cs_log_stream_close(&s, 20); /* it does not read */
    assert_string_equal(received(), "last\n");
    char c;
    assert_int_equal(recv(parent, &c, 1, MSG_DONTWAIT), 0);
    cs_log_stream_close(&s, 20); /* twice */
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_what_was_written_before_and_after_arrives_in_order),
        TEST(test_a_parent_that_is_away_is_tried_less_and_less_often),
        TEST(test_a_parent_that_closes_each_time_does_not_make_it_spin),
        TEST(test_the_line_under_way_is_sent_again_whole),
        TEST(test_a_parent_that_never_reads_costs_lines_that_are_counted_and_nothing_else),
        TEST(test_what_the_parent_says_is_thrown_away),
        TEST(test_a_connection_that_is_never_made_is_given_up),
        TEST(test_the_end_waits_for_the_parent_but_not_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
