/* The small operations. Each executes the frame of its permit and answers it. */
#ifndef CS_CORE_OPS_H
#define CS_CORE_OPS_H

#include "core/core_int.h"

/* cs_op_attest - document with the static key of an account's parties, or the RSA key for the empty account. */
void cs_op_attest(cs_core *c, const cs_permit *p);
/* cs_op_unban - docs/formats/unban.md. */
void cs_op_unban(cs_core *c, const cs_permit *p);
/* cs_op_status - JSON of docs/formats/status.md. cs_status_put - the same into out. CS_E_RANGE. */
void cs_op_status(cs_core *c, const cs_permit *p);
CS_MUST cs_err cs_status_put(cs_buf *out, const cs_core *c);

#endif
