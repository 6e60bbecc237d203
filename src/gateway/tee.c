/* The TEE service at the gateway: its parts and their life. See tee.h. */
#include "gateway/tee.h"

#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/public.h"

#define ROOT_MAX 8192u
#define CORE_MS_MIN 30000u /* core's own steps with KMS take up to 10 s each */

static cs_err may(void *cookie, const cs_tee_op_row *op, const char **detail)
{
    const cs_tee *t = cookie;
    if (t->gate->draining) {
        *detail = "the gateway is about to end";
        return CS_E_TEE_BUSY;
    }
    return t->check != NULL ? cs_gate_check_may(t->check, op, detail) : CS_E_TEE_GATE;
}

/* Of the PEM file that the configuration names; none: AWS's root. */
static cs_err read_root(cs_buf *der, const char *path)
{
    unsigned char *bytes = NULL;
    FILE *f = path[0] != '\0' ? fopen(path, "re") : NULL;
    if (path[0] == '\0' || f == NULL) {
        return path[0] == '\0' ? CS_OK : CS_E_IO;
    }
    X509 *cert = PEM_read_X509(f, NULL, NULL, NULL);
    (void)fclose(f);
    int len = cert != NULL ? i2d_X509(cert, &bytes) : 0;
    cs_err err = len > 0 ? cs_put(der, bytes, (size_t)len) : CS_E_FORMAT;
    OPENSSL_free(bytes);
    X509_free(cert);
    return err;
}

static cs_err open_gate(cs_tee *t, char why256[256])
{
    const cs_tee_config *c = &t->gate->config.tee;
    cs_gate_check_config g = {.loop = t->gate->loop,
                              .flow = t->flow,
                              .store = t->store,
                              .entries = t->entries,
                              .telemetry = t->gate->telemetry,
                              .root_der = cs_buf_heap(ROOT_MAX),
                              .allow_debug = c->allow_debug,
                              .recheck_ms = c->recheck_s * 1000u};
    cs_yaml_fault fault = {0};
    size_t bare = 0;
    cs_err err = cs_tee_policy_read(&g.policy, &bare, &fault, c);
    if (err == CS_OK && (err = read_root(&g.root_der, c->attest_root)) != CS_OK) {
        (void)snprintf(fault.text, sizeof fault.text, "tee.attestationRoot: a certificate in PEM is wanted: %.100s",
                       c->attest_root);
    }
    if (err == CS_OK) {
        cs_telemetry_gate(g.telemetry, CS_TEL_GATE_CLOSED);
        err = cs_gate_check_new(&t->check, &g);
    }
    if (err != CS_OK) {
        cs_buf_free(&g.root_der);
        (void)snprintf(why256, 256, "%s", fault.text);
        return err;
    }
    if (bare > 0) {
        cs_log(CS_LOG_WARN, "tee_gate_pcr0_alone", CS_LU("entries", bare));
    }
    if (c->allow_debug) {
        cs_log(CS_LOG_WARN, "tee_gate_debug_allowed");
    }
    return CS_OK;
}

size_t cs_tee_under_way(const cs_tee *t)
{
    cs_tee_flow_stats s = {0};
    if (t->flow != NULL) {
        cs_tee_flow_stats_get(t->flow, &s);
    }
    return s.under_way;
}

void cs_tee_service_down(cs_tee *t)
{
    if (t != NULL && t->check != NULL) {
        cs_gate_check_down(t->check);
    }
}

void cs_tee_service_up(cs_tee *t)
{
    if (t != NULL && t->check != NULL) {
        cs_gate_check_again(t->check, !cs_pool_serving_before(t->gate->pool));
    }
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
                            .adopt_column = c->adopt_column,
                            .entries = t->entries,
                            .telemetry = t->gate->telemetry,
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
        err = cs_tee_entries_new(&t->entries, g->loop, g->pool, t->store);
        if (err == CS_OK) {
            err = open_flow(t);
        }
        if (err == CS_OK) {
            err = open_gate(t, why256);
        }
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
        cs_gate_check_free(t->check);
        cs_tee_entries_free(t->entries);
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

void cs_tee_seen(cs_tee_ask *ask, cs_tel_call *seen)
{
    const cs_trace *trace = cs_tel_trace(seen);
    cs_tel_ask(seen, ask->op->op, ask->id);
    ask->traced = trace != NULL;
    if (trace != NULL) {
        ask->trace = *trace;
    }
}
