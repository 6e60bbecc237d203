/* Options: one table for parser, help, man page and completions. */
#include "base/opts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char out[32768], err[8192];
static cs_args seen; /* what the command got; its pos is only valid inside the command */
static const char *first_pos;
static unsigned ran;

static int record(const cs_args *a)
{
    seen = *a;
    first_pos = a->num_pos > 0 ? a->pos[0] : NULL;
    ran++;
    return 0;
}

static int refuse(const cs_args *a)
{
    return cs_refuse(a, CS_E_INJECT_BUSY, cs_args_flag(a, "json"), "port 7101");
}

static const cs_opt keygen_opts[] = {
    {"output", 'o', CS_OPT_STR, "FILE", "where to write", NULL, NULL, 0, 0},
    {"count", 'n', CS_OPT_U64, "N", "how many", "CS_TEST_COUNT", "3", 1, 100},
    {"recipient", 'r', CS_OPT_MANY, "AGE1", "who may read", NULL, NULL, 0, 0},
    {"force", 'f', CS_OPT_FLAG, NULL, "overwrite", NULL, NULL, 0, 0},
    {0},
};
static const cs_opt json_opts[] = {{"json", 0, CS_OPT_FLAG, NULL, "JSON on standard output", NULL, NULL, 0, 0}, {0}};
static const cs_cmd cmds[] = {
    {"age keygen", "[-o FILE]", "makes a key", "example:\n    tool age keygen -o it's", keygen_opts, 0, 1, record},
    {"age decrypt", "FILE...", "opens a file", NULL, NULL, 1, -1, record},
    {"status", "", "shows the status", NULL, json_opts, 0, 0, refuse},
    {0},
};
static const cs_cmd single[] = {
    {"", "[FILE]", "does one thing", NULL, keygen_opts, 0, 1, record},
    {0},
};

static const cs_cmd mixed[] = {
    {"", "[FILE]", "does one thing", NULL, keygen_opts, 0, 1, record},
    {"status", "", "shows the status", NULL, json_opts, 0, 0, record},
    {0},
};

static void slurp(int fd, char *to, size_t cap)
{
    (void)lseek(fd, 0, SEEK_SET);
    ssize_t n = read(fd, to, cap - 1);
    to[n > 0 ? n : 0] = '\0';
    (void)close(fd);
}

/* runs the program with both outputs caught; the arguments are one string split at blanks */
static int run_table(const cs_cmd *table, const char *line)
{
    char copy[512], *argv[128] = {(char *)(uintptr_t) "tool"}, *save = NULL;
    int argc = 1;
    char name1[] = "/tmp/cs-opts-XXXXXX", name2[] = "/tmp/cs-opts-XXXXXX";
    (void)snprintf(copy, sizeof copy, "%s", line);
    for (char *w = strtok_r(copy, " ", &save); w != NULL; w = strtok_r(NULL, " ", &save)) {
        argv[argc++] = w;
    }
    (void)fflush(stdout);
    (void)fflush(stderr);
    int o = mkstemp(name1), e = mkstemp(name2), old_o = dup(1), old_e = dup(2);
    assert_true(o >= 0 && e >= 0 && old_o >= 0 && old_e >= 0);
    (void)unlink(name1);
    (void)unlink(name2);
    (void)dup2(o, 1);
    (void)dup2(e, 2);
    ran = 0;
    memset(&seen, 0, sizeof seen);
    int status = cs_cmd_main("tool", "a tool", table, argc, argv);
    (void)fflush(stdout);
    (void)dup2(old_o, 1);
    (void)dup2(old_e, 2);
    (void)close(old_o);
    (void)close(old_e);
    slurp(o, out, sizeof out);
    slurp(e, err, sizeof err);
    return status;
}

static int run(const char *line)
{
    return run_table(cmds, line);
}

static void values_come_from_every_form(void **state)
{
    (void)state;
    assert_int_equal(run("age keygen -o a --count=7 --force -r x --recipient y --recipient=z pos"), 0);
    assert_int_equal(ran, 1);
    assert_string_equal(seen.cmd->name, "age keygen");
    assert_int_equal(seen.num_many, 3);
    assert_int_equal(seen.many_opt[2], 2);
    for (size_t i = 0; i < 3; i++) {
        assert_ptr_equal(cs_args_many(&seen, "recipient", i), seen.many[i]);
    }
    assert_null(cs_args_many(&seen, "recipient", 3));
    assert_int_equal(seen.num_pos, 1);
}

static void accessors_give_values_by_name(void **state)
{
    (void)state;
    static char copy[64];
    assert_int_equal(run("age keygen --count 9 -f"), 0);
    (void)snprintf(copy, sizeof copy, "9");
    seen.value[1] = copy;
    assert_int_equal(cs_args_u64(&seen, "count"), 9);
    assert_true(cs_args_flag(&seen, "force"));
    assert_null(cs_args_str(&seen, "output"));
}

