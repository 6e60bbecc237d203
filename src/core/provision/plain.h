/* A share file in the clear, of local runs (mpc.key_share_file): in sign-core-emulated and tests only. */
#ifndef CS_CORE_PLAIN_H
#define CS_CORE_PLAIN_H

#include "core/core.h"

/*
 * cs_load_plain - load the first share set from a plaintext share file (secret, borrowed; in the arena), as if it had been
 * unsealed: signature, requireSignedShares, minGeneration and the debug rule are the same. WAITING -> UNSEALING -> SERVING, or back
 * to WAITING. CS_E_STATE (not WAITING, or an injection is under way) | CS_E_ATT_DEBUG | what cs_share_load says.
 */
CS_MUST cs_err cs_load_plain(cs_core *c, cs_slice file);

#endif
