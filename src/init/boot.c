/* The steps of a start, in order. See init.h and docs/formats/image.md. */
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "init/init.h"

static const struct {
    const char *name;
    cs_err (*run)(cs_init *in);
    bool pid1_only; /* AWS's init has done it when it started us from its image */
} steps[] = {
    {"mount", cs_init_mount, true},
    {"module", cs_init_module, true},
    {"limits", cs_init_limits, false},
    {"config", cs_init_read_config, false}, /* draws nothing; from here on the parent hears of what fails */
    {"nsm", cs_init_open_nsm, false},
    {"entropy", cs_init_seed, false},
    {"clock", cs_init_clock, false},
    {"heartbeat", cs_init_heartbeat, true},
    {"measured", cs_init_say_measured, false},
    {"links", cs_init_link, false},
    {"listeners", cs_init_listen, false},
    {"sections", cs_init_sections, false},
};

cs_err cs_init_boot(cs_init *in)
{
    uint64_t began = cs_clock_mono_ms();

    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        if (steps[i].pid1_only && !in->pid1) {
            continue;
        }
        in->why = "";
        in->why_errno = 0;
        cs_err err = steps[i].run(in);
        if (err != CS_OK) {
            cs_log_err(CS_LOG_ERROR, "boot_failed", err, CS_LC("step", steps[i].name), CS_LC("why", in->why),
                       CS_LC("errno", in->why_errno != 0 ? strerror(in->why_errno) : ""));
            return err;
        }
    }
    cs_log(CS_LOG_INFO, "booted", CS_LB("pid1", in->pid1), CS_LU("ms", cs_clock_mono_ms() - began));
    return CS_OK;
}
