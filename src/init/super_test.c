/* Tests of init/super: the rules of docs/formats/launch.md, with a clock and processes of the test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>

#include "base/log.h"
#include "init/super.h"

static cs_super s;
static char did[4096], said[65536];
static pid_t next_pid;
static int refuse_from = -1; /* starts that succeed before one fails; -1: all do */

static cs_err start(void *cookie, cs_launch_program p, pid_t *out)
{
    size_t len = strlen(did);

    if (refuse_from == 0) {
        return CS_E_LAUNCH;
    }
    refuse_from -= refuse_from > 0 ? 1 : 0;
    *out = ++next_pid;
    (void)snprintf(did + len, sizeof did - len, "start%d ", (int)p);
    return CS_OK;
}

static void on_signal(void *cookie, pid_t pid, int sig)
{
    size_t len = strlen(did);

    (void)snprintf(did + len, sizeof did - len, "%s%d ", sig == SIGTERM ? "term" : "kill", (int)pid);
}

static void on_line(void *cookie, cs_slice line)
{
    size_t len = strlen(said);

    (void)snprintf(said + len, sizeof said - len, "%.*s", (int)line.len, (const char *)line.p);
}

/* Programs have the numbers 1 (core), 2 (kms), 3 (service). */
static int setup(void **state)
{
    static const cs_super_ops ops = {start, on_signal, NULL};

    did[0] = said[0] = '\0';
    next_pid = 0;
    cs_log_init("sign-init", CS_LOG_DEBUG, 2);
    cs_log_set_sink(on_line, NULL);
    cs_super_start(&s, &ops, 0);
    return 0;
}

static int teardown(void **state)
{
    cs_log_set_sink(NULL, NULL);
    refuse_from = -1;
    return 0;
}

static int exited(int status)
{
    return status << 8;
}

static void test_programs_start_in_the_order_of_the_table(void **state)
{
    assert_string_equal(did, "start0 start1 start2 ");
    assert_int_equal(cs_super_tick(&s, 0), -1);
    assert_false(cs_super_finished(&s));
    assert_string_equal(cs_super_name(&s, 2), "sign-kms");
    assert_string_equal(cs_super_name(&s, 9), "");
}

static void test_the_front_and_the_channel_are_started_again_later_and_later(void **state)
{
    static const int waits[] = {100, 200, 400, 800, 1600};
    uint64_t now = 1000;

    for (size_t i = 0; i < 5; i++) {
        pid_t pid = s.program[CS_LAUNCH_KMS].pid;
        cs_super_ended(&s, pid, exited(1), now);
        assert_int_equal(cs_super_tick(&s, now), waits[i]);
        assert_int_equal(s.program[CS_LAUNCH_KMS].pid, 0);
        assert_int_equal(cs_super_tick(&s, now + (uint64_t)waits[i] - 1), 1);
        now += (uint64_t)waits[i];
        assert_int_equal(cs_super_tick(&s, now), -1);
        assert_true(s.program[CS_LAUNCH_KMS].pid > pid);
    }
    assert_false(s.stopping);
    cs_super_ended(&s, s.program[CS_LAUNCH_KMS].pid, exited(1), now); /* the sixth in 60 s */
    assert_true(s.stopping && s.reason == CS_E_RESTARTS);
    assert_string_equal(s.because, "sign-kms");
}

static void test_restarts_of_an_hour_ago_do_not_count(void **state)
{
    uint64_t now = 0;

    for (int i = 0; i < 20; i++) {
        now += 60000;
        cs_super_ended(&s, s.program[CS_LAUNCH_SERVICE].pid, SIGKILL, now);
        assert_int_equal(cs_super_tick(&s, now), 100);
        now += 100;
        (void)cs_super_tick(&s, now);
    }
    assert_false(s.stopping);
}

static void test_the_end_of_core_ends_all(void **state)
{
    cs_super_ended(&s, 1, SIGSEGV, 5);
    assert_true(s.stopping && s.reason == CS_E_CORE_ENDED && !cs_super_finished(&s));
    assert_string_equal(did, "start0 start1 start2 term3 ");
    assert_non_null(strstr(said, "\"signal\":\"SIGSEGV\""));
    cs_super_ended(&s, 3, 0, 6);
    (void)cs_super_tick(&s, 6);
    cs_super_ended(&s, 2, 0, 7);
    (void)cs_super_tick(&s, 7);
    assert_string_equal(did, "start0 start1 start2 term3 term2 ");
    assert_true(cs_super_finished(&s));
}

