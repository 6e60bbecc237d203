/* The filter of sign-service: each case is a child, a filter cannot be taken off. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "service/filter.h"

static int pair[2];

/* The wait status of fn, which gives 0 for what it wants. */
static int in_child(int (*fn)(void), int family)
{
    int status = -1;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        static cs_sandbox s;
        cs_service_filter_make(&s, "sign-service", CS_SANDBOX_KILL, family);
        _exit(cs_sandbox_install(&s) == CS_OK ? fn() : 99);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static int use_what_is_open(void)
{
    char c = 'x';
    int on = 1;
    void *volatile p = malloc(1u << 22);

    if (p == NULL || ioctl(pair[0], FIONBIO, &on) != 0) {
        return 1;
    }
    free(p);
    return write(pair[0], &c, 1) == 1 && read(pair[1], &c, 1) == 1 ? 0 : 2;
}

static int dial_unix(void)
{
    struct sockaddr_un nowhere = {.sun_family = AF_UNIX, .sun_path = "/nowhere"};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    return fd >= 0 && connect(fd, (const struct sockaddr *)&nowhere, sizeof nowhere) != 0 ? 0 : 1;
}

static int dial_vsock(void)
{
    (void)!socket(AF_VSOCK, SOCK_STREAM, 0); /* a kernel without vsock refuses it */
    return 0;
}

static int dial_inet(void)
{
    return socket(AF_INET, SOCK_STREAM, 0);
}

static int connect_what_is_open(void)
{
    struct sockaddr nowhere = {.sa_family = AF_UNIX};

    return connect(pair[0], &nowhere, sizeof nowhere);
}

static int open_file(void)
{
    return open("/etc/passwd", O_RDONLY | O_CLOEXEC);
}

static int map_code(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED;
}

static int run_program(void)
{
    return execl("/bin/true", "true", (char *)NULL);
}

static int make_process(void)
{
    return fork();
}

static int other_ioctl(void)
{
    return isatty(0);
}

static int listen_on(void)
{
    return listen(pair[0], 1);
}

static void it_works_with_what_is_open(void **state)
{
    static const int families[] = {CS_SERVICE_NO_DIAL, AF_UNIX, AF_VSOCK};

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        assert_int_equal(in_child(use_what_is_open, families[i]), 0);
    }
    assert_int_equal(in_child(dial_unix, AF_UNIX), 0);
    assert_int_equal(in_child(dial_vsock, AF_VSOCK), 0);
}

static void anything_else_ends_it(void **state)
{
    static const struct {
        int (*fn)(void);
        int family;
    } cases[] = {
        {dial_inet, AF_UNIX},
        {dial_inet, AF_VSOCK},
        {dial_unix, AF_VSOCK},
        {dial_vsock, AF_UNIX},
        {dial_inet, CS_SERVICE_NO_DIAL},
        {dial_unix, CS_SERVICE_NO_DIAL},
        {dial_vsock, CS_SERVICE_NO_DIAL},
        {connect_what_is_open, CS_SERVICE_NO_DIAL},
        {open_file, AF_VSOCK},
        {map_code, AF_VSOCK},
        {run_program, AF_VSOCK},
        {make_process, AF_VSOCK},
        {other_ioctl, AF_VSOCK},
        {listen_on, AF_VSOCK},
    };

    if (!cs_sandbox_possible()) {
        skip();
    }
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int status = in_child(cases[i].fn, cases[i].family);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS) {
            fail_msg("case %zu: status %x", i, status);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_works_with_what_is_open),
        cmocka_unit_test(anything_else_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
