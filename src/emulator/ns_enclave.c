/* See ns_enclave.h. */
#include "emulator/ns_enclave.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/text.h"

#define DEVICE_MS 10000
#define NUM_PCRS 5 /* 0 to 4 */
#define DEVICE "/dev/nsm"

/* What the new process tells its parent when it does not get as far as /init. */
struct failure {
    cs_err err;
    int number; /* errno */
    char step[40];
};

static _Noreturn void child_fail(int fd, cs_err err, const char *step)
{
    struct failure f = {.err = err, .number = errno};

    (void)snprintf(f.step, sizeof f.step, "%s", step);
    (void)!write(fd, &f, sizeof f);
    _exit(127);
}

static void must(int rc, int fd, const char *step)
{
    if (rc < 0) {
        child_fail(fd, CS_E_LAUNCH, step);
    }
}

/* A file system of its own becomes /, and nothing of the guest's is left below it. */
static void own_root(int fd)
{
    must(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), fd, "private mounts");
    must(mount("enclave", "/mnt", "tmpfs", 0, "mode=755"), fd, "tmpfs");
    must(chdir("/mnt"), fd, "chdir");
    must((int)syscall(SYS_pivot_root, ".", "."), fd, "pivot_root");
    must(umount2(".", MNT_DETACH), fd, "unmount the guest's files");
    must(chdir("/"), fd, "chdir");
}

#define UNDER_FD 4

/* Process 1 of the namespaces, up to its exec. */
static _Noreturn void child_main(const cs_eif *eif, const cs_ns_enclave_opts *o, int fd)
{
    char init[] = "/init", home[] = "HOME=/", term[] = "TERM=linux"; /* as a kernel starts it */
    char *argv[] = {init, o->under != NULL ? init : NULL, NULL}, *envp[] = {home, term, NULL};
    int under = o->under != NULL ? open(o->under, O_RDONLY | O_CLOEXEC) : -1;
    sigset_t none;

    must(o->under != NULL ? under : 0, fd, "the program in front of /init");
    must(prctl(PR_SET_PDEATHSIG, SIGKILL), fd, "prctl");
    must(setsid(), fd, "setsid");
    own_root(fd);
    for (size_t i = 0; i < eif->num_sections; i++) {
        cs_err err = eif->sections[i].type == CS_EIF_RAMDISK ? cs_ns_unpack(eif->sections[i].body) : CS_OK;
        if (err != CS_OK) {
            child_fail(fd, err, "unpack a ramdisk");
        }
    }
    for (int i = 0; i < 3; i++) {
        must(dup2(o->console_fd, i), fd, "console");
    }
    must(dup3(fd, 3, O_CLOEXEC) < 0 && fd != 3 ? -1 : 0, fd, "descriptors");
    must(under >= 0 && under != UNDER_FD ? dup3(under, UNDER_FD, O_CLOEXEC) : 0, 3, "descriptors");
    must((int)syscall(SYS_close_range, under >= 0 ? UNDER_FD + 1U : UNDER_FD + 0U, ~0U, 0U), 3, "descriptors");
    for (int s = 1; s < NSIG; s++) {
        (void)signal(s, SIG_DFL);
    }
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)umask(022);
    if (under >= 0) {
        (void)syscall(SYS_execveat, UNDER_FD, "", argv, envp, AT_EMPTY_PATH);
    } else {
        (void)execve(init, argv, envp);
    }
    child_fail(3, CS_E_LAUNCH, "/init");
}

static cs_err start_init(cs_ns_enclave *e, const cs_ns_enclave_opts *o, const cs_eif *eif)
{
    struct failure f = {0};
    int pipe_fd[2];

    if (pipe2(pipe_fd, O_CLOEXEC) != 0) {
        return CS_E_LAUNCH;
    }
    (void)fflush(NULL);
    long pid =
        syscall(SYS_clone, CLONE_NEWPID | CLONE_NEWNS | CLONE_PIDFD | SIGCHLD, NULL, &e->pidfd, NULL, 0UL); /* a fork */
    if (pid == 0) {
        child_main(eif, o, pipe_fd[1]);
    }
    (void)close(pipe_fd[1]);
    if (pid < 0) {
        (void)close(pipe_fd[0]);
        return CS_E_LAUNCH;
    }
    e->pid = (pid_t)pid;
    ssize_t n = read(pipe_fd[0], &f, sizeof f); /* nothing: /init runs */
    (void)close(pipe_fd[0]);
    if (n == (ssize_t)sizeof f) {
        (void)snprintf(e->step, sizeof e->step, "%.39s: %.20s", f.step, strerror(f.number));
        return f.err;
    }
    return n == 0 ? CS_OK : CS_E_LAUNCH;
}

