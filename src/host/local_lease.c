#include "host/local_lease.h"

#include <signal.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

#define LEASE_MS 300000u /* before they expire; half-way when they live no longer than twice that */
#define LEASE_MIN_MS 1000u
#define LEASE_RETRY_MS 4000u

uint64_t cs_local_lease_wait_ms(uint64_t expires_ms, uint64_t now_ms)
{
    const uint64_t left = expires_ms > now_ms ? expires_ms - now_ms : 0;
    const uint64_t after = left > (uint64_t)2 * LEASE_MS ? left - LEASE_MS : left / 2;

    return after > LEASE_MIN_MS ? after : LEASE_MIN_MS;
}

static void pause_ms(uint64_t ms)
{
    struct timespec left = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};

    while (nanosleep(&left, &left) != 0) {
    }
}

static void renew(const cs_preload_opts *o, uint64_t expires_ms)
{
    for (;;) {
        cs_preload p = {0};
        if (expires_ms != 0) {
            pause_ms(cs_local_lease_wait_ms(expires_ms, cs_clock_wall_ms()));
        }
        cs_err err = cs_preload_fetch(&p, o);
        if (err == CS_OK) {
            err = cs_preload_inject(&p, o);
        }
        if (err == CS_OK) {
            expires_ms = p.expires_ms;
        } else {
            cs_log_err(CS_LOG_WARN, "renew_credentials", err);
            pause_ms(LEASE_RETRY_MS);
        }
        cs_preload_free(&p);
    }
}

cs_err cs_local_lease_start(pid_t *out, const cs_preload_opts *o, uint64_t expires_ms)
{
    const pid_t parent = getpid(), pid = fork();

    if (pid < 0) {
        return CS_E_LAUNCH;
    }
    if (pid == 0) {
        cs_preload_opts own = *o;
        own.order = "k";
        (void)signal(SIGTERM, SIG_DFL);
        (void)signal(SIGINT, SIG_DFL);
        (void)prctl(PR_SET_DUMPABLE, 0); /* no core file, no debugger: it holds credentials */
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() == parent) {
            renew(&own, expires_ms);
        }
        _exit(1);
    }
    *out = pid;
    return CS_OK;
}
