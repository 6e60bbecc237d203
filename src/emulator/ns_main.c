/*
 * ns-enclave: runs an enclave image in namespaces until it ends, in a guest of the boot tests. What the parent host serves is
 * somebody else's: heartbeat, log, KMS.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/opts.h"
#include "emulator/ns_enclave.h"

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    (void)number;
    stopped = 1;
}

static bool copy_console(int from, int to)
{
    char block[4096];
    ssize_t n = read(from, block, sizeof block);

    return n > 0 && write(to, block, (size_t)n) == n;
}

/* Until process 1 has ended or we are told to stop; then what is left of the console. */
static void watch(const cs_ns_enclave *e, int console, int to)
{
    struct pollfd p[2] = {{.fd = console, .events = POLLIN}, {.fd = e->pidfd, .events = POLLIN}};

    while (!stopped) {
        if (poll(p, 2, -1) < 0) {
            continue;
        }
        if ((p[0].revents & POLLIN) != 0) {
            p[0].fd = copy_console(console, to) ? console : -1;
        } else if (p[1].revents != 0) {
            return;
        } else if (p[0].revents != 0) { /* nobody is left to write */
            p[0].fd = -1;
        }
    }
}

static int run_image(const cs_args *a, cs_ns_enclave_opts *o, int to)
{
    struct sigaction stop = {.sa_handler = on_signal};
    cs_ns_enclave e = {0};
    int console[2], status = 0;

    (void)sigaction(SIGTERM, &stop, NULL);
    (void)sigaction(SIGINT, &stop, NULL);
    if (pipe2(console, O_CLOEXEC) != 0) {
        return cs_refuse(a, CS_E_IO, false, "no pipe");
    }
    o->console_fd = console[1];
    cs_err err = cs_ns_enclave_start(&e, o);
    (void)close(console[1]);
    if (err != CS_OK) {
        return cs_refuse(a, err, false, e.step);
    }
    printf("started %d\n", (int)e.pid);
    (void)fflush(stdout);
    watch(&e, console[0], to);
    if (waitpid(e.pid, &status, stopped ? WNOHANG : 0) == e.pid) {
        printf("ended %s\n", cs_ns_enclave_end(status));
    } else {
        printf("ended terminated\n");
    }
    cs_ns_enclave_cleanup(&e);
    return 0;
}

/*
 * Its devices are devtmpfs, of which a kernel has one: what an enclave does to its /dev/console it does to the machine's. So only in a guest
 * that is there for it.
 */
static bool in_guest(void)
{
    static char text[4096];
    int fd = open("/proc/cpuinfo", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);

    if (fd >= 0) {
        (void)close(fd);
    }
    text[n > 0 ? n : 0] = '\0';
    return strstr(text, "User Mode Linux") != NULL;
}

static int run(const cs_args *a)
{
    static char device[4096];
    const char *console = cs_args_str(a, "console");
    cs_ns_enclave_opts o = {
        .emulator = cs_args_str(a, "emulator"),
        .nsm_device = cs_args_str(a, "nsm-device"),
        .module_id = cs_args_str(a, "module-id"),
        .role_arn = cs_args_str(a, "role"),
        .instance = cs_args_str(a, "instance"),
        .debug = cs_args_flag(a, "debug-mode"),
    };

    if (o.emulator == NULL) {
        return cs_usage_error(a, "--emulator is required");
    }
    if (!in_guest()) {
        return cs_refuse(a, CS_E_STATE, false,
                         "runs in a guest of user-mode Linux only: it would change this machine's /dev");
    }
    if (o.nsm_device == NULL) { /* beside this program */
        ssize_t n = readlink("/proc/self/exe", device, sizeof device - sizeof "nsm-device");
        char *slash = n > 0 ? memrchr(device, '/', (size_t)n) : NULL;
        if (slash == NULL) {
            return cs_usage_error(a, "--nsm-device is required");
        }
        memcpy(slash + 1, "nsm-device", sizeof "nsm-device");
        o.nsm_device = device;
    }
    cs_err err = cs_ns_read_image(&o.eif, a->pos[0]);
    if (err != CS_OK) {
        return cs_refuse(a, err, false, a->pos[0]);
    }
    int to = console == NULL ? 1 : open(console, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    return to < 0 ? cs_refuse(a, CS_E_IO, false, console) : run_image(a, &o, to);
}

static const cs_opt opts[] = {
    {"emulator", 'e', CS_OPT_STR, "DIR", "folder of sign-emulator, whose root signs the documents", NULL, NULL, 0, 0},
    {"console", 'c', CS_OPT_STR, "FILE", "append what the enclave writes to its console (default: standard output)",
     NULL, NULL, 0, 0},
    {"module-id", 'm', CS_OPT_STR, "ID", "module id in documents", NULL, "i-1234567890abcdef0-enc0000000000000001", 0,
     0},
    {"role", 0, CS_OPT_STR, "ARN", "role of the parent instance: PCR3", NULL, NULL, 0, 0},
    {"instance", 0, CS_OPT_STR, "ID", "parent instance: PCR4", NULL, NULL, 0, 0},
    {"debug-mode", 0, CS_OPT_FLAG, NULL, "PCR0, 1 and 2 of documents are zero", NULL, NULL, 0, 0},
    {"nsm-device", 0, CS_OPT_STR, "PROGRAM", "the security module (default: nsm-device beside this program)", NULL,
     NULL, 0, 0},
    {NULL, 0, CS_OPT_FLAG, NULL, NULL, NULL, NULL, 0, 0},
};

static const cs_cmd cmds[] = {
    {"", "--emulator DIR [options] IMAGE.eif", "run an enclave image in namespaces, without a hypervisor",
     "Prints `started PID`, and `ended reboot` (it halted), `ended signal N`, `ended terminated` (by SIGTERM) at the "
     "end. Needs root and "
     "the\nmodule cuse; one at a time. For guests of the boot tests.\n\n"
     "Example:\n  ns-enclave --emulator emu --console console.log target/sign-service.enclave.eif",
     opts, 1, 1, run},
    {NULL, NULL, NULL, NULL, NULL, 0, 0, NULL},
};

int main(int argc, char **argv)
{
    return cs_cmd_main("ns-enclave", "enclave images without a hypervisor", cmds, argc, argv);
}
