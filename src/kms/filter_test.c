/* The filter of sign-kms: each case is a child, a filter cannot be taken off. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kms/filter.h"

/* The wait status of fn, which gives 0 for what it wants. */
static int in_child(int (*attempt)(void))
{
    int status = 0;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        static cs_sandbox s;
        cs_kms_filter_make(&s, "sign-kms", CS_SANDBOX_KILL, STDERR_FILENO, AF_UNIX);
        _exit(cs_sandbox_install(&s) == CS_OK ? attempt() : 99);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static int own_family(void)
{
    struct sockaddr nowhere = {.sa_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    return fd >= 0 && connect(fd, &nowhere, sizeof nowhere) < 0 && fcntl(fd, F_SETFL, O_NONBLOCK) == 0 && close(fd) == 0
               ? 0
               : 1;
}

static int map_memory(void)
{
    uint8_t *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p != MAP_FAILED && mprotect(p, 4096, PROT_NONE) == 0 ? 0 : 1;
}

static int other_family(void)
{
    return socket(AF_INET, SOCK_STREAM, 0);
}

static int open_file(void)
{
    return open("/etc/passwd", O_RDONLY);
}

static int run_program(void)
{
    char *const none[] = {NULL};
    return execve("/bin/true", none, none);
}

static int map_code(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED;
}

static int make_code(void)
{
    return mprotect(NULL, 4096, PROT_EXEC);
}

static int listen_for_others(void)
{
    return listen(0, 1);
}

static int fork_again(void)
{
    return fork();
}

static int any_ioctl(void)
{
    return ioctl(0, FIONBIO, NULL);
}

static void it_may_dial_and_use_memory(void **state)
{
    assert_int_equal(in_child(own_family), 0);
    assert_int_equal(in_child(map_memory), 0);
}

static void anything_else_ends_it(void **state)
{
    static int (*const cases[])(void) = {other_family, open_file,         run_program, map_code,
                                         make_code,    listen_for_others, fork_again,  any_ioctl};
    if (!cs_sandbox_possible()) {
        skip();
    }
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int status = in_child(cases[i]);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS) {
            fail_msg("case %zu: status %x", i, status);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_may_dial_and_use_memory),
        cmocka_unit_test(anything_else_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
