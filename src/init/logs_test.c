/* Tests of init/logs and of the heartbeat: pipes, a console that nobody reads, a parent that lies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "init/init.h"

static cs_init_logs *g;
static cs_backlog_line line;

static int setup(void **state)
{
    g = calloc(1, sizeof *g);
    assert_non_null(g);
    cs_log_init("sign-init", CS_LOG_INFO, STDERR_FILENO);
    cs_init_logs_open(g);
    g->console = -1; /* what tests write does not go to the terminal */
    return 0;
}

static int teardown(void **state)
{
    cs_log_set_sink(NULL, NULL);
    for (unsigned p = 0; p < CS_LAUNCH_NUM_PROGRAMS; p++) {
        cs_init_logs_ended(g, (cs_launch_program)p);
    }
    free(g);
    return 0;
}

static bool next_is(unsigned source, const char *text)
{
    return cs_backlog_take(&g->backlog, &line) && line.source == source &&
           cs_slice_eq_str(cs_slice_of(line.bytes, line.len), text);
}

static void test_lines_of_programs_and_our_own_keep_their_order(void **state)
{
    int core = -1, kms = -1;

    assert_int_equal(cs_init_logs_pipe(g, CS_LAUNCH_CORE, &core), CS_OK);
    assert_int_equal(cs_init_logs_pipe(g, CS_LAUNCH_KMS, &kms), CS_OK);
    assert_false(cs_init_logs_read(g, CS_LAUNCH_CORE));
    assert_int_equal(write(core, "a\nhalf", 6), 6);
    assert_int_equal(write(kms, "b\n", 2), 2);
    assert_true(cs_init_logs_read(g, CS_LAUNCH_CORE) && cs_init_logs_read(g, CS_LAUNCH_KMS));
    cs_log(CS_LOG_INFO, "own");
    assert_true(next_is(CS_LAUNCH_CORE, "a\n") && next_is(CS_LAUNCH_KMS, "b\n"));
    assert_true(cs_backlog_take(&g->backlog, &line) && line.source == CS_BACKLOG_INIT);
    assert_false(cs_backlog_take(&g->backlog, &line));
    (void)close(core);
    cs_init_logs_ended(g, CS_LAUNCH_CORE); /* its last words */
    assert_true(next_is(CS_LAUNCH_CORE, "half\n"));
    assert_int_equal(g->source[CS_LAUNCH_CORE].fd, -1);
    (void)close(kms);
}

static void test_a_program_that_floods_blocks_neither_us_nor_others(void **state)
{
    static char flood[65536];
    int service = -1, kms = -1;
    bool kms_was_heard = false;
    unsigned rounds = 0;

    memset(flood, 'f', sizeof flood); /* without a line's end */
    assert_int_equal(cs_init_logs_pipe(g, CS_LAUNCH_SERVICE, &service), CS_OK);
    assert_int_equal(cs_init_logs_pipe(g, CS_LAUNCH_KMS, &kms), CS_OK);
    (void)fcntl(service, F_SETFL, O_NONBLOCK);
    assert_int_equal(write(kms, "heard\n", 6), 6);
    for (; rounds < 200; rounds++) {
        (void)!write(service, flood, sizeof flood);
        assert_true(cs_init_logs_read(g, CS_LAUNCH_SERVICE)); /* one read each: the others have their turn */
        (void)cs_init_logs_read(g, CS_LAUNCH_KMS);
    }
    while (cs_backlog_take(&g->backlog, &line)) {
        assert_true(line.len <= CS_LINE_MAX + 1 && line.bytes[line.len - 1] == '\n');
        kms_was_heard = kms_was_heard || line.source == CS_LAUNCH_KMS;
    }
    assert_true(kms_was_heard);
    cs_init_logs_ended(g, CS_LAUNCH_SERVICE); /* the other end is still open and full: it ends all the same */
    assert_int_equal(g->source[CS_LAUNCH_SERVICE].fd, -1);
    (void)close(service);
    (void)close(kms);
}