static void default_then_environment_then_command_line(void **state)
{
    (void)state;
    assert_int_equal(unsetenv("CS_TEST_COUNT"), 0);
    assert_int_equal(run("age keygen"), 0);
    assert_int_equal(cs_args_u64(&seen, "count"), 3);
    assert_int_equal(setenv("CS_TEST_COUNT", "44", 1), 0);
    assert_int_equal(run("age keygen"), 0);
    assert_int_equal(cs_args_u64(&seen, "count"), 44);
    assert_int_equal(setenv("CS_TEST_COUNT", "444", 1), 0);
    assert_int_equal(run("age keygen"), 2);
    assert_non_null(strstr(err, "environment variable CS_TEST_COUNT is 444: expected a number from 1 to 100"));
    assert_int_equal(run("age keygen --count 5"), 0); /* what does not count is not checked */
    assert_int_equal(unsetenv("CS_TEST_COUNT"), 0);
}

static void unknown_option_names_the_nearest(void **state)
{
    (void)state;
    assert_int_equal(run("age keygen --ouptut x"), 2);
    assert_non_null(strstr(err, "unknown option --ouptut; did you mean --output?"));
    assert_int_equal(ran, 0);
    assert_int_equal(run("age keygen --zzzzzz"), 2);
    assert_null(strstr(err, "did you mean"));
    assert_int_equal(run("age keygen -z"), 2);
    assert_int_equal(run("--hepl"), 2);
    assert_non_null(strstr(err, "unknown option --hepl; did you mean --help?"));
    assert_int_equal(run("--vresion"), 2);
    assert_non_null(strstr(err, "did you mean --version?"));
    assert_int_equal(run("--"), 2);
    assert_int_equal(run("-"), 2);
    assert_null(strstr(err, "did you mean"));
}

static void unknown_command_names_the_nearest(void **state)
{
    (void)state;
    assert_int_equal(run("age kegen"), 2);
    assert_non_null(strstr(err, "did you mean \"age keygen\"?"));
    assert_int_equal(run("statsu"), 2);
    assert_non_null(strstr(err, "did you mean \"status\"?"));
    assert_int_equal(run("age"), 2);
    assert_non_null(strstr(err, "tool age decrypt FILE..."));
    assert_int_equal(run(""), 2);
    assert_int_equal(run("--what"), 2);
}

static void numbers_outside_their_range_are_usage_errors(void **state)
{
    (void)state;
    static const char *const bad[] = {"0", "101", "-1", "1x", "", "18446744073709551616", "0x10", "+5", "01"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char line[64];
        (void)snprintf(line, sizeof line, "age keygen --count=%s", bad[i]);
        assert_int_equal(run(line), 2);
        assert_non_null(strstr(err, "from 1 to 100"));
    }
    assert_int_equal(run("age keygen --count=100"), 0);
}

static void value_given_twice_missing_or_superfluous_is_refused(void **state)
{
    (void)state;
    assert_int_equal(run("age keygen -o a -o b"), 2);
    assert_non_null(strstr(err, "given twice"));
    assert_int_equal(run("age keygen -o"), 2);
    assert_non_null(strstr(err, "--output needs a value (FILE)"));
    assert_int_equal(run("age keygen --force=yes"), 2);
    assert_int_equal(run("age keygen --force --force"), 0);
}

static void too_many_repeated_values_are_refused(void **state)
{
    (void)state;
    char line[512] = "age keygen";
    for (int i = 0; i <= CS_OPT_MAX_MANY; i++) {
        (void)strncat(line, " -r x", sizeof line - strlen(line) - 1);
    }
    assert_int_equal(run(line), 2);
    assert_non_null(strstr(err, "more than 32 values"));
}

static void positional_arguments_are_counted(void **state)
{
    (void)state;
    assert_int_equal(run("age decrypt"), 2);
    assert_non_null(strstr(err, "too few arguments; usage: tool age decrypt FILE..."));
    assert_int_equal(run("age decrypt a b c d"), 0);
    assert_int_equal(seen.num_pos, 4);
    assert_int_equal(run("age keygen a b"), 2);
    assert_non_null(strstr(err, "unexpected argument: b"));
}

static void double_dash_ends_options_and_dash_is_positional(void **state)
{
    (void)state;
    assert_int_equal(run("age decrypt -- --force -h"), 0);
    assert_int_equal(seen.num_pos, 2);
    assert_int_equal(run("age decrypt -"), 0);
    assert_int_equal(seen.num_pos, 1);
}

static void overlong_option_name_is_refused(void **state)
{
    (void)state;
    char line[400] = "age keygen --";
    memset(line + 13, 'a', 300);
    line[313] = '\0';
    assert_int_equal(run(line), 2);
    memset(line, 'a', 300);
    line[300] = '\0';
    assert_int_equal(run(line), 2);
}

