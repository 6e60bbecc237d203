#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kms/filter.h"

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif

/* Each try is made in a child that has the filter; its exit status is 0 when the outcome is the wanted one. */
static int in_child(int (*attempt)(void))
{
    int status = 0;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        _exit(cs_kms_filter_install(AF_UNIX) == CS_OK ? attempt() : 99);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 100;
}

static int own_family(void)
{
    return socket(AF_UNIX, SOCK_STREAM, 0) >= 0 ? 0 : 1;
}

static int other_family(void)
{
    return socket(AF_INET, SOCK_STREAM, 0) < 0 && errno == EPERM ? 0 : 1;
}

static int open_file(void)
{
    return open("/etc/passwd", O_RDONLY) < 0 && errno == EPERM ? 0 : 1;
}

static int run_program(void)
{
    char *const none[] = {NULL};
    return execve("/bin/true", none, none) < 0 && errno == EPERM ? 0 : 1;
}

static int map_memory(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED ? 0 : 1;
}

static int map_code(void)
{
    void *p = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED && errno == EPERM ? 0 : 1;
}

static int listen_for_others(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    return fd >= 0 && listen(fd, 1) < 0 && errno == EPERM ? 0 : 1;
}

static int fork_again(void)
{
    return fork() < 0 && errno == EPERM ? 0 : 1;
}

static void it_may_dial_and_use_memory(void **state)
{
    assert_int_equal(in_child(own_family), 0);
    assert_int_equal(in_child(map_memory), 0);
}

static void it_may_nothing_else(void **state)
{
#ifdef SANITIZED
    skip();
#endif
    assert_int_equal(in_child(other_family), 0);
    assert_int_equal(in_child(open_file), 0);
    assert_int_equal(in_child(run_program), 0);
    assert_int_equal(in_child(map_code), 0);
    assert_int_equal(in_child(listen_for_others), 0);
    assert_int_equal(in_child(fork_again), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_may_dial_and_use_memory),
        cmocka_unit_test(it_may_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