static void test_a_restart_has_a_new_pipe_and_no_rest_of_the_old_line(void **state)
{
    int first = -1, second = -1;

    assert_int_equal(cs_init_logs_pipe(g, CS_LAUNCH_KMS, &first), CS_OK);
    assert_int_equal(write(first, "cut", 3), 3);
    assert_int_equal(cs_init_logs_pipe(g, CS_LAUNCH_KMS, &second), CS_OK);
    assert_int_equal(write(second, "whole\n", 6), 6);
    assert_true(cs_init_logs_read(g, CS_LAUNCH_KMS));
    assert_true(next_is(CS_LAUNCH_KMS, "cut\n") && next_is(CS_LAUNCH_KMS, "whole\n"));
    (void)close(first);
    (void)close(second);
}

static void test_a_console_that_nobody_reads_does_not_stop_anything(void **state)
{
    int console[2];
    char text[64];

    assert_int_equal(pipe2(console, O_CLOEXEC | O_NONBLOCK), 0);
    g->console = console[1];
    for (int i = 0; i < 20000; i++) {
        cs_log(CS_LOG_INFO, "own", CS_LU("n", i));
    }
    assert_int_equal(read(console[0], text, 1), 1);
    assert_true(cs_backlog_take(&g->backlog, &line) && line.dropped > 0);
    (void)close(console[0]);
    cs_log(CS_LOG_INFO, "own"); /* and one that has gone */
    (void)close(console[1]);
    g->console = -1;
}

/* ---------------------------------------------------------------- the heartbeat */

typedef struct lie {
    int answer; /* -1: none; -2: closes; -3: no connection */
    int parent;
    unsigned refused; /* dials that fail first */
    uint8_t heard;
} lie;

static int dial(void *cookie)
{
    lie *l = cookie;
    int pair[2];

    if (l->refused > 0 || l->answer == -3) {
        l->refused -= l->refused > 0 ? 1 : 0;
        return -1;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0) {
        return -1;
    }
    l->parent = pair[1];
    if (l->answer >= 0) {
        uint8_t bytes[2] = {(uint8_t)l->answer, 0x55};
        (void)!write(l->parent, bytes, 2);
    } else if (l->answer == -2) {
        (void)shutdown(l->parent, SHUT_WR);
    }
    return pair[0];
}

static void test_only_the_byte_itself_is_a_heartbeat(void **state)
{
    static const struct {
        int answer;
        unsigned refused;
        cs_err err;
        const char *why;
    } rows[] = {
        {0xB7, 0, CS_OK, NULL},
        {0xB7, 2, CS_OK, NULL}, /* the parent listens a moment later */
        {0xB8, 0, CS_E_HEARTBEAT, "another byte than B7"},
        {0x00, 0, CS_E_HEARTBEAT, "another byte than B7"},
        {-1, 0, CS_E_HEARTBEAT, "no answer"},
        {-2, 0, CS_E_HEARTBEAT, "closed without an answer"},
        {-3, 0, CS_E_HEARTBEAT, "no connection"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        lie l = {.answer = rows[i].answer, .refused = rows[i].refused, .parent = -1};
        const char *why = NULL;
        uint64_t began = cs_clock_mono_ms();

        assert_int_equal(cs_init_heartbeat_over(dial, &l, 400, &why), rows[i].err);
        assert_true(cs_clock_mono_ms() - began < 2000); /* silence has a deadline */
        if (rows[i].why != NULL) {
            assert_string_equal(why, rows[i].why);
        }
        if (l.parent >= 0) {
            assert_int_equal(read(l.parent, &l.heard, 1), 1);
            assert_int_equal(l.heard, 0xB7);
            (void)close(l.parent);
        }
    }
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_lines_of_programs_and_our_own_keep_their_order),
        TEST(test_a_program_that_floods_blocks_neither_us_nor_others),
        TEST(test_a_restart_has_a_new_pipe_and_no_rest_of_the_old_line),
        TEST(test_a_console_that_nobody_reads_does_not_stop_anything),
        TEST(test_only_the_byte_itself_is_a_heartbeat),
    };
    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
