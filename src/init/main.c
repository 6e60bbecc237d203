/*
 * sign-init: PID 1 of the enclave. In this version it is measured as ramdisk 0 of simulated images, and says what it would start;
 * mounts, entropy, vsock listeners and supervision inside an enclave are not implemented yet: local runs are supervised by
 * `sign-host run --driver local` after the same launch table (base/launch_table.h).
 */
#include <stdio.h>
#include <unistd.h>

#include "base/launch_table.h"
#include "base/log.h"
#include "base/opts.h"

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
    cs_log_init("sign-init", CS_LOG_INFO, STDERR_FILENO);
    if (cs_args_flag(a, "plan")) {
        return print_plan();
    }
    cs_log_err(CS_LOG_ERROR, "not_implemented", CS_E_NOT_IMPLEMENTED,
               CS_LC("what", "mounts, entropy, vsock listeners and supervision as PID 1"));
    return cs_refuse(a, CS_E_NOT_IMPLEMENTED, false,
                     "not implemented: booting as PID 1; local runs are started by sign-host run --driver local");
}

static const cs_opt options[] = {
    {.name = "plan", .kind = CS_OPT_FLAG, .help = "print the launch table and end"},
    {0},
};

static const cs_cmd commands[] = {
    {.name = "",
     .synopsis = "[--plan]",
     .summary = "first program of the enclave",
     .text = "Not implemented in this version: booting as PID 1 of an enclave. Local runs use the same launch table "
             "through\n"
             "sign-host run --driver local.",
     .opts = options,
     .run = run},
    {0},
};

int main(int argc, char **argv)
{
    return cs_cmd_main("sign-init", "first program of the enclave", commands, argc, argv);
}
