/* signctl: the command line of Countersign. Only collects the tables of the command files; see cmds.h. */
#include <signal.h>
#include <stddef.h>

#include "base/log.h"
#include "base/measured.h"
#include "tools/cmds.h"

#define MAX_CMDS 128

int main(int argc, char **argv)
{
    static const cs_cmd *const tables[] = {
#define CS_CMD_ROW(name) cs_cmds_##name,
        CS_CMD_FILES(CS_CMD_ROW)
#undef CS_CMD_ROW
    };
    static cs_cmd all[MAX_CMDS + 1];
    size_t n = 0;
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++) {
        for (const cs_cmd *c = tables[t]; c->name != NULL && n < MAX_CMDS; c++) {
            all[n++] = *c;
        }
    }
    (void)signal(SIGXFSZ, SIG_IGN); /* a write that fails removes its temporary file */
    cs_cmd_on_version(cs_measured_version);
    cs_log_init("signctl", CS_LOG_WARN, 2);
    return cs_cmd_main("signctl", "keys, shares, attestation and signing with Countersign", all, argc, argv);
}
