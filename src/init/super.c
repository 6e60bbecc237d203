#include "init/super.h"

#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "base/log.h"

static void start_one(cs_super *s, int i, uint64_t now)
{
    struct cs_super_program *p = &s->program[i];
    cs_err err = s->ops.start(s->ops.cookie, (cs_launch_program)i, &p->pid);

    p->again = 0;
    if (err == CS_OK) {
        cs_log(CS_LOG_INFO, "started", CS_LC("what", cs_launch_programs[i].name), CS_LU("pid", p->pid));
        return;
    }
    p->pid = 0;
    cs_log_err(CS_LOG_ERROR, "start_failed", err, CS_LC("what", cs_launch_programs[i].name));
    cs_super_stop(s, CS_E_LAUNCH, cs_launch_programs[i].name, now);
}

void cs_super_start(cs_super *s, const cs_super_ops *ops, uint64_t now_ms)
{
    *s = (cs_super){.ops = *ops};
    for (int i = 0; i < CS_LAUNCH_NUM_PROGRAMS && !s->stopping; i++) {
        start_one(s, i, now_ms);
    }
}

static const char *signal_name(int sig)
{
    static const struct {
        int sig;
        const char *name;
    } names[] = {
        {SIGSYS, "SIGSYS"}, {SIGSEGV, "SIGSEGV"}, {SIGABRT, "SIGABRT"}, {SIGBUS, "SIGBUS"},   {SIGILL, "SIGILL"},
        {SIGFPE, "SIGFPE"}, {SIGKILL, "SIGKILL"}, {SIGTERM, "SIGTERM"}, {SIGTRAP, "SIGTRAP"}, {SIGPIPE, "SIGPIPE"},
    };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (names[i].sig == sig) {
            return names[i].name;
        }
    }
    return "other";
}

static void say_ended(const cs_super *s, const char *name, int status)
{
    bool by_signal = WIFSIGNALED(status);
    int number = by_signal ? WTERMSIG(status) : WEXITSTATUS(status);
    cs_log_level level = s->stopping && status == 0 ? CS_LOG_INFO : CS_LOG_WARN;

    if (by_signal && number == SIGSYS) {
        cs_log_err(CS_LOG_ERROR, "ended", CS_E_SYSTEM_CALL, CS_LC("what", name), CS_LB("by_signal", true),
                   CS_LU("status", number), CS_LC("signal", "SIGSYS"));
    } else if (by_signal) {
        cs_log(level, "ended", CS_LC("what", name), CS_LB("by_signal", true), CS_LU("status", number),
               CS_LC("signal", signal_name(number)));
    } else {
        cs_log(level, "ended", CS_LC("what", name), CS_LB("by_signal", false), CS_LU("status", number));
    }
}

void cs_super_ended(cs_super *s, pid_t pid, int status, uint64_t now_ms)
{
    uint32_t delay = 0;
    int i = 0;

    while (i < CS_LAUNCH_NUM_PROGRAMS && (pid <= 0 || s->program[i].pid != pid)) {
        i++;
    }
    if (i == CS_LAUNCH_NUM_PROGRAMS) {
        return;
    }
    s->program[i].pid = 0;
    say_ended(s, cs_launch_programs[i].name, status);
    if (s->stopping) {
        return;
    }
    if (!cs_launch_programs[i].restart) {
        cs_super_stop(s, CS_E_CORE_ENDED, cs_launch_programs[i].name, now_ms);
    } else if (cs_restarts_next(&s->program[i].restarts, now_ms, &delay) != CS_OK) {
        cs_super_stop(s, CS_E_RESTARTS, cs_launch_programs[i].name, now_ms);
    } else {
        s->program[i].again = now_ms + delay;
    }
}

void cs_super_stop(cs_super *s, cs_err reason, const char *because, uint64_t now_ms)
{
    if (s->stopping) {
        return;
    }
    s->stopping = true;
    s->reason = reason;
    s->because = because;
    s->asked = CS_LAUNCH_NUM_PROGRAMS;
    for (int i = 0; i < CS_LAUNCH_NUM_PROGRAMS; i++) {
        s->program[i].again = 0;
    }
    if (reason != CS_OK) {
        cs_log_err(CS_LOG_ERROR, "stopping", reason, CS_LC("because", because != NULL ? because : ""));
    } else {
        cs_log(CS_LOG_INFO, "stopping");
    }
    (void)cs_super_tick(s, now_ms);
}

/* One program after the other: the front first, so that nothing new comes in while core stops. */
static int tick_stopping(cs_super *s, uint64_t now)
{
    while (s->asked > 0 && (s->asked == CS_LAUNCH_NUM_PROGRAMS || s->program[s->asked].pid == 0)) {
        s->asked--;
        if (s->program[s->asked].pid != 0) {
            s->ops.signal(s->ops.cookie, s->program[s->asked].pid, SIGTERM);
            s->deadline = now + CS_SUPER_STOP_MS;
        }
    }
    if (s->program[s->asked].pid == 0 || s->deadline == UINT64_MAX) {
        return -1;
    }
    if (now < s->deadline) {
        return (int)(s->deadline - now);
    }
    s->ops.signal(s->ops.cookie, s->program[s->asked].pid, SIGKILL);
    s->deadline = UINT64_MAX;
    return -1;
}

int cs_super_tick(cs_super *s, uint64_t now_ms)
{
    int wait = -1;

    for (int i = 0; i < CS_LAUNCH_NUM_PROGRAMS && !s->stopping; i++) {
        uint64_t again = s->program[i].again;

        if (again != 0 && again <= now_ms) {
            start_one(s, i, now_ms);
        } else if (again != 0 && (wait < 0 || again - now_ms < (uint64_t)wait)) {
            wait = (int)(again - now_ms);
        }
    }
    return s->stopping ? tick_stopping(s, now_ms) : wait;
}

bool cs_super_finished(const cs_super *s)
{
    for (int i = 0; i < CS_LAUNCH_NUM_PROGRAMS; i++) {
        if (s->program[i].pid != 0) {
            return false;
        }
    }
    return s->stopping;
}

const char *cs_super_name(const cs_super *s, pid_t pid)
{
    for (int i = 0; i < CS_LAUNCH_NUM_PROGRAMS; i++) {
        if (pid > 0 && s->program[i].pid == pid) {
            return cs_launch_programs[i].name;
        }
    }
    return "";
}
