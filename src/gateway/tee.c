/* The TEE service at the gateway: its parts and their life. See tee.h. */
#include "gateway/tee.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/public.h"

#define CORE_MS_MIN 30000u /* core's own steps with KMS take up to 10 s each */

static cs_err may(void *cookie, const cs_tee_op_row *op, const char **detail)
{
    const cs_tee *t = cookie;
    (void)op;
    if (t->gate->draining) {
        *detail = "the gateway is about to end";
        return CS_E_TEE_BUSY;
    }
    return CS_OK;
}

static cs_err open_store(cs_tee *t, char why256[256])
{
    const cs_tee_config *c = &t->gate->config.tee;
    bool pg = strcmp(c->store_driver, "postgres") == 0;
    cs_store_config s = {
        .conns = (unsigned)c->store_conns, .request_seconds = (uint32_t)c->idempotency_s, .migrate = true};
    int n = snprintf(s.dsn, sizeof s.dsn, "%s%s", pg ? "" : "sqlite:", pg ? c->store_dsn : c->store_path);
    if (n < 0 || (size_t)n >= sizeof s.dsn) {
        (void)snprintf(why256, 256, "tee.store: the address is too long");
        return CS_E_CONFIG;
    }
    return cs_store_open(&t->store, t->gate->loop, &s, why256);
}

static cs_err open_flow(cs_tee *t)
{
    const cs_tee_config *c = &t->gate->config.tee;
    uint64_t ms = (uint64_t)c->timeout_s * 1000u;
    cs_tee_flow_config f = {.loop = t->gate->loop,
                            .pool = t->gate->pool,
                            .store = t->store,
                            .calls = (size_t)c->calls,
                            .bytes = (size_t)c->bytes,
                            .timeout_ms = (uint32_t)ms,
                            .core_ms = (uint32_t)(ms > CORE_MS_MIN ? ms : CORE_MS_MIN),
                            .may = may,
                            .may_cookie = t};
    return cs_tee_flow_new(&t->flow, &f);
}

cs_err cs_tee_open(cs_tee **out, cs_gate *g, char why256[256])
{
    cs_tee *t = calloc(1, sizeof *t);
    cs_err err = CS_OK;
    why256[0] = '\0';
    if (t == NULL) {
        return CS_E_NO_MEMORY;
    }
    t->gate = g;
    if (g->config.tee.enabled && (err = open_store(t, why256)) == CS_OK) {
        err = open_flow(t);
    }
    if (err != CS_OK) {
        cs_tee_free(t);
        return err;
    }
    *out = t;
    return CS_OK;
}

void cs_tee_free(cs_tee *t)
{
    if (t != NULL) {
        cs_store_close(t->store);
        cs_tee_flow_free(t->flow);
        free(t);
    }
}

cs_err cs_tee_admit(const cs_tee *t, cs_slice authorization, const char **detail)
{
    return cs_public_token(t->gate->public_side, &t->gate->config.tee, authorization, detail);
}

cs_err cs_tee_start(cs_tee_waiter **out, cs_tee *t, const char **detail, cs_tee_ask *ask_take, uint64_t timeout_ms,
                    cs_tee_done_fn *done, void *cookie)
{
    if (t->flow == NULL) {
        cs_tee_ask_cleanup(ask_take);
        *detail = "tee.enabled is false at this gateway";
        return CS_E_TEE_DISABLED;
    }
    return cs_tee_flow_call(out, t->flow, detail, ask_take, timeout_ms, done, cookie);
}
