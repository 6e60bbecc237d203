/* Enclaves that a sign-host that was killed has left running. */
#ifndef CS_HOST_ORPHANS_H
#define CS_HOST_ORPHANS_H

#include "base/bytes.h"

/*
 * cs_orphans_end - terminates the enclaves that DIR/run.json names, when nobody holds DIR. *out_num of them; blocking.
 * CS_E_NITRO_CLI | CS_E_NITRO ... when one could not be ended.
 */
CS_MUST cs_err cs_orphans_end(unsigned *out_num, const char *dir, const char *tool);
/* cs_orphans_end_named - every enclave called NAME or NAME-2; *out_num of them. */
CS_MUST cs_err cs_orphans_end_named(unsigned *out_num, const char *name, const char *tool);

#endif
