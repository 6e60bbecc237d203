/* Tests of base/sandbox: each case is a child, a filter cannot be taken off. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/sandbox.h"

static const cs_sandbox_rule rules[] = {
    CS_ALLOW_IF(SYS_socket, 0, AF_UNIX),
    CS_ALLOW_IF2(SYS_ioctl, 0, 77, 1, FIONBIO),
    CS_ALLOW_IF(SYS_fcntl, 1, F_GETFD),
    CS_ALLOW_IF(SYS_fcntl, 1, F_GETFL),
    CS_ALLOW_WITHOUT(SYS_mprotect, 2, PROT_EXEC | PROT_WRITE),
    CS_FAIL(SYS_openat, ENOSYS),
};

static int out[2];
static char said[1024];

/* The wait status of fn behind the filter; what it wrote to descriptor out[1] is in said. */
static int in_child(void (*fn)(void), cs_sandbox_action action)
{
    int status = -1;
    size_t len = 0;
    ssize_t n;

    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        static cs_sandbox s;

        cs_sandbox_init(&s, "sign-test", action, out[1]);
        cs_sandbox_add(&s, rules, sizeof rules / sizeof *rules);
        if (cs_sandbox_install(&s) != CS_OK) {
            _exit(99);
        }
        fn();
        _exit(0);
    }
    (void)close(out[1]);
    while (len < sizeof said - 1 && (n = read(out[0], said + len, sizeof said - 1 - len)) > 0) {
        len += (size_t)n;
    }
    said[len] = '\0';
    (void)close(out[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

#define NEED(what)                                                                                                     \
    do {                                                                                                               \
        if (!(what)) {                                                                                                 \
            _exit(__LINE__ % 90 + 1);                                                                                  \
        }                                                                                                              \
    } while (0)

static void allowed_calls(void)
{
    char c = 'x';
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    NEED(fd >= 0 && close(fd) == 0);
    NEED(ioctl(77, FIONBIO, &fd) < 0 && errno == EBADF);
    NEED(fcntl(0, F_GETFD) >= 0 && fcntl(0, F_GETFL) >= 0);
    void *volatile p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    NEED(p != MAP_FAILED && mprotect(p, 4096, PROT_READ) == 0 && munmap(p, 1 << 20) == 0);
    NEED(write(out[1], &c, 1) == 1 && time(NULL) > 0);
    NEED(open("/etc/passwd", O_RDONLY | O_CLOEXEC) < 0 && errno == ENOSYS);
}

static void other_family(void)
{
    (void)!socket(AF_INET, SOCK_STREAM, 0);
}
static void other_command(void)
{
    (void)ioctl(77, FIONREAD, NULL);
}
static void other_descriptor(void)
{
    (void)ioctl(78, FIONBIO, NULL);
}
static void third_alternative(void)
{
    (void)fcntl(0, F_SETFD, 0);
}
static void protection_exec(void)
{
    (void)mprotect(NULL, 4096, PROT_READ | PROT_EXEC);
}
static void protection_write(void)
{
    (void)mprotect(NULL, 4096, PROT_WRITE);
}
static void map_code(void)
{
    (void)!mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}
static void run_program(void)
{
    (void)execl("/bin/true", "true", (char *)NULL);
}
static void make_process(void)
{
    (void)!fork();
}
static void signal_another(void)
{
    (void)syscall(SYS_tgkill, getppid(), getppid(), SIGABRT);
}
static void signal_self(void)
{
    (void)raise(SIGTERM);
}
static void x32_call(void)
{
    (void)syscall(0x40000000L + SYS_getpid);
}
static void no_such_call(void)
{
    (void)syscall(99999L);
}

static void (*const forbidden[])(void) = {
    other_family, other_command, other_descriptor, third_alternative, protection_exec, protection_write, map_code,
    run_program,  make_process,  signal_another,   signal_self,       x32_call,        no_such_call,
};

/* No filter under the sanitizers, and none for an emulated processor (qemu-user). */
static bool no_filter(void)
{
    unsigned allow = SECCOMP_RET_ALLOW;

    return !cs_sandbox_possible() || syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &allow) != 0;
}

static void test_what_the_table_has_passes(void **state)
{
    if (no_filter()) {
        skip();
    }
    int status = in_child(allowed_calls, CS_SANDBOX_KILL);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_everything_else_ends_the_process_silently(void **state)
{
    if (no_filter()) {
        skip();
    }
    for (size_t i = 0; i < sizeof forbidden / sizeof *forbidden; i++) {
        int status = in_child(forbidden[i], CS_SANDBOX_KILL);

        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS || said[0] != '\0') {
            fail_msg("case %zu: status %x, \"%s\"", i, status, said);
        }
    }
}

static void test_a_trap_says_which_and_ends_the_process_too(void **state)
{
    if (no_filter()) {
        skip();
    }
    for (size_t i = 0; i < sizeof forbidden / sizeof *forbidden; i++) {
        int status = in_child(forbidden[i], CS_SANDBOX_TRAP);

        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS || strchr(said, '\n') != said + strlen(said) - 1) {
            fail_msg("case %zu: status %x, \"%s\"", i, status, said);
        }
    }
    (void)in_child(other_family, CS_SANDBOX_TRAP);
    assert_non_null(strstr(said, "\"program\":\"sign-test\",\"event\":\"forbidden_call\""));
    assert_non_null(strstr(said, "\"name\":\"socket\""));
    (void)in_child(no_such_call, CS_SANDBOX_TRAP);
    assert_non_null(strstr(said, "\"number\":99999,\"name\":\"unknown\""));
}

