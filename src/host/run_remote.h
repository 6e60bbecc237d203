/* `sign-host run` with a driver that starts real enclaves (nitro), and what asks the sign-host that runs there. */
#ifndef CS_HOST_RUN_REMOTE_H
#define CS_HOST_RUN_REMOTE_H

#include "base/opts.h"
#include "host/driver.h"

/* cs_host_driver_of - by name; NULL: there is none. */
const cs_driver_ops *cs_host_driver_of(const char *name);
/* cs_host_run_remote - the whole command, --replace included; the exit status. */
int cs_host_run_remote(const cs_args *a, const cs_driver_ops *ops);
/* cs_host_dir - --dir, else where a service of this user has its run directory. Never NULL. */
const char *cs_host_dir(const cs_args *a);

#endif