static void test_a_restart_that_was_due_does_not_happen_while_stopping(void **state)
{
    cs_super_ended(&s, 3, exited(1), 0); /* the link has broken: core is dying, its end is seen later */
    cs_super_ended(&s, 1, SIGKILL, 1);
    (void)cs_super_tick(&s, 1000);
    assert_null(strstr(did + strlen("start0 start1 start2 "), "start"));
    cs_super_ended(&s, 2, 0, 1001);
    assert_true(cs_super_finished(&s));
}

static void test_who_does_not_end_is_killed_after_five_seconds(void **state)
{
    cs_super_stop(&s, CS_OK, NULL, 100);
    assert_string_equal(did, "start0 start1 start2 term3 ");
    assert_int_equal(cs_super_tick(&s, 200), 4900);
    assert_int_equal(cs_super_tick(&s, 5100), -1);
    assert_int_equal(cs_super_tick(&s, 6000), -1); /* once */
    assert_string_equal(did, "start0 start1 start2 term3 kill3 ");
    cs_super_ended(&s, 3, SIGKILL, 6000);
    assert_int_equal(cs_super_tick(&s, 6000), 5000);
    cs_super_ended(&s, 2, 0, 6001);
    assert_int_equal(cs_super_tick(&s, 6001), 5000);
    cs_super_ended(&s, 1, 0, 6002);
    assert_int_equal(cs_super_tick(&s, 6002), -1);
    assert_string_equal(did, "start0 start1 start2 term3 kill3 term2 term1 ");
    assert_true(cs_super_finished(&s) && s.reason == CS_OK);
}

static void test_the_first_reason_stays(void **state)
{
    cs_super_stop(&s, CS_OK, NULL, 0);
    cs_super_ended(&s, 1, SIGKILL, 1);
    cs_super_stop(&s, CS_E_RESTARTS, "sign-kms", 2);
    assert_int_equal(s.reason, CS_OK);
}

static void test_a_forbidden_system_call_is_named_as_such(void **state)
{
    cs_super_ended(&s, 2, SIGSYS, 0);
    assert_non_null(strstr(said, "\"event\":\"ended\",\"code\":\"SYSTEM_CALL\""));
    assert_non_null(strstr(said, "\"what\":\"sign-kms\",\"by_signal\":true,\"status\":31,\"signal\":\"SIGSYS\""));
    said[0] = '\0';
    cs_super_ended(&s, 3, exited(7), 0);
    assert_non_null(strstr(said, "\"what\":\"sign-service\",\"by_signal\":false,\"status\":7"));
    assert_null(strstr(said, "SYSTEM_CALL"));
}

static void test_strangers_are_reaped_and_forgotten(void **state)
{
    said[0] = '\0';
    cs_super_ended(&s, 4711, exited(1), 0);
    cs_super_ended(&s, 0, exited(1), 0);
    cs_super_ended(&s, -1, exited(1), 0);
    assert_string_equal(said, "");
    cs_super_ended(&s, 2, 0, 0);
    cs_super_ended(&s, 2, 0, 0); /* twice: it does not run now */
    assert_int_equal(s.program[CS_LAUNCH_KMS].restarts.num, 1);
}

static void test_a_program_that_cannot_be_started_ends_all(void **state)
{
    static const cs_super_ops ops = {start, on_signal, NULL};

    did[0] = '\0';
    next_pid = 0;
    refuse_from = 1; /* core starts, sign-kms does not */
    cs_super_start(&s, &ops, 0);
    assert_true(s.stopping && s.reason == CS_E_LAUNCH);
    assert_string_equal(s.because, "sign-kms");
    assert_string_equal(did, "start0 term1 ");
    cs_super_ended(&s, 1, 0, 1);
    assert_true(cs_super_finished(&s));
    refuse_from = 0; /* not even core */
    cs_super_start(&s, &ops, 0);
    assert_true(cs_super_finished(&s));
    assert_int_equal(cs_super_tick(&s, 1), -1);
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_programs_start_in_the_order_of_the_table),
        TEST(test_the_front_and_the_channel_are_started_again_later_and_later),
        TEST(test_restarts_of_an_hour_ago_do_not_count),
        TEST(test_the_end_of_core_ends_all),
        TEST(test_a_restart_that_was_due_does_not_happen_while_stopping),
        TEST(test_who_does_not_end_is_killed_after_five_seconds),
        TEST(test_the_first_reason_stays),
        TEST(test_a_forbidden_system_call_is_named_as_such),
        TEST(test_strangers_are_reaped_and_forgotten),
        TEST(test_a_program_that_cannot_be_started_ends_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