static void end_by_abort(void)
{
    abort();
}

static void test_a_broken_invariant_ends_by_abort_as_without_a_filter(void **state)
{
    if (no_filter()) {
        skip();
    }
    int status = in_child(end_by_abort, CS_SANDBOX_KILL);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

static long tested;

static void selftest(void)
{
    static cs_sandbox s;

    (void)close(STDERR_FILENO);
    cs_sandbox_init(&s, "sign-test", CS_SANDBOX_KILL, STDERR_FILENO);
    _exit(cs_sandbox_selftest(&s, (uint64_t)tested));
}

static int selftest_of(long number)
{
    int status = -1;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        tested = number;
        selftest();
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void test_the_test_of_itself_tells_forbidden_from_allowed(void **state)
{
    /* the last: allowed with some arguments, but not with those of the test */
    static const long bad[] = {SYS_execve, SYS_ptrace, SYS_mount,  SYS_socket,      SYS_clone, SYS_reboot,
                               SYS_openat, SYS_kill,   SYS_setuid, SYS_init_module, 99999,     SYS_mmap};
    static const long good[] = {SYS_read, SYS_write, SYS_getpid,       SYS_exit,      SYS_exit_group,
                                SYS_brk,  SYS_close, SYS_rt_sigreturn, SYS_getrandom, SYS_futex};

    if (no_filter()) {
        skip();
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int status = selftest_of(bad[i]);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS) {
            fail_msg("%s: status %x", cs_sandbox_call_name(bad[i]), status);
        }
    }
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        int status = selftest_of(good[i]);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != CS_SANDBOX_ALLOWED_STATUS) {
            fail_msg("%s: status %x", cs_sandbox_call_name(good[i]), status);
        }
    }
}

static void test_names_and_actions(void **state)
{
    cs_sandbox_action a = CS_SANDBOX_KILL;

    assert_string_equal(cs_sandbox_call_name(SYS_openat), "openat");
    assert_string_equal(cs_sandbox_call_name(SYS_clone3), "clone3");
    assert_string_equal(cs_sandbox_call_name(-1), "unknown");
    assert_int_equal(cs_sandbox_action_of(&a, "trap"), CS_OK);
    assert_int_equal(a, CS_SANDBOX_TRAP);
    assert_int_equal(cs_sandbox_action_of(&a, "kill"), CS_OK);
    assert_int_equal(a, CS_SANDBOX_KILL);
    assert_int_equal(cs_sandbox_action_of(&a, "log"), CS_E_USAGE);
    assert_int_equal(cs_sandbox_action_of(&a, ""), CS_E_USAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_the_table_has_passes),
        cmocka_unit_test(test_everything_else_ends_the_process_silently),
        cmocka_unit_test(test_a_trap_says_which_and_ends_the_process_too),
        cmocka_unit_test(test_a_broken_invariant_ends_by_abort_as_without_a_filter),
        cmocka_unit_test(test_the_test_of_itself_tells_forbidden_from_allowed),
        cmocka_unit_test(test_names_and_actions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