static void program_without_sub_commands(void **state)
{
    (void)state;
    assert_int_equal(run_table(single, "-o x file"), 0);
    assert_int_equal(ran, 1);
    assert_int_equal(seen.num_pos, 1);
    assert_int_equal(run_table(single, ""), 0);
    assert_int_equal(run_table(single, "--forc"), 2);
    assert_non_null(strstr(err, "did you mean --force?"));
    assert_int_equal(run_table(single, "--help"), 0);
    assert_non_null(strstr(out, "usage: tool [FILE]"));
}

static void program_with_and_without_a_command(void **state)
{
    (void)state;
    assert_int_equal(run_table(mixed, "-o x file"), 0);
    assert_int_equal(seen.cmd->name[0], '\0');
    assert_int_equal(run_table(mixed, "status"), 0);
    assert_string_equal(seen.cmd->name, "status");
    assert_int_equal(run_table(mixed, "--help"), 0);
    assert_non_null(strstr(out, "usage: tool [FILE]"));
    assert_non_null(strstr(out, "-o, --output FILE"));
    assert_non_null(strstr(out, "  status "));
}

static void help_shows_everything_of_the_table(void **state)
{
    (void)state;
    static const char *const forms[] = {"age keygen --help", "help age keygen", "age keygen -o x -h"};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        assert_int_equal(run(forms[i]), 0);
        assert_int_equal(ran, 0);
        assert_non_null(strstr(out, "tool age keygen - makes a key"));
        assert_non_null(strstr(out, "-o, --output FILE"));
        assert_non_null(strstr(out, "how many (default: 3) (environment: CS_TEST_COUNT) (1..100)"));
        assert_non_null(strstr(out, "who may read (may be repeated)"));
        assert_non_null(strstr(out, "example:"));
    }
    assert_int_equal(run("--help"), 0);
    assert_non_null(strstr(out, "age decrypt"));
    assert_int_equal(run("help nothing"), 2);
}

static void extra_version_line(FILE *to)
{
    fputs("pcr0 00ff\n", to);
}

static void version_names_program_and_build(void **state)
{
    (void)state;
    assert_int_equal(run("--version"), 0);
    assert_ptr_equal(strstr(out, "tool "), out);
    assert_non_null(strstr(out, "\nbuild id "));
    assert_null(strstr(out, "build id none"));
    cs_cmd_on_version(extra_version_line);
    assert_int_equal(run("--version"), 0);
    cs_cmd_on_version(NULL);
    assert_non_null(strstr(out, "\npcr0 00ff\n"));
}

static void man_page_is_escaped_roff(void **state)
{
    (void)state;
    assert_int_equal(run("man"), 0);
    assert_ptr_equal(strstr(out, ".TH TOOL 1 "), out);
    assert_non_null(strstr(out, ".SS tool age keygen [\\-o FILE]"));
    assert_non_null(strstr(out, "\\fB\\-o\\fR, \\fB\\-\\-output\\fR \\fIFILE\\fR"));
}

static void completions_exist_for_three_shells_only(void **state)
{
    (void)state;
    assert_int_equal(run("completion bash"), 0);
    assert_non_null(strstr(out, "complete -F _tool tool"));
    assert_non_null(strstr(out, "--recipient"));
    assert_int_equal(run("completion zsh"), 0);
    assert_ptr_equal(strstr(out, "#compdef tool"), out);
    assert_int_equal(run("completion fish"), 0);
    assert_non_null(strstr(out, "complete -c tool"));
    assert_int_equal(run("completion tcsh"), 2);
    assert_int_equal(run("completion"), 2);
}

static void refusal_prints_code_cause_and_fix(void **state)
{
    (void)state;
    assert_int_equal(run("status"), 1);
    assert_non_null(strstr(err, "tool: INJECT_BUSY: another injector is connected to this port: port 7101\nfix: "));
    assert_string_equal(out, "");
    assert_int_equal(run("status --json"), 1);
    assert_non_null(strstr(out, "{\"code\":\"INJECT_BUSY\",\"cause\":\""));
    assert_non_null(strstr(out, "\"detail\":\"port 7101\"}\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_come_from_every_form),
        cmocka_unit_test(accessors_give_values_by_name),
        cmocka_unit_test(default_then_environment_then_command_line),
        cmocka_unit_test(unknown_option_names_the_nearest),
        cmocka_unit_test(unknown_command_names_the_nearest),
        cmocka_unit_test(numbers_outside_their_range_are_usage_errors),
        cmocka_unit_test(value_given_twice_missing_or_superfluous_is_refused),
        cmocka_unit_test(too_many_repeated_values_are_refused),
        cmocka_unit_test(positional_arguments_are_counted),
        cmocka_unit_test(double_dash_ends_options_and_dash_is_positional),
        cmocka_unit_test(overlong_option_name_is_refused),
        cmocka_unit_test(program_without_sub_commands),
        cmocka_unit_test(program_with_and_without_a_command),
        cmocka_unit_test(help_shows_everything_of_the_table),
        cmocka_unit_test(version_names_program_and_build),
        cmocka_unit_test(man_page_is_escaped_roff),
        cmocka_unit_test(completions_exist_for_three_shells_only),
        cmocka_unit_test(refusal_prints_code_cause_and_fix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
