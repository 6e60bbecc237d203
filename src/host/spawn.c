/* Starting one program with exactly the descriptors of the launch table. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/host.h"

#define FDS_MAX 1024 /* inherited descriptors are below */

cs_err cs_config_memfd(int *out_fd, cs_slice bytes)
{
    int fd = memfd_create("measured-config", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0) {
        return CS_E_IO;
    }
    for (size_t at = 0; at < bytes.len;) {
        ssize_t n = write(fd, bytes.p + at, bytes.len - at);
        if (n <= 0) {
            (void)close(fd);
            return CS_E_IO;
        }
        at += (size_t)n;
    }
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) != 0) {
        (void)close(fd);
        return CS_E_IO;
    }
    *out_fd = fd;
    return CS_OK;
}

static bool inherited(const cs_spawn *s, int fd)
{
    for (size_t i = 0; i < s->num_fds; i++) {
        if (s->fds[i] == fd) {
            return true;
        }
    }
    return false;
}

/* In the child: only async-signal-safe calls. */
static void become(const cs_spawn *s, int report_fd, pid_t parent)
{
    static char *const no_environment[] = {NULL};
    sigset_t none;
    int null = open("/dev/null", O_RDWR);

    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGPIPE, SIG_DFL);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 ||
        dup2(s->err_fd, STDERR_FILENO) < 0) {
        _exit(127);
    }
    /* no orphan: a program of a local enclave dies with its launcher */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        _exit(127);
    }
    (void)close_range(FDS_MAX, ~0u, 0);
    for (int fd = 3; fd < FDS_MAX; fd++) {
        if (inherited(s, fd)) {
            (void)fcntl(fd, F_SETFD, 0);
        } else if (fd != report_fd) {
            (void)close(fd);
        }
    }
    (void)execve(s->path, (char *const *)(uintptr_t)s->argv, no_environment);
    int why = errno;
    (void)!write(report_fd, &why, sizeof why);
    _exit(127);
}

cs_err cs_spawn_start(pid_t *out, const cs_spawn *s)
{
    int report[2], why = 0;
    pid_t parent = getpid();

    if (pipe2(report, O_CLOEXEC) != 0) {
        return CS_E_LAUNCH;
    }
    pid_t pid = fork();
    if (pid == 0) {
        become(s, report[1], parent);
    }
    (void)close(report[1]);
    /* the pipe closes at exec; bytes in it mean that exec failed */
    ssize_t n = pid > 0 ? read(report[0], &why, sizeof why) : 1;
    (void)close(report[0]);
    if (n != 0) {
        if (pid > 0) {
            (void)waitpid(pid, NULL, 0);
        }
        return CS_E_LAUNCH;
    }
    *out = pid;
    return CS_OK;
}
