/*
 * sign-init: PID 1 of the enclave; also `--plan`, which prints the launch table. What it does: init.h, docs/formats/image.md.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/opts.h"
#include "init/filter.h"
#include "init/init.h"

static int print_plan(void)
{
#define CS_LAUNCH_ROW(id, name, local, section, restart)                                                               \
    (void)printf("program %s (local: %s), section %s, %s\n", name, local, section,                                     \
                 (restart) ? "restarted" : "its end halts the enclave");
    CS_LAUNCH_PROGRAMS(CS_LAUNCH_ROW)
#undef CS_LAUNCH_ROW
#define CS_LAUNCH_ROW(program, option, kind, number)                                                                   \
    (void)printf("descriptor %s %s %s %u\n", #program, option, #kind, (unsigned)(number));
    CS_LAUNCH_FDS(CS_LAUNCH_ROW)
#undef CS_LAUNCH_ROW
    (void)printf("restarts at most %u in %u s\n", CS_LAUNCH_RESTARTS, CS_LAUNCH_RESTART_WINDOW_MS / 1000);
    return 0;
}

static int run(const cs_args *a)
{
    static cs_init in;

    if (cs_args_flag(a, "plan")) {
        return print_plan();
    }
    if (cs_args_str(a, "selftest-forbidden") != NULL) {
        static cs_sandbox filter;
        cs_init_filter_make(&filter, false);
        return cs_sandbox_selftest(&filter, cs_args_u64(a, "selftest-forbidden"));
    }
    cs_init_stdio();
    cs_init_close_others();
    cs_log_init("sign-init", CS_LOG_INFO, STDERR_FILENO);
    in.pid1 = getpid() == 1;
    in.nsm = -1;
    memset(&in.fds, -1, sizeof in.fds);
    cs_init_logs_open(&in.logs);
    return cs_init_run(&in);
}

static const cs_opt options[] = {
    {.name = "plan", .kind = CS_OPT_FLAG, .help = "print the launch table and end"},
    CS_SANDBOX_OPT_SELFTEST,
    {0},
};

static const cs_cmd commands[] = {
    {.name = "",
     .synopsis = "[--plan | --selftest-forbidden N]",
     .summary = "first program of the enclave",
     .text = "Started by the kernel as /init: mounts, seeds the kernel's random numbers from /dev/nsm, checks the "
             "clock source, sends the\n"
             "heartbeat, opens the vsock ports, starts sign-core, sign-kms and sign-service with their measured "
             "sections, restarts them,\n"
             "carries their logs to the parent's port 7110, and halts the enclave when sign-core ends. Where it is not "
             "PID 1 it mounts\n"
             "nothing and sends no heartbeat. Configuration: /etc/countersign/config.cbor of the image.\n"
             "Example: sign-init --plan",
     .opts = options,
     .run = run},
    {0},
};

int main(int argc, char **argv)
{
    /* words of the kernel's command line that the kernel does not know come as arguments: they are not for us */
    if (getpid() == 1 && argc > 1 && argv[1][0] != '-') {
        argc = 1;
        argv[1] = NULL;
    }
    return cs_cmd_main("sign-init", "first program of the enclave", commands, argc, argv);
}
