/* signctl tee adopt, for the table of cmd_tee_store.c. */
#ifndef CS_TOOLS_TEE_ADOPT_H
#define CS_TOOLS_TEE_ADOPT_H

#include "base/opts.h"

/* cs_tee_adopt_run - the command; the exit status. */
int cs_tee_adopt_run(const cs_args *a);

#endif
