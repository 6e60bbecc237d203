/* The command `sign-host run`. */
#ifndef CS_HOST_RUN_H
#define CS_HOST_RUN_H

#include "host/settings.h"

extern const cs_opt cs_host_run_opts[];
extern const char cs_host_run_text[];
int cs_host_run(const cs_args *a);

#endif
