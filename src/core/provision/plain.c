/*
 * A share file in the clear instead of an unsealed one. Nothing in this object is reached by sign-core as it ships: only the
 * emulator's hook (core/platform.h) calls it, and tools/dev/check-symbols looks for it. Every rule of the sealed way holds.
 */
#include "core/provision/plain.h"

#include "base/clock.h"
#include "base/log.h"
#include "core/core_int.h"

static cs_err load(cs_core *c, cs_share_set **set, const char **what, cs_slice file)
{
    cs_share_policy policy;
    cs_sharefile_fault fault = {0, NULL};

    if (c->debug && !c->config->debug_allowed) {
        return CS_E_ATT_DEBUG;
    }
    cs_load_policy(&policy, c);
    cs_err err = cs_share_load(set, file, &policy, &fault);
    *what = err != CS_OK && fault.what != NULL ? fault.what : "";
    return err == CS_E_NO_MEMORY ? CS_E_SHARES_LIMIT : err;
}

cs_err cs_load_plain(cs_core *c, cs_slice file)
{
    cs_share_set *set = NULL;
    const char *what = "";

    if (c->phase != CS_PHASE_WAITING || c->set != NULL || c->load.stage != CS_LOAD_IDLE) {
        return CS_E_STATE;
    }
    cs_phase_go(&c->phase, CS_PHASE_UNSEALING);
    cs_err err = load(c, &set, &what, file);
    cs_load_remember(&c->load, err, cs_slice_str(what));
    if (err != CS_OK) {
        c->counters.loads_failed++;
        cs_phase_go(&c->phase, CS_PHASE_WAITING);
        cs_log_err(CS_LOG_ERROR, "load", err, CS_LC("source", "key_share_file"), CS_LC("detail", what));
        return err;
    }
    cs_rsa_wipe(&c->load.rsa); /* the next load, through the injectors, makes its own */
    c->set = set;
    c->counters.loads_ok++;
    cs_log(CS_LOG_INFO, "load", CS_LC("code", "OK"), CS_LC("source", "key_share_file"),
           CS_LU("generation", cs_share_generation(set)), CS_LU("accounts", cs_share_count(set)));
    cs_phase_go(&c->phase, CS_PHASE_SERVING);
    return CS_OK;
}
