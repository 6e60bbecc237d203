/* The start-up gate. See gate.h. */
#include "gateway/gate.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "attest/verify.h"
#include "base/log.h"

#define NONCE 32u
#define ASK_MS 5000u
#define AGAIN_MIN_MS 250u
#define AGAIN_MAX_MS 15000u
#define GRACE_MS 300000u

struct cs_gate_check {
    cs_gate_check_config config;
    cs_timer *timer;
    cs_tee_waiter *waiter; /* a question is under way */
    uint8_t nonce[NONCE];
    bool open, stale; /* stale: asked once more as soon as the question under way is answered */
    cs_err why;
    uint64_t again_ms, verified_at;
};

bool cs_gate_check_open(const cs_gate_check *g)
{
    return g->open;
}

cs_err cs_gate_check_may(const cs_gate_check *g, const cs_tee_op_row *op, const char **detail)
{
    if (g->open || op->op == CS_TEE_ATTEST || op->op == CS_TEE_STATS || op->op == CS_TEE_PUBLIC_KEY) {
        return CS_OK;
    }
    if (cs_err_class_of(g->why) == CS_CLASS_IO) { /* nobody is there to be refused */
        return g->why;
    }
    *detail = g->why == CS_OK ? "the enclave has not been asked yet" : cs_err_cause(g->why);
    return CS_E_TEE_GATE;
}

/* ---------------------------------------------------------------- what was found */

/* Nobody has said anything about measurements: what was seen last holds for a while longer. */
static bool holds(const cs_gate_check *g, cs_err why)
{
    cs_err_class c = cs_err_class_of(why);
    bool silent = c == CS_CLASS_LIMIT || c == CS_CLASS_IO || why == CS_E_TEE_TIMEOUT;
    return g->open && silent && cs_loop_now(g->config.loop) - g->verified_at < g->config.recheck_ms + GRACE_MS;
}

static void set(cs_gate_check *g, cs_err why)
{
    bool open = why == CS_OK;
    cs_telemetry_gate_checked(g->config.telemetry, why);
    if (why != CS_E_UPSTREAM && holds(g, why)) {
        cs_timer_start(g->timer, AGAIN_MAX_MS, 0);
        return;
    }
    g->verified_at = open ? cs_loop_now(g->config.loop) : 0;
    if (open && (!g->open || g->why != CS_OK)) {
        cs_log(CS_LOG_INFO, "tee_gate", CS_LB("open", true));
    } else if (!open && (g->open || g->why != why)) {
        cs_log_err(cs_err_retry(why) ? CS_LOG_WARN : CS_LOG_ERROR, "tee_gate", why, CS_LB("open", false));
    }
    g->open = open;
    g->why = why;
    cs_telemetry_gate(g->config.telemetry, open ? CS_TEL_GATE_OPEN : CS_TEL_GATE_CLOSED);
    g->again_ms = open ? AGAIN_MIN_MS : g->again_ms * 2 > AGAIN_MAX_MS ? AGAIN_MAX_MS : g->again_ms * 2;
    cs_timer_start(g->timer, open ? g->config.recheck_ms : g->again_ms, 0);
}

static void on_kept(void *cookie, cs_err err, const cs_store_out *out)
{
    (void)cookie;
    (void)out;
    if (err != CS_OK) {
        cs_log_err(CS_LOG_WARN, "tee_boot_not_stored", err);
    }
}

/* The document says which keys speak for this boot; without it nobody could verify the log later. */
static void keep(cs_gate_check *g, const cs_att_result *r, cs_slice document)
{
    cs_tee_vouch v;
    if (cs_tee_vouch_decode(&v, cs_slice_of(r->claims.user_data.b, r->claims.user_data.len)) != CS_OK) {
        return; /* a core whose TEE service is off */
    }
    cs_store_in in = {.reply = document, .boot16 = v.boot16};
    cs_err err = cs_store_start(g->config.store, CS_STORE_BOOT, &in, NULL, on_kept, NULL);
    if (err != CS_OK) {
        on_kept(NULL, err, NULL);
    }
    if (g->config.entries != NULL) {
        cs_tee_entries_boot(g->config.entries, &v);
    }
}

