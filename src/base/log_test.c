/* The log: one JSON line per event, whatever the values are. */
#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"

static int fds[2];
static char got[8192];

static uint64_t fixed_wall(void)
{
    return UINT64_C(1767322984678); /* 2026-01-02T03:03:04.678Z */
}

static uint64_t fixed_mono(void)
{
    return 0;
}

static int setup(void **state)
{
    static const cs_clock_source fixed = {fixed_wall, fixed_mono};
    (void)state;
    cs_clock_set_for_tests(&fixed);
    if (pipe(fds) != 0) {
        return -1;
    }
    cs_log_init("prog", CS_LOG_INFO, fds[1]);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cs_clock_set_for_tests(NULL);
    (void)close(fds[0]);
    (void)close(fds[1]);
    return 0;
}

/* what was written since; lines are below the pipe's capacity */
static const char *written(void)
{
    (void)write(fds[1], "|", 1);
    ssize_t n = read(fds[0], got, sizeof got - 1);
    assert_true(n > 0 && got[n - 1] == '|');
    got[n - 1] = '\0';
    return got;
}

static void event_is_one_json_line(void **state)
{
    (void)state;
    static const uint8_t id[] = {0xab, 0x01};
    cs_log(CS_LOG_INFO, "phase", CS_LC("phase", "SERVING"), CS_LU("n", 7), CS_LI("i", -7), CS_LB("ok", true),
           CS_LHEX("id", cs_slice_of(id, sizeof id)));
    assert_string_equal(written(),
                        "{\"ts\":\"2026-01-02T03:03:04.678Z\",\"level\":\"info\",\"program\":\"prog\","
                        "\"event\":\"phase\",\"phase\":\"SERVING\",\"n\":7,\"i\":-7,\"ok\":true,\"id\":\"ab01\"}\n");
}

static void lower_levels_are_silent(void **state)
{
    (void)state;
    cs_log(CS_LOG_DEBUG, "hidden");
    assert_string_equal(written(), "");
    cs_log(CS_LOG_ERROR, "shown");
    assert_non_null(strstr(written(), "\"level\":\"error\""));
}

static void hostile_values_stay_inside_their_string(void **state)
{
    (void)state;
    static const char bad[] = "a\"}\n{\"level\":\"x\x01\\";
    cs_log(CS_LOG_INFO, "e", CS_LSTR("v", cs_slice_of(bad, sizeof bad - 1)));
    const char *line = written();
    assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
    assert_non_null(strstr(line, "\"v\":\"a\\\"}\\u000a{\\\"level\\\":\\\"x\\u0001\\\\\"}"));
}

static void long_line_is_cut_at_a_field(void **state)
{
    (void)state;
    char big[5000];
    memset(big, 'x', sizeof big);
    cs_log(CS_LOG_INFO, "e", CS_LC("first", "kept"), CS_LSTR("big", cs_slice_of(big, sizeof big)), CS_LC("last", "l"));
    const char *line = written();
    assert_true(strlen(line) <= 4096);
    assert_non_null(strstr(line, "\"first\":\"kept\"}\n"));
    assert_null(strstr(line, "xxx"));
}

static void refusal_carries_code_class_cause_and_fix(void **state)
{
    (void)state;
    cs_log_err(CS_LOG_WARN, "inject", CS_E_INJECT_BUSY, CS_LU("port", 7101));
    const char *line = written();
    assert_non_null(strstr(line, "\"code\":\"INJECT_BUSY\",\"class\":\"state\",\"cause\":\""));
    assert_non_null(strstr(line, "\"fix\":\"retry when it has ended\",\"port\":7101}"));
}

static void null_text_is_empty(void **state)
{
    (void)state;
    cs_log(CS_LOG_INFO, "e", CS_LC("v", NULL));
    assert_non_null(strstr(written(), "\"v\":\"\"}"));
}

static void level_names_are_strict(void **state)
{
    (void)state;
    cs_log_level l = CS_LOG_INFO;
    assert_int_equal(cs_log_level_of(cs_slice_str("warn"), &l), CS_OK);
    assert_int_equal(l, CS_LOG_WARN);
    assert_int_equal(cs_log_level_of(cs_slice_str("WARN"), &l), CS_E_FORMAT);
    assert_int_equal(cs_log_level_of(cs_slice_str(""), &l), CS_E_FORMAT);
    assert_int_equal(l, CS_LOG_WARN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(event_is_one_json_line, setup, teardown),
        cmocka_unit_test_setup_teardown(lower_levels_are_silent, setup, teardown),
        cmocka_unit_test_setup_teardown(hostile_values_stay_inside_their_string, setup, teardown),
        cmocka_unit_test_setup_teardown(long_line_is_cut_at_a_field, setup, teardown),
        cmocka_unit_test_setup_teardown(refusal_carries_code_class_cause_and_fix, setup, teardown),
        cmocka_unit_test_setup_teardown(null_text_is_empty, setup, teardown),
        cmocka_unit_test(level_names_are_strict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
