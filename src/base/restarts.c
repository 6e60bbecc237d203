#include "base/restarts.h"

cs_err cs_restarts_next(cs_restarts *r, uint64_t now_ms, uint32_t *out_delay_ms)
{
    unsigned have = r->num < CS_LAUNCH_RESTARTS ? r->num : CS_LAUNCH_RESTARTS, recent = 0;

    for (unsigned i = 0; i < have; i++) {
        recent += now_ms - r->at[i] < CS_LAUNCH_RESTART_WINDOW_MS;
    }
    if (recent == CS_LAUNCH_RESTARTS) {
        return CS_E_LAUNCH;
    }
    r->at[r->num++ % CS_LAUNCH_RESTARTS] = now_ms;
    *out_delay_ms = CS_RESTART_FIRST_MS << recent;
    return CS_OK;
}
