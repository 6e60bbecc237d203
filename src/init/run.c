/* The one loop of sign-init: children, their log pipes, the stream, timers; then the halt. See init.h. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "init/filter.h"
#include "init/init.h"

#define FLUSH_MS 2000u /* for the last lines, at the end */
#define LINGER_MS 1000 /* for the parent to read them before the machine is gone */

enum { AT_SIGNALS, AT_STREAM, AT_SOURCES, NUM_POLL = AT_SOURCES + CS_LAUNCH_NUM_PROGRAMS };

/* ---------------------------------------------------------------- what the supervision asks for */

static cs_err start_program(void *cookie, cs_launch_program p, pid_t *out)
{
    cs_init *in = cookie;
    int err_fd = -1;

    CS_TRY(cs_init_logs_pipe(&in->logs, p, &err_fd));
    cs_err err = cs_init_spawn(in, p, err_fd, out);
    (void)close(err_fd);
    /* core is never started again: without our copies the others see at once when it has gone */
    for (int end = CS_LAUNCH_SERVICE_CORE_END; p == CS_LAUNCH_CORE && end < CS_LAUNCH_NUM_ENDS; end += 2) {
        (void)close(in->fds.ends[end]);
        in->fds.ends[end] = -1;
    }
    return err;
}

static void signal_program(void *cookie, pid_t pid, int sig)
{
    (void)cookie;
    (void)kill(pid, sig);
}

static void reap(cs_init *in)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        for (int i = 0; i < CS_LAUNCH_NUM_PROGRAMS; i++) {
            if (in->super.program[i].pid == pid) {
                cs_init_logs_ended(&in->logs, (cs_launch_program)i); /* its last words come before its end */
            }
        }
        cs_super_ended(&in->super, pid, status, cs_clock_mono_ms());
    }
}

/* ---------------------------------------------------------------- the loop */

static int open_signals(void)
{
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGCHLD);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void take_signals(cs_init *in, int fd)
{
    struct signalfd_siginfo si;

    while (read(fd, &si, sizeof si) == (ssize_t)sizeof si) {
        if (si.ssi_signo != SIGCHLD) {
            cs_super_stop(&in->super, CS_OK, NULL, cs_clock_mono_ms());
        }
    }
}

static int shorter(int a, int b)
{
    return a < 0 ? b : b < 0 ? a : a < b ? a : b;
}

static void one_round(cs_init *in, int signals, int wait)
{
    struct pollfd p[NUM_POLL] = {{.fd = signals, .events = POLLIN}};
    uint64_t now = cs_clock_mono_ms();

    wait = shorter(wait, cs_log_stream_poll(&in->logs.stream, &p[AT_STREAM], now));
    for (int i = 0; i < CS_LAUNCH_NUM_PROGRAMS; i++) {
        p[AT_SOURCES + i] = (struct pollfd){.fd = in->logs.source[i].fd, .events = POLLIN};
    }
    if (poll(p, NUM_POLL, wait) < 0) {
        return;
    }
    if (p[AT_SIGNALS].revents != 0) {
        take_signals(in, signals);
    }
    for (int i = 0; i < CS_LAUNCH_NUM_PROGRAMS; i++) {
        if (p[AT_SOURCES + i].revents != 0) {
            (void)cs_init_logs_read(&in->logs, (cs_launch_program)i);
        }
    }
    cs_log_stream_step(&in->logs.stream, p[AT_STREAM].revents, cs_clock_mono_ms());
}

static void supervise(cs_init *in, int signals)
{
    const cs_super_ops ops = {start_program, signal_program, in};

    cs_super_start(&in->super, &ops, cs_clock_mono_ms());
    while (!cs_super_finished(&in->super)) {
        one_round(in, signals, cs_super_tick(&in->super, cs_clock_mono_ms()));
        reap(in);
    }
}

/* All is mounted, seeded and open: from here on neither we nor what we start can do it again. */
static cs_err close_the_door(cs_init *in)
{
    static cs_sandbox filter;

    cs_init_filter_make(&filter, in->settings.trap);
    if (cs_sandbox_install(&filter) != CS_OK) {
        cs_log_err(CS_LOG_ERROR, "boot_failed", CS_E_BOOT, CS_LC("step", "filter"), CS_LC("errno", strerror(errno)));
        return CS_E_BOOT;
    }
    return CS_OK;
}

/* ---------------------------------------------------------------- the end */

static int dial_logs(void *cookie)
{
    const cs_init *in = cookie;

    return cs_init_dial(in->settings.parent_cid, CS_INIT_PORT_LOGS);
}

/* The last record of the log: whoever reads the stream knows that nothing follows. */
static void say_halt(const cs_init *in, cs_err reason)
{
    const char *because = in->super.because != NULL ? in->super.because : "";

    if (reason == CS_OK) {
        cs_log(CS_LOG_WARN, "halt", CS_LC("reason", "STOPPED"));
    } else {
        cs_log_err(CS_LOG_ERROR, "halt", reason, CS_LC("reason", cs_err_code(reason)), CS_LC("because", because));
    }
}

static void flush(cs_init *in, int signals)
{
    uint64_t end = cs_clock_mono_ms() + FLUSH_MS;

    for (uint64_t now = cs_clock_mono_ms(); now < end && !cs_log_stream_done(&in->logs.stream);
         now = cs_clock_mono_ms()) {
        one_round(in, signals, (int)(end - now));
    }
    cs_log_stream_close(&in->logs.stream, LINGER_MS);
}

int cs_init_run(cs_init *in)
{
    int signals = open_signals();
    cs_err reason = signals >= 0 ? cs_init_boot(in) : CS_E_BOOT;

    if (in->have_settings) {
        cs_log_stream_init(&in->logs.stream, &in->logs.backlog, dial_logs, in);
    }
    if (reason == CS_OK) {
        reason = close_the_door(in);
    }
    if (reason == CS_OK) {
        supervise(in, signals);
        reason = in->super.reason;
    }
    say_halt(in, reason);
    if (in->have_settings) {
        flush(in, signals); /* without a console, this is all that is ever seen of a start that failed */
    }
    if (in->pid1) {
        sync();
        (void)reboot(RB_AUTOBOOT); /* ends an enclave; in a PID namespace, that */
    }
    return reason == CS_OK ? 0 : 1;
}