/* INDEX=HEX, an argument of nsm-device. */
static char *pcr_arg(char out[2 * CS_PCR_LEN + 4], unsigned index, const cs_pcr *pcr)
{
    out[0] = (char)('0' + index);
    out[1] = '=';
    cs_hex_encode(out + 2, cs_slice_of(pcr->b, CS_PCR_LEN));
    return out;
}

static cs_err registers(cs_pcr pcr[NUM_PCRS], const cs_ns_enclave *e, const cs_ns_enclave_opts *o)
{
    memset(pcr, 0, NUM_PCRS * sizeof *pcr);
    if (!o->debug) {
        memcpy(pcr, e->pcr, sizeof e->pcr);
    }
    if (o->role_arn != NULL) {
        CS_TRY(cs_pcr_of_string(&pcr[3], cs_slice_str(o->role_arn)));
    }
    return o->instance == NULL ? CS_OK : cs_pcr_of_string(&pcr[4], cs_slice_str(o->instance));
}

static _Noreturn void device_main(const cs_ns_enclave_opts *o, const cs_pcr pcr[NUM_PCRS], int out_fd)
{
    char text[NUM_PCRS][2 * CS_PCR_LEN + 4];
    const char *argv[6 + 2 * NUM_PCRS] = {o->nsm_device, "--emulator", o->emulator, "--module-id", o->module_id};
    size_t n = 5;

    for (unsigned i = 0; i < NUM_PCRS; i++) {
        argv[n++] = "--pcr";
        argv[n++] = pcr_arg(text[i], i, &pcr[i]);
    }
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)dup2(out_fd, 1);
    execv(o->nsm_device, (char *const *)argv);
    _exit(127);
}

/* Its first line says that the device is there. */
static cs_err wait_ready(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char line[128];

    if (poll(&p, 1, DEVICE_MS) != 1 || read(fd, line, sizeof line) < 6 || memcmp(line, "ready ", 6) != 0) {
        return CS_E_NSM;
    }
    return chmod(DEVICE, 0666) == 0 ? CS_OK : CS_E_NSM; /* as the kernel's driver has it */
}

static cs_err start_device(cs_ns_enclave *e, const cs_ns_enclave_opts *o)
{
    cs_pcr pcr[NUM_PCRS];
    int out[2];

    CS_TRY(registers(pcr, e, o));
    if (pipe2(out, O_CLOEXEC) != 0) {
        return CS_E_NSM;
    }
    (void)fflush(NULL);
    e->device_pid = fork();
    if (e->device_pid == 0) {
        device_main(o, pcr, out[1]);
    }
    (void)close(out[1]);
    cs_err err = e->device_pid > 0 ? wait_ready(out[0]) : CS_E_NSM;
    (void)close(out[0]);
    return err;
}

cs_err cs_ns_enclave_start(cs_ns_enclave *out, const cs_ns_enclave_opts *o)
{
    cs_eif eif;

    *out = (cs_ns_enclave){.pidfd = -1, .step = "the image"};
    CS_TRY(cs_eif_parse(&eif, o->eif));
    CS_TRY(cs_eif_measure(out->pcr, &eif));
    (void)snprintf(out->step, sizeof out->step, "the security module");
    cs_err err = access(DEVICE, F_OK) == 0 ? CS_E_EXISTS : start_device(out, o);
    if (err == CS_OK) {
        (void)snprintf(out->step, sizeof out->step, "namespaces");
        err = start_init(out, o, &eif);
    }
    if (err != CS_OK) {
        char step[sizeof out->step];
        memcpy(step, out->step, sizeof step);
        cs_ns_enclave_cleanup(out);
        memcpy(out->step, step, sizeof step);
    }
    return err;
}

const char *cs_ns_enclave_end(int wait_status)
{
    static char text[32];

    if (WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGHUP) {
        return "reboot"; /* pid_namespaces(7) */
    }
    if (WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGINT) {
        return "power-off";
    }
    (void)snprintf(text, sizeof text, WIFSIGNALED(wait_status) ? "signal %d" : "exit %d",
                   WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : WEXITSTATUS(wait_status));
    return text;
}

void cs_ns_enclave_cleanup(cs_ns_enclave *e)
{
    siginfo_t info;

    if (e->pid > 0 && e->pidfd >= 0) {
        /* by its descriptor: the caller may have waited for it, and its number be another's */
        (void)syscall(SYS_pidfd_send_signal, e->pidfd, SIGKILL, NULL, 0U);
        while (waitid(P_PIDFD, (id_t)e->pidfd, &info, WEXITED) != 0 && errno == EINTR) {
        }
        (void)close(e->pidfd);
    }
    if (e->device_pid > 0) {
        (void)kill(e->device_pid, SIGTERM);
        while (waitpid(e->device_pid, NULL, 0) < 0 && errno == EINTR) {
        }
    }
    *e = (cs_ns_enclave){.pidfd = -1};
}
