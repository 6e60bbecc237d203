/* The filter of sign-service, in a child process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "service/filter.h"

/* The number of the first check that failed; 0: none. */
static int child(int pair[2], int family)
{
    char c = 'x';
    if (cs_service_filter_install(family) != CS_OK) {
        return 1;
    }
    for (int i = 0; i < 3; i++) {
        static const int families[] = {AF_INET, AF_UNIX, AF_VSOCK};
        int fd = socket(families[i], SOCK_STREAM, 0);
        /* a kernel without vsock refuses with another reason: only EPERM is the filter's */
        if (families[i] == family ? fd < 0 && errno == EPERM : fd >= 0 || errno != EPERM) {
            return 20 + i;
        }
    }
    struct sockaddr_un nowhere = {.sun_family = AF_UNIX, .sun_path = "/nowhere"};
    if (connect(pair[0], (const struct sockaddr *)&nowhere, sizeof nowhere) == 0 ||
        (errno == EPERM) != (family == CS_SERVICE_NO_DIAL)) {
        return 2;
    }
    if (open("/etc/passwd", O_RDONLY | O_CLOEXEC) >= 0 || errno != EPERM) {
        return 3;
    }
    if (mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED) {
        return 4;
    }
    if (execl("/bin/true", "true", (char *)NULL) == 0 || errno != EPERM) {
        return 5;
    }
    if (fork() >= 0) {
        return 6;
    }
    void *volatile p = malloc(1u << 22);
    if (p == NULL) {
        return 7;
    }
    free(p);
    if (write(pair[0], &c, 1) != 1 || read(pair[1], &c, 1) != 1) {
        return 8;
    }
    return 0;
}

static bool sanitized(void)
{
#if defined(__SANITIZE_ADDRESS__)
    return true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
    return true;
#else
    return false;
#endif
#else
    return false;
#endif
}

static void filter_leaves_only_what_the_service_needs(void **state)
{
    int pair[2];
    int status = -1;
    if (sanitized()) {
        skip();
    }
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    static const int families[] = {CS_SERVICE_NO_DIAL, AF_UNIX, AF_VSOCK};
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            _exit(child(pair, families[i]));
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
    close(pair[0]);
    close(pair[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(filter_leaves_only_what_the_service_needs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
