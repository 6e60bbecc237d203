/* When a program that died may be started again: the rule of the launch table, for sign-init and sign-host. Pure. */
#ifndef CS_BASE_RESTARTS_H
#define CS_BASE_RESTARTS_H

#include <stdint.h>

#include "base/err.h"
#include "base/launch_table.h"

#define CS_RESTART_FIRST_MS 100u

/* The restarts of one program; zero-initialise. */
typedef struct cs_restarts {
    uint64_t at[CS_LAUNCH_RESTARTS]; /* ms; a ring of the last ones */
    unsigned num;
} cs_restarts;

/*
 * cs_restarts_next - how long to wait before the next start: 100 ms, doubled for each restart of the last 60 s. CS_E_LAUNCH:
 * there were 5 in the last 60 s, the enclave halts. now_ms is monotonic.
 */
CS_MUST cs_err cs_restarts_next(cs_restarts *r, uint64_t now_ms, uint32_t *out_delay_ms);

#endif
