/* The commands that ask the sign-host of a run directory, or clean up after it: status, stop, reload, console. */
#ifndef CS_HOST_CMD_SERVICE_H
#define CS_HOST_CMD_SERVICE_H

#include "base/opts.h"

extern const cs_opt cs_host_status_opts[], cs_host_stop_opts[], cs_host_reload_opts[], cs_host_console_opts[];
extern const char cs_host_status_text[], cs_host_stop_text[], cs_host_reload_text[], cs_host_console_text[];
int cs_host_cmd_status(const cs_args *a);
int cs_host_cmd_stop(const cs_args *a);
int cs_host_cmd_reload(const cs_args *a);
int cs_host_cmd_console(const cs_args *a);

#endif
