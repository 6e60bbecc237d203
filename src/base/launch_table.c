/* The rows of the launch table. */
#include "base/launch_table.h"

const cs_launch_program_row cs_launch_programs[CS_LAUNCH_NUM_PROGRAMS] = {
#define CS_LAUNCH_ROW(id, name, local, section, restart)                                                               \
    [CS_LAUNCH_##id] = {name, "/bin/" name, local, section, restart},
    CS_LAUNCH_PROGRAMS(CS_LAUNCH_ROW)
#undef CS_LAUNCH_ROW
};

const cs_launch_fd_row cs_launch_fds[CS_LAUNCH_NUM_FDS] = {
#define CS_LAUNCH_ROW(program, option, kind, number) {CS_LAUNCH_##program, option, CS_LAUNCH_FD_##kind, number},
    CS_LAUNCH_FDS(CS_LAUNCH_ROW)
#undef CS_LAUNCH_ROW
};
