/* Starting one program with exactly the descriptors of the launch table. See init.h. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "init/init.h"

#define ARGS_MAX 24

static int sealed(cs_slice bytes)
{
    int fd = memfd_create("measured-config", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    for (size_t at = 0; fd >= 0 && at < bytes.len;) {
        ssize_t n = write(fd, bytes.p + at, bytes.len - at);
        if (n <= 0) {
            (void)close(fd);
            return -1;
        }
        at += (size_t)n;
    }
    if (fd >= 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

cs_err cs_init_sections(cs_init *in)
{
    in->fds.null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int i = 0; i < CS_LAUNCH_NUM_PROGRAMS && in->fds.null >= 0; i++) {
        in->fds.config[i] = sealed(in->settings.section[i]);
        if (in->fds.config[i] < 0) {
            in->why = "a measured section cannot be handed out";
            in->why_errno = errno;
            return CS_E_BOOT;
        }
    }
    if (in->fds.null < 0) {
        in->why = "/dev/null";
        in->why_errno = errno;
    }
    return in->fds.null >= 0 ? CS_OK : CS_E_BOOT;
}

/* The option list and the inherited descriptors of one program. */
struct command {
    const char *argv[ARGS_MAX];
    char text[ARGS_MAX][16];
    int fds[ARGS_MAX];
    size_t num_args, num_fds;
};

static void add_fd(struct command *c, const char *option, int fd)
{
    (void)snprintf(c->text[c->num_fds], sizeof c->text[0], "%d", fd);
    c->argv[c->num_args++] = option;
    c->argv[c->num_args++] = c->text[c->num_fds];
    c->fds[c->num_fds++] = fd;
}

static void make_command(struct command *c, const cs_init *in, cs_launch_program p)
{
    *c = (struct command){0};
    c->argv[c->num_args++] = cs_launch_programs[p].name;
    add_fd(c, "--config-fd", in->fds.config[p]);
    for (size_t i = 0; i < CS_LAUNCH_NUM_FDS; i++) {
        if (cs_launch_fds[i].program == p) {
            bool link = cs_launch_fds[i].kind == CS_LAUNCH_FD_LINK;
            add_fd(c, cs_launch_fds[i].option, link ? in->fds.ends[cs_launch_fds[i].number] : in->fds.listeners[i]);
        }
    }
    if (in->settings.trap) {
        c->argv[c->num_args++] = "--system-call-filter";
        c->argv[c->num_args++] = "trap";
    }
}

/* In the child: only async-signal-safe calls, none newer than Linux 4.14. */
static void become(const cs_init *in, cs_launch_program p, const struct command *c, int err_fd, int report_fd)
{
    static char *const no_environment[] = {NULL};
    sigset_t none;

    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGPIPE, SIG_DFL);
    (void)setsid();
    if (dup2(in->fds.null, STDIN_FILENO) < 0 || dup2(in->fds.null, STDOUT_FILENO) < 0 ||
        dup2(err_fd, STDERR_FILENO) < 0) {
        _exit(127);
    }
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* no orphans where sign-init is not PID 1 */
    /* all of ours are closed by exec but these (cs_init_close_others) */
    for (size_t i = 0; i < c->num_fds; i++) {
        (void)fcntl(c->fds[i], F_SETFD, 0);
    }
    (void)execve(cs_launch_programs[p].path, (char *const *)(uintptr_t)c->argv, no_environment);
    int why = errno;
    (void)!write(report_fd, &why, sizeof why);
    _exit(127);
}

cs_err cs_init_spawn(cs_init *in, cs_launch_program p, int err_fd, pid_t *out)
{
    int report[2], why = 0;
    struct command c;

    make_command(&c, in, p);
    if (pipe2(report, O_CLOEXEC) != 0) {
        return CS_E_LAUNCH;
    }
    pid_t pid = fork();
    if (pid == 0) {
        become(in, p, &c, err_fd, report[1]);
    }
    (void)close(report[1]);
    /* the pipe closes at exec; bytes in it mean that exec failed */
    ssize_t n;
    do {
        n = pid > 0 ? read(report[0], &why, sizeof why) : 1;
    } while (n < 0 && errno == EINTR);
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