static cs_err verify(cs_gate_check *g, cs_slice reply)
{
    static cs_att_result r; /* large */
    const cs_tee_op_row *op = cs_tee_op_of(CS_TEE_ATTEST);
    cs_tee_ask ask = {.op = op};
    cs_tee_told t;
    cs_slice nonce = cs_slice_of(g->nonce, NONCE);
    cs_att_options o = {.root_der = cs_buf_slice(&g->config.root_der),
                        .time = CS_ATT_TIME_NOW,
                        .nonce = &nonce,
                        .policy = &g->config.policy,
                        .allow_debug = g->config.allow_debug};
    CS_TRY(cs_tee_told_read(&t, &ask, reply));
    CS_TRY(cs_att_verify(&r, t.result.f[0].s, &o));
    keep(g, &r, t.result.f[0].s);
    return CS_OK;
}

static void on_told(void *cookie, const cs_tee_outcome *o)
{
    cs_gate_check *g = cookie;
    g->waiter = NULL;
    cs_err err = o->err == CS_OK ? verify(g, o->reply) : o->err;
    if (g->stale) { /* what was asked may have been the one before */
        g->stale = false;
        if (err != CS_OK) {
            set(g, err);
        }
        cs_timer_start(g->timer, 0, 0);
        return;
    }
    set(g, err);
}

/* ---------------------------------------------------------------- asking */

static cs_err ask(cs_gate_check *g)
{
    const char *what = NULL;
    cs_tee_ask a = {0};
    cs_tee_named n = {.shape = cs_tee_shape_of(CS_TEE_ATTEST)};
    if (getrandom(g->nonce, NONCE, 0) != NONCE) {
        return CS_E_ENTROPY;
    }
    n.f[0].s = cs_slice_of(g->nonce, NONCE);
    CS_TRY(cs_tee_ask_named(&a, &what, &n));
    return cs_tee_flow_call(&g->waiter, g->config.flow, &what, &a, ASK_MS, on_told, g);
}

static void on_timer(void *cookie)
{
    cs_gate_check *g = cookie;
    if (g->waiter != NULL) {
        return;
    }
    cs_err err = ask(g);
    if (err != CS_OK) {
        set(g, err);
    }
}

void cs_gate_check_down(cs_gate_check *g)
{
    if (g->open) {
        set(g, CS_E_UPSTREAM);
    }
}

void cs_gate_check_again(cs_gate_check *g, bool only)
{
    if (only) {
        g->open = false;
        g->why = CS_OK;
        cs_telemetry_gate(g->config.telemetry, CS_TEL_GATE_CLOSED);
    }
    g->again_ms = AGAIN_MIN_MS;
    if (g->waiter != NULL) {
        g->stale = true;
    } else {
        cs_timer_start(g->timer, 0, 0);
    }
}

/* ---------------------------------------------------------------- life */

cs_err cs_gate_check_new(cs_gate_check **out, const cs_gate_check_config *config_take)
{
    cs_gate_check *g = calloc(1, sizeof *g);
    if (g == NULL || cs_timer_new(&g->timer, config_take->loop, on_timer, g) != CS_OK) {
        free(g);
        return CS_E_NO_MEMORY;
    }
    g->config = *config_take; /* transferred */
    g->again_ms = AGAIN_MIN_MS;
    cs_timer_start(g->timer, 0, 0);
    *out = g;
    return CS_OK;
}

void cs_gate_check_free(cs_gate_check *g)
{
    if (g == NULL) {
        return;
    }
    if (g->waiter != NULL) {
        cs_tee_flow_leave(g->waiter);
    }
    cs_timer_free(g->timer);
    cs_buf_free(&g->config.root_der);
    free(g);
}
